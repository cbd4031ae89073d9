"""Rollups: candles of 5m, 15m, 1h, 4h, 1d and 1w that are built from 1m candles. The views are ohlcv_5m to ohlcv_1w.

On plain PostgreSQL, the views are computed from the 1m candles and are always up to date. On TimescaleDB, the views
read continuous aggregates. Each aggregate is built from a shorter aggregate, and contains new candles only after a
refresh. The database records the changed ranges. Therefore a second refresh costs almost nothing, and `catch_up` can
complete the refresh of a killed run.

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
        for rollup in (  # rollups are refreshed in this order, because each rollup is built from a shorter rollup
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
    """Refresh the rollups of all UTC days that overlap a window. Call this after the write was committed.

    Windows with a timeframe other than 1m are ignored. On plain PostgreSQL, nothing happens. A refresh changes all
    series of these days, and not only the series of the windows. Refreshes in several processes wait for each other,
    and the later refresh then has little to do. Measured with five exchanges that write the same days at the same time:
    3.2 s with a refresh after each write, and 3.0 s with a single refresh at the end, including the writes. Raises
    DatabaseUnavailable if the refresh is interrupted. The next call then refreshes the rest.
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

    A call is needed after a failed `refresh`. It is also needed for new rollups and after the installation of
    TimescaleDB, because the rollups are then empty. On plain PostgreSQL, nothing happens. Raises the same errors as
    `refresh`.
    """
    with _refreshing(db) as cursor:
        for rollup in _kept(cursor):
            _refresh(cursor, rollup, None, None)


def spans(windows: Iterable[Window], rollup: Rollup) -> list[Span]:
    """Return the UTC days that overlap a window, as sorted and merged spans.

    Each span is extended to whole candles of the rollup.
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
    """Open a session that holds the lock ROLLUPS. Without the lock, two simultaneous refreshes could deadlock."""
    with db.session() as cursor:
        # The refresh of years of candles takes longer than the usual statement timeout.
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SELECT pg_advisory_lock(%s)", [locks.ROLLUPS])
        yield cursor


def _kept(cursor: Cursor) -> list[Rollup]:
    """Return the rollups that must be refreshed: all rollups on TimescaleDB, and none on plain PostgreSQL."""
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL AS present", [ROLLUPS["5m"].aggregate])
    if not single_row(cursor).present:
        return []
    # By default a statement can decompress 100,000 rows. A compressed day of a few hundred series has more rows.
    # TimescaleDB 2.23 does not apply this limit to a refresh. According to its authors, later versions may apply the
    # limit (timescaledb pull request 8171).
    cursor.execute("SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
    return list(ROLLUPS.values())


def _refresh(cursor: Cursor, rollup: Rollup, start: datetime | None, end: datetime | None) -> None:
    cursor.execute(statement("refresh_rollup"), {"rollup": rollup.aggregate, "start": start, "end": end})
    cursor.connection.notices.clear()  # psycopg2 collects the server's notices, such as "already up-to-date"
