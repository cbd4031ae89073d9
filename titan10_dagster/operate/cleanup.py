"""Removes old files from the landing zone and from the cache of archive files.

Four kinds of files are removed: old landed files, old evidence (replaced and unreadable landed files), files of
interrupted writes, and archive files from the cache. Archive files are removed if they were not used for a long time,
or if the cache is too large.

An old landed file is removed in two cases. In the first case, the fetch of the file or a later fetch has settled the
slice in the ledger. The transaction that settles a slice also stores the candles. This case includes days before the
exchange's `start`. In the second case, the settings no longer keep candles of the file's day. A replaced file is
removed only if all its valid candles are stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np

from titan10_dagster.archives.cache import cached_files, superfluous
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import read_days
from titan10_dagster.ingest.judge import verdict_of
from titan10_dagster.landing import leftovers
from titan10_dagster.landing.leftovers import Kind, LandedFile
from titan10_dagster.settings import HousekeepingSettings
from titan10_dagster.store import reader
from titan10_dagster.store.database import retrying

MOST_FILES = 50_000  # largest number of landed files to remove in one night; the rest is removed in the next nights
_TEMPORARY_DAYS = 1  # a write takes milliseconds, so a temporary file of this age comes from an interrupted write


@dataclass(frozen=True)
class Freed:
    """The number of removed files, and their size in bytes."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Freed) -> Freed:
        return Freed(self.files + other.files, self.bytes + other.bytes)


def clear_landing(titan10: IngestContext, *, most: int = MOST_FILES) -> Mapping[Kind, Freed]:
    """Remove up to `most` files that are not needed any more and are older than the settings allow.

    Return the number and the size of the removed files by kind.
    """
    now, freed = titan10.now(), dict.fromkeys(Kind, Freed())
    oldest = _oldest(titan10.settings.housekeeping, now)
    for folder in leftovers.folders(titan10.landing.root):
        room = most - sum(of_kind.files for of_kind in freed.values())
        for file in _removable(titan10, folder, oldest)[:room]:
            file.remove()
            freed[file.kind] += Freed(1, file.bytes)
        leftovers.remove_if_empty(folder, now)
    return freed


def clear_archives(titan10: IngestContext) -> Freed:
    """Remove archive files that were not used for a long time, or do not fit into the allowed size of the cache.

    A run that needs a removed file downloads it again. Return the number and size of the removed files.
    """
    keep, freed = titan10.settings.housekeeping, Freed()
    files = superfluous(
        cached_files(titan10.settings.archives),
        titan10.now(),
        keep_days=keep.archive_days,
        most_bytes=int(keep.archive_gb * 1e9),
    )
    for file in files:
        file.remove(titan10.settings.archives)
        freed += Freed(1, file.bytes)
    return freed


def _oldest(keep: HousekeepingSettings, now: datetime) -> Mapping[Kind, datetime]:
    """Return a time for each kind of file. Files that were last changed before this time are removed.

    Kinds that are kept forever are left out.
    """
    days = {
        Kind.LANDED: keep.landing_days,
        Kind.SUPERSEDED: keep.evidence_days,
        Kind.UNREADABLE: keep.evidence_days,
        Kind.TEMPORARY: _TEMPORARY_DAYS,
    }
    return {kind: now - timedelta(days=kept) for kind, kept in days.items() if kept}


def _removable(titan10: IngestContext, folder: Path, oldest: Mapping[Kind, datetime]) -> list[LandedFile]:
    landed: list[LandedFile] = []
    removable: list[LandedFile] = []
    for file in leftovers.files(folder):
        if file.kind not in oldest or file.modified >= oldest[file.kind]:
            continue  # the file is not old enough, or its kind is kept forever
        if file.kind is Kind.LANDED:
            landed.append(file)
        elif file.kind is not Kind.SUPERSEDED or _is_stored(titan10, file):
            removable.append(file)
    return [*_superfluous(titan10, landed), *removable]


def _superfluous(titan10: IngestContext, landed: Sequence[LandedFile]) -> Iterator[LandedFile]:
    """Yield the landed files that are not needed any more.

    A file is not needed in two cases: the fetch of the file or a later fetch has settled the slice, or the settings no
    longer keep candles of the file's day.
    """
    records = {}
    for file in landed:
        record = titan10.landing.record_of(file.path)
        if record is not None:
            records[file] = record
    days = read_days(titan10, [record.slice for record in records.values()])
    kept_from = titan10.kept_from or date.min
    for file, record in records.items():
        if record.slice.day < kept_from or not days.is_only_landed(record.slice):
            yield file


def _is_stored(titan10: IngestContext, former: LandedFile) -> bool:
    """Return whether all valid candles of a replaced file are stored in the database."""
    fetched = titan10.landing.read_file(former.path)
    if fetched is None:
        return True
    slice_ = fetched.record.slice
    stored = retrying(lambda: reader.candles(titan10.database, slice_.series, slice_.start, slice_.end))
    return not np.setdiff1d(verdict_of(fetched).valid.times, stored["time"].to_numpy("datetime64[ms]")).size
