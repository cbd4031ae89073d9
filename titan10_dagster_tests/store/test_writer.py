from __future__ import annotations

import itertools
import struct
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titan10_dagster.candles.fetched import JudgedSlice, Source
from titan10_dagster.candles.frame import from_columns
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.rules import judge
from titan10_dagster.candles.slices import SliceState, midnight
from titan10_dagster.store import reader
from titan10_dagster.store.audit import unaccounted
from titan10_dagster.store.database import Database
from titan10_dagster.store.ledger import LedgerRow, gaps, slices
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.candles.test_scaling import decimals
from titan10_dagster_tests.store.making import (
    DAY,
    FETCHED,
    LATER,
    MINUTE,
    NO_ROWS,
    Sql,
    a_slice,
    as_fetched,
    candles,
    judged,
    versions,
    with_value,
    without,
)

BTC = a_slice()
_numbers = itertools.count()


def stored(db: Database, day: date = DAY, symbol: str = "BTC/USDT") -> pd.DataFrame:
    slice_ = a_slice(symbol, day)
    return reader.candles(db, slice_.series, slice_.start, slice_.end)


def row(db: Database, symbol: str = "BTC/USDT", day: date = DAY) -> LedgerRow:
    (found,) = slices(db, "binance", MINUTE, [symbol], day, day)
    return found


# Candles --------------------------------------------------------------------


def test_what_is_written_is_what_is_read(db: Database) -> None:
    report = write_slices(db, [judged(BTC)])
    pd.testing.assert_frame_equal(stored(db), candles(BTC))
    result = report.by_slice[BTC]
    assert (result.inserted, result.restated, result.unchanged) == (1440, 0, 0)
    assert (result.present, result.expected, result.missing) == (1440, 1440, {})


@settings(max_examples=25)
@given(st.lists(st.tuples(decimals(), decimals(), st.floats(1.0, 1.5)), min_size=1, max_size=30))
def test_values_of_any_magnitude_come_back_through_the_view_bit_for_bit(
    db: Database, sql: Sql, rows: list[tuple[float, float, float]]
) -> None:
    slice_ = a_slice(f"S{next(_numbers)}/USDT")  # all examples share a database
    prices = np.array([price for price, _, _ in rows])
    volumes = np.array([volume for _, volume, _ in rows])
    high = prices * np.array([wide for _, _, wide in rows])
    given_rows = from_columns(slice_.grid()[: len(rows)], [prices, high, prices, high, volumes])
    write_slices(db, [judged(slice_, given_rows)])
    read = sql(
        "SELECT open, high, low, close, volume FROM ohlcv WHERE symbol = %s ORDER BY time", [slice_.series.symbol]
    )
    expected = zip(prices, high, prices, high, volumes, strict=True)
    assert [struct.pack("5d", *values) for values in read] == [struct.pack("5d", *values) for values in expected]


def test_a_row_whose_numbers_cannot_be_stored_exactly_goes_to_quarantine(db: Database, sql: Sql) -> None:
    wide = with_value(candles(BTC), 7, open=1e15, high=1e15, low=1.234567890123456e-12, close=1e15)
    result = write_slices(db, [judged(BTC, wide)]).by_slice[BTC]
    assert (result.present, result.missing, result.quarantined) == (1439, {Reason.QUARANTINED: 1}, 1)
    assert sql("SELECT open, low, rules FROM quarantine") == [(1e15, 1.234567890123456e-12, ["not_representable"])]
    pd.testing.assert_frame_equal(stored(db), without(candles(BTC), 7))


def test_writing_the_same_again_touches_no_row(db: Database, sql: Sql) -> None:
    holed = without(candles(BTC), 5, 6, 700)
    broken = with_value(holed, 100, high=0.5)
    tables = ("candles", "gaps", "slice_ledger", "quarantine", "restatements", "series")
    write_slices(db, [judged(BTC, broken)])
    before = [versions(sql, table) for table in tables]
    result = write_slices(db, [judged(BTC, broken)]).by_slice[BTC]
    assert [versions(sql, table) for table in tables] == before
    assert (result.inserted, result.restated, result.unchanged, result.present) == (0, 0, 1436, 1436)


