"""The files from which stored candles were read: tables `source_files` and `source_stretches`, view `provenance`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from psycopg2.extras import execute_values

from titan10_dagster.candles.fetched import JudgedSlice
from titan10_dagster.candles.provenance import Stretch, covered_stretches, replaced
from titan10_dagster.candles.slices import Series
from titan10_dagster.candles.source_files import SourceFile
from titan10_dagster.store.database import Cursor
from titan10_dagster.store.statements import key, statement


def write_provenance(cursor: Cursor, slices: Iterable[JudgedSlice]) -> None:
    """Record the files of slices that were just written, in the same transaction.

    Slices without files change nothing.
    """
    by_series: dict[Series, list[tuple[datetime, datetime, SourceFile]]] = {}
    for judged in slices:
        if judged.record.files:
            found = covered_stretches(judged.record, judged.verdict.valid.times)
            by_series.setdefault(judged.record.slice.series, []).extend(found)
    for series, stretches in by_series.items():
        _write(cursor, series, stretches)


def _write(cursor: Cursor, series: Series, stretches: Sequence[tuple[datetime, datetime, SourceFile]]) -> None:
    files = list(dict.fromkeys(file for _, _, file in stretches))
    ids = {file: _file_id(cursor, series.exchange, file) for file in files}
    new = [Stretch(start, end, ids[file]) for start, end, file in stretches]
    known = _touching(cursor, series, min(part.start for part in new), max(part.end for part in new))
    after = replaced(known, new)
    gone = [part.start for part in known if part not in after]
    if gone:
        cursor.execute(statement("delete_stretches"), [*key(series), gone])
    added = [(*key(series), part.start, part.end, part.file) for part in after if part not in known]
    if added:
        execute_values(cursor, statement("write_stretches"), added)


def _file_id(cursor: Cursor, exchange: str, file: SourceFile) -> int:
    values = [exchange, file.url, file.size, file.digest, file.published_digest, file.checked_against]
    cursor.execute(statement("write_source_file"), [*values, file.etag, file.last_modified, file.read_at])
    (number,) = cursor.fetchone() or (0,)
    return int(number)


def _touching(cursor: Cursor, series: Series, start: datetime, end: datetime) -> list[Stretch]:
    """Return the known stretches that overlap [start, end) or are adjacent to it."""
    cursor.execute(statement("read_stretches"), [*key(series), end, start])
    return [Stretch(*row) for row in cursor.fetchall()]
