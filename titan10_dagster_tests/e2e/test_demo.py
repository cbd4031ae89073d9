"""`titan10 demo` as a whole: every candle is right, no check fails, and no request exceeds a limit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.timeout(900)
def test_the_demo_ends_without_a_failed_check_and_without_a_refused_request(open_folder: Path) -> None:
    for name in ("dagster.yaml", "titan10.toml"):
        shutil.copy(PROJECT / name, open_folder)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TITAN10_", "DAGSTER_"))}
    done = subprocess.run(
        [sys.executable, "-c", "from titan10_dagster.local.cli import main; main()", "demo"],
        cwd=open_folder,
        env={**kept, "TITAN10_HOME": str(open_folder), "TITAN10_SERVER__PORT": "0", "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    shown = " ".join(done.stdout.split())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All checks passed, and no exchange refused a request." in shown
    log = (open_folder / ".titan10/demo/logs/requests.jsonl").read_text().splitlines()
    statuses = {json.loads(line)["status"] for line in log}
    assert statuses == {200}
