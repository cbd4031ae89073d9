"""The watchdog as a process: which groups it ends after its parent has ended, and which groups it does not touch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from titan10_dagster.local import watchdog
from titan10_dagster_tests.processes import wait_until

PATIENCE = 30  # in seconds; enough for a busy machine
# A parent process that starts a watchdog, registers a process group, and waits to be killed.
PARENT = """
import subprocess, sys, time
guard = subprocess.Popen([sys.executable, sys.argv[1]], stdin=subprocess.PIPE, text=True, start_new_session=True)
guard.stdin.write(f"+{sys.argv[2]}\\n")
guard.stdin.flush()
print("watched", flush=True)
time.sleep(60)
"""


@pytest.fixture
def group() -> Iterator[subprocess.Popen[str]]:
    """A shell and its child, in a separate process group."""
    script = "sleep 60 & echo started; wait"
    with subprocess.Popen(
        ["/bin/sh", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def run_watchdog(lines: str, *then: str) -> None:
    command = [sys.executable, "-S", "-E", watchdog.__file__, *then]
    subprocess.run(command, input=lines, text=True, check=True, timeout=PATIENCE)


def test_a_group_ends_when_the_parent_is_killed(group: subprocess.Popen[str]) -> None:
    command = [sys.executable, "-c", PARENT, watchdog.__file__, str(group.pid)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert watchdog.send(group.pid, 0)
        parent.kill()
    wait_until(lambda: group.poll() is not None, PATIENCE)
    assert group.returncode == -signal.SIGKILL


def test_the_command_runs_after_the_groups_are_killed(group: subprocess.Popen[str], tmp_path: Path) -> None:
    run_watchdog(f"+{group.pid}\n", "/bin/sh", "-c", 'touch "$0"', str(tmp_path / "ran"))
    assert group.wait(timeout=PATIENCE) == -signal.SIGKILL
    assert (tmp_path / "ran").exists()


def test_a_group_that_ended_properly_is_left_alone_and_the_command_does_not_run(
    group: subprocess.Popen[str], tmp_path: Path
) -> None:
    run_watchdog(f"+{group.pid}\n-{group.pid}\n", "/bin/sh", "-c", 'touch "$0"', str(tmp_path / "ran"))
    assert group.poll() is None
    assert not (tmp_path / "ran").exists()


def test_a_signal_to_a_group_that_is_gone_is_reported(group: subprocess.Popen[str]) -> None:
    assert watchdog.send(group.pid, signal.SIGKILL)
    group.wait(timeout=PATIENCE)
    wait_until(lambda: not watchdog.send(group.pid, 0), PATIENCE)
