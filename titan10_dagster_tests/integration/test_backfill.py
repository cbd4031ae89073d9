"""Backfills by the real assets, from HTTP to the database."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from titan10_dagster_tests.world import MakeWorld

FIRST, LAST = date(2024, 2, 1), date(2024, 2, 3)
SYMBOLS = {
    "binance": ["BTC/USDT", "PEPE/USDT"],
    "bybit": ["BTC/USDT", "ETH/USDT"],
    "coinbase": ["BTC/USD", "ALGO/USD"],
    "okx": ["BTC/USDT", "SOL/USDT"],
}


@pytest.mark.parametrize("exchange", SYMBOLS)
def test_what_is_stored_is_what_the_exchange_has(make_world: MakeWorld, exchange: str) -> None:
    world = make_world({exchange: SYMBOLS[exchange]})
    done = world.backfill(exchange, FIRST, LAST)
    assert not done.failed, done.messages
    for symbol in SYMBOLS[exchange]:
        stored, truth = world.stored(exchange, symbol, FIRST, LAST), world.truth(exchange, symbol, FIRST, LAST)
        assert len(truth) > 1440
        assert np.array_equal(stored, truth)
