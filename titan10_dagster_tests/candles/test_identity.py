from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from titan10_dagster.candles.identity import Identity, changes, choose, differences, identity_of
from titan10_dagster.candles.markets import Market

AT = datetime(2018, 10, 11, 12, tzinfo=UTC)
OLD = Market("binance", "REP/USDT", "REPUSDT", "REP", "USDT", "REP", "USDT", active=True)
NEW = replace(OLD, market_id="REPV2USDT", base_id="REPV2")


def test_a_symbol_that_is_another_market_is_a_change_with_both_names() -> None:
    (change,) = changes({"REP/USDT": identity_of(OLD)}, [NEW], AT)
    assert (change.before.market_id, change.after.market_id) == ("REPUSDT", "REPV2USDT")
    assert "its market was REPUSDT and is REPV2USDT; its base asset was REP and is REPV2" in change.sentence


def test_the_same_market_and_unknown_symbols_are_not_changes() -> None:
    assert changes({"REP/USDT": identity_of(OLD)}, [OLD], AT) == []
    assert changes({}, [NEW], AT) == []


@pytest.mark.parametrize("spelling", ["repusdt", "REP-USDT", "rep_usdt", "REP/USDT"])
def test_another_spelling_of_the_same_id_is_not_a_change(spelling: str) -> None:
    base, quote = ("rep", "usdt") if spelling.islower() else ("REP", "USDT")
    respelled = replace(OLD, market_id=spelling, base_id=base, quote_id=quote)
    assert changes({"REP/USDT": identity_of(OLD)}, [respelled], AT) == []


def test_a_respelled_id_is_the_stored_market_among_several_active_ones() -> None:
    respelled = replace(OLD, market_id="rep-usdt")
    (chosen,), (ambiguity,) = choose([replace(NEW, rivals=(respelled,))], {"REP/USDT": identity_of(OLD)}, ["REP/USDT"])
    assert chosen is respelled
    assert ambiguity.is_known
    exact = replace(NEW, rivals=(respelled, OLD))
    assert choose([exact], {"REP/USDT": identity_of(OLD)}, [])[0] == [OLD]


def test_the_same_letters_split_differently_are_a_change() -> None:
    before, after = replace(OLD, base_id="AB", market_id="AB-C"), replace(OLD, base_id="A", market_id="A-BC")
    assert len(changes({"REP/USDT": identity_of(before)}, [after], AT)) == 1


@pytest.mark.parametrize("scale", ["contractSize", "priceScale", "valueScale"])
def test_another_scale_is_a_change(scale: str) -> None:
    before, after = replace(OLD, extra={scale: 8}), replace(OLD, extra={scale: 4})
    (change,) = changes({"REP/USDT": identity_of(before)}, [after], AT)
    assert f"its {scale} was 8 and is 4" in change.sentence


def test_a_scale_not_known_before_is_not_a_change() -> None:
    assert differences(Identity("a", "b", "c"), Identity("a", "b", "c", {"priceScale": 8})) == []


def test_of_two_active_markets_the_stored_one_is_kept() -> None:
    listed = replace(NEW, rivals=(OLD,))
    (chosen,), (ambiguity,) = choose([listed], {"REP/USDT": identity_of(OLD)}, ["REP/USDT"])
    assert chosen is OLD
    assert ambiguity.sentence.startswith("binance uses REP/USDT for several active markets: REPUSDT and REPV2USDT.")
    assert "the stored candles belong to it" in ambiguity.sentence


def test_without_stored_candles_the_choice_is_reported() -> None:
    listed = replace(NEW, rivals=(OLD,))
    (chosen,), (ambiguity,) = choose([listed], {}, ["REP/USDT"])
    assert chosen.market_id == "REPV2USDT"
    assert "it is the first in the exchange's list" in ambiguity.sentence


def test_symbols_that_concern_no_series_are_not_reported() -> None:
    listed = replace(NEW, rivals=(OLD,))
    assert choose([listed], {}, []) == ([listed], [])
