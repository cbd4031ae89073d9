"""Ends a command within a limited time after Ctrl-C, SIGTERM or SIGHUP.

Python runs signal handlers only in the main thread. The handlers do not run while the main thread waits in a library
for a statement, a connection or the lookup of a host name. A thread of this module notices the signal at once. It
cancels running statements, and cuts connections to servers that do not react. If the command still does not end, the
thread ends the process.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from titan10_dagster.local.exit_codes import INTERRUPTED
from titan10_dagster.store import running_statements

Say = Callable[[str], None]

CUT_SECONDS = 3.0  # seconds; after the statements were cancelled, a connection that stays busy for this long is cut
END_SECONDS = 8.0  # seconds from the signal to the forced end of the process
FAREWELL_SECONDS = 1.5  # seconds; the longest wait for each function that is called before the forced end
TICK_SECONDS = 0.2
ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
FORCED = (
    f"Interrupted. The command did not end within {END_SECONDS:.0f} s and was stopped. Completed work is kept. Run the "
    "same command again to continue."
)

_farewells: list[Callable[[], object]] = []


def ending_signals() -> tuple[signal.Signals, ...]:
    """Return SIGTERM and SIGHUP. If this process ignores SIGHUP, as after `nohup titan10 up`, return only SIGTERM."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return (signal.SIGTERM,)
    return (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def before_forced_end(call: Callable[[], object]) -> Iterator[None]:
    """If `_end` ends the process while the context is open, call the function first, in another thread."""
    _farewells.append(call)
    try:
        yield
    finally:
        _farewells.remove(call)


@contextmanager
def bounded_end(say: Say, is_bounded: Callable[[], bool]) -> Iterator[None]:
    """Limit the time in which the command ends after a signal.

    `is_bounded` is called after the signal. If it returns False, the time is not limited. If another thread than the
    main thread opens the context, the context has no effect.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    over = threading.Event()
    # Python writes the number of each signal to this file at once, even while the main thread waits. It writes only
    # signals that have a handler in Python.
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(reading, over, say, is_bounded), name="signals", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        running_statements.interrupted.clear()
        with suppress(ValueError):  # ValueError is raised if the earlier file is closed
            signal.set_wakeup_fd(before)
        os.close(writing)  # this ends the pipe, so the watcher's read returns nothing and the watcher returns


def _watch(reading: int, over: threading.Event, say: Say, is_bounded: Callable[[], bool]) -> None:
    try:
        while numbers := os.read(reading, 16):
            if not ENDING.isdisjoint(numbers) and is_bounded():
                _end(over, say)
                return
    finally:
        os.close(reading)


def _end(over: threading.Event, say: Say) -> None:
    """Cancel all statements, and cut connections that stay busy for CUT_SECONDS.

    If the command has not ended after END_SECONDS, end the process.
    """
    began = time.monotonic()
    busy_since: dict[object, float] = {}
    running_statements.cancel_statements()
    while not over.wait(TICK_SECONDS):
        now = time.monotonic()
        if now - began > END_SECONDS:
            _say_farewell()
            say(FORCED)
            os._exit(INTERRUPTED)
        # A connection is cut if all checks for CUT_SECONDS find it busy. Statements that record the interruption are
        # short, so their connection is idle at some of the checks, and stays open.
        busy_since = {connection: busy_since.get(connection, now) for connection in running_statements.running()}
        for connection in running_statements.running():
            if now - busy_since.get(connection, now) > CUT_SECONDS:
                running_statements.cut(connection)


def _say_farewell() -> None:
    calls = [threading.Thread(target=call, daemon=True) for call in list(_farewells)]
    for thread in calls:
        thread.start()
    for thread in calls:
        thread.join(FAREWELL_SECONDS)