def test_the_same_values_from_a_later_fetch_touch_no_candle(db: Database, sql: Sql) -> None:
    write_slices(db, [judged(BTC)])
    before = versions(sql, "candles")
    # After a candle with more decimals, the same values get another scale, but they still count as equal.
    finer = judged(
        a_slice(day=DAY - timedelta(days=1)),
        with_value(candles(a_slice(day=DAY - timedelta(days=1))), 0, low=0.12345678),
    )
    write_slices(db, [finer, judged(BTC, fetched_at=FETCHED + LATER)])
    assert set(before) < set(versions(sql, "candles"))
    assert sql("SELECT * FROM restatements") == []


def test_an_answer_that_came_back_short_loses_no_candle(db: Database) -> None:
    write_slices(db, [judged(BTC)])
    result = write_slices(db, [judged(BTC, candles(BTC).iloc[:10])]).by_slice[BTC]
    assert (result.present, result.missing) == (1440, {})
    assert len(stored(db)) == 1440


def test_an_empty_answer_loses_no_candle(db: Database) -> None:
    write_slices(db, [judged(BTC)])
    assert write_slices(db, [judged(BTC, NO_ROWS)]).by_slice[BTC].present == 1440


def test_missing_candles_are_filled_in_later(db: Database) -> None:
    write_slices(db, [judged(BTC, without(candles(BTC), 0, 77, 1439))])
    result = write_slices(db, [judged(BTC, fetched_at=FETCHED + LATER)]).by_slice[BTC]
    assert (result.inserted, result.unchanged, result.missing) == (3, 1437, {})
    pd.testing.assert_frame_equal(stored(db), candles(BTC))


def test_a_candle_that_the_exchange_rewrote_is_kept_with_both_values(db: Database, sql: Sql) -> None:
    write_slices(db, [judged(BTC)])
    old = candles(BTC)
    new = with_value(old, 30, volume=9.5, high=99_999.5)
    result = write_slices(db, [judged(BTC, new, fetched_at=FETCHED + LATER, source=Source.ARCHIVE)]).by_slice[BTC]
    assert (result.inserted, result.restated, result.unchanged) == (0, 1, 1439)
    pd.testing.assert_frame_equal(stored(db), new)
    restated = sql("SELECT symbol, time, old_high, new_high, old_volume, new_volume, source, seen_at FROM restatements")
    high, volume = old.loc[30, ["high", "volume"]]
    minute = BTC.start + timedelta(minutes=30)
    assert restated == [("BTC/USDT", minute, high, 99_999.5, volume, 9.5, "archive", FETCHED + LATER)]


def test_new_and_rewritten_and_unchanged_candles_come_in_one_slice(db: Database) -> None:
    write_slices(db, [judged(BTC, without(candles(BTC), 1, 2))])
    new = with_value(candles(BTC), 3, volume=1.0)
    result = write_slices(db, [judged(BTC, new)]).by_slice[BTC]
    assert (result.inserted, result.restated, result.unchanged) == (2, 1, 1437)
    pd.testing.assert_frame_equal(stored(db), new)


def test_a_slice_may_come_twice_in_one_write(db: Database, sql: Sql) -> None:
    changed = with_value(candles(BTC), 3, volume=1.0)
    result = write_slices(db, [judged(BTC, without(candles(BTC), 9)), judged(BTC, changed)]).by_slice[BTC]
    assert (result.inserted, result.restated, result.present) == (1440, 1, 1440)
    pd.testing.assert_frame_equal(stored(db), changed)


def test_slices_come_in_any_order_and_of_any_timeframe(db: Database, sql: Sql) -> None:
    wanted = [
        a_slice("ETH/USDT", DAY),
        a_slice("BTC/USDT", DAY + timedelta(days=1)),
        a_slice("BTC/USDT", DAY, timeframe="1d"),
        a_slice("BTC/USDT", DAY, timeframe="1h"),
        a_slice("BTC/USDT", DAY - timedelta(days=300)),
    ]
    report = write_slices(db, [judged(slice_) for slice_ in wanted])
    assert {slice_: result.present for slice_, result in report.by_slice.items()} == {
        slice_: slice_.expected for slice_ in wanted
    }
    assert sql.one("SELECT count(*) FROM candles") == 3 * 1440 + 24 + 1


def test_more_slices_than_a_batch_holds_are_written_in_one_transaction(db: Database, sql: Sql) -> None:
    wanted = [a_slice(day=DAY - timedelta(days=n)) for n in range(40)]
    report = write_slices(db, (judged(slice_) for slice_ in wanted))
    assert report.inserted == 40 * 1440
    assert len(sql("SELECT DISTINCT xmin::text FROM candles")) == 1


