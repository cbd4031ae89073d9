from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import FetchRecord, Source
from titan10_dagster.errors import StoreError
from titan10_dagster.store.merge import Incoming, Scales, compare
from titan10_dagster_tests.store.making import FETCHED, a_slice, as_fetched, candles, with_value, without

BTC = a_slice(timeframe="1h")
RECORD = FetchRecord(BTC, FETCHED, Source.REST, 1, 0, 0.1, True, None)
ROWS = candles(BTC)


def incoming(given: Candles) -> Incoming:
    return Scales().incoming(RECORD, given)


def test_against_an_empty_slice_every_candle_is_new() -> None:
    change = compare(incoming(as_fetched(ROWS)), Candles.empty())
    assert (change.inserted, change.restated, change.unchanged) == (24, 0, 0)
    assert len(change.times) == 24


def test_the_same_candles_again_change_nothing() -> None:
    change = compare(incoming(as_fetched(ROWS)), as_fetched(ROWS))
    assert (change.inserted, change.restated, change.unchanged) == (0, 0, 24)


@given(st.sets(st.integers(0, 23)), st.sets(st.integers(0, 23), max_size=5))
def test_new_restated_and_unchanged_candles_are_counted_separately(lacking: set[int], other: set[int]) -> None:
    stored = ROWS
    for place in other:
        stored = with_value(stored, place, volume=987_654.25)
    change = compare(incoming(as_fetched(ROWS)), as_fetched(without(stored, *lacking)))
    assert change.inserted == len(lacking)
    assert change.restated == len(other - lacking)
    assert change.inserted + change.restated + change.unchanged == 24
    assert set(change.times) == set(as_fetched(ROWS).times)


@pytest.mark.parametrize(("source", "restated"), [(Source.REST, 0), (Source.IMPORT, 1)])
def test_an_unfinished_candle_of_a_server_that_is_behind_does_not_replace_the_stored_one(
    source: Source, restated: int
) -> None:
    """The server does not have the candles 10 to 12 yet. Another server sent the candles from 13 on."""
    opened = ROWS.iloc[9]["open"]
    behind = with_value(ROWS, 9, high=opened, low=opened, close=opened, volume=0.0)
    given = as_fetched(without(behind, 10, 11, 12))
    record = replace(RECORD, source=source)
    change = compare(Scales().incoming(record, given), as_fetched(ROWS))
    assert change.restated == restated


def test_a_corrected_candle_before_candles_that_were_not_received_is_a_restatement() -> None:
    corrected = with_value(ROWS, 9, volume=987_654.25)
    change = compare(incoming(as_fetched(without(corrected, 10))), as_fetched(ROWS))
    assert change.restated == 1


def test_a_smaller_volume_is_a_restatement_if_the_next_candle_was_received() -> None:
    change = compare(incoming(as_fetched(with_value(ROWS, 9, volume=0.5))), as_fetched(ROWS))
    assert change.restated == 1


def test_a_series_keeps_its_scale_from_day_to_day() -> None:
    scales = Scales()
    first = scales.incoming(RECORD, as_fetched(with_value(ROWS, 0, volume=0.0000001)))
    second = scales.incoming(RECORD, as_fetched(ROWS))
    assert set(first.volume_scales) == set(second.volume_scales) == {1e7}


def test_a_candle_that_cannot_be_stored_exactly_is_refused() -> None:
    times, values = as_fetched(ROWS).times, as_fetched(ROWS).values.copy()
    values[:4, 3] = [1e15, 1e15, 1.234567890123456e-12, 1e15]
    with pytest.raises(StoreError, match=f"{BTC}.*cannot be stored exactly"):
        incoming(Candles(times, values))


def test_a_change_has_the_old_value_of_a_changed_candle() -> None:
    change = compare(incoming(as_fetched(ROWS)), as_fetched(with_value(ROWS, 5, close=1.0)))
    assert np.flatnonzero(change.changed).tolist() == [5]
    assert change.stored.values[3, change.position[5]] == 1.0
