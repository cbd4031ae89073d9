"""The check whether a run still has a process. test_stack.py tests runs without a process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from contextlib import nullcontext
from uuid import UUID

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

from titan10_dagster.dagster_internals.launcher import WatchfulRunLauncher
from titan10_dagster.operate.run_processes import PROCESS_TAG, this_process
from titan10_dagster.store import presence

# Tags of a container that no longer exists, and of a version without machines in its tags. On this machine, other
# processes have these process ids.
ELSEWHERE = (f"0a1b2c3d4e5f {os.getpid()} 1 {UUID(int=1)}/pid:[1]", f"0a1b2c3d4e5f {os.getpid()} 1")


@dg.job
def waiting() -> None:
    """A job that is never executed."""


def health(tags: dict[str, str], instance: dg.DagsterInstance | None = None) -> WorkerStatus:
    run = dg.DagsterRun(job_name="settle", run_id="8a1c5b7e-0000-4000-8000-000000000000", tags=tags)
    launcher = WatchfulRunLauncher()
    with nullcontext(instance) if instance else dg.DagsterInstance.ephemeral() as known:
        launcher.register_instance(known)
        return launcher.check_run_worker_health(run).status


def tag_of(pid: int) -> str:
    """Return the tag of a process of this machine."""
    host, _, _, machine = this_process().split(" ")
    return f"{host} {pid} 1 {machine}"


@pytest.fixture
def ended() -> int:
    """Return the id of a process that has ended."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_a_backfill_of_the_command_line_runs_as_long_as_its_process() -> None:
    assert health({PROCESS_TAG: this_process()}) is WorkerStatus.RUNNING


def test_a_backfill_of_the_command_line_has_failed_when_its_process_is_gone(ended: int) -> None:
    assert health({PROCESS_TAG: tag_of(ended)}) is WorkerStatus.FAILED


@pytest.mark.parametrize("name", ["renamed", "0a1b2c3d4e5f"])
def test_a_machine_recognizes_its_processes_under_any_name(
    ended: int, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    living, gone = this_process(), tag_of(ended)
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    assert health({PROCESS_TAG: living}) is WorkerStatus.RUNNING
    assert health({PROCESS_TAG: gone}) is WorkerStatus.FAILED


@pytest.mark.parametrize("tag", ELSEWHERE, ids=["of a machine", "of an unknown machine"])
def test_a_backfill_of_another_machine_runs_as_long_as_the_database_sees_it(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, dagsters_url: str, tag: str
) -> None:
    monkeypatch.setattr(presence, "PATIENCE", 1)
    with presence.present(dagsters_url, tag):
        assert health({PROCESS_TAG: tag}, instance) is WorkerStatus.RUNNING
    assert health({PROCESS_TAG: tag}, instance) is WorkerStatus.FAILED


def test_a_backfill_of_another_machine_is_not_given_up_without_a_database_record() -> None:
    assert health({PROCESS_TAG: ELSEWHERE[0]}) is WorkerStatus.RUNNING


def test_a_run_of_a_code_server_that_does_not_answer_is_not_given_up() -> None:
    assert health({GRPC_INFO_TAG: json.dumps({"host": "localhost", "socket": "/no/such"})}) is WorkerStatus.RUNNING


def test_a_run_without_known_facts_is_not_given_up() -> None:
    assert health({}) is WorkerStatus.RUNNING


def test_a_run_whose_process_is_gone_has_failed_even_if_the_code_server_disagrees(ended: int) -> None:
    tags = {GRPC_INFO_TAG: json.dumps({"host": "localhost", "socket": "/no/such"})}
    with dg.DagsterInstance.ephemeral() as instance:
        launcher = WatchfulRunLauncher()
        launcher.register_instance(instance)
        for pid, expected in ((os.getpid(), WorkerStatus.RUNNING), (ended, WorkerStatus.FAILED)):
            run = instance.create_run_for_job(waiting, tags=tags)
            instance.report_engine_event("Started process for run.", run, EngineEventData.in_process(pid))
            assert launcher.check_run_worker_health(run).status is expected
