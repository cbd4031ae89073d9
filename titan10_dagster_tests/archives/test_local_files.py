"""Days from files of any size and shape. Every row is returned once. A day is whole only if the file proves it."""

from __future__ import annotations

import gzip
import zipfile
from contextlib import suppress
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
from titan10_dagster_tests.archives.test_parsing import METHODS, struck

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


def lines_of(days: int) -> list[str]:
    return text_of([START + 60 * minute for minute in range(days * 1440)]).splitlines()


@pytest.mark.parametrize("end", ["\n", ""], ids=["ended", "unended"])
@pytest.mark.parametrize("before", ["\ufeff", "\n", "\r\n\n"], ids=["byte order mark", "empty line", "empty lines"])
@pytest.mark.parametrize("header", ["", "time,open,high,low,close,volume,trades\n"], ids=["no header", "header"])
def test_the_beginning_and_the_end_of_a_file_lose_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: str, before: str, end: str
) -> None:
    monkeypatch.setattr(local_files, "_PIECE", 5000)
    path = tmp_path / "XBTUSD_1.csv"
    path.write_text(before + header + "\n".join(lines_of(2)) + end, newline="")
    assert [(len(day.candles), day.whole) for day in days_of(path)] == [(1440, True), (1440, True)]


def test_quoted_rows_without_a_header_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_files, "_PIECE", 5000)
    path = tmp_path / "XBTUSD_1.csv"
    path.write_text("".join('"' + line.replace(",", '","') + '"\n' for line in lines_of(2)))
    assert [len(day.candles) for day in days_of(path)] == [1440, 1440]


@pytest.mark.parametrize("broken", ["garbage", "None,1,2,0.5,1.5,7,3", "1,2"])
@pytest.mark.parametrize(("place", "whole"), [(700, [False, True, True]), (1440, [False, False, True])])
def test_a_day_with_a_line_that_is_not_a_row_is_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, place: int, whole: list[bool]
) -> None:
    """A line between two days can belong to each of them."""
    monkeypatch.setattr(local_files, "_SMALL_PIECE", 500)
    lines = lines_of(3)
    lines.insert(place, broken)
    path = tmp_path / "XBTUSD_1.csv"
    path.write_text("\n".join(lines))
    found = days_of(path)
    assert [day.whole for day in found] == whole
    assert sum(day.unreadable for day in found) == 1
    assert sum(len(day.candles) for day in found) == 3 * 1440


@pytest.mark.parametrize("time", ["01/02/2024 00:00", "20240301", "1.5e5"])
def test_a_file_without_a_readable_time_is_refused(tmp_path: Path, time: str) -> None:
    path = tmp_path / "XBTUSD_1.csv"
    path.write_text(f"time,open,high,low,close,volume\n{time},1,2,0.5,1.5,7\n")
    with pytest.raises(MalformedFile, match=r"none of its rows \(1\) has a time that can be read"):
        days_of(path)


@pytest.mark.parametrize(("seconds", "name"), [(300, "5m"), (3600, "1h"), (7 * 86_400, "604800 s"), (1, "1 s")])
def test_candles_of_another_timeframe_are_refused(tmp_path: Path, seconds: int, name: str) -> None:
    path = tmp_path / "other.csv"
    path.write_text(text_of([START + seconds * number for number in range(40)]))
    with pytest.raises(MalformedFile, match=f"has {name} candles, but the timeframe in the settings is 1m"):
        days_of(path)


@pytest.mark.parametrize("minutes", [(0, 5, 15), (0, 60), (0,), (*range(0, 300, 5), 301)])
def test_candles_of_a_quiet_series_are_not_taken_for_another_timeframe(
    tmp_path: Path, minutes: tuple[int, ...]
) -> None:
    path = tmp_path / "quiet.csv"
    path.write_text(text_of([START + 60 * minute for minute in minutes]))
    assert sum(len(day.candles) for day in days_of(path)) == len(minutes)


TIMES = pd.date_range("2024-01-01", periods=1440, freq="min", unit="ns")


