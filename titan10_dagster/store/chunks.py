"""Creates and locks the chunks of the hypertable before a transaction writes to these chunks.

A chunk is a part of the hypertable for some days. The module avoids two problems, which were observed with TimescaleDB
2.23.

First, after a transaction has created a chunk, no other transaction can create a chunk until this transaction has
ended. A write takes seconds, so the writes of different exchanges would wait for each other. Therefore chunks are
created in separate short transactions.

Second, a transaction that first reads a chunk and then writes to the same chunk can run into a deadlock with the
compression job. Therefore the lock for writing is taken before the first read.
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
    """The chunks that one transaction uses. `ready`: the UTC days for which `prepare` was already called."""

    db: Database
    cursor: Cursor
    ready: set[date] = field(default_factory=set)
    timescaledb: bool | None = None

    def prepare(self, days: Iterable[date]) -> None:
        """Create the missing chunks of the given days, and lock all chunks from the first to the last of these days.

        Days for which this was already done are ignored. If the table candles is a plain table, nothing happens.
        """
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
        # Possibly the hypertable is locked. Then the write itself creates the chunks later.
        except DatabaseUnavailable as error:
            log.warning("The chunks were not created in advance, so the write itself creates them: %s", error)

    def _lock(self, first: datetime, last: datetime) -> None:
        self.cursor.execute(statement("chunks_between"), {"first": first, "last": last})
        rows = all_rows(self.cursor)
        names = [SQL("ONLY {}").format(Identifier(row.chunk_schema, row.chunk_name)) for row in rows]
        if names:
            self.cursor.execute(SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(SQL(", ").join(names)))


def _create(cursor: Cursor, instants: list[datetime]) -> None:
    """Create the chunk of each instant: insert a row at the instant, and delete the row in the same transaction.

    Each DELETE names a single chunk. A DELETE from the whole hypertable would wait if any chunk is being compressed.
    """
    cursor.execute(statement("create_chunks"), {"instants": instants})
    deleted = 0
    for chunk in {row.chunk for row in all_rows(cursor)}:
        cursor.execute(SQL("DELETE FROM ONLY {} WHERE exchange = 'titan10'").format(SQL(chunk)))
        deleted += cursor.rowcount
    if deleted != len(instants):
        raise StoreError(
            f"To create chunks, {len(instants)} placeholder rows were inserted. Of these rows, {deleted} could be"
            " deleted, but all of them must be deleted. All changes were rolled back. Repeat the run or the command"
        )
