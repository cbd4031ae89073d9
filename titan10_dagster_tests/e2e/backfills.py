"""`titan10 backfill` in a separate process, which a test can kill."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path


def start_backfill(home: Path, first: date, last: date, variables: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start a backfill of binance with the settings in `home`, as the leader of a process group."""
    program = [sys.executable, "-c", "from titan10_dagster.local.cli import main; main()"]
    return subprocess.Popen(
        [*program, "backfill", "binance", "--from", str(first), "--to", str(last)],
        env={**os.environ, "TITAN10_HOME": str(home), **variables},
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
