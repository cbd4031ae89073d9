from __future__ import annotations

import gzip
import json
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from titan10_dagster.sandbox.replay import Replay, UnreadableReplay
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster_tests.sandbox.clients import DAY_MS, MINUTE_MS, Run, spot_only

START = 1_700_000_040_000
ROWS = np.array(
    [
        [START, 0.00141342, 0.00141557, 0.00141266, 0.00141418, 1482.0],
        [START + MINUTE_MS, 0.0000000041, 0.0000000043, 0.0000000041, 0.0000000042, 522.25],
        [START + 7 * MINUTE_MS, 16535.97, 16536.0, 16522.66, 16522.66, 0.01429883],
    ]
)
COLUMNS = ["open_time", "open", "high", "low", "close", "volume"]


def frame() -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=COLUMNS)


def iso(table: pd.DataFrame, name: str) -> pd.DataFrame:
    times = pd.to_datetime(table["open_time"], unit="ms", utc=True).astype(str)
    return table.assign(open_time=times).rename(columns={"open_time": name})


def written(folder: Path, form: str) -> Path:
    table = frame()
    path = folder / f"candles{'.parquet' if form == 'parquet' else '.csv'}"
    if form == "iso dates":
        iso(table, "date").to_csv(path, index=False)
    elif form == "other order":
        iso(table, "timestamp")[["volume", "close", "timestamp", "low", "open", "high"]].to_csv(path, index=False)
    elif form == "kraken archive":
        table.assign(open_time=table["open_time"].astype(int) // 1_000, trades=3).to_csv(
            path, index=False, header=False
        )
    elif form == "epoch microseconds":
        table.assign(open_time=table["open_time"].astype(int) * 1_000).to_csv(path, index=False)
    elif form == "gzip":
        path = folder / "candles.csv.gz"
        path.write_bytes(gzip.compress(iso(table, "Time").to_csv(index=False).encode()))
    else:
        table.assign(open_time=pd.to_datetime(table["open_time"], unit="ms", utc=True)).to_parquet(path)
    return path


FORMS = ["iso dates", "other order", "kraken archive", "epoch microseconds", "gzip", "parquet"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_file_gives_the_same_candles(form: str, tmp_path: Path) -> None:
    replay = Replay(written(tmp_path, form))
    assert replay.seconds == 60
    np.testing.assert_array_equal(np.column_stack([replay.times, replay.values]), ROWS)


def test_a_file_without_times_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "candles.csv"
    frame().drop(columns="open_time").to_csv(path, index=False)
    with pytest.raises(UnreadableReplay, match="no column of times"):
        Replay(path)


def test_a_file_without_volumes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "candles.csv"
    frame().drop(columns="volume").to_csv(path, index=False)
    with pytest.raises(UnreadableReplay, match="no column volume"):
        Replay(path)


def fetched(run: Run[Any], sandbox: Sandbox, exchange: str, symbol: str, *args: Any) -> np.ndarray:
    async def rows() -> list[list[float]]:
        async with spot_only(sandbox.url(exchange), exchange) as client:
            found: list[list[float]] = await client.fetch_ohlcv(symbol, *args)
            return found

    return np.array(run(rows())).reshape(-1, 6)


@pytest.mark.parametrize("exchange", ["binance", "okx"])
def test_ccxt_reads_the_files_values_and_nothing_else(exchange: str, run: Run[Any], tmp_path: Path) -> None:
    path = written(tmp_path, "parquet")
    with Sandbox([exchange], replay={(exchange, "XRP/ETH"): path}) as sandbox:
        found = fetched(run, sandbox, exchange, "XRP/ETH", "1m", START, 300)
        np.testing.assert_array_equal(found, ROWS)
        np.testing.assert_array_equal(sandbox.truth(exchange, "XRP/ETH", START, START + DAY_MS), ROWS)


def test_replayed_minutes_are_aggregated(run: Run[Any], tmp_path: Path) -> None:
    path = written(tmp_path, "gzip")
    with Sandbox(["binance"], replay={("binance", "XRP/ETH"): path}) as sandbox:
        found = fetched(run, sandbox, "binance", "XRP/ETH", "1h", START // 3_600_000 * 3_600_000, 10)
    assert found.tolist() == [
        [START // 3_600_000 * 3_600_000, 0.00141342, 16536.0, 0.0000000041, 16522.66, 2004.26429883]
    ]


def test_replay_of_an_exchange_that_is_not_served_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose one of binance"):
        Sandbox(["binance"], replay={("okx", "XRP/ETH"): tmp_path / "none.csv"})


REAL = {
    "binance_XRP-ETH_1m_2019-10.csv.gz": ("binance", "XRP/ETH", "2019-10-11", 2_469),
    "binanceus_BTC-USDT_1m_2023-03.csv.gz": ("binance", "BTC/USDT", "2023-03-01", 30_240),
}


@pytest.mark.parametrize("name", REAL)
def test_real_candles_are_served_value_for_value(name: str, run: Run[Any], real_data: Path) -> None:
    exchange, symbol, first, rows = REAL[name]
    table = pd.read_csv(real_data / name, dtype=str)
    times = pd.to_datetime(table.iloc[:, 0], utc=True).dt.tz_localize(None).to_numpy().astype("datetime64[ms]")
    wanted = np.column_stack([times.astype(np.int64), table.iloc[:, 1:6].to_numpy(np.float64)])
    start = int(pd.Timestamp(first, tz="UTC").timestamp() * 1_000)
    with Sandbox([exchange], enforce_limits=False, replay={(exchange, symbol): real_data / name}) as sandbox:
        np.testing.assert_array_equal(sandbox.truth(exchange, symbol, start, start + 30 * DAY_MS), wanted)
        found = fetched(run, sandbox, exchange, symbol, "1m", start, 1_000)
    assert len(wanted) == rows
    np.testing.assert_array_equal(found, wanted[:1_000])


def test_krakens_archive_is_served_as_kraken(run: Run[Any], real_data: Path) -> None:
    path = real_data / "kraken_BTC-USDC_1m_2023.csv.gz"
    wanted = pd.read_csv(path, header=None, dtype=str).iloc[:, :6].to_numpy(np.float64)
    wanted[:, 0] *= 1_000
    with Sandbox(["kraken"], replay={("kraken", "BTC/USDC"): path}) as sandbox:
        found = fetched(run, sandbox, "kraken", "BTC/USDC", "1m", int(wanted[0, 0]), 1_000)
    np.testing.assert_array_equal(found, wanted[-720:])


def test_daily_candles_are_served_as_days_and_never_as_minutes(real_data: Path) -> None:
    path = real_data / "bitstamp-coinbase_BTC-USD_1d_2011-2025.csv.gz"
    day = int(pd.Timestamp("2011-08-18", tz="UTC").timestamp() * 1_000)
    with Sandbox(["coinbase"], replay={("coinbase", "BTC/USD"): path}) as sandbox:
        url = sandbox.url("coinbase") + "/api/v3/brokerage/market/products/BTC-USD/candles"
        span = f"start={day // 1_000}&end={day // 1_000 + 2 * 86_400}"
        with urllib.request.urlopen(f"{url}?granularity=ONE_DAY&{span}") as answer:
            days = json.load(answer)["candles"]
        with urllib.request.urlopen(
            f"{url}?granularity=ONE_MINUTE&start={day // 1_000}&end={day // 1_000 + 60}"
        ) as answer:
            minutes = json.load(answer)["candles"]
    assert minutes == []
    assert [(row["open"], row["close"], row["high"]) for row in days] == [
        ("10.9", "11.69", "11.85"),
        ("10.9", "10.9", "10.9"),
    ]
