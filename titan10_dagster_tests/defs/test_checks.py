from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import dagster as dg
import pytest

from titan10_dagster.candles.inspection import SliceInspected
from titan10_dagster.candles.rules import RULES
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.candles.straying import Distance
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.defs.checks import (
    CHECKS,
    TIME_RULES,
    VALUE_RULES,
    CandleCheck,
    is_complete,
    is_near,
    keeps,
    of_run,
)

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
VALID = next(check for check in CHECKS if check.name == "valid")


def inspected(
    symbol: str = "BTC/USDT", *, valid: int = 1440, counts: Mapping[str, int] | None = None, rotten: bool = False
) -> SliceInspected:
    return SliceInspected(
        slice=Slice(Series("binance", symbol, TIMEFRAMES["1m"]), date(2024, 3, 1)),
        valid=valid,
        broken=sum((counts or {}).values()),
        counts=counts or {},
        answered=True,
        beyond_horizon=False,
        rotten=rotten,
    )


def test_each_rule_belongs_to_exactly_one_check() -> None:
    assert frozenset(rule.name for rule in RULES) == VALUE_RULES | TIME_RULES
    assert not VALUE_RULES & TIME_RULES


def test_a_day_without_broken_rows_passes() -> None:
    assert keeps(VALUE_RULES, [inspected()]).passed


def test_a_day_that_nothing_was_asked_of_passes() -> None:
    assert all(check.look([]).passed and of_run(check, []).passed for check in CHECKS)


def test_a_broken_row_is_a_warning_with_its_rule_in_the_table() -> None:
    finding = keeps(VALUE_RULES, [inspected(valid=1439, counts={"high_below_low": 1})])
    assert (finding.passed, finding.severity) == (False, WARN)
    assert [(row["rule"], row["rows"], row["of"]) for row in finding.rows] == [("high_below_low", 1, 1440)]


def test_a_withheld_slice_is_an_error_of_its_day() -> None:
    finding = keeps(VALUE_RULES, [inspected(valid=1340, counts={"high_below_low": 100}, rotten=True)])
    assert finding.severity is ERROR


def test_a_check_sees_only_its_own_rules() -> None:
    assert keeps(VALUE_RULES, [inspected(counts={"off_grid": 3})]).passed
    assert not keeps(TIME_RULES, [inspected(counts={"off_grid": 3})]).passed


@pytest.mark.parametrize(("rotten", "severity"), [(1, WARN), (2, WARN), (3, ERROR), (4, ERROR)])
def test_a_run_is_blocked_only_when_most_of_its_slices_are_withheld(
    rotten: int, severity: dg.AssetCheckSeverity
) -> None:
    slices = [inspected(f"{n}/USDT", counts={"high_below_low": 100}, rotten=n < rotten) for n in range(4)]
    assert of_run(VALID, slices).severity is severity


def test_a_check_that_does_not_block_never_errs_on_a_run() -> None:
    complete = CandleCheck("complete", "", False, is_complete)
    assert of_run(complete, [inspected(valid=0)]).severity is WARN


def test_missing_candles_are_a_warning_with_a_table_of_symbols() -> None:
    finding = is_complete([inspected(), inspected("XRP/ETH", valid=1000)])
    assert (finding.passed, finding.severity) == (False, WARN)
    assert [(row["symbol"], row["missing"]) for row in finding.rows] == [("XRP/ETH", 440)]


def test_every_finding_can_be_shown_by_dagster() -> None:
    slices = [inspected(valid=1340, counts={"high_below_low": 100}, rotten=True)]
    for check in CHECKS:
        finding = of_run(check, slices)
        dg.AssetCheckResult(passed=finding.passed, metadata=finding.metadata(), description=finding.sentence)


@pytest.mark.parametrize(
    ("strayed", "passed", "severity"), [(0, True, WARN), (50, True, WARN), (51, False, WARN), (501, False, ERROR)]
)
def test_closes_far_from_those_of_other_exchanges_are_a_warning_and_most_of_them_an_error(
    strayed: int, passed: bool, severity: dg.AssetCheckSeverity
) -> None:
    finding = is_near({date(2024, 3, 1): [Distance("BTC/USDT", 1000, strayed, 3.0, 250.04)]}, 0.05)
    assert (finding.passed, finding.severity) == (passed, severity)
    assert [(row["day"], row["symbol"], row["strayed"], row["largest_bp"]) for row in finding.rows] == (
        [] if passed else [("2024-03-01", "BTC/USDT", strayed, 250.0)]
    )
    dg.AssetCheckResult(passed=finding.passed, metadata=finding.metadata(), description=finding.sentence)


def test_without_others_there_is_nothing_to_stray_from() -> None:
    finding = is_near({date(2024, 3, 1): []}, 0.05)
    assert finding.passed
    assert "nothing to compare" in finding.sentence
