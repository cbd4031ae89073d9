"""Dagster's own tools in a fresh clone, without a database and without variables."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DG = Path(sys.executable).with_name("dg")
FILES = ("titan10.toml", "dagster.yaml", "workspace.yaml", "pyproject.toml", "README.md")
LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries {
  name locationOrLoadError { __typename ... on PythonError { message } }
} } } }"""
START_SECONDS = 240  # enough for a busy machine


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    for name in ("titan10_dagster", "sql"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def environment(clone: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TITAN10_", "DAGSTER_"))}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**inherited, "PYTHONPATH": str(clone), "PATH": f"{DG.parent}:{inherited['PATH']}"}


def dg(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(DG), *arguments], cwd=clone, env=environment(clone), capture_output=True, text=True, check=False
    )


def test_dg_checks_the_definitions(clone: Path) -> None:
    checked = dg(clone, "check", "defs")
    shown = checked.stdout + checked.stderr
    assert checked.returncode == 0, shown
    assert "All definitions loaded successfully." in shown
    assert "Warning" not in shown


def test_dg_lists_the_definitions(clone: Path) -> None:
    listed = dg(clone, "list", "defs", "--json")
    assert listed.returncode == 0, listed.stderr
    found = json.loads(listed.stdout)
    keys = {asset["asset_key"] for asset in found["assets"]}
    assert {"binance/markets", "binance/candles", "binance/ohlcv", "system/health"} <= keys
    assert {sensor["name"] for sensor in found["sensors"]} >= {"repair_gaps", "send_alerts"}


@pytest.mark.timeout(2 * START_SECONDS)
def test_dg_dev_serves_the_code_location(clone: Path, free_port: Callable[[], int]) -> None:
    port, log = free_port(), clone.parent / "dg-dev.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(DG), "dev", "--port", str(port)],
            cwd=clone,
            env=environment(clone),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        assert loaded(f"http://127.0.0.1:{port}", process) == {"titan10_dagster": "RepositoryLocation"}, log.read_text()
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End dg and the processes that it started, like Ctrl-C in a terminal."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:  # this test does not check how dg ends
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)


def loaded(url: str, process: subprocess.Popen[bytes]) -> dict[str, str]:
    """Return the code locations that the UI has loaded, each with the type of the answer."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(1)
        body = json.dumps({"query": re.sub(r"\s+", " ", LOCATIONS)}).encode()
        request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                entries = json.load(answer)["data"]["workspaceOrError"]["locationEntries"]
        except OSError:
            continue
        if entries and all(entry["locationOrLoadError"] for entry in entries):
            return {entry["name"]: entry["locationOrLoadError"]["__typename"] for entry in entries}
    return {}
