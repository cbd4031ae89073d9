from __future__ import annotations

from datetime import date, timedelta

import pytest

from titan10_dagster.candles.fetched import Source
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import Slice, SliceState, days
from titan10_dagster.planning.later_checks import CheckedLater
from titan10_dagster.planning.missing_days import Stretch
from titan10_dagster.planning.repairs import OpenSlice
from titan10_dagster.store import ledger
from titan10_dagster.store.audit import Unaccounted, unaccounted
from titan10_dagster.store.database import Database
from titan10_dagster.store.ledger import CoverageRow, ExchangeSummary
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.cost import least
from titan10_dagster_tests.store.making import (
    DAY,
    FETCHED,
    LATER,
    MINUTE,
    NO_ROWS,
    Sql,
    a_slice,
    candles,
    judged,
    without,
)

TOMORROW = DAY + timedelta(days=1)
BTC, ETH = a_slice("BTC/USDT"), a_slice("ETH/USDT")
XRP = a_slice("XRP/USDT")
KRAKEN = a_slice("BTC/EUR", exchange="kraken")


@pytest.fixture(autouse=True)
def _written(db: Database) -> None:
    """Store two days of BTC on Binance (the second day is partial), a day of ETH with three holes, and a day beyond
    Kraken's horizon.
    """
    write_slices(db, [
        judged(BTC),
        judged(a_slice("BTC/USDT", TOMORROW), candles(a_slice("BTC/USDT", TOMORROW)).iloc[:1000], answered=False),
        judged(ETH, without(candles(ETH), 0, 1, 700)),
    ])  # fmt: skip
    write_slices(db, [judged(KRAKEN, NO_ROWS, horizon=KRAKEN.end)])


def test_only_settled_slices_are_returned(db: Database) -> None:
    found = ledger.settled(db, "binance", MINUTE, ["BTC/USDT", "ETH/USDT", "ADA/USDT"], DAY, TOMORROW)
    assert set(found) == {BTC, ETH}
    assert found[ETH].missing == {Reason.UNKNOWN: 3}
    assert ledger.settled(db, "binance", MINUTE, ["BTC/USDT"], TOMORROW, TOMORROW) == {}
    assert ledger.settled(db, "binance", MINUTE, [], DAY, TOMORROW) == {}


def test_slices_of_any_state_come_by_symbol_and_day(db: Database) -> None:
    found = ledger.slices(db, "binance", MINUTE, ["ETH/USDT", "BTC/USDT"], DAY, TOMORROW)
    assert [(row.slice, row.state) for row in found] == [
        (BTC, SliceState.SETTLED),
        (a_slice("BTC/USDT", TOMORROW), "partial"),
        (ETH, "settled"),
    ]


def test_coverage_sums_up_each_series(db: Database) -> None:
    btc, eth, kraken = ledger.coverage(db)
    assert btc == CoverageRow(BTC.series, DAY, TOMORROW, 2, 1, 2880, 2440, {Reason.UNKNOWN: 440}, {Source.REST: 2})
    assert eth == CoverageRow(ETH.series, DAY, DAY, 1, 1, 1440, 1437, {Reason.UNKNOWN: 3}, {Source.REST: 1})
    assert kraken == CoverageRow(
        KRAKEN.series, DAY, DAY, 1, 1, 1440, 0, {Reason.BEYOND_HORIZON: 1440}, {Source.REST: 1}
    )


def test_coverage_covers_only_the_given_exchange_and_days(db: Database) -> None:
    assert [row.series for row in ledger.coverage(db, "kraken")] == [KRAKEN.series]
    assert [(row.series, row.present) for row in ledger.coverage(db, first=TOMORROW)] == [(BTC.series, 1000)]
    assert ledger.coverage(db, last=DAY - timedelta(days=1)) == []


def test_the_summary_is_of_whole_exchanges(db: Database) -> None:
    assert ledger.summary(db, {}, TOMORROW) == [
        ExchangeSummary("binance", 3, 2, 0, 4320, 3877, {Reason.UNKNOWN: 443}, 0, 0, DAY, DAY),
        ExchangeSummary("kraken", 1, 1, 0, 1440, 0, {Reason.BEYOND_HORIZON: 1440}, 0, 0, DAY, DAY),
    ]


