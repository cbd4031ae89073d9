"""`.ci/install.py` shows the progress of pip, and all of its output if it fails."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "install.py"
SLOW_PIP = """
import time
print("Collecting numpy>=2 (from titan10)")
print("  Downloading numpy-2.0.whl (16 MB)", flush=True)
time.sleep(0.5)
print("Collecting ccxt", flush=True)
time.sleep(0.5)
print("Installing collected packages: numpy, ccxt", flush=True)
time.sleep(0.5)
"""
FAILING_PIP = """
import sys
print("Collecting no-such-package")
print("ERROR: No matching distribution found for no-such-package", file=sys.stderr)
sys.exit(3)
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install_progress", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # the module `dataclasses` looks up the module of a class in sys.modules
    spec.loader.exec_module(module)
    return module


def test_it_says_every_moment_what_pip_does(script: ModuleType) -> None:
    shown: list[str] = []
    assert script.install([sys.executable, "-c", SLOW_PIP], shown.append, every=0.1) == 0
    text = "\n".join(shown)
    assert "1 packages found, the latest is numpy" in text
    assert "2 packages found, the latest is ccxt" in text
    assert "installing 2 packages" in text
    assert "Downloading" not in text


def test_a_failure_shows_all_that_pip_said_and_keeps_its_exit_code(script: ModuleType) -> None:
    shown: list[str] = []
    assert script.install([sys.executable, "-c", FAILING_PIP], shown.append) == 3
    assert "ERROR: No matching distribution found for no-such-package" in shown[-1]


def test_pip_itself_is_run_with_the_arguments() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--no-index", "no-such-package"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "No matching distribution found for no-such-package" in done.stdout


def test_ctrl_c_ends_it_at_once_with_pip(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("import time; open('begun', 'w').close(); time.sleep(600)")
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "--no-index", "--no-build-isolation", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # a terminal also sends the signal to all processes of the group
    assert process.wait(timeout=20) == 130
