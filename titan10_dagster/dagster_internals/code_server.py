"""Dagster's code server, with a faster way to start runs.

    python -m titan10_dagster.dagster_internals.code_server --socket PATH --module-name titan10_dagster.definitions

Dagster starts each run as a new Python process, which first spends three seconds of a core on imports. Without this
module, each poll of the newest candles would need these three seconds every minute. Here a run is a copy of a process
that has already imported everything (the "forkserver" of multiprocessing). That process has no connections and no
Python threads, and the copy shares its memory. This works on Linux only: system libraries of macOS do not work after a
fork.

A code server that was killed may have been starting runs. Dagster waits for these until its start time-out is over, and
their exchange's pool waits with them. So the next code server on the same socket marks them as failed when it starts,
and Dagster launches them again.
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

# The imports of our runs. Each run reads the settings again.
PRELOADED = (
    "titan10_dagster.definitions",
    "titan10_dagster.dagster_internals.launcher",
    "titan10_dagster.dagster_internals.storage",
    "ccxt.async_support",
    "dagster._grpc.server",
    "upath.implementations.local",
)
NAME = "titan10-run"  # name of a run's process, for ps, top and pgrep
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15  # <linux/prctl.h>


class RunProcess(ForkServerProcess):
    """The process of a run, a copy of a template process.

    It ends when the template process ends, because that process reports the end of the run to the code server.
    Otherwise Dagster would treat a running run as dead and start it a second time.
    """

    def run(self) -> None:
        system = ctypes.CDLL(None)
        system.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        system.prctl(_PR_SET_NAME, NAME.encode())
        super().run()


class RunContext(ForkServerContext):
    """The context with which `ForkingApiServer` starts processes."""

    Process = RunProcess


class ForkingApiServer(server.DagsterApiServer):
    """A code server that starts runs as copies of one process that has already imported their modules."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        multiprocessing.set_forkserver_preload(list(PRELOADED))
        forkserver.ensure_running()  # the other process imports at the same time as this one
        self._mp_ctx = RunContext()  # type: ignore[assignment]  # Dagster's own is get_context("spawn")


def main() -> None:
    """Serve until a signal. The arguments are those of `dagster api grpc`."""
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
    """Mark runs as failed that a code server on this socket was starting before `began`; return their ids.

    If such a run starts late after all, it finds that it is marked as failed, and ends.
    """
    lost = []
    starting = RunsFilter(statuses=[DagsterRunStatus.STARTING], updated_before=began)
    for run in instance.get_runs(starting):
        if json.loads(run.tags.get(GRPC_INFO_TAG, "{}")).get("socket") == socket:
            instance.report_run_failed(run, "The code server that was starting this run is gone.")
            lost.append(run.run_id)
    return lost


def _clean_up_after_last_server(socket: str, began: datetime) -> None:
    """Mark lost runs as failed, in a thread, because the database may not answer yet and the storage waits for it.

    An instance is opened only if there are such runs: it creates missing tables, as the start does at the same moment.
    """
    url = os.environ.get(URL_VARIABLE)
    if url and are_runs_starting(url):
        with DagsterInstance.get() as instance:
            fail_lost_starts(instance, socket, began)


def are_runs_starting(url: str) -> bool:
    """Return whether Dagster's tables have a run that is being started. Creates no table."""
    storage = PatientRunStorage(sqlalchemy_url(url), should_autocreate_tables=False)
    try:
        return storage.get_runs_count(RunsFilter(statuses=[DagsterRunStatus.STARTING])) > 0
    except ProgrammingError:  # a new database has no tables
        return False


def _keep_sockets_in(folder: Path) -> None:
    """Make multiprocessing create its socket in this folder, and delete sockets of killed code servers.

    By default it creates a folder below /tmp, and one would be left each time the stack ends.
    """
    for left in folder.glob("listener-*"):
        left.unlink(missing_ok=True)
    multiprocessing.current_process()._config["tempdir"] = str(folder)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
