"""The tag of a run's process. test_launcher.py tests processes of other machines."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from titan10_dagster.operate import process_ids
from titan10_dagster.operate.run_processes import is_alive, this_process, visible_to_other_machines
from titan10_dagster.store import presence


def tag_of(pid: int, started: str) -> str:
    return f"host {pid} {started} {process_ids.machine()}"


def test_this_process_is_alive() -> None:
    assert is_alive(this_process(), None)


def test_a_later_process_with_the_same_id_is_another_process() -> None:
    assert not is_alive(tag_of(os.getpid(), "1"), None)


def test_a_process_that_ended_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert not is_alive(tag_of(process.pid, "1"), None)


def test_a_process_of_another_machine_is_alive_while_it_holds_its_lock(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "PATIENCE", 1)
    tag = f"host {os.getpid()} 1 another-machine"
    with presence.present(database_url, tag):
        assert is_alive(tag, database_url)
    assert not is_alive(tag, database_url)
    assert is_alive(tag, None)  # without a database, processes of other machines count as alive


def test_without_a_database_nothing_is_locked() -> None:
    with visible_to_other_machines(None):
        assert is_alive(this_process(), None)
