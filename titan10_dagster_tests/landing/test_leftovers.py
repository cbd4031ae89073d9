from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from titan10_dagster.landing.leftovers import Kind, files, folders, remove_if_empty

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def day(tmp_path: Path) -> Path:
    folder = tmp_path / "binance" / "1m" / "2024-03-01"
    folder.mkdir(parents=True)
    return folder


def test_files_are_sorted_into_kinds_by_their_names(day: Path) -> None:
    names = {
        "BTC-USDT.parquet": Kind.LANDED,
        "BTC-USDT.20240301T020000123456Z.0A1B2C3D.parquet.old": Kind.SUPERSEDED,
        "BTC-USDT.20240301T020000123456Z.parquet.old": Kind.SUPERSEDED,
        "BTC-USDT.parquet.0A1B2C3D.corrupt": Kind.UNREADABLE,
        "BTC-USDT.parquet.corrupt": Kind.UNREADABLE,
        ".0badcafe0badcafe.tmp": Kind.TEMPORARY,
        ".BTC-USDT.parquet.0badcafe.tmp": Kind.TEMPORARY,
    }
    for name in names:
        (day / name).write_bytes(b"12345")
    (day / "notes.txt").touch()
    (day / "folder.parquet").mkdir()
    found = list(files(day))
    assert {file.path.name: file.kind for file in found} == names
    assert {file.bytes for file in found} == {5}


def test_folders_of_days_come_in_order(day: Path) -> None:
    later = day.with_name("2024-03-02")
    later.mkdir()
    (day.parent / "a file").touch()
    assert list(folders(day.parents[2])) == [day, later]


def test_a_file_that_was_replaced_since_it_was_listed_is_not_removed(day: Path) -> None:
    path = day / "BTC-USDT.parquet"
    path.touch()
    (listed,) = files(day)
    os.utime(path, (1, 1))
    listed.remove()
    assert path.exists()
    (listed,) = files(day)
    listed.remove()
    listed.remove()
    assert not path.exists()


@pytest.mark.parametrize(("age", "is_removed"), [(timedelta(hours=23), False), (timedelta(hours=25), True)])
def test_an_empty_folder_is_removed_after_a_day(day: Path, age: timedelta, is_removed: bool) -> None:
    then = (NOW - age).timestamp()
    os.utime(day, (then, then))
    remove_if_empty(day, NOW)
    assert day.exists() is not is_removed


def test_a_folder_with_a_file_stays(day: Path) -> None:
    (day / "BTC-USDT.parquet").touch()
    os.utime(day, (1, 1))
    remove_if_empty(day, NOW)
    assert day.exists()
