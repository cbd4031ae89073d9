"""The run launcher of dagster.yaml: Dagster's own, which can also tell a run whose process is gone.

Dagster's launcher leaves that to the code server: it sees a run of its own end (killed, out of memory) within
half a second. But when the code server itself is gone, its runs would stay "started" for ever and keep their
exchange's pool shut. Here the run monitoring of the daemon asks the code server which runs it has, and the system
for the process of a `titan10 backfill`.
"""

from __future__ import annotations

import json
from typing import Any

from dagster import DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import GetCurrentRunsResult
from dagster._serdes import deserialize_value

from titan10_dagster.defs.processes import PROCESS, is_alive


class WatchfulRunLauncher(DefaultRunLauncher):
    """Launches runs on the code server, and knows whether they still have a process."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """FAILED where the run's process is known to be gone; who cannot be asked is taken to run."""
        if _has_process(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "The process that executed this run is gone.")


def _has_process(run: DagsterRun) -> bool:
    if PROCESS in run.tags:  # of `titan10 backfill`
        return is_alive(run.tags[PROCESS])
    server = run.tags.get(GRPC_INFO_TAG)
    return server is None or run.run_id in _runs_of(json.loads(server), otherwise={run.run_id})


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
