"""The processes of a project folder according to the operating system, and functions that wait for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def processes_of(home: Path) -> dict[int, str]:
    """Return the names and command lines of the living processes of the project folder.

    These processes have the folder in their arguments or in their environment.
    """
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, line = (folder / "comm").read_text(), (folder / "cmdline").read_text().replace("\0", " ")
            environment = (folder / "environ").read_text()
        except (OSError, UnicodeDecodeError):
            continue
        if line and (f"{home}/" in line or f"TITAN10_HOME={home}\0" in environment):
            found[int(folder.name)] = f"{name.strip()}: {line}"
    return found


def wait_until(what: Callable[[], object], seconds: float, so: str = "") -> None:
    """Wait until the condition is true. After `seconds`, fail with the name of the condition."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds} s {so}"
        time.sleep(0.1)
