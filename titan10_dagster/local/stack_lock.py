"""The lock file of a data folder. It allows one stack at a time. Other commands read it to find the running stack."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from titan10_dagster.errors import SettingsError


@dataclass(frozen=True)
class RunningStack:
    """A running stack: its process and the URL of its UI."""

    pid: int
    url: str


def running_stack(data: Path) -> RunningStack | None:
    """Return the stack that runs with this data folder, or None."""
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


class StackLock:
    """The lock of a data folder. It is held until `release` is called, or until the process ends."""

    def __init__(self, data: Path) -> None:
        """Take the lock.

        Raises:
            SettingsError: another stack holds the lock; the text contains the process id of that stack.
        """
        self._handle = _take(data / "up.lock")

    def sign(self, url: str) -> None:
        """Write the id of this process and the URL of its UI into the lock file, for other commands."""
        os.truncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()} {url}\n".encode(), 0)

    def release(self) -> None:
        """Release the lock, so that another stack can start."""
        os.close(self._handle)


def _take(path: Path) -> int:
    """Open and lock the file for this process."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = (os.read(handle, 200).decode().split() or ["unknown"])[0]
        os.close(handle)
        raise SettingsError(
            f"titan10 already runs here, as process {owner} with the data in {path.parent}. Stop that process first, "
            "or set `data` to another folder."
        ) from None
    return handle
