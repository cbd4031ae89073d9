"""Supervised processes. Each process has its own process group, which is watched, restarted and ended as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

from titan10_dagster.errors import Titan10Error
from titan10_dagster.local import watchdog
from titan10_dagster.local.directories import ensure_private_file

LOG_BYTES = 20_000_000  # a log that has reached this size is copied to *.1 and emptied
# If a process ran for longer than this before it died, the pause before its next start is one second again.
SETTLED_SECONDS = 60.0
LONGEST_PAUSE = 30.0
KILL_SECONDS = 2.0


class ProcessFailed(Titan10Error):
    """A process ended while it was starting, or did not answer in time. The text contains the end of its log."""


@dataclass(frozen=True)
class Service:
    """A process to supervise: its command, and a function that returns whether the process answers."""

    name: str
    command: Sequence[str]
    answers: Callable[[], bool]


@dataclass
class Pauses:
    """The pauses before a dead process is started again.

    The first pause is one second. The pause doubles with each further death, up to LONGEST_PAUSE. If the process ran
    for more than SETTLED_SECONDS before it died, the pause is one second again. `now` is a monotonic time in seconds.
    """

    started: float = 0.0
    deaths: int = 0  # the number of deaths without a run of more than SETTLED_SECONDS in between
    resume_at: float = 0.0

    def note_start(self, now: float) -> None:
        self.started = now

    def note_death(self, now: float) -> float:
        """Return how many seconds to wait before the process is started again."""
        self.deaths = 1 if now - self.started > SETTLED_SECONDS else self.deaths + 1
        pause = min(2.0 ** (self.deaths - 1), LONGEST_PAUSE)
        self.resume_at = now + pause
        return pause

    def are_over(self, now: float) -> bool:
        return now >= self.resume_at


class Watchdog:
    """A helper process, with the program watchdog.py.

    If the current process is killed, the helper kills the watched process groups, and then runs the command `then`. If
    no group is watched at this time, the helper does not run the command.
    """

    def __init__(self, then: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", watchdog.__file__, *then],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )

    def watch(self, group: int) -> None:
        self._send(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._send(f"-{group}\n")

    def close(self) -> None:
        """End the watchdog. Call this after all groups have ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=30)

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:  # the watchdog was killed: continue without it
            return


@dataclass
class Child:
    """The process of a service, and its log."""

    service: Service
    environment: Mapping[str, str]
    folder: Path
    log: Path
    guard: Watchdog
    process: subprocess.Popen[bytes] | None = None
    pauses: Pauses = field(default_factory=Pauses)

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        rotate(self.log)
        with ensure_private_file(self.log).open("ab") as log:
            self.process = subprocess.Popen(
                self.service.command,
                cwd=self.folder,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,  # only this account may read landed files, logs of steps and sockets
            )
        self.guard.watch(self.process.pid)
        self.pauses.note_start(time.monotonic())

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait_until_it_answers(self, seconds: float, go_on: Callable[[], bool]) -> None:
        """Wait until the service answers, or until `go_on` returns False.

        Raises:
            ProcessFailed: the process ended, or the service does not answer in time.
        """
        deadline = time.monotonic() + seconds
        while go_on() and not self.service.answers():
            if not self.alive():
                raise ProcessFailed(f"The {self.service.name} ended while starting. {self.end_of_log()}")
            if time.monotonic() > deadline:
                raise ProcessFailed(
                    f"The {self.service.name} does not answer after {seconds:.0f} s. {self.end_of_log()}"
                )
            time.sleep(0.1)

    def end_of_log(self, lines: int = 15) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"Its log, {self.log}, ends:\n" + "\n".join(text.splitlines()[-lines:])

    def note_death(self) -> float:
        """End the remaining processes of the dead process's group.

        Return how many seconds to wait before the process is started again.
        """
        self.end(grace=0)
        return self.pauses.note_death(time.monotonic())

    def pause(self) -> None:
        """Suspend the process and all processes that it started, until `go_on` is called."""
        if self.process is not None:
            watchdog.send(self.process.pid, SIGSTOP)

    def go_on(self) -> None:
        if self.process is not None:
            watchdog.send(self.process.pid, SIGCONT)

    def end(self, grace: float) -> None:
        """End the process and all processes that it started. Send SIGTERM, and SIGKILL after `grace` seconds."""
        if self.process is not None:
            end_all([self], grace)


def end_all(children: Sequence[Child], grace: float) -> None:
    """End the processes of all children at the same time.

    Send SIGTERM, and SIGKILL after `grace` seconds. If `grace` is 0, send only SIGKILL.
    """
    processes = [child.process for child in children if child.process is not None]
    deadline = time.monotonic() + grace
    for process in processes if grace else ():
        watchdog.send(process.pid, SIGTERM)
        watchdog.send(process.pid, SIGCONT)  # a suspended process does not handle SIGTERM
    while time.monotonic() < deadline and any(_has_members(process) for process in processes):
        time.sleep(0.05)
    for child in children:
        if child.process is None:
            continue
        watchdog.send(child.process.pid, SIGKILL)
        child.process.wait()
        _wait_for_the_kill(child.process)
        child.guard.forget(child.process.pid)
        child.process = None


def _wait_for_the_kill(process: subprocess.Popen[bytes]) -> None:
    """Wait until the killed group has ended.

    The wait is limited, because zombies stay in the group if a container has no init process.
    """
    deadline = time.monotonic() + KILL_SECONDS
    while _has_members(process) and time.monotonic() < deadline:
        time.sleep(0.01)


def _has_members(process: subprocess.Popen[bytes]) -> bool:
    """Return whether the process's group has a living process.

    `poll` reads the exit code of an ended process. Without `poll`, the ended process would remain a group member.
    """
    process.poll()
    return watchdog.send(process.pid, 0)


def rotate(log: Path, limit: int = LOG_BYTES) -> None:
    """If a log is too long, copy the log to *.1 and empty it. Its writers can go on, because they only append."""
    if not log.exists() or log.stat().st_size < limit:
        return
    ensure_private_file(log.with_suffix(f"{log.suffix}.1")).write_bytes(log.read_bytes())
    os.truncate(log, 0)
