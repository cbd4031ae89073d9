"""Rows of candle files: headers, units, orders and damage."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.archives import parsing
from titan10_dagster.archives.parsing import read_rows, unpack
from titan10_dagster.errors import MalformedFile
from titan10_dagster.exchanges.archive_record import Format
from titan10_dagster.exchanges.venues.registry import venue_of

COLUMNS = ("time", "open", "high", "low", "close", "volume")
MS = 1_704_067_200_000


def zipped(*members: tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


@pytest.mark.parametrize(
    "time",
    [
        f"{MS // 1000}",
        f"{MS}",
        f"{MS}000",
        f"{MS}000000",
        f"{MS}.0",
        "2024-01-01 00:00:00 UTC",
        "2024-01-01 01:00+01:00",
    ],
)
def test_the_unit_of_times_is_read_from_their_size(time: str) -> None:
    rows, unreadable = read_rows(f"{time},1,2,0.5,1.5,10\n".encode(), COLUMNS)
    assert rows.tolist() == [[MS, 1, 2, 0.5, 1.5, 10]]
    assert unreadable == 0


def test_a_file_may_change_its_unit_between_two_rows() -> None:
    rows, unreadable = read_rows(f"{MS},1,2,0.5,1.5,10\n{MS + 60_000}000,1,2,0.5,1.5,10\n".encode(), COLUMNS)
    assert rows[:, 0].tolist() == [MS, MS + 60_000]
    assert unreadable == 0


def test_early_files_of_okx_have_the_text_none_and_confirm_nothing() -> None:
    """OKX: `vol_ccy` and `vol_quote` are None, and finished candles have confirm=0."""
    header = "instrument_name,open,high,low,close,vol,vol_ccy,vol_quote,open_time,confirm"
    text = f"{header}\nBTC-USDT,1,2,0.5,1.5,10,None,None,{MS},0\n".encode()
    rows, unreadable = read_rows(text, COLUMNS, {"volume": ("vol",), "time": ("open_time",)})
    assert rows.tolist() == [[MS, 1, 2, 0.5, 1.5, 10]]
    assert unreadable == 0


# Lines in the formats that the exchanges publish, independent of the sandbox. Each line has the candle 1, 2, 0.5, 1.5,
# 10.
BINANCE = f"1,2,0.5,1.5,10,{MS + 59_999},15,7,4,6,0"
BINANCE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume"
)


@pytest.mark.parametrize(
    ("exchange", "text"),
    [
        pytest.param("binance", f"{MS},{BINANCE}", id="binance spot without a header"),
        pytest.param("binance", f"{MS}000,{BINANCE}", id="binance spot in microseconds, from 2025 on"),
        pytest.param("binance", f"{BINANCE_HEADER},ignore\n{MS},{BINANCE}", id="binance with a header"),
        pytest.param("binanceus", f"{MS},{BINANCE}", id="binanceus"),
        pytest.param(
            "okx",
            "instrument_name,open,high,low,close,vol,vol_ccy,vol_quote,open_time,confirm\n"
            f"BTC-USDT,1,2,0.5,1.5,10,10,15,{MS},1",
            id="okx",
        ),
        pytest.param("gate", f"{MS // 1000},10,1.5,2,0.5,1", id="gate, volume first and open last"),
        pytest.param(
            "kucoin",
            f"time,open,close,high,low,volume,turnover\n{MS // 1000},1,1.5,2,0.5,10,15",
            id="kucoin",
        ),
        pytest.param("htx", f"id,open,close,high,low,vol,amount\n{MS // 1000},1,1.5,2,0.5,15,10", id="htx, old tree"),
        pytest.param("htx", f"{MS // 1000},1,1.5,2,0.5,15,10", id="htx, old tree without a header"),
        pytest.param(
            "htx",
            f"instId,open,high,low,close,vol,volCcy,volCcyQuote,ts\nBTC-USDT,1,2,0.5,1.5,10,15,15,{MS}",
            id="htx, new tree",
        ),
        pytest.param(
            "bitget",
            f"timestamp,open,high,low,close,basevolume,usdtvolume\n{MS // 1000},1,2,0.5,1.5,10,15",
            id="bitget",
        ),
        pytest.param(
            "bitget",
            f"timestamp,open,high,low,close,baseVolume,usdtVolume\n{MS // 1000},1,2,0.5,1.5,10,15",
            id="bitget, older header",
        ),
        pytest.param(
            "upbit",
            "date_time_utc,open,high,low,close,acc_trade_price,acc_trade_volume\n2024-01-01T00:00:00,1,2,0.5,1.5,15,10",
            id="upbit, quote volume first",
        ),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_a_row_of_each_generation_of_files_is_read(exchange: str, text: str, end: str, mark: str) -> None:
    archive = venue_of(exchange).archive
    assert archive is not None
    content = (mark + text.replace("\n", end) + end).encode()
    rows, unreadable = read_rows(content, archive.columns, archive.header)
    assert rows.tolist() == [[MS, 1, 2, 0.5, 1.5, 10]]
    assert unreadable == 0


def test_a_header_decides_the_order_of_columns() -> None:
    text = b"time,open,close,high,low,volume,turnover\n1704067200,1,1.5,2,0.5,10,15\n"
    rows, _ = read_rows(text, COLUMNS)
    assert rows.tolist() == [[MS, 1, 2, 0.5, 1.5, 10]]


def test_a_record_says_which_of_two_volumes_is_meant() -> None:
    text = b"id,open,close,high,low,vol,amount\n1704067200,1,1.5,2,0.5,15,10\n"
    rows, _ = read_rows(text, COLUMNS, {"volume": ("amount",)})
    assert rows[0, 5] == 10


def test_a_text_date_is_utc() -> None:
    text = b"date_time_utc,open,high,low,close,acc_trade_price,volume\n2024-01-01T00:00:00,1,2,0.5,1.5,15,10\n"
    rows, _ = read_rows(text, COLUMNS)
    assert rows[0, 0] == MS


def test_rows_come_out_by_time() -> None:
    rows, _ = read_rows(f"{MS + 60_000},1,2,1,1,1\n{MS},1,2,1,1,1\n".encode(), COLUMNS)
    assert rows[:, 0].tolist() == [MS, MS + 60_000]


@pytest.mark.parametrize("value", ["None", "", "null", "abc"])
def test_a_value_that_is_not_a_number_is_nan(value: str) -> None:
    rows, unreadable = read_rows(f"{MS},1,2,0.5,1.5,{value}\n{MS + 60_000},1,2,0.5,1.5,7\n".encode(), COLUMNS)
    assert np.isnan(rows[0, 5])
    assert rows[1, 5] == 7
    assert unreadable == 0


def test_rows_without_a_time_and_lines_that_are_not_rows_are_counted() -> None:
    rows, unreadable = read_rows(f"{MS},1,2,0.5,1.5,7\nNone,1,2,0.5,1.5,7\n17040\n".encode(), COLUMNS)
    assert len(rows) == 1
    assert unreadable == 2


def test_numbers_of_37_digits_are_the_nearest_doubles() -> None:
    text = "28.9204701984171414886889489503784944634"
    rows, _ = read_rows(f"{MS},1,2,0.5,1.5,{text}\n".encode(), COLUMNS)
    assert rows[0, 5] == float(text)


@given(st.lists(st.floats(1e-9, 1e12), min_size=5, max_size=5), st.integers(0, 10_000))
def test_every_double_survives(values: list[float], minute: int) -> None:
    time = MS + minute * 60_000
    rows, _ = read_rows(f"{time},{','.join(map(repr, values))}\n".encode(), COLUMNS)
    assert rows.tolist() == [[time, *values]]


def test_nanoseconds_of_any_minute_are_exact() -> None:
    times = [MS + 60_000 * minute for minute in range(1440)]
    text = "".join(f"{time}000000,1,2,0.5,1.5,7\n" for time in times)
    assert read_rows(text.encode(), COLUMNS)[0][:, 0].tolist() == times


@pytest.mark.parametrize("text", [b"", b"\n", b"time,open,high,low,close,volume\n", b"time,open,high,low,close,volume"])
def test_an_empty_text_has_no_rows(text: bytes) -> None:
    rows, unreadable = read_rows(text, COLUMNS)
    assert rows.shape == (0, 6)
    assert unreadable == 0


@pytest.mark.parametrize("time", ["20240301", "7", "45292.0"])
def test_a_date_or_a_row_number_is_not_a_time(time: str) -> None:
    rows, unreadable = read_rows(f"{time},1,2,0.5,1.5,7\n".encode(), COLUMNS)
    assert len(rows) == 0
    assert unreadable == 1


def test_row_numbers_beside_the_dates_are_not_the_times() -> None:
    text = b"id,date,open,high,low,close,volume\n0,2024-01-01 00:00:00,1,2,0.5,1.5,7\n"
    assert read_rows(text, COLUMNS)[0][0, 0] == MS


def test_names_with_spaces_and_capitals_are_known() -> None:
    text = f"Open time,Open,High,Low,Close,Volume\n{MS},1,2,0.5,1.5,10\n".encode()
    assert read_rows(text, COLUMNS)[0].tolist() == [[MS, 1, 2, 0.5, 1.5, 10]]


def test_empty_lines_before_the_first_row_lose_nothing() -> None:
    assert len(read_rows(f"\r\n\n{MS},1,2,0.5,1.5,10\r\n".encode(), COLUMNS)[0]) == 1


@pytest.mark.parametrize("text", [b"1" * 200_000, f"{MS},1,2,0.5,1.5,10\r{MS + 60_000},1,2,0.5,1.5,10\r".encode()])
def test_a_text_that_is_not_csv_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedFile, match="not a line of a CSV file"):
        read_rows(text, COLUMNS)


@pytest.mark.parametrize("header", ["", "time;open;high;low;close;volume\n"])
def test_another_separator_is_named(header: str) -> None:
    with pytest.raises(MalformedFile, match="separated by semicolons"):
        read_rows(f"{header}{MS};1,5;2,5;0,5;1,5;10\n".encode(), COLUMNS)


def test_a_header_without_a_volume_is_refused() -> None:
    with pytest.raises(MalformedFile, match="no column for volume"):
        read_rows(b"time,open,high,low,close\n1,1,1,1,1\n", COLUMNS)


@pytest.mark.parametrize(
    ("format_", "content", "reason"),
    [
        (Format.ZIP_CSV, b"<!DOCTYPE html>", "not a usable zip"),
        (Format.ZIP_CSV, zipped(("a.csv", b"1"), ("b.csv", b"2")), "instead of one .csv file"),
        (Format.ZIP_CSV, zipped(("a.exe", b"1")), "instead of one .csv file"),
        (Format.ZIP_CSV, zipped(("a.csv", b"1" * 1000))[:60], "not a usable zip"),
        (Format.GZIP_CSV, b"not gzip", "not a usable gzip"),
        (Format.GZIP_CSV, gzip.compress(b"1,2,3" * 100)[:-20], "ends too early"),
        (Format.ZIP_XLSX, zipped(("a.xlsx", b"not a workbook")), "not a usable workbook"),
    ],
    # A packed file contains the time, so parallel test processes would give the test case different names.
    ids=["html", "two members", "an exe", "half a zip", "no gzip", "half a gzip", "no workbook"],
)
def test_a_damaged_file_is_refused(format_: Format, content: bytes, reason: str) -> None:
    with pytest.raises(MalformedFile, match=reason):
        unpack(content, format_)


def test_what_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "MOST_UNPACKED", 1000)
    for format_, content in (
        (Format.ZIP_CSV, zipped(("a.csv", b"1" * 2000))),
        (Format.GZIP_CSV, gzip.compress(b"1" * 2000)),
    ):
        with pytest.raises(MalformedFile, match="more than 1,000"):
            unpack(content, format_)


@pytest.mark.parametrize(
    "line", [b"\xff\xfe,garbage", b"1704067260000;1;2;0.5;1.5;\xe9", b"\xe9,1,2,0.5,1.5,10", b"\x00"]
)
def test_a_line_that_is_not_utf_8_does_not_spoil_the_other_lines(line: bytes) -> None:
    row = f"{MS},1,2,0.5,1.5,10".encode()
    rows, unreadable = read_rows(b"\n".join((row, line, row)), COLUMNS)
    assert rows.tolist() == [[MS, 1, 2, 0.5, 1.5, 10]] * 2
    assert unreadable == 1


def test_a_text_column_may_have_another_encoding() -> None:
    """The headers of OKX's files have Chinese names in GBK."""
    header = "instrument_name/币对名称,open,high,low,close,vol,open_time".encode("gbk")
    text = header + f"\n{'币'.encode('gbk').hex()},1,2,0.5,1.5,10,{MS}\n".encode()
    rows, unreadable = read_rows(text, COLUMNS, {"time": ("open_time",)})
    assert (rows.tolist(), unreadable) == ([[MS, 1, 2, 0.5, 1.5, 10]], 0)


