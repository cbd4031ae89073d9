"""The start of the command line."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib

import pytest

from titan10_dagster.local.entry import is_interruption
from titan10_dagster.local.exit_codes import INTERRUPTED
from titan10_dagster_tests.instances import ROOT

# A program that gets a signal during the first import of a module with this name, as if a user presses Ctrl-C at once.
PROGRAM = """
import signal, sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == "click":
            signal.raise_signal({number})

sys.meta_path.insert(0, Interrupting())
from titan10_dagster.local.entry import main
main()
"""


def executed(*command: str) -> subprocess.CompletedProcess[str]:
    """Execute Python. If the tests run under nohup, the process must not inherit that SIGHUP is ignored."""
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # no thread holds a lock
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_of_the_imports_gives_a_sentence(number: signal.Signals) -> None:
    program = PROGRAM.format(number=int(number))
    done = executed("-c", program)
    assert (done.returncode, done.stdout) == (INTERRUPTED, "")
    assert done.stderr == "Interrupted. Nothing was done.\n"


def test_an_error_because_of_an_interruption_counts_as_one() -> None:
    def error() -> BaseException:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as interruption:
            error = RuntimeError("Error calling __set_name__")
            error.__cause__ = interruption
            return error

    assert is_interruption(KeyboardInterrupt())
    assert is_interruption(error())
    assert not is_interruption(RuntimeError())
    assert not is_interruption(None)


BECOMES_ANOTHER_ERROR = """
import signal
from titan10_dagster.local.cli import main

class Named:
    def __set_name__(self, owner, name):
        signal.raise_signal(signal.SIGTERM)

@main.command()
def importing():
    class Owner:
        named = Named()

main(["importing"])
"""


def test_an_interruption_that_becomes_another_error_gives_the_same_sentence() -> None:
    done = subprocess.run([sys.executable, "-c", BECOMES_ANOTHER_ERROR], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (INTERRUPTED, "")
    assert done.stderr == "Interrupted. Completed work is kept. Run the same command again to continue.\n"


SIGNALLED_AT_THE_END = """
import atexit, os, signal
from titan10_dagster.local.entry import main
atexit.register(os.kill, os.getpid(), signal.SIGTERM)
main()
"""


def test_a_signal_after_the_end_of_the_command_does_not_change_its_exit_code() -> None:
    command = [sys.executable, "-c", SIGNALLED_AT_THE_END, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("titan10, version ")


def under_nohup(*command: str) -> subprocess.CompletedProcess[str]:
    command = ("nohup", sys.executable, *command)
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def test_nohup_prevents_an_interruption_by_sighup() -> None:
    done = under_nohup("-c", PROGRAM.format(number=int(signal.SIGHUP)), "--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("titan10, version ")


RAISING = """
import signal
from titan10_dagster.local.cli import main

@main.command()
def raising():
    signal.raise_signal(signal.SIGHUP)
    print("still here")

main(["raising"])
"""


def test_nohup_prevents_an_interruption_of_a_running_command() -> None:
    plain = executed("-c", RAISING)
    assert (plain.returncode, plain.stdout) == (INTERRUPTED, "")
    done = under_nohup("-c", RAISING)
    assert (done.returncode, done.stdout) == (0, "still here\n")


def test_the_installed_command_starts_here() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["titan10"] == "titan10_dagster.local.entry:main"
    command = [sys.executable, "-m", "titan10_dagster.local.entry", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("titan10, version ")