def test_writing_no_slices_is_accepted(db: Database) -> None:
    assert write_slices(db, []).by_slice == {}


def test_two_exchanges_in_one_write_are_refused_and_nothing_is_written(db: Database, sql: Sql) -> None:
    other = a_slice(exchange="kraken")
    with pytest.raises(ValueError, match="binance and kraken"):
        write_slices(db, [judged(BTC), judged(other)])
    with pytest.raises(ValueError, match="binance and kraken"):
        write_slices(db, [*(judged(a_slice(day=DAY - timedelta(days=n))) for n in range(40)), judged(other)])
    assert sql.one("SELECT count(*) FROM candles") == 0


def test_an_error_halfway_leaves_nothing(db: Database, sql: Sql) -> None:
    def slices_() -> object:
        for n in range(40):
            yield judged(a_slice(day=DAY - timedelta(days=n)))
        raise OSError("the landing zone is gone")

    with pytest.raises(OSError, match="landing zone"):
        write_slices(db, slices_())  # type: ignore[arg-type]
    for table in ("candles", "slice_ledger", "gaps", "series"):
        assert sql.one(f"SELECT count(*) FROM {table}") == 0


def test_series_know_where_they_begin_and_end(db: Database, sql: Sql) -> None:
    write_slices(db, [judged(BTC, without(candles(BTC), 0)), judged(a_slice(day=DAY + timedelta(days=2)))])
    write_slices(db, [judged(a_slice(day=DAY + timedelta(days=1)))])
    first, last = BTC.start + timedelta(minutes=1), BTC.end + timedelta(days=2, minutes=-1)
    assert sql("SELECT symbol, first_candle, last_candle FROM series") == [("BTC/USDT", first, last)]


# Quarantine -----------------------------------------------------------------


def test_broken_rows_are_kept_as_they_came(db: Database, sql: Sql) -> None:
    broken = with_value(candles(BTC), 60, high=float("nan"), volume=float("-inf"))
    result = write_slices(db, [judged(BTC, broken)]).by_slice[BTC]
    assert (result.present, result.quarantined, result.missing) == (1439, 1, {Reason.QUARANTINED: 1})
    ((time, high, volume, rules, count, resolved),) = sql(
        "SELECT time, high, volume, rules, count, resolved_at FROM quarantine"
    )
    assert time == BTC.start + timedelta(hours=1)
    assert np.isnan(high)
    assert volume == float("-inf")
    assert set(rules) >= {"not_finite", "volume_negative"}
    assert (count, resolved) == (1, None)


def test_a_repeated_broken_row_is_counted_and_not_stored_twice(db: Database, sql: Sql) -> None:
    broken = with_value(candles(BTC), 60, high=float("nan"))
    write_slices(db, [judged(BTC, broken)])
    write_slices(db, [judged(BTC, broken, fetched_at=FETCHED + LATER)])
    assert sql("SELECT count, first_seen, last_seen FROM quarantine") == [(2, FETCHED, FETCHED + LATER)]


def test_a_row_broken_in_two_complete_answers_hours_apart_is_broken_at_its_source(db: Database) -> None:
    rows = with_value(candles(BTC), 700, low=-1.0)
    for at, reason in (
        (FETCHED, Reason.QUARANTINED),
        (FETCHED + timedelta(hours=5), Reason.QUARANTINED),
        (FETCHED + LATER, Reason.BROKEN_AT_SOURCE),
        (FETCHED + 2 * LATER, Reason.BROKEN_AT_SOURCE),
    ):
        write_slices(db, [judged(BTC, rows, fetched_at=at)])
        assert row(db).missing == {reason: 1}
        assert row(db).unexplained == (1 if reason is Reason.QUARANTINED else 0)
    write_slices(db, [judged(BTC, NO_ROWS, fetched_at=FETCHED + 3 * LATER, answered=False)])
    assert row(db).missing == {Reason.BROKEN_AT_SOURCE: 1}
    write_slices(db, [judged(BTC, fetched_at=FETCHED + 4 * LATER)])
    assert row(db).missing == {}


