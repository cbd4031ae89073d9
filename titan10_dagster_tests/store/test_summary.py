from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from titan10_dagster.candles.fetched import Source
from titan10_dagster.candles.slices import Series, Slice, SliceState
from titan10_dagster.store import ledger
from titan10_dagster.store.database import Database
from titan10_dagster.store.ledger import ExchangeSummary, LedgerRow
from titan10_dagster_tests.store.making import MINUTE

START, TODAY = date(2024, 1, 1), date(2024, 1, 11)
BTC, ETH = (Series("binance", symbol, MINUTE) for symbol in ("BTC/USDT", "ETH/USDT"))
STARTS = {BTC: START, ETH: START}


def known(db: Database, series: Series, days: Iterable[int], state: SliceState = SliceState.SETTLED) -> None:
    """Store these days of January in the ledger. Live days were polled at 13:00 and have candles until 12:30."""
    candles = 750 if state == SliceState.LIVE else 1440
    rows = [
        LedgerRow(
            slice=Slice(series, date(2024, 1, day)),
            state=state,
            expected=candles,
            present=candles,
            missing={},
            quarantined=0,
            fetched_at=datetime(2024, 1, day, 13, tzinfo=UTC),
            source=Source.REST,
            requests=2,
            retries=0,
            seconds=0.1,
        )
        for day in days
    ]
    with db.transaction() as cursor:
        ledger.write(cursor, rows)


def summary(db: Database) -> ExchangeSummary:
    (one,) = ledger.summary(db, STARTS, TODAY)
    return one


def test_an_exchange_without_slices_misses_all_its_days(db: Database) -> None:
    assert summary(db) == ExchangeSummary("binance", 0, 0, 20, 0, 0, {}, 0, 0)


def test_history_is_complete_to_the_day_before_the_first_that_is_not_settled_of_every_series(db: Database) -> None:
    known(db, BTC, range(1, 11))
    known(db, ETH, [1, 2, 3, 5, 9, 10])
    known(db, ETH, [4], SliceState.PARTIAL)
    one = summary(db)
    assert (one.complete_to, one.complete_since) == (date(2024, 1, 3), date(2024, 1, 9))
    assert (one.slices, one.settled, one.unasked) == (17, 16, 3)
    assert (one.first_settled, one.last_settled) == (START, date(2024, 1, 10))


def test_a_whole_history_is_complete_from_its_start_to_yesterday(db: Database) -> None:
    for series in STARTS:
        known(db, series, range(1, 11))
    known(db, BTC, [11], SliceState.LIVE)
    one = summary(db)
    assert (one.complete_to, one.complete_since, one.unasked) == (date(2024, 1, 10), START, 0)


def test_what_is_not_configured_any_more_is_counted_and_makes_nothing_complete(db: Database) -> None:
    known(db, Series("binance", "OLD/USDT", MINUTE), range(1, 11))
    known(db, BTC, range(1, 11))
    one = summary(db)
    assert (one.slices, one.complete_to, one.unasked) == (20, None, 10)


def test_days_before_the_start_complete_nothing(db: Database) -> None:
    starts = {BTC: date(2024, 1, 5)}
    known(db, BTC, [1, 2, 3, 5, 6])
    (one,) = ledger.summary(db, starts, TODAY)
    assert (one.complete_to, one.unasked) == (date(2024, 1, 6), 4)


def test_live_lag_is_of_the_polled_series_only(db: Database) -> None:
    known(db, BTC, [11], SliceState.LIVE)
    known(db, ETH, [10], SliceState.LIVE)
    known(db, Series("binance", "OLD/USDT", MINUTE), [10], SliceState.LIVE)
    known(db, Series("okx", "BTC/USDT", MINUTE), [10])
    newest, oldest = (datetime(2024, 1, day, 12, 30, tzinfo=UTC) for day in (11, 10))
    assert ledger.live_until(db, STARTS, TODAY) == {"binance": (newest, oldest)}
    assert ledger.live_until(db, STARTS, TODAY + timedelta(days=2)) == {}
