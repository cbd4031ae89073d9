"""The end of a command after a signal. Each command is a separate process."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from titan10_dagster.local import signals
from titan10_dagster.local.exit_codes import INTERRUPTED
from titan10_dagster_tests.slow_database import through

SLEEP = "SELECT pg_sleep(600)"
# The work of a command that ignores the signal, like a wait inside a library, where no signal handler of Python can
# run.
DEAF = "time.sleep(600)"
COMMAND = """
import signal, sys, time
from functools import partial
from titan10_dagster.local import signals
from titan10_dagster.store.database import connect, translated_errors
say = partial(print, flush=True)  # as click.echo does
signals.CUT_SECONDS, signals.END_SECONDS = {limits}
if {deaf}:
    signal.signal(signal.SIGINT, lambda *_: None)
try:
    with signals.bounded_end(say, lambda: {bounded}), signals.before_forced_end(lambda: say("farewell")):
        say("ready")
        with translated_errors():
            {work}
except KeyboardInterrupt:
    sys.exit("KeyboardInterrupt")
"""


@contextmanager
def started(
    work: str, *, limits: tuple[float, float] = (60, 60), bounded: bool = True
) -> Iterator[subprocess.Popen[str]]:
    command = COMMAND.format(work=work, limits=limits, bounded=bounded, deaf=work == DEAF)
    with subprocess.Popen(
        [sys.executable, "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_a_process_that_does_not_react_is_ended_after_its_farewell() -> None:
    with started(DEAF, limits=(60, 0.3)) as process:
        process.send_signal(signal.SIGINT)
        shown, errors = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
    assert shown == f"farewell\n{signals.FORCED}\n"
    assert errors == ""


def test_a_command_with_its_own_limits_is_left_alone() -> None:
    with started(DEAF, limits=(60, 0.1), bounded=False) as process:
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)


def test_a_statement_that_waits_ends_at_once(empty_database_url: str) -> None:
    with started(f"connect({empty_database_url!r}).cursor().execute({SLEEP!r})") as process:
        time.sleep(0.5)  # usually the statement runs now; otherwise the command is interrupted before the statement
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert errors == "KeyboardInterrupt\n"


def test_a_statement_ends_although_its_server_does_not_react(empty_database_url: str) -> None:
    with through(empty_database_url) as slow:
        work = f"db = connect({slow.url!r}); say('connected'); db.cursor().execute({SLEEP!r})"
        with started(work, limits=(0.1, 60)) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "connected\n"
            slow.stop_for(2)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
    # psycopg2 may print the exception first; see `raise_if_interrupted`.
    assert errors.endswith("KeyboardInterrupt\n")


def test_the_wakeup_file_of_python_is_restored_and_no_thread_stays() -> None:
    before = threading.active_count()
    with signals.bounded_end(print, lambda: True):
        assert signal.set_wakeup_fd(-1) > 0
    assert signal.set_wakeup_fd(-1) == -1
    deadline = time.monotonic() + 30
    while threading.active_count() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_other_signals_and_other_threads_change_nothing() -> None:
    heard: list[int] = []
    former = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    with signals.bounded_end(print, lambda: pytest.fail("not one of the signals that end a command")):
        signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, former)
    assert heard == [signal.SIGUSR1]
    entered: list[bool] = []

    def elsewhere() -> None:
        with signals.bounded_end(print, lambda: True):
            entered.append(signal.getsignal(signal.SIGINT) is signal.default_int_handler)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert entered
