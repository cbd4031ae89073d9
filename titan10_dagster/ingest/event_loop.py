"""Event loops that a signal ends in an orderly way.

Dagster and the command line turn SIGINT and SIGTERM into an exception, which Python raises between any two
instructions of the main thread. Inside an event loop this does harm. In a callback of the loop, asyncio logs the
exception and goes on, so that the interruption is lost. In an executor that starts a thread, the thread is not yet
registered, and Python waits for it for ever when the process ends. Here the signal cancels the main task instead, and
the exception is raised after the loop has ended. `asyncio.run` does the same, but only for Python's own handler.
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

    The first signal cancels the coroutine. When its `finally` blocks have run and the loop has ended, the former
    handler gets the signal. Usually it raises an exception. A second signal goes to that handler at once. Signals that
    have no Python handler are not changed, and neither is anything outside of the main thread.
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
        # Outside of the `except` above, so that the trace does not show the whole event loop as the cause.
        interruption.pass_on(interruption.received)
    return result


class _Interruption:
    """The first signal since this object was made. The signals have other handlers until `restore`."""

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
        """Set the former handlers again."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def pass_on(self, number: int) -> NoReturn:
        """Give the signal to its former handler, or raise KeyboardInterrupt if that handler raises nothing."""
        self._handlers[number](number, None)
        raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Cancel the main task at the first signal. Python calls this in the main thread."""
        if self.received is not None:
            self._handlers[number](number, frame)
            return
        self.received = number
        self._cancel()

    async def watch(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work` in the current task, which a signal cancels."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        # The loop may be waiting in `select`. Only a call from "another thread" wakes it up.
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        if self.received is not None:  # before the task began
            work.close()
            raise asyncio.CancelledError
        try:
            return await work
        finally:
            self._cancel = lambda: None
