"""Chunks of the hypertable, made and locked before they are written to.

Both facts are measured (TimescaleDB 2.23). Whoever makes a chunk keeps every other transaction from making any until
its own ends; a write takes seconds, so the exchanges would wait for each other: chunks are made in short transactions
of their own. And whoever reads a chunk and then writes to it meets the compression job between the two in a deadlock:
the lock for writing is taken before the first look.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from psycopg2.sql import SQL, Identifier

from titan10_dagster.candles.slices import midnight
from titan10_dagster.errors import DatabaseUnavailable, StoreError
from titan10_dagster.store.database import Cursor, Database
from titan10_dagster.store.statements import statement

log = logging.getLogger(__name__)


@dataclass
class Chunks:
    """The days (UTC) that a transaction may read and write already."""

    db: Database
    cursor: Cursor
    ready: set[date] = field(default_factory=set)
    timescaledb: bool | None = None

    def prepare(self, days: Iterable[date]) -> None:
        """Sees to it that the chunks of the days, and all between, are there and locked; not so on a plain table."""
        if self.timescaledb is None:
            self.timescaledb = self._has_timescaledb()
        unsure = sorted(set(days) - self.ready)
        if not self.timescaledb or not unsure:
            return
        self._create([midnight(day) for day in unsure])
        self._lock(midnight(unsure[0]), midnight(unsure[-1] + timedelta(days=1)))
        self.ready.update(unsure)

    def _has_timescaledb(self) -> bool:
        self.cursor.execute("SELECT to_regclass('timescaledb_information.chunks') IS NOT NULL")
        return self.cursor.fetchone() == (True,)

    def _create(self, instants: list[datetime]) -> None:
        self.cursor.execute(statement("days_without_chunk"), {"instants": instants})
        missing = [instant for (instant,) in self.cursor.fetchall()]
        if not missing:
            return
        try:
            with self.db.aside() as cursor:
                _create(cursor, missing)
        except DatabaseUnavailable as error:  # somebody holds the hypertable: the write makes them as it goes
            log.warning("chunks were not made in advance: %s", error)

    def _lock(self, first: datetime, last: datetime) -> None:
        self.cursor.execute(statement("chunks_between"), {"first": first, "last": last})
        names = [SQL("ONLY {}").format(Identifier(*name)) for name in self.cursor.fetchall()]
        if names:
            self.cursor.execute(SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(SQL(", ").join(names)))


def _create(cursor: Cursor, instants: list[datetime]) -> None:
    """A row makes its chunk, and is deleted before anybody sees it.

    From the chunk itself: a DELETE from the hypertable would wait for whoever compresses any chunk of it.
    """
    cursor.execute(statement("create_chunks"), {"instants": instants})
    deleted = 0
    for chunk in {name for (name,) in cursor.fetchall()}:
        cursor.execute(SQL("DELETE FROM ONLY {} WHERE exchange = 'titan10'").format(SQL(chunk)))
        deleted += cursor.rowcount
    if deleted != len(instants):
        raise StoreError(f"{len(instants)} rows made chunks and {deleted} of them were deleted: nothing was written")
