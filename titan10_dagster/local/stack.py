"""The processes of `titan10 up`: PostgreSQL, the code server, the webserver and the daemon.

The code server starts first, because the daemon fails the runs of a location that it cannot reach. While there is no
code server, the daemon is paused. A process that dies is started again, after a pause that grows. Each process has a
process group of its own, so that everything it started ends with it, also its runs. A watchdog ends the groups if this
process is killed. Dagster's run retries launch lost runs again, which continue where they stopped.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from titan10_dagster.dagster_internals import commands
from titan10_dagster.dagster_internals.schema import refuse_other_version
from titan10_dagster.errors import SettingsError, Titan10Error
from titan10_dagster.local.diagnosis import Level, quick_findings
from titan10_dagster.local.directories import ensure_directory
from titan10_dagster.local.graphql import make_pools
from titan10_dagster.local.instance import (
    Say,
    child_environment,
    database_of_dagster,
    embedded,
    migrate_all,
    prepare,
)
from titan10_dagster.local.ports import free_port
from titan10_dagster.local.supervision import (
    LONGEST_PAUSE,
    Child,
    Pauses,
    ProcessFailed,
    Service,
    Watchdog,
    end_all,
    rotate,
)
from titan10_dagster.settings import Settings

LOCATION = "titan10_dagster"
MODULE = "titan10_dagster.definitions"
START_SECONDS = 180.0  # importing everything without compiled bytecode on a busy machine
GRACE_SECONDS = 10.0
UNIMPORTANT = {"alerts"}  # checks of `titan10 doctor` that are not reported at each start
TICK_SECONDS = 0.2
SOCKET_PATH_LIMIT = 100  # bytes; the system's own is 104 to 108


class Stack:
    """PostgreSQL, code server, webserver and daemon of one project folder, watched and restarted."""

    def __init__(self, settings: Settings, home: Path, say: Say, *, module: str = MODULE) -> None:
        self._module = module
        self._settings = settings
        self._home = home
        self._say = say
        self._stopping = threading.Event()
        self._postgres = embedded(settings, say)
        self._pauses = Pauses()  # of PostgreSQL; each child has its own
        self._reported: set[str] = set()  # sentences about PostgreSQL since it ended
        self._children: list[Child] = []
        self._guard: Watchdog | None = None
        self._lock: int | None = None
        self.url = ""  # of the UI
        self.database_url = ""

    def start(self) -> str:
        """Start everything and return the URL of the UI; after a failure everything is stopped again.

        Raises:
            SettingsError: it runs already, the port of the UI is taken, or `data` cannot be written to.
            DatabaseUnavailable, MigrationError: there is no usable database.
            ProcessFailed: a process does not start; the text has the end of its log.
        """
        self._lock = _take_lock(ensure_directory(self._settings.data) / "up.lock")
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self.url

    def ask_to_stop(self) -> None:
        """Make `watch`, or a running `start`, return; safe in a signal handler."""
        self._stopping.set()

    def announce(self) -> None:
        """Report where the UI is."""
        if not self._stopping.is_set():
            self._say(f"Titan-10 is up: {self.url} (logs in {self._settings.data / 'logs'}; Ctrl-C stops it)")

    def watch(self) -> None:
        """Keep everything running until `ask_to_stop`."""
        while not self._stopping.wait(TICK_SECONDS):
            self.tend()

    def tend(self) -> None:
        """Start the processes again that died since the last call."""
        code_server, daemon = self._children[0], self._children[-1]
        was_away = not code_server.alive()
        if was_away:
            daemon.pause()
        self._revive_postgres()
        for child in self._children:
            self._revive(child)
            rotate(child.log)
        if was_away and code_server.alive():
            daemon.go_on()

    def stop(self) -> None:
        """End everything in bounded time: what launches runs, then the code server with its runs, then the database.

        Runs are killed. If a step ended at a signal, Dagster would take it for failed; a run whose process is gone is
        run again at the next start.
        """
        self._stopping.set()
        end_all(self._children[1:], GRACE_SECONDS)
        end_all(self._children[:1], grace=0)
        self._children = []
        if self._postgres is not None:
            self._postgres.stop()
        if self._guard is not None:
            self._guard.close()
            self._guard = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- starting -----------------------------------------------------------------------------------------

    def _start(self) -> None:
        host, port = self._settings.server.host, _ui_port(self._settings)
        self.url = f"http://{_reachable(host)}:{port}"
        self._sign_lock()
        self._start_database()
        self._guard = Watchdog(self._stop_command())
        environment = self._environment()
        services = self._services(host, port)
        log = self._settings.data / "logs"
        for service in services:
            file = log / f"{service.name.replace(' ', '-')}.log"
            self._children.append(Child(service, environment, self._home, file, self._guard))
        code_server, webserver, daemon = self._children
        self._launch([code_server])
        self._launch([webserver])
        if not self._stopping.is_set():
            make_pools(self.url, self._settings.enabled)
        self._launch([daemon])

    def _sign_lock(self) -> None:
        """Write this process and its UI into the lock file, for other commands."""
        assert self._lock is not None
        os.truncate(self._lock, 0)
        os.write(self._lock, f"{os.getpid()} {self.url}\n".encode())

    def _start_database(self) -> None:
        if self._postgres is not None:
            self._say("Starting PostgreSQL ...")
            self._pauses.note_start(time.monotonic())
            self.database_url = self._postgres.start()
        else:
            assert self._settings.database.url is not None
            self.database_url = self._settings.database.url.get_secret_value()
        migrate_all(self._settings, self.database_url)
        refuse_other_version(database_of_dagster(self._settings, self.database_url))
        for finding in quick_findings(self._settings, self._home, self.database_url):
            if finding.level is not Level.OK and finding.check not in UNIMPORTANT:
                self._say(f"{finding.check}: {finding.found} {finding.advice}")

    def _environment(self) -> Mapping[str, str]:
        return child_environment(prepare(self._settings, self._home, self.database_url), os.environ)

    def _launch(self, children: list[Child]) -> None:
        for child in children:
            if not self._stopping.is_set():
                self._report_start(child)
                child.start()
        for child in children:
            child.wait_until_it_answers(START_SECONDS, go_on=lambda: not self._stopping.is_set())

    def _report_start(self, child: Child) -> None:
        """Report the first start of a process, so that a slow start is not taken for a halt."""
        if child.pauses.deaths == 0 and child.process is None:
            self._say(f"Starting the {child.service.name} ...")

    def _stop_command(self) -> list[str]:
        if self._postgres is None:
            return []
        return [sys.executable, "-m", "titan10_dagster.local.postgres", str(self._postgres.files.folder)]

    def _services(self, host: str, port: int) -> list[Service]:
        """Return the code server first, because the others need it."""
        data = self._settings.data
        code_socket = socket_path(data)
        workspace = _write_workspace(data / "dagster" / "workspace.yaml", code_socket)
        code_server = commands.code_server(code_socket, module=self._module, location=LOCATION, folder=self._home)
        webserver, daemon = commands.webserver(host, port, workspace), commands.daemon(workspace)
        return [
            Service("code server", code_server, lambda: _listens(code_socket)),
            Service("webserver", webserver, lambda: _serves(f"{self.url}/server_info")),
            Service("daemon", daemon, lambda: True),
        ]

    # -- watching -----------------------------------------------------------------------------------------

    def _revive_postgres(self) -> None:
        """Start a dead server again when its pause is over."""
        if self._postgres is None or self._postgres.running():
            return
        if not self._reported:
            pause = self._pauses.note_death(time.monotonic())
            self._report_once(f"PostgreSQL ended: starting it again in {pause:.0f} s ({self._postgres.files.log}).")
        if not self._pauses.are_over(time.monotonic()):
            return
        self._pauses.note_start(time.monotonic())
        try:
            url = self._postgres.start()
        except Titan10Error as error:
            self._pauses.note_death(time.monotonic())
            self._report_once(f"{error}\nTrying again, at least every {LONGEST_PAUSE:.0f} s.")
            return
        self._reported.clear()
        if url != self.database_url:  # another program took its port meanwhile
            self.database_url = url
            end_all(self._children, GRACE_SECONDS)
            for child in self._children:
                child.environment = self._environment()

    def _report_once(self, sentence: str) -> None:
        """Report a sentence about a database that is away, unless it was reported before."""
        if sentence not in self._reported:
            self._reported.add(sentence)
            self._say(sentence)

    def _revive(self, child: Child) -> None:
        """Start a dead process again when its pause is over."""
        if child.alive():
            return
        if child.process is not None:
            pause = child.note_death()
            self._say(f"The {child.service.name} ended: starting it again in {pause:.0f} s ({child.log}).")
        if not child.pauses.are_over(time.monotonic()):
            return
        with suppress(ProcessFailed):  # the next tick sees it dead, and pauses longer
            self._launch([child])


@dataclass(frozen=True)
class RunningStack:
    """A running stack: its process and the URL of its UI."""

    pid: int
    url: str


def demo_folder(home: Path) -> Path:
    """Return the folder of `titan10 demo`: its project and its data."""
    return home / ".titan10" / "demo"


def running_stack(data: Path) -> RunningStack | None:
    """Return the stack that runs with this data folder."""
    path = data / "up.lock"
    if not path.exists():
        return None
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, url = [*file.read().split(), "0", "http://"][:2]
            return RunningStack(int(pid), url)
    return None


def run(stack: Stack) -> None:
    """Run a stack until Ctrl-C, SIGTERM or SIGHUP."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stack.ask_to_stop()) for number in numbers}
    try:
        stack.start()
        stack.announce()
        stack.watch()
    finally:
        stack.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_workspace(path: Path, code_socket: Path) -> Path:
    path.write_text(
        "# Written by `titan10 up`: the webserver and the daemon share one code server.\n"
        f"load_from:\n  - grpc_server:\n      socket: {str(code_socket)!r}\n      location_name: {LOCATION}\n"
    )
    return path


