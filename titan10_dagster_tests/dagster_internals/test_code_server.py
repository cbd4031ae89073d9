"""The code server as a process: it answers on its socket, and the modules that it preloads exist."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient

from titan10_dagster.dagster_internals import commands
from titan10_dagster.dagster_internals.code_server import PRELOADED, are_runs_starting, fail_lost_starts
from titan10_dagster_tests.local.servers import ask
from titan10_dagster_tests.processes import wait_until

DEFINITIONS = """
import dagster as dg

@dg.asset
def waiting() -> None: ...

defs = dg.Definitions(assets=[waiting])
"""


@pytest.fixture(scope="module")
def socket() -> Iterator[Path]:
    """Yield the socket of a running code server, in a folder with the files of a killed code server."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "served_definitions.py").write_text(DEFINITIONS)
        (home / "listener-left").touch()
        path = home / "code.sock"
        command = commands.code_server(path, module="served_definitions", location="here", folder=home)
        with subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            client = DagsterGrpcClient(socket=str(path))
            wait_until(lambda: process.poll() is not None or client.health_check_query() == "SERVING", 120)
            yield path
            process.terminate()
            process.wait(timeout=60)


def test_it_serves_the_definitions_of_the_module(socket: Path) -> None:
    client = DagsterGrpcClient(socket=str(socket))
    assert client.ping("hello")["echo"] == "hello"
    assert "__repository__" in client.list_repositories()


@pytest.mark.skipif(sys.platform != "linux", reason="runs are forked on Linux only")
def test_only_its_own_forkserver_has_a_socket_beside_it(socket: Path) -> None:
    names = {path.name for path in socket.parent.iterdir()}
    assert "listener-left" not in names
    assert len([name for name in names if name.startswith("listener-")]) == 1


@pytest.mark.parametrize("module", PRELOADED)
def test_each_preloaded_module_exists(module: str) -> None:
    # The forkserver ignores a module that it cannot import, without a message.
    assert importlib.util.find_spec(module)


@dg.job
def waiting() -> None:
    """A job that is never executed."""


def test_runs_that_a_killed_code_server_was_starting_are_failed_by_the_next_one(instance: DagsterInstance) -> None:
    ours, others = "/data/code.sock", "/elsewhere/code.sock"

    def run(status: DagsterRunStatus, socket: str) -> str:
        tags = {GRPC_INFO_TAG: json.dumps({"host": "localhost", "socket": socket})}
        return instance.create_run_for_job(waiting, status=status, tags=tags).run_id

    lost = run(DagsterRunStatus.STARTING, ours)
    left_alone = [
        run(DagsterRunStatus.STARTED, ours),
        run(DagsterRunStatus.NOT_STARTED, ours),
        run(DagsterRunStatus.STARTING, others),
        instance.create_run_for_job(waiting, status=DagsterRunStatus.STARTING).run_id,
    ]
    before = {run_id: instance.get_run_by_id(run_id) for run_id in left_alone}
    assert fail_lost_starts(instance, ours, datetime.now(UTC) - timedelta(minutes=1)) == []
    assert fail_lost_starts(instance, ours, datetime.now(UTC) + timedelta(minutes=1)) == [lost]
    failed = instance.get_run_by_id(lost)
    assert failed is not None
    assert failed.status is DagsterRunStatus.FAILURE
    assert {run_id: instance.get_run_by_id(run_id) for run_id in left_alone} == before


def test_looking_for_lost_starts_creates_no_table_beside_the_start(
    dagsters_url: str, database_url: str, request: pytest.FixtureRequest
) -> None:
    assert not are_runs_starting(dagsters_url)
    assert ask(database_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'dagster'") == 0
    instance: DagsterInstance = request.getfixturevalue("instance")
    assert not are_runs_starting(dagsters_url)
    instance.create_run_for_job(waiting, status=DagsterRunStatus.STARTING)
    assert are_runs_starting(dagsters_url)