@pytest.mark.parametrize(
    "line",
    [
        b"None,1,2,0.5,1.5,10",
        b"-1,1,2,0.5,1.5,10",
        b",1,2,0.5,1.5,10",
        b"null,1,2,0.5,1.5,null",
        f"{MS},1,2".encode(),
        f"{MS},1,2,0.5,1.5,10,11,12".encode(),
        f'"{MS},1,2,0.5,1.5,10'.encode(),
        f'{MS},1,2,0.5,"1.5,10'.encode(),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_broken_row_does_not_spoil_the_other_rows_wherever_it_is(line: bytes, place: int) -> None:
    lines = [f"{MS + 60_000 * minute},1,2,0.5,1.5,10".encode() for minute in range(3)]
    lines.insert(place, line)
    rows, unreadable = read_rows(b"\n".join(lines), COLUMNS)
    assert rows[:, 0].tolist() == [MS, MS + 60_000, MS + 120_000]
    assert unreadable == 1


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def struck(content: bytes) -> Iterator[bytes]:
    """Yield copies of the content. In each copy, one byte has another value."""
    for place in range(len(content)):
        for value in (0, 0x0E, 0xFF):
            yield content[:place] + bytes([value]) + content[place + 1 :]


@pytest.mark.parametrize("method", METHODS)
def test_every_damage_of_a_zip_file_is_an_error_of_the_file(method: int) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("a.csv", f"{MS},1,2,0.5,1.5,10\n")
    for damaged in struck(packed.getvalue()):
        with suppress(MalformedFile):
            unpack(damaged, Format.ZIP_CSV)


@pytest.mark.parametrize("part", ["xl/workbook.xml", "xl/worksheets/sheet1.xml"])
def test_every_damage_of_a_workbook_is_an_error_of_the_file(part: str) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book, saved = openpyxl.Workbook(), io.BytesIO()
    book.active.append([MS, 1, 2, 0.5, 1.5, 10])
    book.save(saved)
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for damaged in islice(struck(members[part]), 0, None, 7):
        workbook = zipped(*{**members, part: damaged}.items())
        with suppress(MalformedFile):
            unpack(zipped(("a.xlsx", workbook)), Format.ZIP_XLSX)