def socket_path(data: Path) -> Path:
    """Return the path of the code server's socket, which is the same at every start.

    The launcher finds the code server of a run by it. A socket in a private folder, because through a port other
    accounts of the machine could run code.
    """
    name = hashlib.sha256(f"{socket.gethostname()} {data}".encode()).hexdigest()[:12]
    path = data / "dagster" / f"code-{name}.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    folder = Path(tempfile.gettempdir()) / f"titan10-{os.geteuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise SettingsError(f"{folder} belongs to another account: move the project to a shorter path.")
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


def _ui_port(settings: Settings) -> int:
    """Return the port of the UI.

    Raises:
        SettingsError: the port is taken.
    """
    host, port = settings.server.host, settings.server.port
    if port == 0:
        return free_port()
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingsError(
                f"server.port: the Dagster UI cannot listen on {host}:{port} ({error.strerror}). Set another port "
                "in titan10.toml, or for one start: TITAN10_SERVER__PORT=3001 titan10 up (0 takes any free port)."
            ) from None
    return port


def _reachable(host: str) -> str:
    """Return the address under which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)


def _take_lock(path: Path) -> int:
    """Lock the data folder for this process, whose id is written into the file."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = (os.read(handle, 200).decode().split() or ["unknown"])[0]
        os.close(handle)
        raise SettingsError(
            f"titan10 runs here already, as process {owner} with the data in {path.parent}: stop that one first, or "
            "give this one a folder of its own (setting `data`)."
        ) from None
    return handle
