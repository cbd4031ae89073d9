"""`titan10 coverage`: stored, expected and missing candles of each series."""

from __future__ import annotations

import json

from titan10_dagster_tests.json_fields import documented_fields
from titan10_dagster_tests.local.test_cli import Project, exchange, project, working

__all__ = ["exchange", "project", "working"]


def test_days_that_were_never_fetched_count_as_missing(working: Project) -> None:
    for day in ("2024-03-01", "2024-03-05"):
        command = ("backfill", "binance", "--from", day, "--to", day, "--symbol", "BTC/USDT")
        assert working.titan10(*command).returncode == 0
    (row,) = json.loads(working.titan10("coverage", "--json").stdout)
    assert set(row) == documented_fields("`titan10 coverage --json`")
    assert (row["slices"], row["days_never_fetched"]) == (2, 3)
    assert (row["stored"], row["expected"], row["missing"]) == (2880, 7200, {"never_fetched": 4320})
    assert row["sources"] == {"rest": 2}
    table = working.titan10("coverage").stdout
    assert "2 rest" in table
    assert "40.00%" in table
    assert "4,320 never_fetched" in table


def test_an_empty_database_has_no_series_and_a_hint(working: Project) -> None:
    assert json.loads(working.titan10("coverage", "--json").stdout) == []
    assert working.titan10("coverage").stdout.startswith("Nothing is stored yet: launch a backfill")
