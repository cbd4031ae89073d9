"""The run launcher of dagster.yaml: Dagster's launcher, which also detects that the process of a run is gone.

Dagster's launcher leaves that to the code server, which notices the end of its runs (killed, out of memory) within half
a second. If the code server itself is gone, its runs stay "started" forever and block the pool of their exchange.

The run monitoring of the daemon therefore makes two checks with this launcher. It asks the code server for its runs,
and it asks the operating system for the process of the run, which the run's log names. For a `titan10 backfill` it
checks the process of the command; if the command runs on another machine, it uses a lock in the database. The code
server's answer is not enough: the thread that watches its runs dies if the database does not answer at that moment, and
then dead runs count as running.
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
    """A launcher of runs on the code server that checks whether they still have a process."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return FAILED if the process of the run is known to be gone. If no check is possible, return RUNNING."""
        if self._has_process(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "The process that executed this run is gone.")

    def _has_process(self, run: DagsterRun) -> bool:
        if PROCESS_TAG in run.tags:  # a run of `titan10 backfill`
            return is_alive(run.tags[PROCESS_TAG], database_url(self._instance))
        server = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
        if not server:
            return True
        # With a port instead of a socket, the process may be on another machine.
        pid = self._process_of(run) if server.get("socket") else None
        return (pid is None or is_running(pid)) and run.run_id in _runs_of(server, otherwise={run.run_id})

    def _process_of(self, run: DagsterRun) -> int | None:
        """Return the id of the process that began the run, from the run's log; None if the log has none."""
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
