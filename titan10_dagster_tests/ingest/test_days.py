"""The ledger rows and landed records of some days, and the decisions about each slice."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from titan10_dagster.candles.fetched import FetchRecord
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.ingest.days import LedgerDays, RunDays, ledger_rows, read_days, read_ledger
from titan10_dagster.ingest.fetch import fetch_and_land
from titan10_dagster.ingest.store import store_slices
from titan10_dagster.store.ledger import LedgerRow
from titan10_dagster_tests.world import MakeWorld

SERIES = Series("binance", "BTC/USDT", Timeframe.parse("1m"))
START = date(2024, 2, 2)
BEFORE, UNKNOWN, PARTIAL, SETTLED, REFETCHED = (Slice(SERIES, date(2024, 2, day)) for day in range(1, 6))
NOW = datetime(2024, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ALL = (BEFORE, UNKNOWN, PARTIAL, SETTLED, REFETCHED)


def row(slice_: Slice, state: str) -> LedgerRow:
    return LedgerRow(slice_, state, 1440, 1440, {}, 0, NOW, "rest", 2, 0, 0.1)


def record(slice_: Slice, at: datetime) -> FetchRecord:
    return FetchRecord(slice_, at, "rest", 2, 0, 0.1, answered=True, horizon=None)


LEDGER = {PARTIAL: row(PARTIAL, "partial"), SETTLED: row(SETTLED, "settled"), REFETCHED: row(REFETCHED, "settled")}
LANDED = {
    BEFORE: record(BEFORE, NOW),
    PARTIAL: record(PARTIAL, NOW),
    SETTLED: record(SETTLED, NOW),
    REFETCHED: record(REFETCHED, LATER),
}
DAYS = RunDays(ALL, START, LEDGER, LANDED)


def test_slices_before_the_start_are_never_selected() -> None:
    assert BEFORE not in {*DAYS.not_requested(), *DAYS.unsettled(), *DAYS.unstored()}


def test_a_slice_without_a_ledger_row_was_not_requested() -> None:
    assert DAYS.not_requested() == [UNKNOWN]


def test_a_slice_is_unsettled_until_the_ledger_calls_it_settled() -> None:
    assert DAYS.unsettled() == [UNKNOWN, PARTIAL]


def test_a_landed_slice_is_stored_once_the_ledger_has_settled_it_by_that_fetch() -> None:
    assert DAYS.unstored() == [PARTIAL, REFETCHED]
    assert DAYS.is_only_landed(BEFORE)
    assert not DAYS.is_only_landed(UNKNOWN)


def test_the_ledger_alone_selects_without_the_landing_zone() -> None:
    days = LedgerDays(ALL, START, LEDGER)
    assert (days.not_requested(), days.unsettled()) == (DAYS.not_requested(), DAYS.unsettled())


def test_a_snapshot_shows_what_was_landed_and_what_was_stored(make_world: MakeWorld) -> None:
    titan10 = make_world({"binance": ["BTC/USDT"]}).titan10
    slices = titan10.slices("binance", [date(2024, 2, 1), date(2024, 2, 2)])
    assert read_days(titan10, slices).unstored() == []
    assert read_ledger(titan10, slices).not_requested() == slices
    fetch_and_land(titan10, "binance", slices[:1])
    assert read_days(titan10, slices).unstored() == slices[:1]
    store_slices(titan10, slices[:1])
    stored = read_days(titan10, slices)
    assert (stored.unstored(), stored.unsettled()) == ([], slices[1:])
    assert list(ledger_rows(titan10, slices)) == slices[:1]


def test_an_exchange_that_is_no_longer_configured_has_no_start(make_world: MakeWorld) -> None:
    titan10 = make_world({"binance": ["BTC/USDT"]}).titan10
    gone = Slice(Series("kraken", "BTC/USD", Timeframe.parse("1m")), date(2019, 1, 1))
    assert read_ledger(titan10, [gone]).unsettled() == [gone]


def test_nothing_is_known_of_no_slices(make_world: MakeWorld) -> None:
    titan10 = make_world({"binance": ["BTC/USDT"]}).titan10
    assert read_days(titan10, []) == RunDays((), date.min, {}, {})