def test_gaps_are_returned_newest_first_and_within_the_bounds(db: Database) -> None:
    found = ledger.gaps(db, "binance")
    assert [(found_.series.symbol, found_.candles) for found_ in found] == [
        ("BTC/USDT", 440),
        ("ETH/USDT", 1),
        ("ETH/USDT", 2),
    ]
    assert found[2].gap.start == ETH.start
    assert (found[2].gap.first_seen, found[2].gap.observations) == (FETCHED, 1)
    assert len(ledger.gaps(db, reasons=[Reason.BEYOND_HORIZON])) == 1
    assert len(ledger.gaps(db, symbol="ETH/USDT", start=ETH.start + timedelta(minutes=1), end=ETH.end)) == 1
    assert len(ledger.gaps(db, limit=2)) == 2
    assert ledger.gaps(db, reasons=[]) == []


def test_the_views_for_people_say_the_same(db: Database, sql: Sql) -> None:
    eth = "exchange = 'binance' AND symbol = 'ETH/USDT'"
    assert sql(f"SELECT day, state, missing, unknown, percent::text FROM coverage WHERE {eth}") == [
        (DAY, "settled", 3, 3, "99.79")
    ]
    minutes = [ETH.start + timedelta(minutes=n) for n in (0, 1, 700)]
    assert sql(f"SELECT time, reason FROM missing_minutes WHERE {eth} ORDER BY time") == [
        (minute, "unknown") for minute in minutes
    ]


def test_the_ledger_adds_up_until_candles_are_deleted_by_hand(db: Database, sql: Sql) -> None:
    assert unaccounted(db, "binance", MINUTE, DAY, TOMORROW) == []
    sql("DELETE FROM candles WHERE symbol = 'BTC/USDT' AND time = %s", [BTC.start])
    assert unaccounted(db, "binance", MINUTE, DAY, TOMORROW) == [Unaccounted(BTC, 1440, 1440, 1439, 0)]


@pytest.mark.alone
def test_a_month_of_twenty_symbols_is_looked_up_in_milliseconds(db: Database, sql: Sql) -> None:
    symbols = [f"S{n}/USDT" for n in range(20)]
    month = days(DAY, DAY + timedelta(days=29))
    slices = [a_slice(symbol, day) for symbol in symbols for day in month]
    rows = [
        ledger.LedgerRow(slice_, SliceState.SETTLED, 1440, 1440, {}, 0, FETCHED, Source.REST, 1, 0, 0.1)
        for slice_ in slices
    ]
    with db.transaction() as cursor:
        ledger.write(cursor, rows)

    def look_up() -> None:
        assert len(ledger.settled(db, "binance", MINUTE, symbols, month[0], month[-1])) == 600

    cost = least(look_up)
    assert cost.processor < 0.2
    assert cost.clock < 2


def test_open_slices_come_with_the_observations_of_their_gaps(db: Database) -> None:
    series = (BTC.series, ETH.series, KRAKEN.series)
    found = {
        open_slice.slice: open_slice
        for open_slice in ledger.open_slices(db, dict.fromkeys(series, DAY), TOMORROW + timedelta(days=1))
    }
    tomorrow = a_slice("BTC/USDT", TOMORROW)
    assert found == {
        ETH: OpenSlice(ETH, SliceState.SETTLED, FETCHED, FETCHED, FETCHED, ETH.start + timedelta(minutes=701)),
        tomorrow: OpenSlice(tomorrow, SliceState.PARTIAL, FETCHED, FETCHED, FETCHED, tomorrow.end),
    }
    assert [open_slice.slice for open_slice in ledger.open_slices(db, dict.fromkeys(series, DAY), TOMORROW)] == [ETH]
    assert ledger.open_slices(db, {ETH.series: TOMORROW}, TOMORROW + timedelta(days=1)) == []
    assert ledger.open_slices(db, {}, TOMORROW) == []


def test_a_gap_that_is_settled_leaves_nothing_open(db: Database) -> None:
    write_slices(db, [judged(ETH, without(candles(ETH), 0, 1, 700), fetched_at=FETCHED + LATER)])
    assert ledger.open_slices(db, {ETH.series: DAY}, TOMORROW) == []


def _with_holes(db: Database, symbol: str, day: date, minutes: range, *, seen: int = 2) -> Slice:
    """Write a slice without these minutes, in `seen` answers. The first answer comes on the next morning."""
    slice_ = a_slice(symbol, day)
    rows = without(candles(slice_), *minutes)
    for n in range(seen):
        write_slices(db, [judged(slice_, rows, fetched_at=slice_.end + timedelta(hours=2 + 7 * n))])
    return slice_


