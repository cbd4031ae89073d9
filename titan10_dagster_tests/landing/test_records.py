from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.candles.fetched import FetchRecord, Source
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.landing.records import from_json, to_json
from titan10_dagster_tests.candles import strategies as some

AT = datetime(2024, 3, 1, 2, 0, 0, 123456, tzinfo=UTC)
RECORD = FetchRecord(some.MINUTELY, AT, Source.REST, 2, 1, 0.25, True, None)

any_series = st.builds(Series, st.text(), st.text(), some.timeframes)
records = st.builds(
    FetchRecord,
    slice=st.builds(Slice, any_series, st.dates()),
    fetched_at=some.instants,
    source=st.sampled_from(Source),
    requests=st.integers(0),
    retries=st.integers(0),
    seconds=st.floats(0, allow_infinity=False),
    answered=st.booleans(),
    horizon=st.none() | some.instants,
    listed=st.none() | some.instants,
    delisted=st.none() | some.instants,
    note=st.none() | st.text(),
    covered_until=st.none() | some.instants,
)


@given(records)
def test_a_record_comes_back_from_json_as_it_was(record: FetchRecord) -> None:
    assert from_json(to_json(record)) == record


def test_the_json_is_flat_and_says_what_was_fetched() -> None:
    assert json.loads(to_json(RECORD)) == {
        "exchange": "binance",
        "symbol": "BTC/USDT",
        "timeframe": "1m",
        "day": "2024-02-29",
        "fetched_at": "2024-03-01T02:00:00.123456+00:00",
        "source": "rest",
        "requests": 2,
        "retries": 1,
        "seconds": 0.25,
        "answered": True,
        "horizon": None,
        "listed": None,
        "delisted": None,
        "note": None,
        "covered_until": None,
        "files": [],
    }


@pytest.mark.parametrize("added", ["covered_until", "files"])
def test_a_file_that_was_written_before_a_field_was_added_is_read(added: str) -> None:
    before = {name: value for name, value in json.loads(to_json(RECORD)).items() if name != added}
    assert from_json(json.dumps(before).encode()) == RECORD


def test_instants_of_another_time_zone_are_written_in_utc() -> None:
    elsewhere = replace(RECORD, fetched_at=AT.astimezone(timezone(timedelta(hours=9))))
    assert to_json(elsewhere) == to_json(RECORD)


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(ValueError, match="without a time zone"):
        to_json(replace(RECORD, horizon=AT.replace(tzinfo=None)))


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"nothing", b"\xff"])
def test_text_that_is_not_a_record_is_refused(text: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        from_json(text)


def test_a_record_of_an_unknown_timeframe_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown timeframe"):
        from_json(to_json(RECORD).replace(b'"1m"', b'"1y"'))


def test_the_first_and_the_last_day_there_are_can_be_recorded() -> None:
    for day in (date.min, date.max):
        record = replace(RECORD, slice=Slice(RECORD.slice.series, day))
        assert from_json(to_json(record)) == record
