from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from titan10_dagster.candles.fetched import FetchRecord, Source
from titan10_dagster_tests.candles import strategies as some

RECORD = FetchRecord(some.HOURLY, some.LATER, Source.REST, 2, 0, 0.5, answered=True, horizon=None)


def test_a_fetch_covers_its_slice_up_to_when_it_was_requested() -> None:
    assert RECORD.until == some.LATER


def test_a_poll_that_fell_behind_covers_its_slice_up_to_the_last_candle_that_came() -> None:
    behind = some.LATER - timedelta(minutes=7)
    assert replace(RECORD, covered_until=behind).until == behind
