from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from titan10_dagster.candles.confirmation import APART, Unconfirmed, unconfirmed
from titan10_dagster.candles.markets import Market

SEEN = datetime(2024, 3, 1, tzinfo=UTC)
TEMPLATE = Market("binance", "", "", "", "USDT", "", "USDT", True)


def market(number: int) -> Market:
    base = f"C{number}"
    return replace(TEMPLATE, symbol=f"{base}/USDT", market_id=f"{base}USDT", base=base, base_id=base)


MANY = [market(number) for number in range(20)]
ACTIVE = {market.symbol: market for market in MANY}


def held(listed: Sequence[Market], active: Sequence[Market] = MANY) -> dict[str, Unconfirmed]:
    return unconfirmed({market.symbol: market for market in active}, listed, {}, SEEN)


def inactive(markets: Sequence[Market]) -> list[Market]:
    return [replace(market, active=False) for market in markets]


def suffixed(markets: Sequence[Market]) -> list[Market]:
    return [replace(market, market_id=market.market_id + "_SPBL") for market in markets]


@pytest.mark.parametrize("changed", [inactive, suffixed])
@pytest.mark.parametrize(("count", "of"), [(20, 20), (12, 20), (5, 20), (3, 3), (9, 9)])
def test_many_changes_at_once_wait_for_a_second_list(changed: object, count: int, of: int) -> None:
    markets = MANY[:of]
    assert callable(changed)
    assert set(held([*changed(markets[:count]), *markets[count:]], markets)) == {m.symbol for m in markets[:count]}


@pytest.mark.parametrize("changed", [inactive, suffixed])
@pytest.mark.parametrize(("count", "of"), [(4, 20), (2, 20), (2, 2), (2, 3), (1, 1)])
def test_a_few_changes_are_believed_at_once(changed: object, count: int, of: int) -> None:
    markets = MANY[:of]
    assert callable(changed)
    assert held([*changed(markets[:count]), *markets[count:]], markets) == {}


@pytest.mark.parametrize(("missing", "of", "believed"), [(4, 20, True), (5, 20, False), (8, 9, True), (9, 10, False)])
def test_more_than_a_fifth_of_ten_or_more_markets_is_not_missing_at_once(missing: int, of: int, believed: bool) -> None:
    assert (held(MANY[missing:of], MANY[:of]) == {}) is believed


def test_the_same_change_in_a_list_apart_in_time_is_believed_and_another_one_is_not() -> None:
    first = held(inactive(MANY))
    assert {waiting.since for waiting in first.values()} == {SEEN}
    soon, later = SEEN + APART - timedelta(seconds=1), SEEN + APART
    assert unconfirmed(ACTIVE, inactive(MANY), first, soon) == first
    assert unconfirmed(ACTIVE, inactive(MANY), first, later) == {}
    other = unconfirmed(ACTIVE, suffixed(MANY), first, later)
    assert {waiting.since for waiting in other.values()} == {later}
    assert unconfirmed(ACTIVE, MANY, first, later) == {}


def test_other_spellings_of_the_ids_and_new_markets_are_no_changes() -> None:
    spelled = [replace(market, market_id=market.market_id.lower().replace("usdt", "-usdt")) for market in MANY]
    assert held([*spelled, *(market(number) for number in range(50, 90))]) == {}


def test_a_market_that_is_listed_beside_its_successor_has_not_changed() -> None:
    both = [replace(new, rivals=(old,)) for new, old in zip(suffixed(MANY), MANY, strict=True)]
    assert held(both) == {}
