"""Whether a run still has a process; test_stack.py shows what becomes of one that has not."""

from __future__ import annotations

import json
import os
import subprocess

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

from titan10_dagster.defs.processes import PROCESS, this_process
from titan10_dagster.local.launcher import WatchfulRunLauncher


@dg.job
def waiting() -> None:
    """Never executed."""


def health(tags: dict[str, str]) -> WorkerStatus:
    run = dg.DagsterRun(job_name="settle", run_id="8a1c5b7e-0000-4000-8000-000000000000", tags=tags)
    return WatchfulRunLauncher().check_run_worker_health(run).status


@pytest.fixture
def ended() -> int:
    """The number of a process that is no more."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_a_backfill_of_the_command_line_runs_as_long_as_its_process() -> None:
    assert health({PROCESS: this_process()}) is WorkerStatus.RUNNING


def test_a_backfill_of_the_command_line_has_failed_when_its_process_is_gone(ended: int) -> None:
    host = this_process().split(" ")[0]
    assert health({PROCESS: f"{host} {ended} 1"}) is WorkerStatus.FAILED


def test_a_run_of_a_code_server_that_does_not_answer_is_not_given_up() -> None:
    assert health({GRPC_INFO_TAG: json.dumps({"host": "localhost", "socket": "/no/such"})}) is WorkerStatus.RUNNING


def test_a_run_of_which_nothing_is_known_is_not_given_up() -> None:
    assert health({}) is WorkerStatus.RUNNING


def test_a_run_whose_process_is_gone_has_failed_whatever_the_code_server_believes(ended: int) -> None:
    tags = {GRPC_INFO_TAG: json.dumps({"host": "localhost", "socket": "/no/such"})}
    with dg.DagsterInstance.ephemeral() as instance:
        launcher = WatchfulRunLauncher()
        launcher.register_instance(instance)
        for pid, expected in ((os.getpid(), WorkerStatus.RUNNING), (ended, WorkerStatus.FAILED)):
            run = instance.create_run_for_job(waiting, tags=tags)
            instance.report_engine_event("Started process for run.", run, EngineEventData.in_process(pid))
            assert launcher.check_run_worker_health(run).status is expected
