"""The code server as a process: it answers on its socket, and the modules that it preloads exist."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from dagster._grpc.client import DagsterGrpcClient

from titan10_dagster.dagster_internals import commands
from titan10_dagster.dagster_internals.code_server import PRELOADED
from titan10_dagster_tests.processes import wait_until

DEFINITIONS = """
import dagster as dg

@dg.asset
def waiting() -> None: ...

defs = dg.Definitions(assets=[waiting])
"""


@pytest.fixture(scope="module")
def socket() -> Iterator[Path]:
    """The socket of a code server that runs; a killed one left its own files beside it."""
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
