"""The server process of a cluster: functions to start it, find it, wait until it is ready, and stop it."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from titan10_dagster.errors import DatabaseUnavailable
from titan10_dagster.local.ports import free_port
from titan10_dagster.local.postgres_cluster import ClusterFiles, last_lines
from titan10_dagster.local.postgres_files import run_as
from titan10_dagster.operate import process_ids

START_SECONDS = 60  # limit of a start, including crash recovery
STOP_SECONDS = 20
# PostgreSQL logs this line when it becomes ready. A log without this line belongs to a start that failed.
_READY = "database system is ready to accept connections"
_STAMP = re.compile(r"^\d{4}-\d\d-\d\d \S+ \S+ \[\d+\] ", re.MULTILINE)  # the time and process id of a log line


@dataclass(frozen=True)
class Postmaster:
    """The running server of a cluster, from its file postmaster.pid."""

    pid: int
    port: int
    ready: bool


class ServerProcess:
    """The process that serves a cluster. A cluster has at most one such process; any process of Titan-10 may start it.

    `port`: 0 means any free port. If another program uses the port, the server takes the next free port, and `say`
    reports this port.
    """

    def __init__(self, files: ClusterFiles, port: int, say: Callable[[str], None]) -> None:
        self._files = files
        self._port = port
        self._say = say

    def start(self) -> None:
        """Start the server.

        If another program has just taken the port, or if children of a crashed server are still ending, try again.

        Raises:
            DatabaseUnavailable: the server does not start; the text contains the end of its log.
        """
        self._remove_stale_pid()
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._configure()
            self._begin_log()
            started = self._control("start", "-l", str(self._files.log), "-t", str(START_SECONDS))
            if started.returncode == 0:
                return
            reason = last_lines(_STAMP.sub("", self._log_of_this_start()))
            passing = "Address already in use" in reason or "shared memory block" in reason
            if not passing or time.monotonic() > deadline:
                raise DatabaseUnavailable(f"The embedded PostgreSQL does not start (see {self._files.log}): {reason}")
            time.sleep(0.5)

    def stop(self) -> None:
        """Stop the server, if it runs. If the fast mode does not stop it within 20 s, use the immediate mode."""
        if self.running() and self._control("stop", "-m", "fast", "-t", str(STOP_SECONDS)).returncode:
            self._control("stop", "-m", "immediate", "-t", str(STOP_SECONDS))

    def running(self) -> bool:
        """Return whether the server runs and accepts connections."""
        postmaster = self.postmaster()
        return postmaster is not None and postmaster.ready

    def wait_while_starting_or_stopping(self) -> None:
        """Wait while a server runs but is not ready, for at most START_SECONDS.

        A process takes a lock before it starts or stops a server. The caller holds this lock, so no other process
        starts or stops the server now. Probably, the process that started or stopped the server was killed.
        """
        deadline = time.monotonic() + START_SECONDS
        while (postmaster := self.postmaster()) and not postmaster.ready and time.monotonic() < deadline:
            time.sleep(0.1)

    def postmaster(self) -> Postmaster | None:
        """Return the running server that postmaster.pid names, or None if there is no such server."""
        try:
            lines = (self._files.cluster / "postmaster.pid").read_text().splitlines()
            pid = int(lines[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None
        if len(lines) < 4 or not _is_server(pid, self._files.cluster):
            return None
        return Postmaster(pid, port=int(lines[3]), ready=[line.strip() for line in lines[7:8]] == ["ready"])

    def _configure(self) -> None:
        port = free_port(self._port)
        if self._port and port != self._port:
            self._say(f"Port {self._port} is taken: PostgreSQL listens on {port} this time (server.postgres_port).")
        self._port = port  # after a restart, the clients of the server expect the same port
        self._files.configure(port)

    def _begin_log(self) -> None:
        """Begin a log for this start. Keep the old log only if it belongs to a server that became ready.

        So the kept log shows why the last ready server died, even if many starts fail afterwards.
        """
        log = self._files.log
        if _READY in self._log_of_this_start():
            log.replace(log.with_suffix(".log.1"))
        else:
            log.unlink(missing_ok=True)

    def _log_of_this_start(self) -> str:
        log = self._files.log
        return log.read_text(errors="replace") if log.exists() else "no log was written"

    def _control(self, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._files.run("pg_ctl", action, "-D", str(self._files.cluster), "-s", "-w", *arguments)

    def _remove_stale_pid(self) -> None:
        """Remove postmaster.pid if a crashed server left the file, and its process id now belongs to another process.

        PostgreSQL itself detects an unused process id, but treats any process of its own account as a server.
        """
        path = self._files.cluster / "postmaster.pid"
        if self.postmaster() is not None or not path.exists():
            return
        first = path.read_text().split("\n", 1)[0]
        if first.isdigit() and process_ids.exists(int(first)) and not _is_server(int(first), self._files.cluster):
            path.unlink()


def _is_server(pid: int, cluster: Path) -> bool:
    """Return whether the arguments of the process show that it is a server of the cluster.

    The working folder of the process is not used, because in many containers even root cannot see it.
    """
    file = Path(f"/proc/{pid}/cmdline")
    try:
        arguments = file.read_text() if Path("/proc/self").exists() else _arguments_by_ps(pid)
    except OSError:
        return False
    return str(cluster) in arguments


def _arguments_by_ps(pid: int) -> str:
    return run_as(None, "ps", "-o", "args=", "-p", str(pid), folder=Path("/")).stdout
