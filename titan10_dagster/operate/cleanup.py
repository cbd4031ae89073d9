"""Clearing up the landing zone: files that the database has, evidence that is old, what died while it was written.

A landed file goes only when the ledger calls its slice settled by that fetch or a later one: its candles were then
written in the same transaction; that its exchange is to start later now does not make it superfluous. And it goes
when its day is past the days that candles are kept. A former file goes only when every valid candle of it is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np

from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import read_days
from titan10_dagster.ingest.judge import verdict_of
from titan10_dagster.landing import leftovers
from titan10_dagster.landing.leftovers import Kind, LandedFile
from titan10_dagster.settings import HousekeepingSettings
from titan10_dagster.store import reader
from titan10_dagster.store.database import retrying

MOST_FILES = 50_000  # of one night; the next one goes on
_TEMPORARY_DAYS = 1  # writing one takes milliseconds


@dataclass(frozen=True)
class Freed:
    """How many files went, and how many bytes they held."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Freed) -> Freed:
        return Freed(self.files + other.files, self.bytes + other.bytes)


def clear_landing(titan10: IngestContext, *, most: int = MOST_FILES) -> Mapping[Kind, Freed]:
    """Removes what its retention is over for, at most `most` files; what went, by kind."""
    now, freed = titan10.now(), dict.fromkeys(Kind, Freed())
    oldest = _oldest(titan10.settings.housekeeping, now)
    for folder in leftovers.folders(titan10.landing.root):
        room = most - sum(one.files for one in freed.values())
        for file in _removable(titan10, folder, oldest)[:room]:
            file.remove()
            freed[file.kind] += Freed(1, file.bytes)
        leftovers.remove_if_empty(folder, now)
    return freed


def _oldest(keep: HousekeepingSettings, now: datetime) -> Mapping[Kind, datetime]:
    """What was modified before these instants is over its time; kinds that are kept for ever are left out."""
    days = {
        Kind.LANDED: keep.landing_days,
        Kind.SUPERSEDED: keep.evidence_days,
        Kind.UNREADABLE: keep.evidence_days,
        Kind.TEMPORARY: _TEMPORARY_DAYS,
    }
    return {kind: now - timedelta(days=kept) for kind, kept in days.items() if kept}


def _removable(titan10: IngestContext, folder: Path, oldest: Mapping[Kind, datetime]) -> list[LandedFile]:
    over = [one for one in leftovers.files(folder) if one.kind in oldest and one.modified < oldest[one.kind]]
    landed = [one for one in over if one.kind is Kind.LANDED]
    rest = [one for one in over if one.kind is not Kind.LANDED]
    kept = [one for one in rest if one.kind is Kind.SUPERSEDED and not _is_stored(titan10, one)]
    return [*_superfluous(titan10, landed), *(one for one in rest if one not in kept)]


def _superfluous(titan10: IngestContext, landed: Sequence[LandedFile]) -> Iterator[LandedFile]:
    """Those whose slice the ledger calls settled by that fetch or a later one, or whose day is kept no more."""
    records = {one: record for one in landed if (record := titan10.landing.record_of(one.path)) is not None}
    days = read_days(titan10, [record.slice for record in records.values()])
    kept_from = titan10.kept_from or date.min
    for file, record in records.items():
        if record.slice.day < kept_from or not days.is_only_landed(record.slice):
            yield file


def _is_stored(titan10: IngestContext, former: LandedFile) -> bool:
    """Whether the database has every valid candle of a former file."""
    fetched = titan10.landing.read_file(former.path)
    if fetched is None:
        return True
    slice_ = fetched.record.slice
    stored = retrying(lambda: reader.candles(titan10.database, slice_.series, slice_.start, slice_.end))
    return not np.setdiff1d(verdict_of(fetched).valid.times, stored["time"].to_numpy("datetime64[ms]")).size
