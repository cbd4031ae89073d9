"""Fetch slices from the candle files of an archive.

The files of one series and month are read together (`catalog.Unit`). If many days of the month are needed, the monthly
file is read first. Then a day's daily files are read only in two cases: the day is incomplete in the monthly file, or
the monthly file is known to have wrong candles on this day. When all files are read, the slices are written to the
landing zone.

A correct digest does not prove that the candles are right (binance-public-data issue 39), so each slice is checked for
missing candles. A row that breaks a candle rule does not count as a candle. If the exchange publishes a candle for
every minute, a complete slice has no missing minute. If the exchange leaves out minutes without trades, a slice counts
as complete if all lines of its files are rows, no row breaks a rule, and no silence (a run of minutes without candles)
is suspiciously long (see `_suspicious_silence`). An incomplete slice is also requested from the next source. The
candles that were found are still written to the landing zone.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import numpy as np

from titan10_dagster.archives.catalog import (
    ArchiveFile,
    Unit,
    candidates,
    labels_of,
    monthly_labels,
    plan_units,
    uncovered,
)
from titan10_dagster.archives.download import Download, Downloader, FileAbsent, Unverified
from titan10_dagster.archives.parsing import ParsedFile, parse_file
from titan10_dagster.archives.standing import ArchiveBlocked
from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import FetchedSlice, FetchRecord, Source
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.rules import judge
from titan10_dagster.candles.slices import Slice, to_datetime64
from titan10_dagster.candles.source_files import SourceFile
from titan10_dagster.errors import ArchiveError, MalformedFile
from titan10_dagster.exchanges.archive_record import Archive, Cadence
from titan10_dagster.plurals import counted

_UNITS_AT_ONCE = 6  # this many units (months of a series) are read at the same time; each takes 5 MB of memory
_HOUR = timedelta(hours=1)
_LONG_SILENCE = timedelta(minutes=30)
_LEAST_UNTRADED = 0.01  # the share of minutes without a trade is assumed to be at least this large
_IMPROBABLE = -20.0  # the natural logarithm of the probability 2e-9; a silence that is less probable is suspicious


@dataclass(frozen=True)
class ArchiveReport:
    """The result of reading an archive.

    landed: the number of slices that were passed on to the landing zone.
    files: the number of usable files. `cached`: the number of those files that came from the cache.
    left: the slices to request from the next source, each with the reason. If the archive has some candles of such a
        slice, the slice was passed on to the landing zone too.
    """

    landed: int
    candles: int
    files: int
    cached: int
    requests: int
    bytes: int
    seconds: float
    left: Mapping[Slice, str]


@dataclass(frozen=True, eq=False)
class _Part:
    """The parsed rows of a file, and the origin of the file. `daily`: whether the file is a daily file."""

    parsed: ParsedFile
    source: SourceFile
    daily: bool


@dataclass
class _Progress:
    landed: int = 0
    candles: int = 0
    files: int = 0
    cached: int = 0
    left: dict[Slice, str] = field(default_factory=dict)
    # Only one unit at a time passes on its slices. More threads would not be faster, because Python runs the code of
    # one thread at a time.
    landing: asyncio.Lock = field(default_factory=asyncio.Lock)


async def fetch_archive(
    archive: Archive,
    slices: Iterable[Slice],
    markets: Mapping[str, Market],
    *,
    downloader: Downloader,
    land: Callable[[FetchedSlice], None],
    now: Callable[[], datetime],
    warn: Callable[[str], object],
    beside: Iterable[Slice] = (),
) -> ArchiveReport:
    """Fetch the slices that the archive has, and pass each slice to `land`.

    Errors of the archive are not raised. Slices that the archive did not deliver completely are in
    `ArchiveReport.left`. Errors of `land` are raised.

    `land`: a function that stores a fetched slice. It is called from several threads, but by one thread at a time.
    `warn`: a function that is called with a sentence for each file that could not be downloaded, verified or read.
        Files that do not exist are not reported.
    `beside`: more slices, which are not read now; see `plan_units`.
    """
    began, progress = time.monotonic(), _Progress()
    units, unserved = plan_units(archive, slices, markets, now(), beside)
    progress.left.update(unserved)
    places = asyncio.Semaphore(_UNITS_AT_ONCE)

    async def read(unit: Unit) -> None:
        async with places:
            await _UnitRead(archive, unit, downloader, land, warn, progress, now).run()

    async with asyncio.TaskGroup() as group:
        for unit in units:
            group.create_task(read(unit))
    traffic = downloader.traffic
    return ArchiveReport(
        landed=progress.landed,
        candles=progress.candles,
        files=progress.files,
        cached=progress.cached,
        requests=traffic.files + traffic.digests + traffic.absent + traffic.retries,
        bytes=traffic.bytes,
        seconds=time.monotonic() - began,
        left=progress.left,
    )


@dataclass
class _UnitRead:
    """The state of reading one unit.

    parts: the files that were read so far.
    complete: the slices that need no daily files, each with its files and candles.
    reasons: for each label, why a file with this label could not be used.
    """

    archive: Archive
    unit: Unit
    downloader: Downloader
    land: Callable[[FetchedSlice], None]
    warn: Callable[[str], object]
    progress: _Progress
    now: Callable[[], datetime]
    parts: list[_Part] = field(default_factory=list)
    complete: dict[Slice, tuple[list[_Part], Candles]] = field(default_factory=dict)
    reasons: dict[date, str] = field(default_factory=dict)

    async def run(self) -> None:
        """Read the files, then pass the slices on to `land`."""
        began = time.monotonic()
        months = monthly_labels(self.archive, self.unit)
        await asyncio.gather(*(self._read(label, Cadence.MONTHLY) for label in months))
        await self._read_days(self._days_to_read())
        seconds = time.monotonic() - began
        async with self.progress.landing:
            await asyncio.to_thread(self._land_all, seconds)

    def _days_to_read(self) -> list[Slice]:
        """Return the slices that need daily files, and store the candles of the other slices in `complete`."""
        covered = set(self.unit.slices) - set(uncovered(self.unit.slices, self._windows()))
        wanted = []
        for slice_ in self.unit.slices:
            parts = self._parts_of(slice_)
            candles = _candles(slice_, parts)
            known_worse = slice_.day in self.unit.daily_days
            if known_worse or slice_ not in covered or self._what_is_missing(slice_, candles):
                wanted.append(slice_)
            else:
                self.complete[slice_] = parts, candles
        return wanted

    async def _read_days(self, slices: Sequence[Slice]) -> None:
        labels: set[date] = set()
        for slice_ in slices:
            labels.update(labels_of(slice_.day, self.archive.label_offset))
        await asyncio.gather(*(self._read(label, Cadence.DAILY) for label in sorted(labels)))

    async def _read(self, label: date, cadence: Cadence) -> None:
        """Read the first usable file with this label. An archive can have the file in several trees (folders)."""
        standing = self.downloader.standing
        for file in candidates(self.archive, self.unit.series, self.unit.market, label, cadence):
            try:
                download, parsed = await self._parsed(file)
            except FileAbsent:
                standing.usable()
                state = "not published yet" if file.may_still_appear(self.now()) else "not in the archive"
                self.reasons[label] = f"{file} is {state}"
            except ArchiveBlocked as error:
                self.reasons[label] = str(error)
                return
            except ArchiveError as error:
                # `Unverified` is not counted here. If the digest file is unusable, `Downloader` has already counted the
                # failure. If the digest does not match, only this file is wrong.
                if not isinstance(error, Unverified):
                    standing.failed(error)
                self.reasons[label] = f"{file}: {error}"
                self.warn(f"{self.unit.series}: {file} is not used. {error}")
            else:
                standing.usable()
                self.progress.files += 1
                self.progress.cached += download.cached
                # Usually the date in the name of a file determines which hours the file covers. But the rows can show
                # that the file covers other hours, so the start and the end come from the parsed file.
                source = replace(download.source, start=parsed.start, end=parsed.end)
                self.parts.append(_Part(parsed, source, cadence is Cadence.DAILY))
                return

    async def _parsed(self, file: ArchiveFile) -> tuple[Download, ParsedFile]:
        """Return the file and its rows. A file with unreadable content is removed from the cache."""
        download = await self.downloader.fetch(file)
        try:
            return download, await asyncio.to_thread(parse_file, file, download.content)
        except MalformedFile:
            # The archive possibly replaces the damaged file later. Then a later run must not read the old file from the
            # cache.
            await asyncio.to_thread(self.downloader.forget, download.source.url)
            raise

    def _windows(self) -> list[tuple[datetime, datetime]]:
        return [(part.parsed.start, part.parsed.end) for part in self.parts]

    def _parts_of(self, slice_: Slice) -> list[_Part]:
        """Return the files that contain candles of the slice, or of a part of the slice, according to their time range.

        If the daily files cover the whole slice, only the daily files are returned.
        """
        touching = [part for part in self.parts if part.parsed.start < slice_.end and part.parsed.end > slice_.start]
        daily = [part for part in touching if part.daily]
        windows = [(part.parsed.start, part.parsed.end) for part in daily]
        return daily if daily and not uncovered([slice_], windows) else touching

    def _what_is_missing(self, slice_: Slice, candles: Candles) -> str | None:
        """Return the reason why the slice is incomplete; None if the slice is complete."""
        if uncovered([slice_], self._windows()):
            labels = labels_of(slice_.day, self.archive.label_offset)
            known = [self.reasons[label] for label in labels if label in self.reasons]
            return "; ".join(known) or "no file of the archive covers the day"
        verdict = judge(candles, slice_, self.now())
        missing = _missing(slice_, verdict.valid)
        if not missing:
            return None
        if len(verdict.broken):
            return f"{missing} of {slice_.expected} candles are absent or break a rule in its files"
        if not self.archive.sparse:
            return f"{missing} of {slice_.expected} candles are not in its files"
        unreadable = sum(part.parsed.unreadable for part in self._parts_of(slice_))
        if unreadable:
            return f"{counted(unreadable, 'line')} of its files cannot be read, so candles are possibly lost"
        return _suspicious_silence(slice_, candles)

    def _land_all(self, seconds: float) -> None:
        attributed: set[str] = set()
        for slice_ in self.unit.slices:
            missing = None
            if slice_ in self.complete:
                parts, candles = self.complete[slice_]
            else:
                parts = self._parts_of(slice_)
                candles = _candles(slice_, parts)
                missing = self._what_is_missing(slice_, candles)
            if missing is not None:
                self.progress.left[slice_] = missing
            if not len(candles) and missing is not None:
                continue
            files = tuple(part.source for part in parts)
            requests = sum(file.url not in attributed for file in files)
            attributed |= {file.url for file in files}
            self.land(self._fetched(slice_, candles, files, missing, requests, seconds / len(self.unit.slices)))
            self.progress.landed += 1
            self.progress.candles += len(candles)

    def _fetched(
        self,
        slice_: Slice,
        candles: Candles,
        files: tuple[SourceFile, ...],
        missing: str | None,
        requests: int,
        seconds: float,
    ) -> FetchedSlice:
        record = FetchRecord(
            slice=slice_,
            fetched_at=max(file.read_at for file in files),
            source=Source.ARCHIVE,
            requests=requests,
            retries=0,
            seconds=seconds,
            answered=missing is None,
            horizon=None,
            listed=self.unit.market.listed,
            note=missing,
            files=files,
        )
        return FetchedSlice(record, candles)


def _candles(slice_: Slice, parts: Sequence[_Part]) -> Candles:
    """Return a copy of the slice's candles in the files. Exact repetitions of a candle are removed."""
    if not parts:
        return Candles.empty()
    bounds = np.array([to_datetime64(slice_.start), to_datetime64(slice_.end)])
    found = []
    for part in parts:
        first, end = np.searchsorted(part.parsed.candles.times, bounds)  # the rows of a file are sorted by time
        found.append(part.parsed.candles.cut(int(first), int(end)))
    return Candles.joined(*found).drop_repeats()


