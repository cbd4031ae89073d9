from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from titan10_dagster.candles.markets import Market
from titan10_dagster.store.database import Database
from titan10_dagster.store.markets import MarketStore
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import Sql, a_slice, judged, versions

SEEN = datetime(2024, 3, 1, tzinfo=UTC)
BTC = Market("kraken", "BTC/USD", "XXBTZUSD", "BTC", "USD", "XXBT", "ZUSD", True, listed=SEEN, extra={"lot": 8})
ETH = Market("kraken", "ETH/USD", "XETHZUSD", "ETH", "USD", "XETH", "ZUSD", True)


def test_a_list_comes_back_as_it_was_stored(db: Database) -> None:
    store = MarketStore(db)
    store.replace("kraken", [ETH, BTC], SEEN)
    assert store.load("kraken") == [BTC, ETH]
    assert store.load("binance") == []


def test_configured_symbols_count_as_listed_by_the_list_of_their_exchange_if_there_is_one(db: Database) -> None:
    store = MarketStore(db)
    store.replace("kraken", [BTC, ETH], SEEN)
    configured = {"kraken": ("ETH/USD", "BTC/USTD", "BTC/USD"), "okx": ("BTC/USTD", "BTC/USDT"), "gate": ()}
    listed = {"kraken": ["ETH/USD", "BTC/USD"], "okx": ["BTC/USTD", "BTC/USDT"], "gate": []}
    assert store.listed(configured) == listed


def test_a_market_that_left_the_list_stays_known_as_not_active(db: Database, sql: Sql) -> None:
    store = MarketStore(db)
    store.replace("kraken", [BTC, ETH], SEEN)
    store.replace("kraken", [replace(BTC, market_id="XBTUSD")], SEEN + timedelta(days=1))
    assert store.load("kraken") == [replace(BTC, market_id="XBTUSD"), replace(ETH, active=False)]
    assert sql("SELECT symbol, first_seen, last_seen FROM markets ORDER BY symbol") == [
        ("BTC/USD", SEEN, SEEN + timedelta(days=1)),
        ("ETH/USD", SEEN, SEEN),
    ]


MANY = [replace(BTC, symbol=f"C{number}/USD", market_id=f"C{number}USD", listed=None) for number in range(20)]


def active(store: MarketStore) -> int:
    return sum(market.active for market in store.load("kraken"))


def test_half_a_list_delists_nothing_until_a_second_list_lacks_the_same(db: Database) -> None:
    store = MarketStore(db)
    assert store.replace("kraken", MANY, SEEN) == 0
    assert store.replace("kraken", MANY[:10], SEEN + timedelta(days=1)) == 10
    assert active(store) == 20
    assert store.replace("kraken", MANY[:11], SEEN + timedelta(days=2)) == 0
    assert active(store) == 11


def test_a_list_whose_markets_are_all_inactive_is_believed_when_a_second_one_says_the_same(db: Database) -> None:
    store = MarketStore(db)
    closed = [replace(market, active=False) for market in MANY]
    store.replace("kraken", MANY, SEEN)
    assert store.replace("kraken", closed, SEEN + timedelta(days=1)) == 20
    assert active(store) == 20
    assert store.replace("kraken", closed, SEEN + timedelta(days=1, minutes=1)) == 20
    assert store.replace("kraken", MANY, SEEN + timedelta(days=2)) == 0
    assert store.replace("kraken", closed, SEEN + timedelta(days=3)) == 20
    assert not store.awaits_second_list("kraken", SEEN + timedelta(days=3, minutes=59))
    assert store.awaits_second_list("kraken", SEEN + timedelta(days=3, hours=1))
    assert store.replace("kraken", closed, SEEN + timedelta(days=3, hours=1)) == 0
    assert active(store) == 0
    assert not store.awaits_second_list("kraken", SEEN + timedelta(days=9))


