"""The files from which stored candles were read, for the check for replaced files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.candles.source_files import FileHeaders
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.store.database import Database, all_rows
from titan10_dagster.store.statements import statement


@dataclass(frozen=True)
class UsedFile:
    """The newest known file at an address of stored candles, with the properties in the archive's answer."""

    id: int
    url: str
    digest: str
    headers: FileHeaders
    checked_at: datetime


def files_in_use(db: Database, exchange: str, *, checked_before: datetime, most: int) -> list[UsedFile]:
    """Return the archive files of an exchange that were last checked before an instant, oldest check first.

    Imported files are left out: the user, not the archive, has them.
    """
    with db.transaction() as cursor:
        cursor.execute(
            statement("files_in_use"), {"exchange": exchange, "checked_before": checked_before, "most": most}
        )
        return [_used(row) for row in all_rows(cursor)]


def slices_read_from(db: Database, exchange: str, url: str) -> list[Slice]:
    """Return the slices of which candles were read from any file at this address, by series and day."""
    with db.transaction() as cursor:
        cursor.execute(statement("stretches_of_file"), {"exchange": exchange, "url": url})
        found: set[Slice] = set()
        for row in all_rows(cursor):
            series = Series(exchange, row.symbol, Timeframe.parse(row.timeframe))
            last = (row.stretch_end - timedelta(microseconds=1)).date()
            for day in range((last - row.stretch_start.date()).days + 1):
                found.add(Slice(series, row.stretch_start.date() + timedelta(days=day)))
        return sorted(found)


def note_unchanged(db: Database, files: Sequence[UsedFile], at: datetime) -> None:
    """Record that the archive still had these files at an instant."""
    if not files:
        return
    with db.transaction() as cursor:
        cursor.execute(statement("note_unchanged_files"), {"ids": [file.id for file in files], "at": at})


def _used(row: Any) -> UsedFile:
    headers = FileHeaders(row.size, row.etag, row.last_modified)
    return UsedFile(row.id, row.url, row.digest, headers, row.checked_at)
