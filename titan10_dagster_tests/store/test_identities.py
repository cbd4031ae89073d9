"""The market of a series has a history, and a change of the market breaks the series."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from titan10_dagster.candles.markets import Market
from titan10_dagster.store.database import Database
from titan10_dagster.store.identities import EventKind, breaks_of, changed_identities, changed_markets, events_since
from titan10_dagster.store.markets import MarketStore
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import DAY, Sql, a_slice, candles, judged

REP = a_slice("REP/USDT")
NEXT = a_slice("REP/USDT", DAY + timedelta(days=1))
OLD = Market("binance", "REP/USDT", "REPUSDT", "REP", "USDT", "REP", "USDT", active=True)
NEW = replace(OLD, market_id="REPV2USDT", base_id="REPV2")
FIRST, LATER = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 11, 2, tzinfo=UTC)


@pytest.fixture
def url(request: pytest.FixtureRequest, database_url: str) -> str:
    return database_url


@pytest.fixture
def markets(db: Database) -> MarketStore:
    store = MarketStore(db)
    store.replace("binance", [OLD], FIRST)
    write_slices(db, [judged(REP, candles(REP, price=10.0))])
    return store


def test_another_market_under_a_symbol_is_an_event_and_a_break(db: Database, sql: Sql, markets: MarketStore) -> None:
    """REP/USDT was REPUSDT at 10.0. On the next day, it was REPV2USDT at 99.0 (ccxt#3302, #22056)."""
    markets.replace("binance", [NEW], LATER)
    (event,) = events_since(db, "binance", FIRST)
    assert event.kind is EventKind.MARKET_CHANGED
    assert "its market was REPUSDT and is REPV2USDT" in event.detail
    assert sql("SELECT market_id, valid_from FROM series_identities ORDER BY seen_at") == [
        ("REPUSDT", None),
        ("REPV2USDT", NEXT.start),
    ]
    assert breaks_of(db, REP.series, REP.start, NEXT.end) == [NEXT.start]
    (changed,) = changed_identities(db, "binance", ["REP/USDT"]).values()
    assert (changed.market_id, changed.former_id, changed.valid_from) == ("REPV2USDT", "REPUSDT", NEXT.start)
    assert changed_markets(db, [("binance", "BTC/USDT"), ("binance", "REP/USDT"), ("okx", "REP/USDT")]) == {
        ("binance", "REP/USDT"): changed
    }


def test_a_series_that_ends_within_a_day_also_breaks_at_that_days_midnight(
    db: Database, sql: Sql, markets: MarketStore
) -> None:
    """The rest of the day is fetched from the new market, and then the whole day again."""
    write_slices(db, [judged(NEXT, candles(NEXT, price=10.0).head(600))], live=True)
    markets.replace("binance", [NEW], LATER)
    assert breaks_of(db, REP.series, REP.start, NEXT.end) == [NEXT.start, NEXT.start + timedelta(hours=10)]


def test_the_same_list_again_changes_nothing(db: Database, sql: Sql, markets: MarketStore) -> None:
    for hours in range(3):
        markets.replace("binance", [OLD], LATER + timedelta(hours=hours))
    assert events_since(db, "binance", FIRST) == []
    assert sql.one("SELECT count(*) FROM series_identities") == 1
    markets.replace("binance", [NEW], LATER)
    markets.replace("binance", [NEW], LATER + timedelta(days=1))
    assert len(events_since(db, "binance", FIRST)) == 1
    assert sql.one("SELECT count(*) FROM series_identities") == 2


def test_a_market_without_stored_candles_may_change(db: Database, sql: Sql) -> None:
    store = MarketStore(db)
    store.replace("binance", [OLD], FIRST)
    store.replace("binance", [NEW], LATER)
    assert events_since(db, None, FIRST) == []
    assert sql.one("SELECT count(*) FROM series_identities") == 0


def test_of_two_active_markets_the_stored_one_is_kept_and_both_are_named(db: Database, markets: MarketStore) -> None:
    markets.replace("binance", [replace(NEW, rivals=(OLD,))], LATER)
    (kept,) = markets.load("binance")
    assert kept.market_id == "REPUSDT"
    (event,) = events_since(db, "binance", FIRST)
    assert event.kind is EventKind.MARKET_AMBIGUOUS
    assert "REPV2USDT" in event.detail


def test_a_configured_symbol_without_candles_is_named_too(db: Database) -> None:
    store = MarketStore(db)
    store.replace("binance", [replace(NEW, rivals=(OLD,))], LATER, concerned=["REP/USDT"])
    (event,) = events_since(db, "binance", FIRST)
    assert "it is the first in the exchange's list" in event.detail