def test_a_row_broken_in_a_different_way_each_time_is_not_final(db: Database) -> None:
    for n in range(3):
        rows = with_value(candles(BTC), 700, low=-1.0 - n)
        write_slices(db, [judged(BTC, rows, fetched_at=FETCHED + n * LATER)])
        assert row(db).missing == {Reason.QUARANTINED: 1}


def test_candles_of_one_minute_that_contradict_each_other_are_both_kept(db: Database, sql: Sql) -> None:
    rows = candles(BTC)
    doubled = pd.concat([rows, with_value(rows.iloc[[9]].reset_index(drop=True), 0, volume=77.0)], ignore_index=True)
    result = write_slices(db, [judged(BTC, doubled)]).by_slice[BTC]
    assert (result.present, result.quarantined) == (1439, 2)
    assert sorted(sql("SELECT volume FROM quarantine")) == sorted([(77.0,), (rows.loc[9, "volume"],)])


def test_a_valid_candle_resolves_what_stood_in_its_place(db: Database, sql: Sql) -> None:
    write_slices(db, [judged(BTC, with_value(candles(BTC), 60, high=float("nan")))])
    result = write_slices(db, [judged(BTC, fetched_at=FETCHED + LATER)]).by_slice[BTC]
    assert (result.quarantined, result.missing) == (0, {})
    assert sql("SELECT count, resolved_at FROM quarantine") == [(1, FETCHED + LATER)]


def test_rows_of_another_day_are_kept_with_the_slice_that_brought_them(db: Database, sql: Sql) -> None:
    stray = pd.concat([candles(BTC), candles(a_slice(day=DAY + timedelta(days=1))).iloc[[0]]], ignore_index=True)
    result = write_slices(db, [judged(BTC, stray)]).by_slice[BTC]
    assert (result.present, result.quarantined, result.missing) == (1440, 1, {})
    assert sql("SELECT day, time, rules FROM quarantine") == [(DAY, BTC.end, ["outside_window"])]


# Gaps and ledger ------------------------------------------------------------


def test_missing_candles_are_gaps_that_become_permanent_with_the_second_observation(db: Database, sql: Sql) -> None:
    holed = without(candles(BTC), 5, 6, 1439)
    first = write_slices(db, [judged(BTC, holed)]).by_slice[BTC]
    assert first.missing == {Reason.UNKNOWN: 3}
    second = write_slices(db, [judged(BTC, holed, fetched_at=FETCHED + LATER)]).by_slice[BTC]
    assert second.missing == {Reason.NO_TRADES: 3}
    seen = ("no_trades", 2, FETCHED, FETCHED + LATER)
    minutes = [BTC.start + timedelta(minutes=n) for n in (5, 7, 1439, 1440)]
    assert sql(
        "SELECT gap_start, gap_end, candles, reason, observations, first_seen, last_seen FROM gaps ORDER BY 1"
    ) == [
        (minutes[0], minutes[1], 2, *seen),
        (minutes[2], minutes[3], 1, *seen),
    ]


def test_only_the_gaps_of_a_slice_that_changed_are_written(db: Database, sql: Sql) -> None:
    other = a_slice("ETH/USDT")
    write_slices(db, [judged(BTC, without(candles(BTC), 5)), judged(other, without(candles(other), 5))])
    before = versions(sql, "gaps")
    write_slices(db, [judged(BTC, without(candles(BTC), 5)), judged(other)])
    assert len(versions(sql, "gaps")) == 1
    assert set(versions(sql, "gaps")) < set(before)


def test_days_beyond_the_horizon_are_settled_and_explained(db: Database) -> None:
    result = write_slices(db, [judged(BTC, NO_ROWS, horizon=BTC.end, requests=0)]).by_slice[BTC]
    assert (result.present, result.missing) == (0, {Reason.BEYOND_HORIZON: 1440})
    assert row(db).state == SliceState.SETTLED


def test_days_before_the_listing_are_explained(db: Database) -> None:
    listed = BTC.start + timedelta(hours=1)
    result = write_slices(db, [judged(BTC, candles(BTC).iloc[60:], listed=listed)]).by_slice[BTC]
    assert result.missing == {Reason.PRE_LISTING: 60}


