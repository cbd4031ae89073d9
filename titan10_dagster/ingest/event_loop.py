"""Runs coroutines in event loops that end properly after a signal.

The signal handlers of Dagster and of the command line raise an exception for SIGINT and SIGTERM. Python can raise such
an exception between any two instructions of the main thread. Inside an event loop this causes two problems. If a
callback of the loop is running, asyncio logs the exception and continues, so the signal has no effect. If an executor
is just starting a thread, the new thread is not registered yet, and the process waits forever for this thread when it
ends. Therefore a signal only cancels the main task here, and the exception is raised after the loop has ended.
`asyncio.run` does the same, but only for Python's own signal handler.
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

    The first signal cancels the coroutine. After the coroutine's `finally` blocks have run and the loop has ended, the
    signal's previous handler is called, which usually raises an exception. A second signal calls its previous handler
    immediately. Signals without a Python handler are handled as before. Outside of the main thread, all signals are
    handled as before.
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
        # This call is not in the `except` block above. Otherwise the traceback would show the error of the event loop
        # as the cause of the interruption.
        interruption.pass_on(interruption.received)
    return result


class _Interruption:
    """Handles signals from its creation until the call of `restore`.

    received: the number of the first signal, or None if no signal was received.
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
