"""The findings of the checks, without Dagster."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import pytest

from titan10_dagster.candles.deviation import Distance
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.inspection import SliceInspected
from titan10_dagster.candles.rules import Concern
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.ingest.findings import (
    Severity,
    is_accounted_for,
    is_complete,
    is_explained,
    is_near,
    keeps_rules,
    of_run,
)
from titan10_dagster.store.audit import Unaccounted
from titan10_dagster.store.ledger import LedgerRow

DAY = date(2024, 3, 1)
WARN, ERROR = Severity.WARN, Severity.ERROR


def a_slice(symbol: str = "BTC/USDT") -> Slice:
    return Slice(Series("binance", symbol, TIMEFRAMES["1m"]), DAY)


def inspected(
    symbol: str = "BTC/USDT",
    *,
    valid: int = 1440,
    broken: int = 0,
    counts: Mapping[str, int] | None = None,
    concern: Concern = Concern.VALUE,
    over_limit: bool = False,
    shift: timedelta | None = None,
) -> SliceInspected:
    return SliceInspected(
        slice=a_slice(symbol),
        valid=valid,
        broken=broken,
        counts=counts or {},
        by_concern={concern: broken},
        shift=shift,
        answered=True,
        over_broken_limit=over_limit,
    )


@pytest.mark.parametrize("concern", list(Concern))
def test_a_day_without_broken_rows_passes(concern: Concern) -> None:
    assert keeps_rules(concern, [inspected()]).passed
    assert keeps_rules(concern, []).passed


def test_a_broken_row_is_a_warning_with_its_rule_in_the_table() -> None:
    finding = keeps_rules(Concern.VALUE, [inspected(valid=1439, broken=1, counts={"high_below_low": 1})])
    assert (finding.passed, finding.severity) == (False, WARN)
    assert [(row["rule"], row["rows"], row["of"]) for row in finding.rows] == [("high_below_low", 1, 1440)]


def test_a_row_that_breaks_three_rules_counts_once() -> None:
    counts = {"high_below_low": 40, "open_outside_range": 40, "close_outside_range": 40}
    finding = keeps_rules(Concern.VALUE, [inspected(valid=1400, broken=40, counts=counts)])
    assert finding.sentence.startswith("40 of 1,440 rows break a rule")
    assert finding.numbers == {"broken": 40}
    assert len(finding.rows) == 3


def test_a_slice_with_more_broken_rows_than_allowed_is_an_error_of_its_day() -> None:
    finding = keeps_rules(
        Concern.VALUE, [inspected(valid=1340, broken=100, counts={"high_below_low": 100}, over_limit=True)]
    )
    assert finding.severity is ERROR


def test_a_check_sees_only_its_own_rules() -> None:
    off_grid = [inspected(broken=3, counts={"off_grid": 3}, concern=Concern.TIME)]
    assert keeps_rules(Concern.VALUE, off_grid).passed
    assert not keeps_rules(Concern.TIME, off_grid).passed


def test_rows_off_the_grid_are_reported_with_their_shift_in_one_sentence() -> None:
    shifted = inspected(
        valid=0, broken=1440, counts={"off_grid": 1440}, concern=Concern.TIME, shift=timedelta(seconds=14.789)
    )
    sentence = keeps_rules(Concern.TIME, [shifted]).sentence
    assert "usually start 14.789 s after a grid point" in sentence
    assert "1,440 of 1,440 rows break a rule and are quarantined; all valid rows are stored." in sentence


@pytest.mark.parametrize(("broken", "severity"), [(0, WARN), (720, WARN), (721, ERROR), (1440, ERROR)])
def test_a_run_is_an_error_only_when_most_of_its_rows_are_broken(broken: int, severity: Severity) -> None:
    slices = [inspected(valid=1440 - broken, broken=broken, counts={"high_below_low": broken} if broken else {})]
    finding = of_run(keeps_rules(Concern.VALUE, slices), Concern.VALUE, slices)
    assert finding.severity is severity
    assert ("Most rows of this run are broken" in finding.sentence) is (severity is ERROR)
    assert "Nothing was stored" not in finding.sentence


def test_missing_candles_are_a_warning_with_a_table_of_symbols() -> None:
    finding = is_complete([inspected(), inspected("XRP/ETH", valid=1000)])
    assert (finding.passed, finding.severity) == (False, WARN)
    assert [(row["symbol"], row["missing"], row["why"]) for row in finding.rows] == [
        ("XRP/ETH", 440, "absent from a complete answer")
    ]


def test_the_reason_for_missing_candles_is_the_one_that_is_known() -> None:
    slice_ = a_slice()
    found = is_complete(
        [
            SliceInspected(slice_, beyond_horizon=True, note="it serves 12 hours"),
            SliceInspected(slice_, note="HTTP 500"),
            SliceInspected(slice_),
            SliceInspected(slice_, valid=1430, broken=10, answered=True),
        ]
    )
    assert [row["why"] for row in found.rows] == [
        "so old that the exchange no longer serves this day; it serves 12 hours",
        "HTTP 500",
        "the exchange did not answer for the whole day",
        "10 rows are broken",
    ]


@pytest.mark.parametrize(
    ("deviating", "passed", "severity"), [(0, True, WARN), (50, True, WARN), (51, False, WARN), (501, False, ERROR)]
)
def test_closes_far_from_those_of_other_exchanges_are_a_warning_and_most_of_them_an_error(
    deviating: int, passed: bool, severity: Severity
) -> None:
    finding = is_near({DAY: [Distance("BTC/USDT", 1000, deviating, 3.0, 250.04)]}, 0.05)
    assert (finding.passed, finding.severity) == (passed, severity)
    found = [(row["day"], row["symbol"], row["deviating"], row["largest_bp"]) for row in finding.rows]
    assert found == ([] if passed else [("2024-03-01", "BTC/USDT", deviating, 250.0)])


def test_without_others_there_is_nothing_to_compare() -> None:
    finding = is_near({DAY: []}, 0.05)
    assert finding.passed
    assert "nothing to compare" in finding.sentence


def test_tables_that_contradict_each_other_are_an_error_and_unrequested_slices_a_warning() -> None:
    assert is_accounted_for([]).passed
    assert is_accounted_for([], [a_slice()]).severity is WARN
    finding = is_accounted_for([Unaccounted(a_slice(), 1440, 1440, 1439, 0)])
    assert (finding.passed, finding.severity) == (False, ERROR)
    assert [(row["present"], row["stored"]) for row in finding.rows] == [(1440, 1439)]


def known(expected: int = 1440, **missing: int) -> LedgerRow:
    """Return a slice with these numbers of missing candles, by reason."""
    return LedgerRow(
        slice=a_slice(),
        state="settled",
        expected=expected,
        present=expected - sum(missing.values()),
        missing={Reason(reason): candles for reason, candles in missing.items()},
        quarantined=0,
        fetched_at=datetime(2024, 3, 2, 2, tzinfo=UTC),
        source="rest",
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


def test_a_day_that_has_not_begun_is_explained() -> None:
    assert is_explained([known(0)], 0.05).passed
    assert is_explained([], 0.05).passed
