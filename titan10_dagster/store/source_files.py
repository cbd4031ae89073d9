"""Reads and updates the records of source files, which show whether an archive has replaced a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.candles.source_files import FileHeaders
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.store.database import Database
from titan10_dagster.store.statements import statement


@dataclass(frozen=True)
class UsedFile:
    """The newest known file at an address of an archive.

    Stored candles were read from this file, or from an older file at the same address.

    `headers`: the properties of the file according to the archive's answer. `checked_at`: the time of the last check
    whether the archive has replaced the file.
    """

    id: int
    url: str
    digest: str
    headers: FileHeaders
    checked_at: datetime


def files_in_use(db: Database, exchange: str, *, base_url: str, checked_before: datetime, most: int) -> list[UsedFile]:
    """Return at most `most` archive files of an exchange that were last checked before `checked_before`.

    The file with the oldest check comes first. Files with another address than `base_url` are left out: imported files
    of a user, and files of a former mirror.
    """
    parameters = {"exchange": exchange, "base_url": base_url, "checked_before": checked_before, "most": most}
    rows = db.query(statement("files_in_use"), parameters)
    return [_used(row) for row in rows]


def slices_read_from(db: Database, exchange: str, url: str) -> list[Slice]:
    """Return the slices with candles that were read from any file at this address, in order of series and day."""
    rows = db.query(statement("stretches_of_file"), {"exchange": exchange, "url": url})
    found: set[Slice] = set()
    for row in rows:
        series = Series(exchange, row.symbol, Timeframe.parse(row.timeframe))
        last = (row.stretch_end - timedelta(microseconds=1)).date()
        for day in range((last - row.stretch_start.date()).days + 1):
            found.add(Slice(series, row.stretch_start.date() + timedelta(days=day)))
    return sorted(found)


def note_checked(db: Database, files: Sequence[UsedFile], at: datetime) -> None:
    """Record that the files were checked at the instant `at`, and that the archive had not replaced them."""
    if not files:
        return
    with db.transaction() as cursor:
        cursor.execute(statement("note_checked_files"), {"ids": [file.id for file in files], "at": at})


def _used(row: Any) -> UsedFile:
    headers = FileHeaders(row.size, row.etag, row.last_modified)
    return UsedFile(row.id, row.url, row.digest, headers, row.checked_at)
