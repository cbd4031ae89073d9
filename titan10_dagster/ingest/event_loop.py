"""Runs coroutines in event loops that end properly after a signal.

The signal handlers of Dagster and of the command line raise an exception for SIGINT and SIGTERM. Python raises such an
exception between any two instructions of the main thread. Inside an event loop this causes two problems. If a callback
of the loop is running, asyncio logs the exception and continues, so the signal has no effect. If an executor is
starting a thread, the new thread is not registered yet, and the process waits for it forever at its end. Therefore the
signal cancels the main task here, and the exception is raised after the loop has ended. `asyncio.run` does the same,
but only for Python's own signal handler.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

Handler = Callable[[int, FrameType | None], Any]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_in_event_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine in a new event loop and return its result.

    The first signal cancels the coroutine. After its `finally` blocks have run and the loop has ended, the previous
    signal handler is called, and usually raises an exception. A second signal calls the previous handler immediately.
    Signals without a Python handler are not changed. Outside of the main thread, no signal handler is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        return asyncio.run(work)
    interruption = _Interruption()
    try:
        with asyncio.Runner() as runner:
            result = runner.run(interruption.watch(work))
    except BaseException:
        if interruption.received is None:
            raise
    finally:
        interruption.restore()
    if interruption.received is not None:
        # This call is not in the `except` block above, so that the traceback does not show the event loop as the
        # cause.
        interruption.pass_on(interruption.received)
    return result


class _Interruption:
    """An observer of signals. `received`: the number of the first signal since this object was created, or None.

    `restore` ends the observation.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._cancel: Callable[[], object] = lambda: None
        self._handlers: dict[int, Handler] = {}
        for name in _SIGNALS:
            handler = signal.getsignal(name)
            if callable(handler):
                self._handlers[name] = handler
        for number in self._handlers:
            signal.signal(number, self._handle)

    def restore(self) -> None:
        """Restore the previous signal handlers."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def pass_on(self, number: int) -> NoReturn:
        """Call the signal's previous handler. If the handler does not raise an exception, raise KeyboardInterrupt."""
        self._handlers[number](number, None)
        raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Cancel the main task at the first signal. Python calls this method in the main thread."""
        if self.received is not None:
            self._handlers[number](number, frame)
            return
        self.received = number
        self._cancel()

    async def watch(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work` in the current task. A signal cancels this task."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        # If the loop is waiting in `select`, only a threadsafe call wakes it up.
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        if self.received is not None:  # the signal came before the task began
            work.close()
            raise asyncio.CancelledError
        try:
            return await work
        finally:
            self._cancel = lambda: None
