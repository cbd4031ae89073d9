from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from titan10_dagster.operate import process_ids


def test_this_process_is_running_and_has_a_start_time() -> None:
    assert process_ids.is_running(os.getpid())
    assert process_ids.start_time(os.getpid()) == process_ids.start_time(os.getpid()) != ""


def test_a_process_that_ended_is_not_running() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert not process_ids.is_running(process.pid)
    assert not process_ids.exists(process.pid)
    assert process_ids.start_time(process.pid) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="zombies are recognized by /proc")
def test_a_zombie_has_an_id_but_is_not_running() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 30
    # the process ends and is a zombie, because its exit code was not read yet
    while process_ids.is_running(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process_ids.exists(process.pid)
    process.wait()


def test_the_machine_has_one_name_for_all_its_processes() -> None:
    code = "from titan10_dagster.operate import process_ids; print(process_ids.machine())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == process_ids.machine()