@pytest.mark.parametrize(
    "times",
    [
        pytest.param(TIMES.tz_localize("UTC").tz_convert("Asia/Shanghai"), id="another time zone"),
        pytest.param(TIMES.astype(str), id="texts"),
        pytest.param(TIMES.astype(str).astype("category"), id="categories"),
        pytest.param(TIMES.astype("int64"), id="nanoseconds"),
        pytest.param(TIMES.astype("int64") // 10**9, id="seconds"),
        pytest.param((TIMES.astype("int64") / 1e9).astype(float), id="seconds with a fraction"),
    ],
)
@pytest.mark.parametrize("name", ["time", "Timestamp", "Open time", "date"])
@pytest.mark.filterwarnings("error")
def test_times_of_a_parquet_file_have_any_type(tmp_path: Path, times: pd.Index, name: str) -> None:
    path = tmp_path / "XBTUSD_1.parquet"
    pd.DataFrame({name: times, "open": "1.0", "high": 2.0, "low": 0.5, "close": 1.5, "volume": 3}).to_parquet(path)
    ((day),) = days_of(path)
    assert (day.day, len(day.candles), day.whole) == (date(2024, 1, 1), 1440, True)
    assert day.candles.open[0] == 1.0


def test_dates_of_a_parquet_file_are_the_days_of_candles(tmp_path: Path) -> None:
    path = tmp_path / "days.parquet"
    dates = [day.date() for day in pd.date_range("2024-01-01", periods=3)]
    pd.DataFrame({"date": dates, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 3.0}).to_parquet(path)
    found = list(read_days(LocalFile(path), USUAL_COLUMNS, TIMEFRAMES["1d"]))
    assert [(str(day.day), len(day.candles), day.whole) for day in found] == [
        ("2024-01-01", 1, True),
        ("2024-01-02", 1, True),
        ("2024-01-03", 1, True),
    ]


@pytest.mark.parametrize("lost", [None, float("nan"), -5.0])
def test_a_row_of_a_parquet_file_without_a_time_is_counted(tmp_path: Path, lost: float | None) -> None:
    path = tmp_path / "XBTUSD_1.parquet"
    times = [lost, *(float(START + 60 * minute) for minute in range(1, 1440))]
    pd.DataFrame({"time": times, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 3.0}).to_parquet(path)
    (day,) = days_of(path)
    assert (len(day.candles), day.whole, day.unreadable) == (1439, False, 1)


def test_a_column_that_is_neither_number_nor_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "XBTUSD_1.parquet"
    frame = pd.DataFrame({"time": [START], "open": [[1.0]], "high": 2.0, "low": 0.5, "close": 1.5, "volume": 3.0})
    frame.to_parquet(path)
    with pytest.raises(MalformedFile, match=r"XBTUSD_1\.parquet: a column has the type list"):
        days_of(path)


def test_a_damaged_text_is_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress("\n".join(lines_of(3)).encode()))
    packed[len(packed) // 2 : len(packed) // 2 + 50] = b"\xff" * 50
    path = tmp_path / "XBTUSD_1.csv.gz"
    path.write_bytes(packed)
    with pytest.raises(MalformedFile, match="cannot be read"):
        days_of(path)


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "Kraken.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("XBTUSD_1.csv", "1")
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1  # the flag of encrypted files
    path.write_bytes(content)
    with pytest.raises(MalformedFile, match=r"XBTUSD_1\.csv: the file cannot be read: .*encrypted"):
        days_of(path)


def test_a_text_without_line_ends_is_not_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_files, "_LONGEST_LINE", 10_000)
    monkeypatch.setattr(local_files, "_PIECE", 5000)
    path = tmp_path / "XBTUSD_1.csv.gz"
    path.write_bytes(gzip.compress(b"1" * 1_000_000))
    with pytest.raises(MalformedFile, match="a line is longer than 10,000 bytes"):
        days_of(path)


def test_files_that_macos_adds_to_a_zip_file_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "mine.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mine.csv", "\n".join(lines_of(1)))
        archive.writestr("__MACOSX/._mine.csv", b"\x00\x05\x16\x07")
    assert [file.member for file in list_files(path)] == ["mine.csv"]


def test_a_text_in_utf_16_is_named(tmp_path: Path) -> None:
    path = tmp_path / "XBTUSD_1.csv"
    path.write_bytes("\n".join(lines_of(1)).encode("utf-16"))
    with pytest.raises(MalformedFile, match=r"the text is UTF-16: save the file as UTF-8"):
        days_of(path)


@pytest.mark.parametrize("line", ["garbage", "<html>", "17,1", '"1704067200,1,1,1,1,1,1'])
@pytest.mark.parametrize("header", ["", "\ufeff", "time,open,high,low,close,volume,trades\n"])
def test_a_part_of_a_file_may_begin_with_a_line_that_is_not_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, header: str
) -> None:
    monkeypatch.setattr("titan10_dagster.archives.local_files._SMALL_PIECE", 1)
    monkeypatch.setattr("titan10_dagster.archives.local_files._PIECE", 600)
    lines = lines_of(1)[:100]
    for place in range(1, 60, 6):
        path = tmp_path / f"XBTUSD_1_{place}.csv"
        path.write_text(header + "\n".join([*lines[:place], line, *lines[place:]]) + "\n")
        days = list(read_days(LocalFile(path), USUAL_COLUMNS, MINUTE))
        assert sum(len(day.candles) for day in days) == 100
        assert sum(day.unreadable for day in days) == 1


@pytest.mark.parametrize("method", METHODS)
def test_every_damage_of_a_zip_file_is_an_error_of_the_file(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("XBTUSD_1.csv", text_of([START]))
    for damaged in struck(path.read_bytes()):
        path.write_bytes(damaged)
        with suppress(MalformedFile):
            for file in list_files(path):
                list(read_days(file, USUAL_COLUMNS, MINUTE))


@pytest.mark.parametrize("name", ["a.zip", "XBTUSD_1.csv.gz"])
def test_no_day_of_a_compressed_file_is_used_if_its_checksum_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A changed digit is still a number. The days before the end of the file would be stored with it."""
    monkeypatch.setattr("titan10_dagster.archives.local_files._PIECE", 4096)
    path, text = tmp_path / name, "\n".join(lines_of(3)).encode()
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("XBTUSD_1.csv", text)
    else:
        path.write_bytes(gzip.compress(text, 0))
    place = path.read_bytes().index(b"1704") + 11
    path.write_bytes(path.read_bytes()[:place] + b"9" + path.read_bytes()[place + 1 :])
    (file,) = list_files(path)
    with pytest.raises(MalformedFile, match="CRC"):
        next(read_days(file, USUAL_COLUMNS, MINUTE))
