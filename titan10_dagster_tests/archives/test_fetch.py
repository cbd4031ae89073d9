"""Candles from archive files of a real HTTP server. Each slice is correct, or is requested from the next source."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Lock

import numpy as np
import pytest
from tenacity import wait_none

from titan10_dagster.archives.cache import write_cached
from titan10_dagster.archives.download import Downloader
from titan10_dagster.archives.fetch import ArchiveReport, fetch_archive
from titan10_dagster.candles.fetched import FetchedSlice
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series, Slice, days
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.exchanges.venues.registry import all_venues
from titan10_dagster.sandbox.archives import DEFECTS
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.sandbox.venues.registry import VENUES

ARCHIVES = {name: venue.archive for name, venue in all_venues().items() if venue.archive is not None and name in VENUES}
NOW = datetime(2025, 4, 20, 12, tzinfo=UTC)
MARCH = days(date(2025, 3, 1), date(2025, 3, 31))


@dataclass
class Reading:
    """The result of reading an archive: the landed slices, the report and the warnings."""

    landed: dict[Slice, FetchedSlice] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    report: ArchiveReport | None = None

    @property
    def left(self) -> dict[Slice, str]:
        assert self.report is not None
        return dict(self.report.left)


@dataclass
class Library:
    """The archive of one exchange of the sandbox, and its readers."""

    exchange: str
    sandbox: Sandbox
    cache: Path

    @property
    def files(self):  # type: ignore[no-untyped-def]
        return self.sandbox.files[self.exchange]

    @property
    def symbol(self) -> str:
        return next(iter(self.sandbox.sites[self.exchange].series))

    def slices(self, wanted: Sequence[date], symbol: str | None = None) -> list[Slice]:
        series = Series(self.exchange, symbol or self.symbol, TIMEFRAMES["1m"])
        return [Slice(series, day) for day in wanted]

    def read(self, slices: Sequence[Slice], now: Callable[[], datetime] = lambda: NOW) -> Reading:
        reading, lock = Reading(), Lock()

        def land(fetched: FetchedSlice) -> None:
            with lock:
                reading.landed[fetched.record.slice] = fetched

        async def read() -> None:
            downloader = Downloader(self.sandbox.url(self.exchange), self.cache, wait=wait_none(), now=now)
            async with downloader:
                reading.report = await fetch_archive(
                    ARCHIVES[self.exchange],
                    slices,
                    self.markets(),
                    downloader=downloader,
                    land=land,
                    now=now,
                    warn=reading.warnings.append,
                )

        asyncio.run(read())
        return reading

    def markets(self) -> dict[str, Market]:
        found = {}
        for symbol, series in self.sandbox.sites[self.exchange].series.items():
            name = series.instrument.name
            base, quote = symbol.split("/")
            found[symbol] = Market(
                self.exchange, symbol, name.market_id, base, quote, name.base_id, name.quote_id, active=True
            )
        return found

    def truth(self, slice_: Slice) -> np.ndarray:
        return self.sandbox.truth(self.exchange, slice_.series.symbol, slice_.start, slice_.end)


def equals_truth(library: Library, fetched: FetchedSlice) -> bool:
    rows = library.truth(fetched.record.slice)
    candles = fetched.candles
    return np.array_equal(candles.times.astype(np.int64), rows[:, 0].astype(np.int64)) and np.array_equal(
        candles.values.T, rows[:, 1:]
    )


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    """All archives. All tests share them, so that their candles are computed only once."""
    with Sandbox(list(ARCHIVES), clock=NOW) as sandbox:
        yield sandbox


@pytest.fixture
def library(served: Sandbox, tmp_path: Path) -> Callable[[str], Library]:
    """A function that returns the archive of an exchange without defects and with an empty cache."""
    for files in served.files.values():
        files.clear()
        files.served.clear()
    return lambda exchange: Library(exchange, served, tmp_path / "cache")


@pytest.mark.parametrize("exchange", sorted(ARCHIVES))
def test_a_month_of_every_archive_equals_the_truth(library: Callable[[str], Library], exchange: str) -> None:
    archive = library(exchange)
    reading = archive.read(archive.slices(MARCH))
    assert reading.warnings == []
    assert sorted(reading.landed) == archive.slices(MARCH)
    for fetched in reading.landed.values():
        assert equals_truth(archive, fetched), fetched.record.slice
        assert fetched.record.files


def test_a_whole_month_takes_one_file_and_its_digest(library: Callable[[str], Library]) -> None:
    archive = library("binance")
    reading = archive.read(archive.slices(MARCH[14:]))  # an outage of the sandbox's Binance lies in the days before
    assert len(archive.files.served) == 2
    assert reading.report is not None
    assert (reading.report.files, reading.report.requests) == (1, 2)
    assert {f.record.files[0].checked_against for f in reading.landed.values()} == {"sha256 file"}


def test_a_second_reading_requests_nothing(library: Callable[[str], Library]) -> None:
    archive = library("binance")
    first = archive.read(archive.slices(MARCH))
    requests = len(archive.files.served)
    second = archive.read(archive.slices(MARCH))
    assert len(archive.files.served) == requests
    assert second.landed.keys() == first.landed.keys()
    assert all(equals_truth(archive, fetched) for fetched in second.landed.values())


def test_the_newest_days_are_left_to_the_next_source(library: Callable[[str], Library]) -> None:
    archive = library("binance")
    slices = archive.slices(days(date(2025, 4, 15), date(2025, 4, 20)))
    reading = archive.read(slices)
    assert [slice_.day.day for slice_ in sorted(reading.landed)] == [15, 16, 17, 18]
    assert [slice_.day.day for slice_ in sorted(reading.left)] == [19, 20]
    assert "not published" in reading.left[slices[-1]]


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_no_defect_of_a_monthly_file_stores_a_wrong_candle(library: Callable[[str], Library], defect: str) -> None:
    archive = library("binance")
    archive.files.defect(defect, match="monthly", times=2 if defect == "unavailable" else None)
    if defect == "replaced":
        pytest.skip("a replaced file with a fitting digest cannot be noticed from one reading: see reconciliation")
    reading = archive.read(archive.slices(MARCH))
    assert_never_wrong(archive, reading, defect)
    # The month comes from the monthly file if this file was usable, and otherwise from daily files.
    complete = {s for s in reading.landed if s not in reading.left}
    assert len(complete) == 30  # a day with an outage is requested from REST too


@pytest.mark.parametrize("exchange", sorted({"binance", "gate", "okx"} & set(ARCHIVES)))
@pytest.mark.parametrize("defect", sorted(set(DEFECTS) - {"replaced"}))
def test_no_defect_of_daily_files_stores_a_wrong_candle(
    library: Callable[[str], Library], exchange: str, defect: str
) -> None:
    archive = library(exchange)
    archive.files.defect(defect, times=2 if defect == "unavailable" else None)
    last = date(2025, 3, 10 if defect == "bomb" else 12)  # a bomb takes seconds to unpack
    reading = archive.read(archive.slices(days(date(2025, 3, 10), last)))
    assert_never_wrong(archive, reading, defect)


@pytest.mark.parametrize("exchange", sorted({"kucoin", "htx", "bitget", "upbit"} & set(ARCHIVES)))
@pytest.mark.parametrize(
    "defect", ["stale_digest", "truncated_bytes", "two_members", "html", "forbidden", "other_day", "none", "unsorted"]
)
def test_no_defect_of_other_formats_stores_a_wrong_candle(
    library: Callable[[str], Library], exchange: str, defect: str
) -> None:
    """The formats are Excel workbooks, MD5 digests, digest files without a file name, and times in seconds."""
    archive = library(exchange)
    archive.files.defect(defect)
    reading = archive.read(archive.slices(days(date(2025, 3, 10), date(2025, 3, 11))))
    assert_never_wrong(archive, reading, defect)


def test_a_day_that_a_monthly_file_lacks_comes_from_its_daily_file(library: Callable[[str], Library]) -> None:
    """The defect of issues 186 to 346 of binance-public-data."""
    archive = library("binance")
    archive.files.defect("no_day", match="monthly")
    wanted = archive.slices(MARCH[14:])  # an outage of the sandbox's Binance lies in the days before
    reading = archive.read(wanted)
    assert reading.left == {}
    assert sorted(reading.landed) == wanted
    assert all(equals_truth(archive, fetched) for fetched in reading.landed.values())
    daily = {path for path in archive.files.served if "daily" in path and path.endswith(".zip")}
    assert 1 <= len(daily) <= 2


def test_a_late_file_is_read_once_it_is_there(library: Callable[[str], Library]) -> None:
    archive = library("binance")
    (slice_,) = archive.slices([date(2025, 4, 17)])
    archive.files.defect("missing")
    assert "not published yet" in archive.read([slice_]).left[slice_]
    archive.files.clear()
    reading = archive.read([slice_])
    assert reading.left == {}
    assert equals_truth(archive, reading.landed[slice_])


@pytest.mark.parametrize("defect", ["forbidden", "unavailable", "html"])
def test_one_bad_digest_file_costs_only_its_own_file(library: Callable[[str], Library], defect: str) -> None:
    """The defect of issue 10 of binance-public-data. The month of the bad digest comes from verified daily files."""
    archive = library("binance")
    archive.files.defect(defect, match="2025-02.zip.CHECKSUM")
    wanted = archive.slices(days(date(2025, 2, 20), date(2025, 3, 31)))
    reading = archive.read(wanted)
    assert sorted(reading.landed) == wanted
    assert all(equals_truth(archive, fetched) for fetched in reading.landed.values())
    for slice_, fetched in reading.landed.items():
        monthly = any("monthly" in file.url for file in fetched.record.files)
        assert all(file.checked_against == "sha256 file" for file in fetched.record.files)
        assert not (monthly and slice_.day.month == 2)
    (warning,) = [text for text in reading.warnings if "could not be verified" in text]
    assert "2025-02.zip.CHECKSUM" in warning


def test_one_forbidden_file_costs_only_itself(library: Callable[[str], Library]) -> None:
    archive = library("binance")
    archive.files.defect("forbidden", match="1m-2025-03-20.zip")
    wanted = archive.slices(days(date(2025, 3, 18), date(2025, 3, 22)))
    refused = wanted[2]
    reading = archive.read(wanted)
    assert "refuses to serve" in reading.left[refused]
    assert set(wanted) - set(reading.landed) == {refused}


@pytest.mark.parametrize("defect", ["forbidden", "html"])
def test_an_archive_without_any_digest_file_is_left_alone(library: Callable[[str], Library], defect: str) -> None:
    """No unverified file is stored. After some failures, no more files are requested."""
    archive = library("binance")
    archive.files.defect(defect, match="CHECKSUM")
    slices = []
    for month in range(3, 13):  # a few days of each month are read from daily files, which are small
        slices += archive.slices(days(date(2024, month, 1), date(2024, month, 7)))
    reading = archive.read(slices)
    assert reading.landed == {}
    assert reading.left.keys() == set(slices)
    assert any("could not be verified" in reason for reason in reading.left.values())
    # 16 files are in progress, and 2 more files begin meanwhile. Each file has a digest file. A digest file with HTML
    # is requested twice.
    assert len(archive.files.served) <= 3 * 18  # for 70 days


@pytest.mark.parametrize("exchange", ["binance", "gate"])
@pytest.mark.parametrize("defect", ["unavailable", "html"])
def test_an_archive_that_serves_nothing_is_left_alone(
    library: Callable[[str], Library], exchange: str, defect: str
) -> None:
    archive = library(exchange)
    archive.files.defect(defect)
    slices = archive.slices(days(date(2024, 6, 1), date(2025, 3, 31)))
    reading = archive.read(slices)
    assert reading.landed == {}
    assert reading.left.keys() == set(slices)
    # Six monthly files, sixteen daily files at the same time, and one daily file after the seventh failure. Each file
    # and its digest are requested four times. Without the limit, the files of 304 days would be requested.
    assert len(archive.files.served) <= 4 * 2 * (6 + 16 + 1)


def test_a_file_that_cannot_be_read_is_downloaded_again_by_a_later_run(library: Callable[[str], Library]) -> None:
    """The page of a captive portal has the HTTP status 200, and Gate publishes no digest that would show the
    difference.
    """
    archive = library("gate")
    (slice_,) = archive.slices([date(2025, 3, 10)])
    archive.files.defect("html")
    assert slice_ in archive.read([slice_]).left
    archive.files.clear()
    reading = archive.read([slice_])
    assert slice_ in reading.landed
    assert equals_truth(archive, reading.landed[slice_])


@pytest.mark.parametrize("broken", ["1,2,3", "garbage", "{time};1;2;3;4;5"])
def test_a_line_that_is_not_a_row_is_not_a_minute_without_trades(
    library: Callable[[str], Library], broken: str
) -> None:
    """Gate's files leave out minutes without trades. A line that cannot be read is possibly a candle."""
    archive = library("gate")
    (slice_,) = archive.slices([date(2025, 3, 10)])
    (source,) = archive.read([slice_]).landed[slice_].record.files
    path = next(path for path in archive.cache.rglob("*.gz"))
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    place = next(n for n, line in enumerate(lines) if line.startswith(str(int(slice_.start.timestamp()) + 3600)))
    lines[place] = broken.format(time=int(slice_.start.timestamp()) + 3600)
    content = gzip.compress("\n".join(lines).encode())
    write_cached(path, content, replace(source, digest="sha256:" + hashlib.sha256(content).hexdigest()))
    reading = archive.read([slice_])
    assert reading.left == {slice_: "1 line of its files cannot be read, so candles are possibly lost"}
    assert not reading.landed[slice_].record.answered


