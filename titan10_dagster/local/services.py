"""The three processes of Dagster in a stack: their commands, their health checks, and their addresses."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from titan10_dagster.dagster_internals import commands
from titan10_dagster.errors import SettingsError
from titan10_dagster.local.directories import ensure_private_file
from titan10_dagster.local.ports import free_port
from titan10_dagster.local.supervision import Service
from titan10_dagster.settings import Settings

LOCATION = "titan10_dagster"
SOCKET_PATH_LIMIT = 100  # longest path of a socket in bytes; the limit of operating systems is 104 or 108 bytes


@dataclass(frozen=True)
class UiAddress:
    """The address at which the UI listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The URL of the UI for this machine, also if the UI listens on all addresses."""
        names = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
        host = names.get(self.host, f"[{self.host}]" if ":" in self.host else self.host)
        return f"http://{host}:{self.port}"


def dagster_services(data: Path, home: Path, module: str, ui: UiAddress) -> list[Service]:
    """Return the services in the order of their start. The code server is first, because the other services need it."""
    code_socket = socket_path(data)
    workspace = _write_workspace(data / "dagster" / "workspace.yaml", code_socket)
    code_server = commands.code_server(code_socket, module=module, location=LOCATION, folder=home)
    webserver, daemon = commands.webserver(ui.host, ui.port, workspace), commands.daemon(workspace)
    return [
        Service("code server", code_server, lambda: _listens(code_socket)),
        Service("webserver", webserver, lambda: _serves(f"{ui.url}/server_info")),
        Service("daemon", daemon, lambda: True),
    ]


def ui_address(settings: Settings) -> UiAddress:
    """Return the address at which the UI will listen. Port 0 is replaced by a free port.

    Raises:
        SettingsError: the UI cannot listen there, for example because the port is taken.
    """
    host, port = settings.server.host, settings.server.port
    if port == 0:
        return UiAddress(host, free_port())
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise SettingsError(
                    f"server.host: the Dagster UI cannot listen on {host} ({error.strerror}). Set server.host in "
                    "titan10.toml to an address of this machine, such as 127.0.0.1."
                ) from None
            raise SettingsError(
                f"server.port: the Dagster UI cannot listen on {host}:{port} ({error.strerror}). Set another port "
                "in titan10.toml, or for one start: TITAN10_SERVER__PORT=3001 titan10 up (0 takes any free port)."
            ) from None
    return UiAddress(host, port)


def socket_path(data: Path) -> Path:
    """Return the path of the code server's socket. The path is the same at every start.

    Dagster's run launcher finds the code server of a run by this path. The code server has a socket in a private folder
    and no port, because other accounts of the machine could use a port to run code.
    """
    name = hashlib.sha256(f"{socket.gethostname()} {data}".encode()).hexdigest()[:12]
    path = data / "dagster" / f"code-{name}.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    folder = Path(tempfile.gettempdir()) / f"titan10-{os.geteuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise SettingsError(
            f"The path {data} is too long for a socket in it. The folder {folder} cannot be used instead, because it "
            "is a link or belongs to another account. Move the project to a shorter path."
        )
    return folder / "code.sock"


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _serves(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _write_workspace(path: Path, code_socket: Path) -> Path:
    ensure_private_file(path).write_text(
        "# Written by `titan10 up`: the webserver and the daemon share one code server.\n"
        f"load_from:\n  - grpc_server:\n      socket: {str(code_socket)!r}\n      location_name: {LOCATION}\n"
    )
    return path
