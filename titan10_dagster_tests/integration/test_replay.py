"""The sandbox serves real candles with real holes as binance. All values are stored, and every hole is a gap."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from titan10_dagster.candles.slices import midnight, to_ms
from titan10_dagster_tests.world import DAY, MakeWorld

Columns = Callable[[list[str]], tuple[str, ...]]


@dataclass(frozen=True)
class RealFile:
    """A file of real candles, read without the product's code."""

    name: str
    symbol: str
    first: date
    last: date
    row: Columns
    candles: int  # the number of candles of the days from `first` to `last`
    header: bool = True
    timeframe: str = "1m"


def iso(time: str) -> str:
    instant = datetime.fromisoformat(time)
    return str(to_ms(instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant))


FILES = [
    RealFile(
        "binance_XRP-ETH_1m_2019-10.csv.gz", "XRP/ETH", date(2019, 10, 11), date(2019, 10, 13),
        lambda r: (iso(r[0]), *r[1:6]), candles=2_469,
    ),
    RealFile(
        "binanceus_BTC-USDT_1m_2023-03.csv.gz", "BTC/USDT", date(2023, 3, 1), date(2023, 3, 21),
        lambda r: (iso(r[0]), *r[1:6]), candles=30_240,
    ),
    RealFile(
        "kraken_BTC-USDC_1m_2023.csv.gz", "BTC/USDC", date(2023, 1, 1), date(2023, 3, 31),
        lambda r: (r[0] + "000", *r[1:6]), candles=56_717, header=False,
    ),
    RealFile(
        "bitstamp-coinbase_BTC-USD_1d_2011-2025.csv.gz", "BTC/USDT", date(2023, 10, 1), date(2023, 12, 31),
        lambda r: (r[4] + "000", r[1], r[5], r[6], r[2], r[3]), candles=92, timeframe="1d",
    ),
]  # fmt: skip


def read(folder: Path, file: RealFile) -> np.ndarray:
    """Return the candles of the file as an array (n, 6) of float64, with times in milliseconds."""
    with gzip.open(folder / file.name, "rt", newline="") as text:
        lines = list(csv.reader(text))[1 if file.header else 0 :]
    table = np.array([[float(value) for value in file.row(line)] for line in lines])
    start, end = to_ms(midnight(file.first)), to_ms(midnight(file.last + DAY))
    return table[(table[:, 0] >= start) & (table[:, 0] < end)]


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_real_candles_arrive_value_for_value_and_every_missing_minute_is_in_the_ledger(
    make_world: MakeWorld, real_data: Path, file: RealFile
) -> None:
    world = make_world(
        {"binance": [file.symbol]},
        settings={"binance": {"start": file.first, "timeframe": file.timeframe, "days_per_run": 366}},
        replay={("binance", file.symbol): real_data / file.name},
    )
    done = world.backfill("binance", file.first, file.last)
    assert not done.failed, done.messages
    assert not done.incomplete
    real = read(real_data, file)
    assert len(real) == file.candles
    assert np.array_equal(world.stored("binance", file.symbol, file.first, file.last), real)
    per_day = world.titan10.exchange("binance").timeframe.per_day
    expected = ((file.last - file.first).days + 1) * per_day
    with world.titan10.database.transaction() as cursor:
        cursor.execute('SELECT (extract(epoch FROM "time") * 1000)::bigint FROM missing_minutes')
        missing = {row[0] for row in cursor.fetchall()}
    assert len(missing) == expected - len(real)
    assert not missing & set(real[:, 0].astype(int))
