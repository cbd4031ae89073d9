"""Estimate which archive files a fetch reads, and what the fetch costs. This module downloads nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime

from titan10_dagster.archives.catalog import (
    ArchiveFile,
    Unit,
    candidates,
    labels_of,
    monthly_labels,
    uncovered,
)
from titan10_dagster.exchanges.archive_record import Archive, Cadence, Format
from titan10_dagster.planning.forecast import Cost, Speed

# Compressed bytes per candle. Binance's monthly files of 1.8 MB and daily files of 46 to 68 kB have about 42 bytes per
# candle (binance-public-data issues 434, 440, 404, 262). The values of the other formats are estimates.
_BYTES = {Format.ZIP_CSV: 42, Format.GZIP_CSV: 30, Format.ZIP_XLSX: 45}


def read_cost(
    archive: Archive,
    units: Sequence[Unit],
    now: datetime,
    *,
    is_cached: Callable[[ArchiveFile], bool],
    speed: Speed | None = None,
) -> Cost:
    """Return the cost of reading the units. All published files are assumed to exist and to be complete.

    `now` (aware, UTC): a file counts as published if its expected time of publication is at or before `now`.
    `is_cached`: a function that returns whether a file is in the cache and needs no request.
    """
    requests = files = cached = size = candles = 0
    for unit in units:
        candles += sum(slice_.expected for slice_ in unit.slices)
        for file in files_of(archive, unit, now):
            has_digest = file.digest_path is not None
            if file.published_at > now:
                requests += 1 + has_digest  # this file is requested too, although it is probably not published yet
                continue
            files += 1
            if is_cached(file):
                cached += 1
                continue
            requests += 1 + has_digest
            size += _size(file, unit)
    return Cost(requests, files, cached, size, candles / (speed or Speed()).files)


def files_of(archive: Archive, unit: Unit, now: datetime) -> list[ArchiveFile]:
    """Return the files that `archives.fetch` requests for a unit if all published files exist and are complete.

    The result has the monthly files of the unit. A day's daily files are added in two cases: if no published monthly
    file covers the day, or if the monthly file is known to have wrong candles on the day.
    """
    months = _preferred(archive, unit, monthly_labels(archive, unit), Cadence.MONTHLY)
    windows = [(file.start, file.end) for file in months if file.published_at <= now]
    left = set(uncovered(unit.slices, windows))
    labels: set[date] = set()
    for slice_ in unit.slices:
        if slice_ in left or slice_.day in unit.daily_days:
            labels.update(labels_of(slice_.day, archive.label_offset))
    return months + _preferred(archive, unit, sorted(labels), Cadence.DAILY)


def _preferred(archive: Archive, unit: Unit, labels: Iterable[date], cadence: Cadence) -> list[ArchiveFile]:
    """Return the file that is tried first for each label. A label without a file of this cadence is left out."""
    files: list[ArchiveFile] = []
    for label in labels:
        files += candidates(archive, unit.series, unit.market, label, cadence)[:1]
    return files


def _size(file: ArchiveFile, unit: Unit) -> int:
    candles = (file.end - file.start) // unit.series.timeframe.delta
    return candles * _BYTES[file.archive.format]