def test_recent_holes_of_busy_series_are_checked_later_until_they_were_seen_four_times(db: Database) -> None:
    busy = _with_holes(db, "XRP/USDT", DAY, range(600, 603))
    _with_holes(db, "DOT/USDT", DAY, range(600, 603), seen=1)  # unexplained
    _with_holes(db, "SOL/USDT", DAY, range(600, 603), seen=4)
    _with_holes(db, "ALGO/USDT", DAY, range(0, 1440, 20))  # a quiet series: 5 % of its minutes have no trade
    series = [a_slice(symbol).series for symbol in ("SOL/USDT", "ALGO/USDT", "DOT/USDT", "XRP/USDT")]
    seen = busy.end + timedelta(hours=9)
    expected = CheckedLater(busy, 2, seen, busy.start + timedelta(minutes=603))
    assert ledger.slices_to_check_later(db, series, DAY + timedelta(days=9)) == [expected]
    assert ledger.slices_to_check_later(db, series, DAY + timedelta(days=30)) == [expected]
    assert ledger.slices_to_check_later(db, series, DAY + timedelta(days=31)) == []


def test_a_week_of_a_series_decides_whether_it_is_busy(db: Database) -> None:
    """Twenty minutes are more than a hundredth of a day, and less than a hundredth of a week."""
    series, today = [XRP.series], DAY + timedelta(days=9)
    hole = _with_holes(db, "XRP/USDT", DAY, range(600, 620))
    assert ledger.slices_to_check_later(db, series, today) == []
    before = [a_slice("XRP/USDT", DAY - timedelta(days=n)) for n in range(1, 7)]
    write_slices(db, [judged(slice_) for slice_ in before])
    assert [checked.slice for checked in ledger.slices_to_check_later(db, series, today)] == [hole]


@pytest.mark.parametrize(("timeframe", "absent", "checked"), [("1d", 1, True), ("4h", 1, True), ("4h", 2, False)])
def test_one_long_candle_of_a_busy_series_is_checked_later_although_it_is_a_large_share_of_a_week(
    db: Database, timeframe: str, absent: int, checked: bool
) -> None:
    for n in range(1, 7):
        write_slices(db, [judged(a_slice("XRP/USDT", DAY - timedelta(days=n), timeframe=timeframe))])
    hole = a_slice("XRP/USDT", DAY, timeframe=timeframe)
    rows = without(candles(hole), *range(absent))
    for hours in (2, 9):
        write_slices(db, [judged(hole, rows, fetched_at=hole.end + timedelta(hours=hours))])
    found = ledger.slices_to_check_later(db, [hole.series], DAY + timedelta(days=9))
    assert [later.slice for later in found] == [hole] * checked


def test_holes_that_a_finished_file_shows_are_not_checked_later(db: Database) -> None:
    rows = without(candles(XRP), 600, 601)
    write_slices(db, [judged(XRP, rows, source=Source.ARCHIVE)])
    assert ledger.slices(db, "binance", MINUTE, ["XRP/USDT"], DAY, DAY)[0].missing == {Reason.NO_TRADES: 2}
    assert ledger.slices_to_check_later(db, [XRP.series], DAY + timedelta(days=9)) == []


def test_the_days_that_are_known_come_as_stretches_and_series_with_the_same_ones_together(db: Database) -> None:
    late = a_slice("BTC/USDT", DAY + timedelta(days=9))
    write_slices(db, [judged(late)])
    asked = [BTC.series, ETH.series, a_slice("ADA/USDT", DAY).series, KRAKEN.series]
    known = ledger.known_days(db, asked, DAY + timedelta(days=20))
    assert {(days_known.exchange, days_known.symbols): days_known.stretches for days_known in known} == {
        ("binance", ("BTC/USDT",)): (Stretch(DAY, TOMORROW), Stretch(late.day, late.day)),
        ("binance", ("ETH/USDT",)): (Stretch(DAY, DAY),),
        ("binance", ("ADA/USDT",)): (),
        ("kraken", ("BTC/EUR",)): (Stretch(DAY, DAY),),
    }
    assert {days_known.on_duty_since for days_known in known} == {None}
