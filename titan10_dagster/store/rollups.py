"""Rollups: candles of 5m, 15m, 1h, 4h, 1d and 1w that are built from 1m candles. The views are ohlcv_5m to ohlcv_1w.

On plain PostgreSQL, the views are computed from the 1m candles and are always up to date. On TimescaleDB, the views
read continuous aggregates. The first aggregate is built from the 1m candles, and each other aggregate from a shorter
aggregate. An aggregate contains new candles only after a refresh. The database records the changed ranges. Therefore a
second refresh of the same range costs almost nothing, and `catch_up` can complete the refresh of a killed run.

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
    """A rollup with candles of length `delta`. `name` is ccxt's name of this timeframe. A week begins on Monday."""

    name: str
    delta: timedelta

    @property
    def view(self) -> str:
        return f"ohlcv_{self.name}"

    @property
    def aggregate(self) -> str:
        """The name of the continuous aggregate that the view reads on TimescaleDB."""
        return f"rollup_{self.name}"

    def floor(self, instant: datetime) -> datetime:
        """Return the start (UTC) of the candle that contains the aware instant."""
        return instant.astimezone(UTC) - (instant - _MONDAY) % self.delta


ROLLUPS: Mapping[str, Rollup] = MappingProxyType(
    {
        rollup.name: rollup
        for rollup in (  # the rollups are refreshed in this order, because most are built from a shorter rollup
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
    """Refresh the rollups of all UTC days that overlap a window.

    Call this function after the transaction that wrote the candles of the windows has been committed.

    Windows with a timeframe other than 1m are ignored. On plain PostgreSQL, nothing happens. A refresh changes the
    rollups of all series on these days, and not only of the series in the windows.

    Raises DatabaseUnavailable if the refresh is interrupted. `catch_up` then refreshes the rest.

    If two processes refresh the same days, the second process waits for the first process, and then has little to do.
    In a measurement, five exchanges wrote the same days at the same time. The writes and refreshes together took 3.2 s
    with a refresh after each write, and 3.0 s with a single refresh at the end.
    """
    wanted = [window for window in windows if window.series.timeframe.name == BASE]
    if not wanted:
        return
    with _refreshing(db) as cursor:
        for rollup in _kept(cursor):
            for start, end in spans(wanted, rollup):
                _refresh(cursor, rollup, start, end)


def catch_up(db: Database) -> None:
    """Refresh all rollups that are not up to date. If there is nothing to refresh, this takes milliseconds.

    A call is needed after a failed `refresh`. A call is also needed after a rollup was added or TimescaleDB was
    installed, because new rollups are empty. On plain PostgreSQL, nothing happens. Raises the same errors as `refresh`.
    """
    with _refreshing(db) as cursor:
        for rollup in _kept(cursor):
            _refresh(cursor, rollup, None, None)


def spans(windows: Iterable[Window], rollup: Rollup) -> list[Span]:
    """Return the spans of time to refresh, sorted and without overlaps.

    The spans contain all UTC days that overlap a window, and are extended to whole candles of the rollup.
    """
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
    """Open a session that holds the lock ROLLUPS. Without this lock, two refreshes at the same time could deadlock."""
    with db.session() as cursor:
        # If years of candles are refreshed, this takes longer than the usual statement timeout.
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SELECT pg_advisory_lock(%s)", [locks.ROLLUPS])
        yield cursor


def _kept(cursor: Cursor) -> list[Rollup]:
    """Return the rollups that must be refreshed: all rollups if they are continuous aggregates, and otherwise none."""
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL AS present", [ROLLUPS["5m"].aggregate])
    if not single_row(cursor).present:
        return []
    # By default, a statement can decompress at most 100,000 rows. A compressed day of a few hundred series has more
    # rows. TimescaleDB 2.23 does not apply this limit to a refresh. According to the authors of TimescaleDB, later
    # versions may apply it (timescaledb pull request 8171). Therefore the limit is removed.
    cursor.execute("SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
    return list(ROLLUPS.values())


def _refresh(cursor: Cursor, rollup: Rollup, start: datetime | None, end: datetime | None) -> None:
    cursor.execute(statement("refresh_rollup"), {"rollup": rollup.aggregate, "start": start, "end": end})
    cursor.connection.notices.clear()  # psycopg2 collects the server's notices, such as "already up-to-date"
