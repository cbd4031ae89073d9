"""A data folder has at most one stack at a time. Other commands find the stack by its lock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from titan10_dagster.errors import SettingsError
from titan10_dagster.local.stack_lock import RunningStack, StackLock, running_stack

HOLDER = """
import pathlib, sys
from titan10_dagster.local.stack_lock import StackLock
lock = StackLock(pathlib.Path(sys.argv[1]))
lock.sign("http://127.0.0.1:3000")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_folder_without_a_stack_has_no_running_one(tmp_path: Path) -> None:
    assert running_stack(tmp_path) is None


def test_the_lock_names_the_process_and_the_ui_until_it_is_released(tmp_path: Path) -> None:
    lock = StackLock(tmp_path)
    lock.sign("http://127.0.0.1:3000")
    lock.sign("http://[::1]:30")  # the new text replaces a longer text
    assert running_stack(tmp_path) == RunningStack(os.getpid(), "http://[::1]:30")
    lock.release()
    assert running_stack(tmp_path) is None


def test_a_second_stack_is_refused_until_the_first_process_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(SettingsError, match=f"already runs here, as process {holder.pid}"):
            StackLock(tmp_path)
        holder.kill()
    StackLock(tmp_path).release()