def _missing(slice_: Slice, candles: Candles) -> int:
    """Return the number of missing candles of the slice."""
    grid = slice_.grid()
    if np.array_equal(candles.times, grid):
        return 0
    return int(np.setdiff1d(grid, candles.times).size)


def _suspicious_silence(slice_: Slice, candles: Candles) -> str | None:
    """Return the reason why a slice has possibly lost rows; None if its silences look like minutes without trades.

    This function is for exchanges that leave out minutes without trades. In their files, lost rows and minutes without
    trades look the same. Two kinds of silences are suspicious:

    - A silence at the start or the end of the day, if it lasts more than an hour and is more than twice as long as the
      longest silence inside the day.
    - The longest silence of the day, if it lasts at least half an hour and is very improbable for a pair that trades as
      often as in the rest of the day.
    """
    if not len(candles):
        return "its files have no candle of the day"
    places = np.flatnonzero(np.isin(slice_.grid(), candles.times))
    if not len(places):
        return "its files have no candle on the grid of the day"
    step = slice_.series.timeframe.delta
    inner = int(np.diff(places).max()) - 1 if len(places) > 1 else 0
    head, tail = int(places[0]), slice_.expected - 1 - int(places[-1])
    if max(head, tail) * step > max(_HOUR, 2 * inner * step):
        which = "begins" if head > tail else "ends"
        return f"the day in its files {which} with a silence of {max(head, tail) * step}, so the files may be cut off"
    longest = max(head, tail, inner)
    untraded = max(1 - len(places) / max(slice_.expected - longest, 1), _LEAST_UNTRADED)
    if longest * step >= _LONG_SILENCE and longest * math.log(untraded) < _IMPROBABLE:
        return f"a silence of {longest * step} is too long for a pair that trades so often, so rows are possibly lost"
    return None
