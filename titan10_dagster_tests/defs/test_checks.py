"""The checks as Dagster sees them: names, descriptions and results."""

from __future__ import annotations

from datetime import date

import dagster as dg
import pytest

from titan10_dagster.candles.inspection import SliceInspected
from titan10_dagster.candles.rules import RULES, Concern
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.defs.checks import CANDLE_CHECKS, STORE_CHECKS, candle_checks, metadata, result, store_checks
from titan10_dagster.defs.metadata import MOST_ROWS
from titan10_dagster.ingest.findings import Finding, Severity

ASSET = dg.AssetKey(["binance", "candles"])
PARTITIONS = dg.DailyPartitionsDefinition("2024-01-01")
BROKEN = SliceInspected(
    Slice(Series("binance", "BTC/USDT", TIMEFRAMES["1m"]), date(2024, 3, 1)),
    valid=1340,
    broken=100,
    counts={"high_below_low": 100},
    by_concern={Concern.VALUE: 100},
    answered=True,
    over_broken_limit=True,
)


def test_every_rule_is_described_by_the_check_of_its_concern() -> None:
    described = {check.concern: check.description for check in CANDLE_CHECKS if check.concern is not None}
    assert set(described) == set(Concern)
    for rule in RULES:
        assert rule.sentence in described[rule.concern]


def test_the_names_of_the_checks_stay() -> None:
    assert [check.name for check in CANDLE_CHECKS] == ["valid", "on_grid", "complete"]
    assert list(STORE_CHECKS) == ["accounted_for", "explained", "near_others", "same_series"]


@pytest.mark.filterwarnings("ignore::dagster.PreviewWarning")
def test_no_check_keeps_valid_rows_from_being_stored() -> None:
    for checks in (candle_checks("binance", PARTITIONS), store_checks("binance", PARTITIONS)):
        assert not any(spec.blocking for spec in checks.check_specs)


@pytest.mark.parametrize("check", CANDLE_CHECKS, ids=lambda check: check.name)
def test_every_finding_can_be_shown_by_dagster(check: object) -> None:
    for slices in ([], [BROKEN]):
        finding = check.of_run(slices)  # type: ignore[attr-defined]
        shown = result(ASSET, "valid", finding)
        assert (shown.passed, shown.description) == (finding.passed, finding.sentence)


def test_an_error_is_shown_as_an_error() -> None:
    assert result(ASSET, "valid", Finding(False, "", severity=Severity.ERROR)).severity is dg.AssetCheckSeverity.ERROR
    assert result(ASSET, "valid", Finding(False, "")).severity is dg.AssetCheckSeverity.WARN


def test_a_long_table_is_cut_and_says_so() -> None:
    rows = tuple({"symbol": f"S{n}/USDT"} for n in range(MOST_ROWS + 5))
    shown = metadata(Finding(False, "", rows, numbers={"broken": 7}))
    assert (shown["rows_not_shown"], shown["broken"]) == (5, 7)
    assert len(shown["details"].records) == MOST_ROWS
