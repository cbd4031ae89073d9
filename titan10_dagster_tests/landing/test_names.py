from __future__ import annotations

import pytest

from titan10_dagster.candles.slices import Series
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.landing.names import (
    digest,
    file_name,
    files_of,
    former_file_name,
    is_plain,
    superseded_name,
    unreadable_name,
)
from titan10_dagster_tests.landing.test_zone import AT


def series(symbol: str) -> Series:
    return Series("kraken", symbol, Timeframe.parse("1m"))


@pytest.mark.parametrize("symbol", ["BTC/USDT", "1000SATS/USDT", "BTC/USDT:USDT-240628", "币安人生/USDT"])
def test_usual_symbols_keep_their_names(symbol: str) -> None:
    assert is_plain(symbol)
    assert "~" not in file_name(series(symbol))
    assert former_file_name(series(symbol)) is None


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("AAPLx/USD", "AAPLx-USD~00000000.parquet"),
        ("É/USDT", "É-USDT~00000000.parquet"),
        ("A~B/C", "A%7EB-C.parquet"),
    ],
)
def test_other_symbols_get_a_digest(symbol: str, name: str) -> None:
    expected = name.replace("00000000", digest(symbol.encode()))
    assert file_name(series(symbol)) == expected


def test_the_longest_name_of_evidence_fits_file_systems() -> None:
    name = file_name(series("x" * 200))
    assert len(superseded_name(name, AT, b"").encode()) <= 255
    assert len(unreadable_name(name, b"").encode()) <= 255


def test_evidence_is_named_by_its_content() -> None:
    assert superseded_name("A-B.parquet", AT, b"1") != superseded_name("A-B.parquet", AT, b"2")
    assert unreadable_name("A-B.parquet", b"1") != unreadable_name("A-B.parquet", b"2")


@pytest.mark.parametrize(
    ("name", "is_of"),
    [
        ("A-B.parquet", True),
        ("A-B.20240301T020000123456Z.1234ABCD.parquet.old", True),
        ("A-B.20240301T020000123456Z.parquet.old", True),
        ("A-B.parquet.1234ABCD.corrupt", True),
        ("A-B.parquet.corrupt", True),
        ("A-B.E.parquet", False),
        ("A-B.E.20240301T020000123456Z.1234ABCD.parquet.old", False),
        ("A-Bx.parquet", False),
        ("XA-B.parquet", False),
        ("AxB.parquet", False),
        ("A-B.txt", False),
    ],
)
def test_the_files_of_a_symbol_are_known_by_their_whole_names(name: str, is_of: bool) -> None:
    assert bool(files_of("A-B").fullmatch(name)) is is_of
