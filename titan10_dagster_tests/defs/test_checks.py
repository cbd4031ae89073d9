from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime

import dagster as dg
import pytest

from titan10_dagster.candles.deviation import Distance
from titan10_dagster.candles.fetched import Source
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.inspection import SliceInspected
from titan10_dagster.candles.rules import RULES
from titan10_dagster.candles.slices import Series, Slice, SliceState
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.defs.checks import (
    CHECKS,
    TIME_RULES,
    VALUE_RULES,
    CandleCheck,
    is_complete,
    is_explained,
    is_near,
    keeps,
    of_run,
)
from titan10_dagster.store.ledger import LedgerRow

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
VALID = next(check for check in CHECKS if check.name == "valid")


def inspected(
    symbol: str = "BTC/USDT", *, valid: int = 1440, counts: Mapping[str, int] | None = None, withheld: bool = False
) -> SliceInspected:
    return SliceInspected(
        slice=Slice(Series("binance", symbol, TIMEFRAMES["1m"]), date(2024, 3, 1)),
        valid=valid,
        broken=sum((counts or {}).values()),
        counts=counts or {},
        answered=True,
        beyond_horizon=False,
        withheld=withheld,
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
    finding = keeps(VALUE_RULES, [inspected(valid=1340, counts={"high_below_low": 100}, withheld=True)])
    assert finding.severity is ERROR


def test_a_check_sees_only_its_own_rules() -> None:
    assert keeps(VALUE_RULES, [inspected(counts={"off_grid": 3})]).passed
    assert not keeps(TIME_RULES, [inspected(counts={"off_grid": 3})]).passed


@pytest.mark.parametrize(("withheld", "severity"), [(1, WARN), (2, WARN), (3, ERROR), (4, ERROR)])
def test_a_run_is_blocked_only_when_most_of_its_slices_are_withheld(
    withheld: int, severity: dg.AssetCheckSeverity
) -> None:
    slices = [inspected(f"{n}/USDT", counts={"high_below_low": 100}, withheld=n < withheld) for n in range(4)]
    assert of_run(VALID, slices).severity is severity


def test_a_check_that_does_not_block_never_errs_on_a_run() -> None:
    complete = CandleCheck("complete", "", False, is_complete)
    assert of_run(complete, [inspected(valid=0)]).severity is WARN


def test_missing_candles_are_a_warning_with_a_table_of_symbols() -> None:
    finding = is_complete([inspected(), inspected("XRP/ETH", valid=1000)])
    assert (finding.passed, finding.severity) == (False, WARN)
    assert [(row["symbol"], row["missing"]) for row in finding.rows] == [("XRP/ETH", 440)]


def test_every_finding_can_be_shown_by_dagster() -> None:
    slices = [inspected(valid=1340, counts={"high_below_low": 100}, withheld=True)]
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


def known(expected: int = 1440, **missing: int) -> LedgerRow:
    """A slice of which so many candles are missing, by reason."""
    return LedgerRow(
        slice=Slice(Series("binance", "BTC/USDT", TIMEFRAMES["1m"]), date(2024, 3, 1)),
        state=SliceState.SETTLED,
        expected=expected,
        present=expected - sum(missing.values()),
        missing={Reason(reason): candles for reason, candles in missing.items()},
        quarantined=0,
        fetched_at=datetime(2024, 3, 2, 2, tzinfo=UTC),
        source=Source.REST,
        requests=2,
        retries=0,
        seconds=1.0,
    )


@pytest.mark.parametrize(
    ("missing", "passed"),
    [
        ({}, True),
        ({"unknown": 72}, True),
        ({"unknown": 73}, False),
        ({"unknown": 40, "quarantined": 40}, False),
        ({"no_trades": 1000, "outage": 440}, True),
        ({"beyond_horizon": 1440}, True),
        ({"pre_listing": 700, "delisted": 700, "unknown": 40}, True),
    ],
)
def test_a_day_fails_if_more_than_a_twentieth_of_a_series_is_missing_without_a_final_reason(
    missing: dict[str, int], passed: bool
) -> None:
    assert is_explained([known(), known(**missing)], 0.05).passed is passed


def test_the_series_that_miss_too_much_are_named_with_their_shares() -> None:
    finding = is_explained([known(), known(unknown=100, quarantined=44, no_trades=500)], 0.05)
    assert finding.severity is ERROR
    (row,) = finding.rows
    assert (row["symbol"], row["unexplained"], row["of"], row["share"]) == ("BTC/USDT", 144, 1440, "10.0%")
    assert (row["unknown"], row["quarantined"]) == (100, 44)
    dg.AssetCheckResult(passed=finding.passed, metadata=finding.metadata(), description=finding.sentence)


def test_a_day_that_has_not_begun_is_explained() -> None:
    assert is_explained([known(0)], 0.05).passed
    assert is_explained([], 0.05).passed