def test_a_delisting_that_shows_later_explains_the_silence_since_then(db: Database) -> None:
    other, next_day = a_slice("ETH/USDT"), DAY + timedelta(days=1)
    until_then = without(candles(BTC).iloc[:1200], 600)  # and one earlier minute without trades
    for after in (timedelta(0), LATER):
        write_slices(db, [judged(slice_, until_then, fetched_at=FETCHED + after) for slice_ in (BTC, other)])
    closing = {"fetched_at": FETCHED + 2 * LATER, "delisted": BTC.start + timedelta(hours=20)}
    write_slices(db, [judged(a_slice(day=next_day), NO_ROWS, **closing)])
    assert row(db).missing == {Reason.NO_TRADES: 1, Reason.DELISTED: 240}
    assert (row(db).state, row(db).fetched_at) == ("settled", FETCHED + LATER)
    assert row(db, day=next_day).missing == {Reason.DELISTED: 1440}
    assert row(db, "ETH/USDT").missing == {Reason.NO_TRADES: 241}
    assert not unaccounted(db, "binance", MINUTE, DAY, next_day)


def test_a_candle_after_a_delisting_turns_it_into_a_halt(db: Database) -> None:
    days = [DAY + timedelta(days=n) for n in range(4)]
    halted, resumes = BTC.start + timedelta(hours=20), a_slice(day=days[3])
    closing = {"fetched_at": FETCHED, "delisted": halted}
    write_slices(db, [judged(BTC, candles(BTC).iloc[:1200], **closing)])
    write_slices(db, [judged(a_slice(day=day), NO_ROWS, **closing) for day in days[1:3]])
    write_slices(db, [judged(a_slice("ETH/USDT", days[1]), NO_ROWS, **closing)])
    assert [row(db, day=day).missing for day in days[:3]] == [{Reason.DELISTED: n} for n in (240, 1440, 1440)]

    nine = resumes.start + timedelta(hours=9)
    hour = candles(resumes).iloc[540:600].reset_index(drop=True)
    write_slices(db, [judged(resumes, hour, fetched_at=nine + timedelta(hours=1), answered=False)], live=True)
    assert [row(db, day=day).missing for day in days[:3]] == [{Reason.UNKNOWN: n} for n in (240, 1440, 1440)]
    assert {row(db, day=day).state for day in days[:3]} == {"settled"}
    assert {slice_.gap.observations for slice_ in gaps(db, symbol="BTC/USDT")} == {0}
    # no candle shows that ETH/USDT is traded again
    assert row(db, "ETH/USDT", days[1]).missing == {Reason.DELISTED: 1440}
    assert not unaccounted(db, "binance", MINUTE, DAY, days[3])

    for after, reason in ((LATER, Reason.UNKNOWN), (2 * LATER, Reason.NO_TRADES)):
        write_slices(db, [judged(BTC, candles(BTC).iloc[:1200], fetched_at=FETCHED + after)])
        assert row(db).missing == {reason: 240}


def test_a_delisting_reported_too_late_is_rejected(db: Database) -> None:
    """A candle from after the halt is stored before the days of the halt, in an earlier write or in the same write."""
    closing = {"delisted": BTC.start + timedelta(hours=20)}
    resumes = a_slice(day=DAY + timedelta(days=2))
    write_slices(db, [judged(resumes)])
    for between in ([], [judged(resumes)]):
        write_slices(db, [*between, judged(BTC, candles(BTC).iloc[:1200], **closing)])
        report = write_slices(db, [judged(a_slice(day=DAY + timedelta(days=1)), NO_ROWS, **closing), *between])
        assert row(db).missing == {Reason.UNKNOWN: 240}
        assert report.by_slice[a_slice(day=DAY + timedelta(days=1))].missing == {Reason.UNKNOWN: 1440}


def test_a_market_that_is_closed_stays_delisted_from_its_last_candle_on(db: Database) -> None:
    closing = {"delisted": BTC.start + timedelta(hours=20)}
    for after in (timedelta(0), LATER):
        write_slices(db, [judged(BTC, candles(BTC).iloc[:1200], fetched_at=FETCHED + after, **closing)])
        assert row(db).missing == {Reason.DELISTED: 240}


def test_the_ledger_records_how_a_slice_was_fetched(db: Database) -> None:
    write_slices(db, [judged(BTC, without(candles(BTC), 3), requests=4, retries=1, seconds=1.25, note="slow today")])
    assert row(db) == LedgerRow(
        BTC, SliceState.SETTLED, 1440, 1439, {Reason.UNKNOWN: 1}, 0, FETCHED, Source.REST, 4, 1, 1.25, "slow today"
    )


