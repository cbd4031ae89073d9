"""Days from files of any size and shape. Every row is returned once. A day is whole only if the file proves it."""

from __future__ import annotations

import gzip
import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.archives import local_files
from titan10_dagster.archives.local_files import USUAL_COLUMNS, FileDay, LocalFile, belongs_to, list_files, read_days
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.errors import MalformedFile

START = 1_704_067_200  # 2024-01-01
MINUTE = TIMEFRAMES["1m"]
BTC = Market("kraken", "BTC/USD", "XXBTZUSD", "BTC", "USD", "XXBT", "ZUSD", active=True)


def text_of(seconds: list[int]) -> str:
    return "".join(f"{second},1,2,0.5,1.5,{second % 97},3\n" for second in seconds)


def days_of(path: Path) -> list[FileDay]:
    (file,) = list_files(path)
    return list(read_days(file, USUAL_COLUMNS, MINUTE))


@pytest.mark.parametrize("shape", ["csv", "csv.gz", "zip", "parquet"])
def test_every_shape_of_file_gives_the_same_days(tmp_path: Path, shape: str) -> None:
    seconds = [START + 60 * minute for minute in range(3 * 1440) if minute % 7 != 3]
    path = tmp_path / f"XBTUSD_1.{shape}"
    text = text_of(seconds)
    if shape == "csv":
        path.write_text(text)
    elif shape == "csv.gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif shape == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("XBTUSD_1.csv", text)
    else:
        frame = pd.DataFrame({"time": pd.to_datetime(seconds, unit="s"), "open": 1.0, "high": 2.0, "low": 0.5})
        frame.assign(close=1.5, volume=[float(second % 97) for second in seconds]).to_parquet(path)
    found = days_of(path)
    assert [day.day for day in found] == [date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)]
    assert sum(len(day.candles) for day in found) == len(seconds)
    assert all(day.whole for day in found)


def test_days_without_a_row_are_yielded_too(tmp_path: Path) -> None:
    path = tmp_path / "XBTUSD_1.csv"
    path.write_text(text_of([START + 60, START + 4 * 86_400 + 60]))
    assert [len(day.candles) for day in days_of(path)] == [1, 0, 0, 0, 1]
    assert [day.whole for day in days_of(path)] == [False, True, True, True, False]


@given(st.sets(st.integers(0, 4 * 1440 - 1), min_size=1, max_size=60), st.integers(30, 400))
def test_pieces_of_any_size_lose_no_row(tmp_path_factory: pytest.TempPathFactory, minutes: set[int], size: int) -> None:
    path = tmp_path_factory.mktemp("files") / "XBTUSD_1.csv"
    seconds = [START + 60 * minute for minute in sorted(minutes)]
    path.write_text(text_of(seconds))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_files, "_PIECE", size)
        found = days_of(path)
    times = np.concatenate([day.candles.times for day in found]).astype(np.int64) // 1000
    assert times.tolist() == seconds
    numbers = [day.day.toordinal() for day in found]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


def test_a_file_out_of_order_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_files, "_PIECE", 40)
    path = tmp_path / "XBTUSD_1.csv"
    path.write_text(text_of([START + 86_400 * day for day in (5, 6, 7, 1, 2)]))
    with pytest.raises(MalformedFile, match="not in order of time"):
        days_of(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("XBTUSD_1.csv", True),
        ("XXBTZUSD_1.csv", True),
        ("BTCUSD_1.csv", True),
        ("BTCUSD-1m-2024-03.csv", True),
        ("XBTUSD_5.csv", False),
        ("XBTUSDT_1.csv", False),
        ("ETHUSD_1.csv", False),
    ],
)
def test_a_name_says_which_market_a_file_holds(name: str, expected: bool) -> None:
    assert belongs_to(LocalFile(Path(name)), BTC, MINUTE) is expected


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(MalformedFile, match=r"nothing\.zip cannot be read"):
        list_files(tmp_path / "nothing.zip")
