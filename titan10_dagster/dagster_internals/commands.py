"""The command lines of Dagster's processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path


def code_server(socket: Path, *, module: str, location: str, folder: Path) -> Sequence[str]:
    """Return the command of the code server of this project, which listens on a Unix socket."""
    return [
        *_python("titan10_dagster.dagster_internals.code_server"),
        *("--socket", str(socket), "--module-name", module, "--location-name", location),
        *("--working-directory", str(folder)),
    ]


def webserver(host: str, port: int, workspace: Path) -> Sequence[str]:
    """Return the command of the UI, with the guard against pages of other sites in front of it."""
    module = _python("titan10_dagster.dagster_internals.webserver")
    return [*module, "--host", host, "--port", str(port), "--workspace", str(workspace)]


def daemon(workspace: Path) -> Sequence[str]:
    """Return the command of the daemon, which `dagster-daemon run` starts too."""
    return [*_python("dagster._daemon"), "run", "--workspace", str(workspace)]


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]
