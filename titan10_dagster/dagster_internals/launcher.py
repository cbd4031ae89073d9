"""The run launcher of dagster.yaml: Dagster's launcher, which also checks whether the process of a run still exists.

With Dagster's own launcher, only the code server notices that the process of a run has died (killed, out of memory). It
notices this within half a second. If the code server itself is killed, its runs stay "started" forever, and block the
pool of their exchange.

Therefore the daemon's run monitoring makes two checks with this launcher. It asks the code server whether the run is
still running, and it asks the operating system whether the process of the run exists. The run's log contains the id of
this process. The answer of the code server alone is not sufficient. If the database does not answer when the code
server records a dead run, the thread of the code server that watches runs ends. From then on, the code server reports
dead runs as running.

For a run of `titan10 backfill`, the process of the command is checked. If the command runs on another machine, a lock
in the database is checked instead.
"""

from __future__ import annotations

import json
from typing import Any

from dagster import DagsterEventType, DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import GetCurrentRunsResult
from dagster._serdes import deserialize_value

from titan10_dagster.dagster_internals.database import database_url
from titan10_dagster.operate.process_ids import is_running
from titan10_dagster.operate.run_processes import PROCESS_TAG, is_alive


class WatchfulRunLauncher(DefaultRunLauncher):
    """A launcher that lets the code server start runs, and checks whether the process of a run still exists."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return FAILED if the process of the run no longer exists. If this cannot be checked, return RUNNING."""
        if self._has_process(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "The process that executed this run no longer exists.")

    def _has_process(self, run: DagsterRun) -> bool:
        if PROCESS_TAG in run.tags:  # a run of `titan10 backfill`
            return is_alive(run.tags[PROCESS_TAG], database_url(self._instance))
        server = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
        if not server:
            return True
        # A code server with a port instead of a socket is possibly on another machine. In that case, the process of the
        # run cannot be checked from here, so only the code server is asked.
        pid = self._process_of(run) if server.get("socket") else None
        return (pid is None or is_running(pid)) and run.run_id in _runs_of(server, otherwise={run.run_id})

    def _process_of(self, run: DagsterRun) -> int | None:
        """Return the id of the process that executes the run. If the run's log does not contain the id, return None."""
        if not self.has_instance:
            return None
        for entry in self._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
            found = entry.get_dagster_event().engine_event_data.metadata.get("pid")
            if found is not None:
                return int(str(found.value))
        return None


def _runs_of(server: dict[str, Any], otherwise: set[str]) -> set[str]:
    client = DagsterGrpcClient(
        host=str(server.get("host")),
        port=server.get("port"),
        socket=server.get("socket"),
        use_ssl=bool(server.get("use_ssl")),
    )
    try:
        answer = deserialize_value(client.get_current_runs(), GetCurrentRunsResult)
    except DagsterUserCodeUnreachableError:
        return otherwise
    return set(answer.current_runs or ())
