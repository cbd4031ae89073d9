"""The processes of `titan10 up`: PostgreSQL, the code server, the webserver and the daemon.

The code server starts first, because the daemon marks runs as failed if it cannot reach the code server. For the same
reason the daemon is paused while no code server runs. A process that dies is started again after a pause, and the pause
grows with each death. Each process has its own process group. When a process ends, all processes that it
started are ended too, including runs. If the process of `titan10 up` is killed, a watchdog ends all groups. Dagster
launches the killed runs again (run retries), and these runs continue where they stopped.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from titan10_dagster.dagster_internals.schema import refuse_other_version
from titan10_dagster.local.diagnosis import Level, quick_findings
from titan10_dagster.local.directories import ensure_directory
from titan10_dagster.local.graphql import make_pools
from titan10_dagster.local.instance import (
    Say,
    child_environment,
    database_of_dagster,
    migrate_all,
    prepare,
    refuse_wrong_configuration,
)
from titan10_dagster.local.market_lists import read_missing_lists
from titan10_dagster.local.services import dagster_services, ui_address
from titan10_dagster.local.signals import ending_signals
from titan10_dagster.local.stack_database import StackDatabase
from titan10_dagster.local.stack_lock import StackLock
from titan10_dagster.local.supervision import Child, ProcessFailed, Watchdog, end_all, rotate
from titan10_dagster.settings import Settings

MODULE = "titan10_dagster.definitions"
START_SECONDS = 180.0  # limit of a start; imports without compiled bytecode are slow on a busy machine
GRACE_SECONDS = 10.0
UNIMPORTANT = {"alerts"}  # checks of `titan10 doctor` that are not reported at each start
TICK_SECONDS = 0.2


class Stack:
    """PostgreSQL, code server, webserver and daemon of one project folder, watched and restarted."""

    def __init__(self, settings: Settings, home: Path, say: Say, *, module: str = MODULE) -> None:
        self._module = module
        self._settings = settings
        self._home = home
        self._say = say
        self._stopping = threading.Event()
        self._database = StackDatabase(settings, say)
        self._children: list[Child] = []
        self._guard: Watchdog | None = None
        self._lock: StackLock | None = None
        self.url = ""  # the URL of the UI, set by `start`

    def start(self) -> str:
        """Start everything and return the URL of the UI. After a failure everything is stopped again.

        Raises:
            SettingsError: the stack runs already, the port of the UI is taken, `data` cannot be written to, or
                dagster.yaml is wrong.
            DatabaseUnavailable, MigrationError: there is no usable database.
            ProcessFailed: a process does not start; the text contains the end of its log.
        """
        self._lock = StackLock(ensure_directory(self._settings.data))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self.url

    @property
    def database_url(self) -> str:
        """The URL of the candles' database, available after the database was started."""
        return self._database.url

    def ask_to_stop(self) -> None:
        """Ask `watch`, or a running `start`, to return. A signal handler can call this method safely."""
        self._stopping.set()

    def announce(self) -> None:
        """Read the market lists that are missing, and report the URL of the UI."""

        def go_on() -> bool:
            self.tend()
            return not self._stopping.is_set()

        if not self._stopping.is_set():
            read_missing_lists(self.url, self._settings.enabled, self._say, go_on=go_on)
        if not self._stopping.is_set():
            self._say(f"Titan-10 is up: {self.url} (logs in {self._settings.data / 'logs'}; Ctrl-C stops it)")

    def watch(self) -> None:
        """Keep everything running until `ask_to_stop` is called."""
        while not self._stopping.wait(TICK_SECONDS):
            self.tend()
        self._say("Stopping. The next start continues the unfinished runs.")

    def tend(self) -> None:
        """Restart the processes that have died, each after its pause."""
        code_server, daemon = self._children[0], self._children[-1]
        was_away = not code_server.alive()
        if was_away:
            daemon.pause()
        if self._database.revive():
            end_all(self._children, GRACE_SECONDS)
            for child in self._children:
                child.environment = self._environment()
        for child in self._children:
            self._revive(child)
            rotate(child.log)
        if was_away and code_server.alive():
            daemon.go_on()

    def stop(self) -> None:
        """End everything within a limited time.

        The order is: the processes that launch runs, the code server with its runs, the database.

        Runs are killed by SIGKILL. If another signal ended a run, Dagster would mark the run's step as failed. A run
        that was killed is launched again at the next start.
        """
        self._stopping.set()
        end_all(self._children[1:], GRACE_SECONDS)
        end_all(self._children[:1], grace=0)
        self._children = []
        self._database.stop()
        if self._guard is not None:
            self._guard.close()
            self._guard = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # -- starting -----------------------------------------------------------------------------------------

    def _start(self) -> None:
        assert self._lock is not None
        refuse_wrong_configuration(self._home)
        ui = ui_address(self._settings)
        self.url = ui.url
        self._lock.sign(self.url)
        self._start_database()
        self._guard = Watchdog(self._database.stop_command())
        environment = self._environment()
        services = dagster_services(self._settings.data, self._home, self._module, ui)
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

    def _start_database(self) -> None:
        self._database.start()
        migrate_all(self._settings, self._database.url)
        refuse_other_version(database_of_dagster(self._settings, self._database.url))
        for finding in quick_findings(self._settings, self._home, self._database.url):
            if finding.level is not Level.OK and finding.check not in UNIMPORTANT:
                self._say(f"{finding.check}: {finding.found} {finding.advice}")

    def _environment(self) -> Mapping[str, str]:
        return child_environment(prepare(self._settings, self._home, self._database.url), os.environ)

    def _launch(self, children: list[Child]) -> None:
        for child in children:
            if not self._stopping.is_set():
                self._report_start(child)
                child.start()
        for child in children:
            child.wait_until_it_answers(START_SECONDS, go_on=lambda: not self._stopping.is_set())

    def _report_start(self, child: Child) -> None:
        """Report the first start of a process, so that a slow start does not look like a hang."""
        if child.pauses.deaths == 0 and child.process is None:
            self._say(f"Starting the {child.service.name} ...")

    # -- watching -----------------------------------------------------------------------------------------

    def _revive(self, child: Child) -> None:
        """If the process is dead and its pause has ended, start the process again."""
        if child.alive():
            return
        if child.process is not None:
            pause = child.note_death()
            self._say(f"The {child.service.name} ended: starting it again in {pause:.0f} s ({child.log}).")
        if not child.pauses.are_over(time.monotonic()):
            return
        # ProcessFailed needs no handling. A new process that has ended is started again after a longer pause. A new
        # process that runs but does not answer in time keeps running.
        with suppress(ProcessFailed):
            self._launch([child])


def demo_folder(home: Path) -> Path:
    """Return the folder of `titan10 demo`: its project and its data."""
    return home / ".titan10" / "demo"


def run(stack: Stack) -> None:
    """Run a stack until Ctrl-C, SIGTERM or SIGHUP."""
    numbers = (signal.SIGINT, *ending_signals())
    before = {number: signal.signal(number, lambda *_: stack.ask_to_stop()) for number in numbers}
    try:
        stack.start()
        stack.announce()
        stack.watch()
    finally:
        stack.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
