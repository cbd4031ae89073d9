from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from titan10_dagster.candles.fetched import FetchRecord, Source
from titan10_dagster.candles.gaps import Gap, Reason
from titan10_dagster.candles.rules import Broken
from titan10_dagster.candles.slices import SliceState
from titan10_dagster.store.ledger_writer import SliceObservation, gaps_after, ledger_row, missing
from titan10_dagster_tests.store.making import FETCHED, a_slice

HOURS = a_slice(timeframe="1h")
HOUR = timedelta(hours=1)
GRID = HOURS.grid()
RECORD = FetchRecord(HOURS, FETCHED, Source.REST, 2, 1, 0.5, answered=True, horizon=None)


def observed(stored: int = 24, *, live: bool = False, record: FetchRecord = RECORD) -> SliceObservation:
    """Return an observation. The first `stored` hours of the day are stored."""
    return SliceObservation(record, GRID[:stored], Broken(), live)


def gap(first: int, last: int, reason: Reason) -> Gap:
    start = HOURS.start + first * HOUR
    return Gap(start, HOURS.start + last * HOUR, reason, 1, FETCHED, FETCHED)


@pytest.mark.parametrize(
    ("changes", "live", "state"),
    [
        ({}, False, SliceState.SETTLED),
        ({"answered": False}, False, SliceState.PARTIAL),
        ({"fetched_at": HOURS.end - HOUR}, False, SliceState.PARTIAL),
        ({}, True, SliceState.LIVE),
    ],
)
def test_a_slice_is_settled_by_a_whole_answer_after_its_day(
    changes: dict[str, object], live: bool, state: SliceState
) -> None:
    assert observed(live=live, record=replace(RECORD, **changes)).state is state  # type: ignore[arg-type]


def test_future_candles_are_not_gaps() -> None:
    noon = observed(10, record=replace(RECORD, fetched_at=HOURS.start + 12 * HOUR, answered=False))
    (found,) = gaps_after(noon, [], broken_twice=GRID[:0])
    assert (found.start, found.end) == (HOURS.start + 10 * HOUR, HOURS.start + 12 * HOUR)


def test_a_slice_expects_every_candle_up_to_the_last_that_is_stored() -> None:
    early = observed(15, record=replace(RECORD, fetched_at=HOURS.start + 12 * HOUR))
    assert ledger_row(early, [], 0, None).expected == 15


def test_missing_candles_are_counted_by_reason_in_the_order_of_the_reasons() -> None:
    gaps = [gap(0, 2, Reason.QUARANTINED), gap(2, 3, Reason.UNKNOWN), gap(5, 9, Reason.UNKNOWN)]
    assert list(missing(gaps, HOURS.series.timeframe).items()) == [(Reason.UNKNOWN, 5), (Reason.QUARANTINED, 2)]


def test_a_lower_state_changes_the_counts_and_keeps_the_fetch_that_settled_the_slice() -> None:
    settled = ledger_row(observed(20), [gap(20, 24, Reason.UNKNOWN)], 0, None)
    failed = replace(RECORD, fetched_at=FETCHED + HOUR, answered=False, requests=9)
    row = ledger_row(observed(22, record=failed), [gap(22, 24, Reason.UNKNOWN)], 3, settled)
    assert (row.state, row.fetched_at, row.requests) == (SliceState.SETTLED, FETCHED, 2)
    assert (row.present, row.missing, row.quarantined) == (22, {Reason.UNKNOWN: 2}, 3)


def test_the_same_or_a_higher_state_takes_over_the_fetch() -> None:
    first = ledger_row(observed(20), [gap(20, 24, Reason.UNKNOWN)], 0, None)
    later = replace(RECORD, fetched_at=FETCHED + HOUR, requests=9)
    assert ledger_row(observed(record=later), [], 0, first).requests == 9
