"""The daemon executes a step of checks again, in a new run, after all tries of the step failed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from titan10_dagster import settings as titan10_settings
from titan10_dagster.local.graphql import launch_backfill, run_query
from titan10_dagster.local.stack import Stack
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster_tests.databases import passable_folder
from titan10_dagster_tests.processes import wait_until

PROJECT = Path(__file__).parents[2]
PATIENCE = 240  # in seconds; enough for a busy machine
DAYS = [date(2024, 3, 1), date(2024, 3, 2)]
# The code location of the project. Its checks cannot read the database in their first run.
DEFINITIONS = """
import pathlib
from titan10_dagster.defs import checks
from titan10_dagster.definitions import defs as defs
from titan10_dagster.errors import DatabaseUnavailable

failed = pathlib.Path({home!r}) / "failed"
inspect_slices = checks.inspect_slices

def fail_once(*arguments):
    if not failed.exists():
        failed.touch()
        raise DatabaseUnavailable("the database cannot be used now")
    return inspect_slices(*arguments)

checks.inspect_slices = fail_once
"""
SETTINGS = """
data = "data"
[server]
port = 0
postgres_port = 0
[retries]
steps = 0
[exchanges.binance]
symbols = ["BTC/USDT"]
start = 2024-01-01
base_url = "{url}"
"""
RUNS = """{ runsOrError { ... on Runs { results {
  runId status parentRunId jobName stepStats { stepKey status } } } } }"""
EXECUTIONS = """{ assetCheckExecutions(assetKey: {path: ["binance", "candles"]}, checkName: "valid", limit: 100) {
  status } }"""


@dataclass
class Started:
    """A running stack."""

    url: str

    def runs(self) -> list[dict[str, Any]]:
        """The runs of the backfill, the oldest first."""
        found = run_query(self.url, RUNS)["runsOrError"]["results"]
        return [run for run in reversed(found) if run["jobName"] == "__ASSET_JOB"]

    def check_states(self) -> set[str]:
        return {execution["status"] for execution in run_query(self.url, EXECUTIONS)["assetCheckExecutions"]}


@pytest.fixture
def started() -> Iterator[Started]:
    with passable_folder() as home, Sandbox(["binance"]) as sandbox:
        shutil.copy(PROJECT / "dagster.yaml", home)
        (home / "struck_definitions.py").write_text(DEFINITIONS.format(home=str(home)))
        (home / "titan10.toml").write_text(SETTINGS.format(url=sandbox.url("binance")))
        stack = Stack(titan10_settings.load(home), home, print, module="struck_definitions")
        try:
            yield Started(stack.start())
        finally:
            stack.stop()


@pytest.mark.timeout(900)
def test_the_daemon_executes_only_the_failed_checks_again(started: Started) -> None:
    launch_backfill(started.url, [("binance", "candles"), ("binance", "ohlcv")], DAYS)
    wait_until(lambda: [run["status"] for run in started.runs()] == ["FAILURE", "SUCCESS"], PATIENCE)
    failed, again = started.runs()
    assert again["parentRunId"] == failed["runId"]
    states = {step["stepKey"]: step["status"] for step in failed["stepStats"]}
    assert states["binance__check_candles"] == "FAILURE"
    assert states["binance__ohlcv"] == "SUCCESS"
    assert [step["stepKey"] for step in again["stepStats"]] == ["binance__check_candles"]
    assert "SUCCEEDED" in started.check_states()
