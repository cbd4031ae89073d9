"""Pairs with hardly a trade, through a whole run: real candles are stored, and empty minutes are absences."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import pytest

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import SliceState, midnight, to_ms
from titan10_dagster.ingest.days import ledger_rows
from titan10_dagster.ingest.inspection import unaccounted_slices
from titan10_dagster_tests.integration.driving import go_to, run, tick
from titan10_dagster_tests.integration.results import statuses
from titan10_dagster_tests.world import NOW, MakeWorld

DAY = date(2024, 3, 5)
QUIET = ("ADA/USDT", "ALGO/USDT")
EVERY = 10  # minutes between two trades of a quiet pair


def write(path: Path) -> Path:
    """Write three days of rows. Nine of ten minutes have no trade, and the close of the minute before."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["timestamp", "open", "high", "low", "close", "volume"])
        for minute in range(-1_440, 2 * 1_440):
            price = 8_000 + minute // EVERY % 97
            volume = 0 if minute % EVERY else 3
            rows.writerow([to_ms(midnight(DAY)) + minute * 60_000, price, price, price, price, volume])
    return path


@pytest.mark.parametrize("spelling", ["null", "empty"])
def test_two_quiet_pairs_in_one_run_keep_their_candles_and_no_row_is_broken(
    make_world: MakeWorld, tmp_path: Path, spelling: str
) -> None:
    path = write(tmp_path / "quiet.csv")
    world = make_world(
        {"binance": ["BTC/USDT", *QUIET]},
        settings={"binance": {"start": DAY}},
        replay={("binance", symbol): path for symbol in QUIET},
    )
    for symbol, spelled in zip(QUIET, (spelling, "zero"), strict=True):
        world.sandbox.fault("binance", "empty_spelling", symbol=symbol, spelling=spelled)
    done = world.backfill("binance", DAY)
    assert not done.failed, done.messages
    assert not done.symbols
    traded = [to_ms(midnight(DAY) + timedelta(minutes=minute)) for minute in range(0, 1_440, EVERY)]
    for symbol in QUIET:
        assert world.stored("binance", symbol, DAY, DAY)[:, 0].astype(int).tolist() == traded
    assert len(world.stored("binance", "BTC/USDT", DAY, DAY)) == len(world.truth("binance", "BTC/USDT", DAY, DAY))
    for slice_, row in ledger_rows(world.titan10, world.titan10.slices("binance", [DAY], QUIET)).items():
        assert (row.state, row.present, row.quarantined) == (SliceState.SETTLED, 144, 0), slice_
        assert sum(row.missing.values()) == 1_296
    assert unaccounted_slices(world.titan10, "binance", [DAY]) == []
    assert statuses(world, "binance/candles", "valid")[str(DAY)]
    go_to(world, NOW + timedelta(hours=7))
    for request in tick(world):
        assert run(world, request)
    for row in ledger_rows(world.titan10, world.titan10.slices("binance", [DAY], QUIET)).values():
        assert row.missing == {Reason.NO_TRADES: 1_296}
