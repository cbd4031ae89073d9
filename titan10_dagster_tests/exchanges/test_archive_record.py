"""Every archive that a venue declares can be downloaded and parsed by its declaration."""

from __future__ import annotations

from datetime import date, timedelta
from string import Formatter

import pytest

from titan10_dagster.exchanges.archive_record import Archive, Cadence, Format, Tree
from titan10_dagster.exchanges.venues.registry import all_venues

ARCHIVES = {name: venue.archive for name, venue in all_venues().items() if venue.archive is not None}
NAMES = {"time", "open", "high", "low", "close", "volume"}
SUFFIXES = {Format.ZIP_CSV: ".zip", Format.GZIP_CSV: ".csv.gz", Format.ZIP_XLSX: ".zip"}


def path_of(tree: Tree, label: date, symbol: str = "BTCUSDT") -> str:
    return tree.path.format(symbol=symbol, timeframe=tree.timeframes["1m"], label=label)


@pytest.mark.parametrize("archive", ARCHIVES.values(), ids=list(ARCHIVES))
def test_each_file_has_a_path_of_its_own(archive: Archive) -> None:
    for tree in archive.trees:
        step = timedelta(days=1 if tree.cadence is Cadence.DAILY else 31)
        labels = [date(2024, 1, 31) + n * step for n in range(4)]
        paths = {path_of(tree, label, symbol) for label in labels for symbol in ("BTCUSDT", "ETHUSDT")}
        assert len(paths) == 8
        for path in paths:
            assert path.endswith(SUFFIXES[archive.format])
            assert not path.startswith("/")


@pytest.mark.parametrize("archive", ARCHIVES.values(), ids=list(ARCHIVES))
def test_a_published_digest_lies_beside_its_file(archive: Archive) -> None:
    for tree in archive.trees:
        if tree.digest is None:
            continue
        assert {name for _, name, _, _ in Formatter().parse(tree.digest) if name} <= {"path", "stem"}
        path = path_of(tree, date(2024, 1, 31))
        digest = tree.digest.format(path=path, stem=path.rpartition(".")[0])
        assert digest != path
        assert digest.rpartition("/")[0] == path.rpartition("/")[0]


@pytest.mark.parametrize("archive", ARCHIVES.values(), ids=list(ARCHIVES))
def test_columns_and_headers_name_each_value_of_a_candle_once(archive: Archive) -> None:
    named = [column for column in archive.columns if column]
    assert sorted(named) == sorted(NAMES)
    assert set(archive.header) <= NAMES
    spellings = [spelling for name in archive.header for spelling in archive.header[name]]
    assert len(spellings) == len(set(spellings))
    assert all(spelling == spelling.lower() for spelling in spellings)


@pytest.mark.parametrize("archive", ARCHIVES.values(), ids=list(ARCHIVES))
def test_each_cadence_has_a_time_after_which_a_file_is_missing_for_good(archive: Archive) -> None:
    assert {tree.cadence for tree in archive.trees} <= set(archive.missing_for_good_after)
    assert all(day >= archive.first_day for day in archive.daily_preferred)
    assert archive.base_url.startswith("https://")
    assert archive.source
