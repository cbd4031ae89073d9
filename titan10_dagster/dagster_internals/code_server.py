"""Dagster's code server, but for the way in which it starts runs.

    python -m titan10_dagster.dagster_internals.code_server --socket PATH --module-name titan10_dagster.definitions

Dagster starts each run as a new Python, which imports for three seconds of a core before it does anything: for a poll
of the newest candles every minute. Here a run is a copy of a process that has imported everything already and has
neither connections nor threads of Python's (multiprocessing's "forkserver"), and shares its memory. On Linux only:
system libraries of macOS do not survive being copied.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
import sys
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from dagster._cli.api import grpc_command
from dagster._grpc import server

# All that a run of ours imports. Each run reads the settings again.
PRELOADED = (
    "titan10_dagster.definitions",
    "titan10_dagster.dagster_internals.launcher",
    "titan10_dagster.dagster_internals.storage",
    "ccxt.async_support",
    "dagster._grpc.server",
    "upath.implementations.local",
)
NAME = "titan10-run"  # of a run's process, for ps, top and pgrep
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15  # <linux/prctl.h>


class RunProcess(ForkServerProcess):
    """A run, which ends with the process that it is a copy of.

    That process reports the run's end to the code server. If it alone were gone, a living run would be taken for dead
    and would run a second time, beside itself.
    """

    def run(self) -> None:
        system = ctypes.CDLL(None)
        system.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        system.prctl(_PR_SET_NAME, NAME.encode())
        super().run()


class RunContext(ForkServerContext):
    """How `ForkingApiServer` starts processes."""

    Process = RunProcess


class ForkingApiServer(server.DagsterApiServer):
    """Starts runs as copies of one process that has imported what they need."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        multiprocessing.set_forkserver_preload(list(PRELOADED))
        forkserver.ensure_running()  # it imports while this process does
        self._mp_ctx = RunContext()  # type: ignore[assignment]  # Dagster's own is get_context("spawn")


def main() -> None:
    """Serve until a signal ends it; the arguments are those of `dagster api grpc`."""
    if sys.platform == "linux":
        server.DagsterApiServer = ForkingApiServer  # type: ignore[misc]
    if "--socket" in sys.argv:
        _keep_sockets_in(Path(sys.argv[sys.argv.index("--socket") + 1]).parent)
    grpc_command()


def _keep_sockets_in(folder: Path) -> None:
    """Has multiprocessing keep its socket beside ours, without those of code servers that were killed.

    In a folder of its own below /tmp, as is its habit, one would stay behind each time the stack ends.
    """
    for left in folder.glob("listener-*"):
        left.unlink(missing_ok=True)
    multiprocessing.current_process()._config["tempdir"] = str(folder)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
