from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from titan10_dagster.candles.slices import Series, Slice, to_ms
from titan10_dagster.exchanges.received import ReceivedDays, merged, without_repeats
from titan10_dagster.exchanges.retries import Effort
from titan10_dagster.exchanges.rows import Rows
from titan10_dagster_tests.exchanges.harness import MINUTE

FIRST, SECOND, THIRD = date(2024, 6, 1), date(2024, 6, 2), date(2024, 6, 3)
SERIES = Series("binance", "BTC/USDT", MINUTE)
MINUTE_MS = 60_000


def rows(start: datetime, count: int, price: float = 1.0) -> Rows:
    table = np.full((count, 6), price)
    table[:, 0] = to_ms(start) + np.arange(count) * MINUTE_MS
    return table


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@pytest.fixture
def received() -> ReceivedDays:
    return ReceivedDays([Slice(SERIES, FIRST), Slice(SERIES, SECOND)])


def test_a_page_over_midnight_is_kept_for_both_days(received: ReceivedDays) -> None:
    received.keep(rows(midnight(SECOND) - timedelta(minutes=3), 5))
    assert len(received.release(FIRST).rows) == 3
    assert len(received.release(SECOND).rows) == 2


def test_rows_of_days_that_are_not_wanted_leave_no_trace(received: ReceivedDays) -> None:
    received.keep(rows(midnight(THIRD), 5))
    assert (received.first, received.last) == (None, None)
    assert len(received.release(THIRD).rows) == 0


def test_a_released_day_takes_no_more_rows(received: ReceivedDays) -> None:
    received.release(FIRST)
    received.keep(rows(midnight(FIRST), 5))
    assert len(received.release(FIRST).rows) == 0


def test_a_day_is_dated_by_its_earliest_request(received: ReceivedDays) -> None:
    noon = midnight(THIRD) + timedelta(hours=12)
    start, end = to_ms(midnight(FIRST)), to_ms(midnight(THIRD))
    received.note_request(start, end, noon)
    received.note_request(to_ms(midnight(SECOND)), end, noon - timedelta(minutes=1))
    assert received.release(FIRST).requested_at == noon
    assert received.release(SECOND).requested_at == noon - timedelta(minutes=1)


def test_efforts_add_up(received: ReceivedDays) -> None:
    received.add_effort(FIRST, Effort(2, 1, 0.5))
    received.add_effort(FIRST, Effort(1, 0, 0.25))
    assert received.release(FIRST).effort == Effort(3, 1, 0.75)


def test_silence_ends_with_the_first_candle(received: ReceivedDays) -> None:
    first, second = Slice(SERIES, FIRST), Slice(SERIES, SECOND)
    assert received.silent_until(first, first.end) == to_ms(first.end)
    received.keep(rows(midnight(FIRST) + timedelta(hours=2), 5))
    assert received.silent_until(first, first.end) == to_ms(first.start + timedelta(hours=2))
    assert received.silent_until(second, second.end) == to_ms(second.start)
    assert received.last_of(FIRST) == to_ms(first.start + timedelta(hours=2, minutes=4))
    assert received.last_of(SECOND) is None


def test_the_last_answer_decides_about_a_candle_that_several_gave() -> None:
    start = midnight(FIRST)
    both, contradicted = merged([rows(start, 3, 1.0), rows(start + timedelta(minutes=2), 2, 2.0)])
    assert both[:, 1].tolist() == [1.0, 1.0, 2.0, 2.0]
    assert contradicted == 1


@pytest.mark.parametrize("order", [1, -1])
def test_a_row_without_values_never_replaces_one_with_values(order: int) -> None:
    start = midnight(FIRST)
    answers = [rows(start, 3), rows(start + timedelta(minutes=2), 2)]
    answers[1][0, 3:] = np.nan
    both, contradicted = merged(answers[::order])
    assert both[:, 5].tolist() == [1.0, 1.0, 1.0, 1.0]
    assert contradicted == 0


@pytest.mark.parametrize("order", [1, -1])
def test_the_newest_row_of_an_answer_does_not_replace_a_row_that_is_not_the_newest(order: int) -> None:
    start = midnight(FIRST)
    behind = rows(start, 3)
    behind[2, 1:] = 7.0  # the candle had only just begun on this server
    both, contradicted = merged([rows(start + timedelta(minutes=1), 4), behind][::order])
    assert both[:, 1].tolist() == [1.0] * 5
    assert contradicted == 1


def test_a_candle_that_no_answer_has_values_for_stays_without_values() -> None:
    broken = rows(midnight(FIRST), 2)
    broken[1, 1:] = np.nan
    both, _ = merged([broken, broken[1:]])
    assert len(both) == 2
    assert np.isnan(both[1, 1:]).all()


@pytest.mark.parametrize(("candles", "kept"), [(5, 5), (6, 12)])
def test_all_rows_stay_if_answers_contradict_each_other_about_many_candles(
    received: ReceivedDays, candles: int, kept: int
) -> None:
    start = midnight(FIRST)
    for price in (1.0, 2.0):
        received.keep(rows(start, candles, price))
    released = received.release(FIRST)
    assert len(released.rows) == kept
    note = "the exchange's answers contradict each other about 6 candles"
    assert released.note == (note if candles == 6 else None)


def test_the_minute_of_a_row_without_a_time_counts_as_broken_unless_an_answer_has_its_candle(
    received: ReceivedDays,
) -> None:
    start = midnight(FIRST)
    received.keep(rows(start, 3))
    minutes = np.array([to_ms(start) + minute * MINUTE_MS for minute in (2, 3)])
    received.note_dropped(FIRST, 2, minutes)
    table = received.release(FIRST).rows
    assert ((table[:, 0] - to_ms(start)) / MINUTE_MS).tolist() == [0, 1, 2, 3]
    assert np.isnan(table[:, 1:]).all(axis=1).tolist() == [False, False, False, True]


def test_rows_that_differ_within_one_answer_all_stay() -> None:
    start = midnight(FIRST)
    table = np.concatenate([rows(start, 1, 1.0), rows(start, 1, 2.0), rows(start, 1, 1.0)])
    assert without_repeats(table)[:, 1].tolist() == [1.0, 2.0]
    assert merged([table])[0].tolist() == without_repeats(table).tolist()


def test_no_answer_gives_no_rows() -> None:
    assert merged([])[0].shape == (0, 6)
