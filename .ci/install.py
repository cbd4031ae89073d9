"""Install packages with pip, and show the progress. The arguments are the arguments of `pip install`.

    .venv/bin/python .ci/install.py -c constraints.txt -e .

With --quiet, pip prints nothing for minutes. Without --quiet, pip prints hundreds of lines. This script prints a line
every few seconds. If pip fails, the script prints the whole output of pip. It uses only the standard library, because
no package is installed yet.
"""

from __future__ import annotations

import re
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

EVERY_SECONDS = 5.0
PACKAGE = re.compile(r"Collecting ([A-Za-z0-9._-]+)")
LAST_PHASE = "Installing collected packages"


@dataclass
class Progress:
    """The progress of pip according to its output so far."""

    lines: list[str] = field(default_factory=list)
    packages: int = 0
    latest: str = ""
    is_installing: bool = False

    def read(self, line: str) -> None:
        """Update the progress from a line of pip's output."""
        self.lines.append(line)
        package = PACKAGE.match(line)
        if package:
            self.packages += 1
            self.latest = package[1]
        self.is_installing = self.is_installing or line.startswith(LAST_PHASE)

    def __str__(self) -> str:
        if self.is_installing:
            return f"installing {self.packages} packages"
        if self.packages:
            return f"{self.packages} packages found, the latest is {self.latest}"
        return "reading the list of packages"


def install(command: Sequence[str], show: Callable[[str], None], every: float = EVERY_SECONDS) -> int:
    """Run the command, show its progress, and return its exit code. Show its whole output if it fails."""
    progress, began = Progress(), time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0) as process:
        assert process.stdout is not None
        waiting = selectors.DefaultSelector()
        waiting.register(process.stdout, selectors.EVENT_READ)
        unfinished, shown_at = b"", began
        while True:
            if waiting.select(timeout=every):
                block = process.stdout.read(65536)
                if not block:
                    break
                *lines, unfinished = (unfinished + block).split(b"\n")
                for line in lines:
                    progress.read(line.decode(errors="replace"))
            if time.monotonic() - shown_at >= every:
                shown_at = time.monotonic()
                show(f"  {shown_at - began:.0f} s: {progress}")
        waiting.close()
    if process.returncode:
        show("\n".join([*progress.lines, unfinished.decode(errors="replace")]))
    return process.returncode


def main() -> int:
    """Run pip with this Python, and return its exit code."""
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    try:
        return install([*pip, *sys.argv[1:]], lambda line: print(line, flush=True))  # noqa: T201
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
