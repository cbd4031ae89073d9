"""`titan10 demo` as a whole: every candle is right, no check fails, and no request exceeds a limit.

It keeps running until it is interrupted. What it says then about its files is true.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from titan10_dagster.local.exit_codes import INTERRUPTED
from titan10_dagster_tests.processes import processes_of, wait_until

PROJECT = Path(__file__).parents[2]


@pytest.mark.timeout(900)
def test_the_demo_ends_without_a_failed_check_and_without_a_refused_request(open_folder: Path) -> None:
    for name in ("dagster.yaml", "titan10.toml"):
        shutil.copy(PROJECT / name, open_folder)
    demo, log = open_folder / ".titan10/demo", open_folder / ".titan10/demo/logs/requests.jsonl"
    with started_demo(open_folder, "first") as first:
        wait_until(lambda: first.has_said("Titan-10 is up"), 600, "did the kept demo announce its UI")
        assert first.interrupt() == 0, first.text()
    shown = " ".join(first.text().split())
    assert "All checks passed, and no exchange refused a request." in shown
    assert f"The demo has stopped. Its files stay in {demo} until the next `titan10 demo`." in shown
    assert {json.loads(line)["status"] for line in log.read_text().splitlines()} == {200}
    assert (demo / "titan10.toml").exists()
    assert list((demo / "landing").rglob("*.parquet"))
    assert demo.stat().st_mode & 0o066 == 0
    with started_demo(open_folder, "second") as second:
        wait_until(lambda: (demo / "titan10.toml").exists() and not (demo / "landing").exists(), 120)
        assert second.interrupt() == INTERRUPTED, second.text()
    assert second.text().endswith("The demo was interrupted. The next `titan10 demo` starts from the beginning.\n"), (
        second.text()
    )
    assert processes_of(open_folder) == {}


@dataclass
class Demo:
    """`titan10 demo` as a process. Its output goes to a file."""

    process: subprocess.Popen[bytes]
    output: Path

    def text(self) -> str:
        return self.output.read_text()

    def has_said(self, words: str) -> bool:
        assert self.process.poll() is None, self.text()
        return words in self.text()

    def interrupt(self) -> int:
        """Press Ctrl-C, and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=120)


@contextmanager
def started_demo(folder: Path, name: str) -> Iterator[Demo]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TITAN10_", "DAGSTER_"))}
    environment = {"TITAN10_HOME": str(folder), "TITAN10_SERVER__PORT": "0", "PYTHONPATH": str(PROJECT)}
    output = folder / f"{name}.log"
    with (
        output.open("wb") as file,
        subprocess.Popen(
            [sys.executable, "-c", "from titan10_dagster.local.cli import main; main()", "demo"],
            cwd=folder,
            env={**kept, **environment, "DEMO_KEEP": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield Demo(process, output)
        finally:
            process.kill()
