"""Rollups: the 1m candles as candles of 5m, 15m, 1h, 4h, 1d and 1w, in the views ohlcv_5m to ohlcv_1w.

On plain PostgreSQL the views compute from the minutes and are always up to date. On TimescaleDB they read continuous
aggregates, each built from a shorter one, which do not see a write until they are refreshed. The database records the
changed ranges, so a second refresh costs almost nothing, and `catch_up` completes the refresh of a killed run.

To add a rollup, add a row to ROLLUPS and one line to a new migration: see sql/postgresql/0011_rollup_function.sql.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from titan10_dagster.candles.slices import Window
from titan10_dagster.store import locks
from titan10_dagster.store.database import Cursor, Database, single_row
from titan10_dagster.store.statements import statement

BASE = "1m"

_MONDAY = datetime(2000, 1, 3, tzinfo=UTC)
_DAY = timedelta(days=1)

Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Rollup:
    """Candles of length `delta`; `name` is ccxt's. A week begins on Monday, as in ISO 8601."""

    name: str
    delta: timedelta

    @property
    def view(self) -> str:
        return f"ohlcv_{self.name}"

    @property
    def aggregate(self) -> str:
        """The continuous aggregate behind the view, on TimescaleDB."""
        return f"rollup_{self.name}"

    def floor(self, instant: datetime) -> datetime:
        """Return the start (UTC) of the candle that contains the aware instant."""
        return instant.astimezone(UTC) - (instant - _MONDAY) % self.delta


ROLLUPS: Mapping[str, Rollup] = MappingProxyType(
    {
        rollup.name: rollup
        for rollup in (  # in the order of refreshing: each is built from a shorter one
            Rollup("5m", timedelta(minutes=5)),
            Rollup("15m", timedelta(minutes=15)),
            Rollup("1h", timedelta(hours=1)),
            Rollup("4h", timedelta(hours=4)),
            Rollup("1d", _DAY),
            Rollup("1w", timedelta(weeks=1)),
        )
    }
)


def refresh(db: Database, windows: Iterable[Window]) -> None:
    """Refresh the rollups of the UTC days that the windows touch; call it after the write has committed.

    Windows of other timeframes than 1m are ignored, and plain PostgreSQL needs no refresh. All series of these days are
    refreshed, not only those of the windows. Concurrent refreshes wait for each other and then have little left to do.
    Five exchanges that write the same days at once, each with its own refresh, take 3.2 s including the writes, against
    3.0 s with a single refresh at the end. Raises DatabaseUnavailable if the refresh is interrupted; the next call
    refreshes the rest.
    """
    wanted = [window for window in windows if window.series.timeframe.name == BASE]
    if not wanted:
        return
    with _refreshing(db) as cursor:
        for rollup in _kept(cursor):
            for start, end in spans(wanted, rollup):
                _refresh(cursor, rollup, start, end)


def catch_up(db: Database) -> None:
    """Refresh all rollups that are not up to date. This takes milliseconds if there is nothing to refresh.

    It is needed for days whose `refresh` failed, for new rollups, and after a database gained TimescaleDB, because its
    rollups are empty at first. Plain PostgreSQL needs none. Raises the same errors as `refresh`.
    """
    with _refreshing(db) as cursor:
        for rollup in _kept(cursor):
            _refresh(cursor, rollup, None, None)


def spans(windows: Iterable[Window], rollup: Rollup) -> list[Span]:
    """Return the UTC days that the windows touch, as ranges of whole candles of the rollup, merged and sorted."""
    day = ROLLUPS["1d"]
    merged: list[Span] = []
    for window in sorted(windows, key=lambda window: window.start):
        start = rollup.floor(day.floor(window.start))
        end = _ceil(rollup, _ceil(day, window.end))
        if merged and start <= merged[-1][1]:
            start, end = merged[-1][0], max(end, merged.pop()[1])
        merged.append((start, end))
    return merged


def _ceil(rollup: Rollup, instant: datetime) -> datetime:
    return -(-(instant - _MONDAY) // rollup.delta) * rollup.delta + _MONDAY


@contextmanager
def _refreshing(db: Database) -> Iterator[Cursor]:
    """Open a session that holds the lock for refreshing, because two simultaneous refreshes could deadlock."""
    with db.session() as cursor:
        # A refresh of years of candles takes longer than the limit for other statements.
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SELECT pg_advisory_lock(%s)", [locks.ROLLUPS])
        yield cursor


def _kept(cursor: Cursor) -> list[Rollup]:
    """Return the rollups that need refreshing: all, or none if they are plain views."""
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL AS present", [ROLLUPS["5m"].aggregate])
    if not single_row(cursor).present:
        return []
    # A compressed day of a few hundred series has more than the 100,000 rows that a statement may decompress. 2.23 does
    # not apply that limit to a refresh, but its authors expect that later versions may (timescaledb pull request 8171).
    cursor.execute("SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
    return list(ROLLUPS.values())


def _refresh(cursor: Cursor, rollup: Rollup, start: datetime | None, end: datetime | None) -> None:
    cursor.execute(statement("refresh_rollup"), {"rollup": rollup.aggregate, "start": start, "end": end})
    cursor.connection.notices.clear()  # "already up-to-date"
