"""Dagster's code server with a faster start of runs.

    python -m titan10_dagster.dagster_internals.code_server --socket PATH --module-name titan10_dagster.definitions

Dagster starts each run as a new Python process. The imports of a run take three seconds of CPU time, and live polling
would need this time every minute. Here a run is a copy of a template process that has already imported everything
(the "forkserver" of multiprocessing). The template process has no connections and no Python threads, and the copies
share the memory of the template process. This works on Linux only, because system libraries of macOS do not work after
a fork.

If a code server is killed while it starts a run, Dagster waits for this run until the start time-out. The exchange's
pool is blocked during this time. Therefore the next code server on the same socket marks such runs as failed when it
starts, and Dagster launches these runs again.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._cli.api import grpc_command
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc import server
from sqlalchemy.exc import ProgrammingError

from titan10_dagster.dagster_internals.storage import URL_VARIABLE, PatientRunStorage
from titan10_dagster.store.urls import sqlalchemy_url

# The modules that the template process imports. The import does not read the settings, so each run reads the current
# settings.
PRELOADED = (
    "titan10_dagster.definitions",
    "titan10_dagster.dagster_internals.launcher",
    "titan10_dagster.dagster_internals.storage",
    "ccxt.async_support",
    "dagster._grpc.server",
    "upath.implementations.local",
    "titan10_dagster.dagster_internals.frozen",  # the last one, because it concerns everything that is imported before
)
NAME = "titan10-run"  # name of a run's process, for ps, top and pgrep
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15  # <linux/prctl.h>


class RunProcess(ForkServerProcess):
    """The process of a run, which is a copy of the template process.

    If the template process ends, this process is killed too. The template process reports the end of a run to the code
    server. Without the template process, Dagster would consider the run dead although it still executes, and would
    start the run a second time.
    """

    def run(self) -> None:
        system = ctypes.CDLL(None)
        system.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        system.prctl(_PR_SET_NAME, NAME.encode())
        super().run()


class RunContext(ForkServerContext):
    """The multiprocessing context that `ForkingApiServer` uses to start processes."""

    Process = RunProcess


class ForkingApiServer(server.DagsterApiServer):
    """A code server that starts each run as a copy of a template process, which has already imported all modules."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        multiprocessing.set_forkserver_preload(list(PRELOADED))
        forkserver.ensure_running()  # the template process imports its modules while this process starts
        self._mp_ctx = RunContext()  # type: ignore[assignment]  # Dagster's own context is get_context("spawn")


def main() -> None:
    """Run the code server until it receives a signal. The command has the same arguments as `dagster api grpc`."""
    if sys.platform == "linux":
        server.DagsterApiServer = ForkingApiServer  # type: ignore[misc]
    if "--socket" in sys.argv:
        socket = sys.argv[sys.argv.index("--socket") + 1]
        _keep_sockets_in(Path(socket).parent)
        if "DAGSTER_HOME" in os.environ:
            arguments = (socket, datetime.now(UTC))
            threading.Thread(target=_clean_up_after_last_server, args=arguments, name="clean-up", daemon=True).start()
    grpc_command()


def fail_lost_starts(instance: DagsterInstance, socket: str, began: datetime) -> list[str]:
    """If a code server on this socket was starting runs before `began`, mark these runs as failed. Return their ids.

    If the process of such a run starts later, it finds that its run is marked as failed, and ends.
    """
    lost = []
    starting = RunsFilter(statuses=[DagsterRunStatus.STARTING], updated_before=began)
    for run in instance.get_runs(starting):
        if json.loads(run.tags.get(GRPC_INFO_TAG, "{}")).get("socket") == socket:
            instance.report_run_failed(run, "The code server that was starting this run no longer exists.")
            lost.append(run.run_id)
    return lost


def _clean_up_after_last_server(socket: str, began: datetime) -> None:
    """If the last code server on this socket was still starting runs, mark these runs as failed.

    This function runs in a thread, because the storage waits if the database does not answer yet. A Dagster instance
    creates missing tables, and another process may be creating these tables at this moment. Therefore an instance is
    opened only if runs are being started.
    """
    url = os.environ.get(URL_VARIABLE)
    if url and are_runs_starting(url):
        with DagsterInstance.get() as instance:
            fail_lost_starts(instance, socket, began)


def are_runs_starting(url: str) -> bool:
    """Return whether Dagster's tables contain a run that is being started. Missing tables are not created."""
    storage = PatientRunStorage(sqlalchemy_url(url), should_autocreate_tables=False)
    try:
        return storage.get_runs_count(RunsFilter(statuses=[DagsterRunStatus.STARTING])) > 0
    except ProgrammingError:  # a new database has no tables
        return False


def _keep_sockets_in(folder: Path) -> None:
    """Let multiprocessing create its socket in this folder, and delete the sockets of killed code servers.

    By default, multiprocessing creates a new folder in /tmp for each code server, and `titan10 up` would not delete
    this folder when it stops.
    """
    for unused in folder.glob("listener-*"):
        unused.unlink(missing_ok=True)
    multiprocessing.current_process()._config["tempdir"] = str(folder)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
