"""The start of the command line."""

from __future__ import annotations

import subprocess
import sys
import tomllib

from titan10_dagster.local.exit_codes import INTERRUPTED
from titan10_dagster_tests.instances import ROOT

# A program that gets a signal during the first import of a module with this name, as if a user presses Ctrl-C at once.
PROGRAM = """
import signal, sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == "click":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from titan10_dagster.local.entry import main
main()
"""


def test_an_interruption_of_the_imports_gives_a_sentence() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (INTERRUPTED, "")
    assert done.stderr == "Interrupted. Nothing was done.\n"


def test_the_installed_command_starts_here() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["titan10"] == "titan10_dagster.local.entry:main"
    command = [sys.executable, "-m", "titan10_dagster.local.entry", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("titan10, version ")
