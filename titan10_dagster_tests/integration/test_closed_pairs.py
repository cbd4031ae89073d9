"""Backfills of pairs that the exchange has closed, and no longer serves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import SliceState, days, midnight, to_ms
from titan10_dagster.ingest.days import ledger_rows
from titan10_dagster.ingest.markets import refresh_markets
from titan10_dagster.local.commands.backfill import Request, Tally, _report
from titan10_dagster_tests.world import MakeWorld, World

FIRST, LAST = date(2024, 3, 4), date(2024, 3, 8)
CLOSED = midnight(date(2024, 3, 6))
PAIRS = ("ETH/USDT", "SOL/USDT")


def backfill(world: World) -> Mapping[str, Any]:
    """Run a backfill, and return the document that `titan10 backfill --json` prints."""
    world.sandbox.clear_requests("binance")
    request = Request("binance", FIRST, LAST)
    return _report(world.titan10, request, world.backfill("binance", FIRST, LAST), Tally())


@pytest.mark.parametrize(("answer", "code"), [("closed_market", -1122), ("unknown_symbol", -1121)])
def test_closed_pairs_are_reported_once_and_the_next_backfill_is_complete(
    make_world: MakeWorld, answer: str, code: int
) -> None:
    world = make_world({"binance": ["BTC/USDT", *PAIRS]}, settings={"binance": {"start": FIRST}})
    assert not world.backfill("binance", FIRST, FIRST).failed
    for symbol in PAIRS:
        world.sandbox.fault("binance", "delist", symbol=symbol, time=to_ms(CLOSED), candles=answer)
    refresh_markets(world.titan10, "binance")
    first = backfill(world)
    assert (first["exit_code"], first["failed_days"], first["messages"]) == (1, (), ())
    assert set(first["symbols"]) == set(PAIRS)
    assert all(f'"code":{code}' in error for error in first["symbols"].values())
    again = backfill(world)
    assert (again["exit_code"], again["symbols"], again["incomplete_days"]) == (0, {}, ())
    assert world.candle_requests("binance") == []
    closed = days(FIRST + timedelta(days=1), LAST)
    assert again["missing"] == {"delisted": len(PAIRS) * len(closed) * 1_440}
    for row in ledger_rows(world.titan10, world.titan10.slices("binance", closed, PAIRS)).values():
        assert (row.state, row.missing) == (SliceState.SETTLED, {Reason.DELISTED: 1_440})