def assert_never_wrong(archive: Library, reading: Reading, defect: str) -> None:
    """Check that each slice equals the truth or is left to the next source. No landed valid row may be invented."""
    for slice_, fetched in reading.landed.items():
        if slice_ in reading.left:
            assert reading.left[slice_]
        elif defect not in {
            "conflicts",
            "off_grid",
            "none",
        }:  # such rows break a rule and are quarantined
            assert equals_truth(archive, fetched), (defect, slice_)


def test_a_wrong_digest_is_downloaded_once_more_and_then_not_stored(library: Callable[[str], Library]) -> None:
    archive = library("binance")
    archive.files.defect("stale_digest")
    reading = archive.read(archive.slices([date(2025, 3, 10)]))
    assert reading.landed == {}
    assert "digest is not the published one" in reading.warnings[0]
    assert len(archive.files.served) == 4  # the file and its digest, twice


def test_a_bomb_needs_no_memory(library: Callable[[str], Library]) -> None:
    archive = library("binance")
    archive.files.defect("bomb", match="daily")
    reading = archive.read(archive.slices([date(2025, 3, 10)]))
    assert reading.landed == {}
    assert "more than" in reading.warnings[0]
    assert reading.report is not None
    assert reading.report.bytes < 4 << 20


def test_a_blocked_archive_gets_one_request(library: Callable[[str], Library]) -> None:
    archive = library("binance")
    archive.files.defect("forbidden")
    reading = archive.read(archive.slices(days(date(2025, 1, 1), date(2025, 3, 31))))
    assert reading.landed == {}
    assert len(archive.files.served) <= 2 * 6
    assert "refuses this address" in next(iter(reading.left.values()))


def test_a_late_file_and_an_absent_file_have_different_reasons(library: Callable[[str], Library]) -> None:
    archive = library("binance")
    archive.files.defect("missing")
    old, new = archive.slices([date(2025, 3, 10), date(2025, 4, 17)])
    reading = archive.read([old, new])
    assert "not in the archive" in reading.left[old]
    assert "not published yet" in reading.left[new]
    assert timedelta(days=3) > NOW - new.end
