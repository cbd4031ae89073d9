"""Returns the command lines of Dagster's processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path


def code_server(socket: Path, *, module: str, location: str, folder: Path) -> Sequence[str]:
    """Return the command of Titan-10's code server, which listens on a Unix socket."""
    return [
        *_python("titan10_dagster.dagster_internals.code_server"),
        *("--socket", str(socket), "--module-name", module, "--location-name", location),
        *("--working-directory", str(folder)),
    ]


def webserver(host: str, port: int, workspace: Path) -> Sequence[str]:
    """Return the command of the UI. It includes the guard against requests from pages of other sites."""
    module = _python("titan10_dagster.dagster_internals.webserver")
    return [*module, "--host", host, "--port", str(port), "--workspace", str(workspace)]


def daemon(workspace: Path) -> Sequence[str]:
    """Return the command of the daemon. It is the same as `dagster-daemon run`."""
    return [*_python("dagster._daemon"), "run", "--workspace", str(workspace)]


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]