def test_a_slice_that_was_not_answered_whole_is_partial_until_it_is(db: Database) -> None:
    write_slices(db, [judged(BTC, candles(BTC).iloc[:700], answered=False)])
    assert row(db).state == SliceState.PARTIAL
    write_slices(db, [judged(BTC, fetched_at=FETCHED + LATER)])
    assert row(db).state == SliceState.SETTLED


def test_a_slice_fetched_before_its_day_was_over_is_not_settled(db: Database) -> None:
    noon = BTC.start + timedelta(hours=12)
    write_slices(db, [judged(BTC, candles(BTC).iloc[:720], fetched_at=noon)])
    assert (row(db).state, row(db).expected, row(db).present, row(db).missing) == ("partial", 720, 720, {})


def test_a_failed_refresh_takes_nothing_from_a_settled_slice(db: Database) -> None:
    write_slices(db, [judged(BTC, without(candles(BTC), 3))])
    write_slices(db, [judged(BTC, NO_ROWS, answered=False, fetched_at=FETCHED + LATER)])
    assert (row(db).state, row(db).fetched_at, row(db).present) == ("settled", FETCHED, 1439)


def live(minutes: range, now: datetime) -> JudgedSlice:
    return judged(BTC, candles(BTC).iloc[list(minutes)].reset_index(drop=True), fetched_at=now, answered=False)


def test_a_day_that_runs_grows_minute_by_minute(db: Database) -> None:
    for minute in (2, 3, 5):
        write_slices(db, [live(range(minute), BTC.start + timedelta(minutes=minute, seconds=2))], live=True)
    assert (row(db).state, row(db).expected, row(db).present, row(db).missing) == ("live", 5, 5, {})


def test_what_is_still_to_come_is_no_gap(db: Database, sql: Sql) -> None:
    write_slices(db, [live(range(3, 5), BTC.start + timedelta(minutes=6, seconds=2))], live=True)
    assert (row(db).expected, row(db).present, row(db).missing) == (6, 2, {Reason.UNKNOWN: 4})
    assert sql("SELECT (gap_end - gap_start)::text FROM gaps ORDER BY gap_start") == [("00:03:00",), ("00:01:00",)]


def test_a_late_live_write_takes_nothing_from_a_settled_slice(db: Database) -> None:
    write_slices(db, [judged(BTC)])
    write_slices(db, [live(range(1438, 1440), FETCHED + LATER)], live=True)
    assert (row(db).state, row(db).fetched_at, row(db).present, row(db).expected) == ("settled", FETCHED, 1440, 1440)


def test_a_live_day_is_settled_by_the_fetch_after_it(db: Database) -> None:
    write_slices(db, [live(range(100), BTC.start + timedelta(minutes=100))], live=True)
    result = write_slices(db, [judged(BTC)]).by_slice[BTC]
    assert (result.inserted, result.unchanged) == (1340, 100)
    assert (row(db).state, row(db).expected, row(db).fetched_at) == ("settled", 1440, FETCHED)


def test_the_counts_are_of_the_rows_that_are_stored(db: Database, sql: Sql) -> None:
    write_slices(db, [judged(BTC)])
    sql("DELETE FROM candles WHERE time < %s", [BTC.start + timedelta(minutes=3)])
    result = write_slices(db, [judged(BTC, candles(BTC).iloc[2:])]).by_slice[BTC]
    assert (result.inserted, result.present, result.missing) == (1, 1438, {Reason.UNKNOWN: 2})


def test_a_day_of_utc_is_a_day_of_utc_in_every_time_zone(db: Database, sql: Sql) -> None:
    sql("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Tokyo''', current_database()); END $$")
    fresh = Database(db._url)
    write_slices(fresh, [judged(BTC, without(candles(BTC), 0))])
    assert reader.candles(fresh, BTC.series, BTC.start, BTC.end)["time"].iloc[0] == BTC.start + timedelta(minutes=1)
    assert row(fresh).slice.start == midnight(DAY) == datetime(2024, 1, 10, tzinfo=UTC)
    fresh.close()


def test_a_verdict_is_taken_as_it_is(db: Database) -> None:
    verdict = judge(as_fetched(candles(BTC)), BTC, FETCHED)
    assert write_slices(db, [JudgedSlice(judged(BTC).record, verdict)]).inserted == verdict.rows