def test_an_id_suffix_on_all_markets_of_one_list_breaks_no_series(db: Database, sql: Sql) -> None:
    store = MarketStore(db)
    suffixed = [replace(market, market_id=f"{market.market_id}_SPBL") for market in MANY]
    store.replace("kraken", MANY, SEEN)
    write_slices(db, [judged(a_slice(market.symbol, exchange="kraken")) for market in MANY[:3]])
    assert store.replace("kraken", suffixed, SEEN + timedelta(days=1)) == 20
    assert store.load("kraken") == sorted(MANY, key=lambda market: market.symbol)
    assert store.replace("kraken", MANY, SEEN + timedelta(days=2)) == 0
    assert sql("SELECT * FROM series_breaks") == sql("SELECT * FROM series_events") == []
    for hours in (0, 2):
        store.replace("kraken", suffixed, SEEN + timedelta(days=3, hours=hours))
    assert sql.one("SELECT count(*) FROM series_events WHERE kind = 'market_changed'") == 3
    assert {market.market_id for market in store.load("kraken")} == {market.market_id for market in suffixed}


def test_half_a_list_that_is_whole_again_delists_nothing(db: Database) -> None:
    store = MarketStore(db)
    for day, markets in enumerate([MANY, MANY[:10], MANY, MANY[10:]]):
        store.replace("kraken", markets, SEEN + timedelta(days=day))
    assert active(store) == 20


def test_a_few_missing_markets_are_delisted_at_once(db: Database) -> None:
    store = MarketStore(db)
    store.replace("kraken", MANY, SEEN)
    assert store.replace("kraken", MANY[:16], SEEN + timedelta(days=1)) == 0
    assert active(store) == 16


def test_a_market_that_comes_back_is_active_again(db: Database) -> None:
    store = MarketStore(db)
    for markets in ([BTC, ETH], [BTC], [BTC, ETH]):
        store.replace("kraken", markets, SEEN)
    assert store.load("kraken") == [BTC, ETH]


def test_a_listing_date_once_known_is_kept(db: Database) -> None:
    store = MarketStore(db)
    store.replace("kraken", [BTC], SEEN)
    store.replace("kraken", [replace(BTC, listed=None)], SEEN)
    assert store.load("kraken") == [BTC]


def test_the_list_of_one_exchange_leaves_the_others_alone(db: Database, sql: Sql) -> None:
    store = MarketStore(db)
    store.replace("kraken", [BTC], SEEN)
    before = versions(sql, "markets")
    store.replace("binance", [replace(ETH, exchange="binance")], SEEN)
    assert set(before) < set(versions(sql, "markets"))


@pytest.mark.parametrize("markets", [[], [BTC, replace(ETH, exchange="binance")]])
def test_an_empty_or_mixed_list_is_refused_and_delists_nothing(db: Database, markets: list[Market]) -> None:
    store = MarketStore(db)
    store.replace("kraken", [ETH], SEEN)
    with pytest.raises(ValueError, match="kraken"):
        store.replace("kraken", markets, SEEN)
    assert store.load("kraken") == [ETH]


def test_series_get_the_exchanges_own_name_in_either_order(db: Database, sql: Sql) -> None:
    known = "SELECT symbol, market_id FROM series ORDER BY symbol"
    write_slices(db, [judged(a_slice("BTC/USD", exchange="kraken"))])
    assert sql(known) == [("BTC/USD", None)]
    MarketStore(db).replace("kraken", [BTC, ETH], SEEN)
    assert sql(known) == [("BTC/USD", "XXBTZUSD")]
    write_slices(db, [judged(a_slice("ETH/USD", exchange="kraken"))])
    assert sql(known) == [("BTC/USD", "XXBTZUSD"), ("ETH/USD", "XETHZUSD")]


def test_a_first_candle_that_was_found_is_stored(db: Database) -> None:
    store, instant = MarketStore(db), datetime(2017, 8, 17, 4, tzinfo=UTC)
    store.replace("kraken", [BTC, ETH], SEEN)
    store.note_listed("kraken", {"ETH/USD": instant, "NO/SUCH": instant})
    assert store.load("kraken") == [BTC, replace(ETH, listed=instant)]


def test_the_end_of_the_last_candle_is_that_of_the_newest_stored_day(db: Database) -> None:
    slice_ = a_slice("BTC/USD", exchange="kraken")
    assert MarketStore(db).last_candle_end(slice_.series) is None
    write_slices(db, [judged(slice_)])
    assert MarketStore(db).last_candle_end(slice_.series) == slice_.end
    assert MarketStore(db).last_candle_end(a_slice("ETH/USD", exchange="kraken").series) is None
