"""Chunks of the hypertable: created and locked before a transaction writes to them.

Two facts, both measured (TimescaleDB 2.23), require this. First, a transaction that creates a chunk prevents all other
transactions from creating chunks until it ends. A write takes seconds, so exchanges would wait for each other. Chunks
are therefore created in separate short transactions. Second, a transaction that reads a chunk and then writes to it can
run into a deadlock with the compression job. The lock for writing is therefore taken before the first read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from psycopg2.sql import SQL, Identifier

from titan10_dagster.candles.slices import midnight
from titan10_dagster.errors import DatabaseUnavailable, StoreError
from titan10_dagster.store.database import Cursor, Database, all_rows, single_row
from titan10_dagster.store.statements import statement

log = logging.getLogger(__name__)


@dataclass
class Chunks:
    """The chunks that one transaction uses. `ready`: the UTC days that it may read and write already."""

    db: Database
    cursor: Cursor
    ready: set[date] = field(default_factory=set)
    timescaledb: bool | None = None

    def prepare(self, days: Iterable[date]) -> None:
        """Create and lock the chunks of these days and of all days between; does nothing on a plain table."""
        if self.timescaledb is None:
            self.timescaledb = self._has_timescaledb()
        unsure = sorted(set(days) - self.ready)
        if not self.timescaledb or not unsure:
            return
        self._create([midnight(day) for day in unsure])
        self._lock(midnight(unsure[0]), midnight(unsure[-1] + timedelta(days=1)))
        self.ready.update(unsure)

    def _has_timescaledb(self) -> bool:
        self.cursor.execute("SELECT to_regclass('timescaledb_information.chunks') IS NOT NULL AS present")
        return bool(single_row(self.cursor).present)

    def _create(self, instants: list[datetime]) -> None:
        self.cursor.execute(statement("days_without_chunk"), {"instants": instants})
        missing = [row.instant for row in all_rows(self.cursor)]
        if not missing:
            return
        try:
            with self.db.separate_transaction() as cursor:
                _create(cursor, missing)
        except DatabaseUnavailable as error:  # the hypertable is locked: the write creates the chunks
            log.warning("chunks were not created in advance: %s", error)

    def _lock(self, first: datetime, last: datetime) -> None:
        self.cursor.execute(statement("chunks_between"), {"first": first, "last": last})
        rows = all_rows(self.cursor)
        names = [SQL("ONLY {}").format(Identifier(row.chunk_schema, row.chunk_name)) for row in rows]
        if names:
            self.cursor.execute(SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(SQL(", ").join(names)))


def _create(cursor: Cursor, instants: list[datetime]) -> None:
    """Insert a row, which creates its chunk, and delete it in the same transaction.

    The DELETE names the chunk, because a DELETE from the hypertable would wait for the compression of any other chunk.
    """
    cursor.execute(statement("create_chunks"), {"instants": instants})
    deleted = 0
    for chunk in {row.chunk for row in all_rows(cursor)}:
        cursor.execute(SQL("DELETE FROM ONLY {} WHERE exchange = 'titan10'").format(SQL(chunk)))
        deleted += cursor.rowcount
    if deleted != len(instants):
        raise StoreError(
            f"{len(instants)} rows created chunks but {deleted} of them were deleted: nothing was written. Run it again"
        )
