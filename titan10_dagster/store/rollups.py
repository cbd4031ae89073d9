"""Rollups: the 1m candles as candles of 5m, 15m, 1h, 4h, 1d and 1w, in the views ohlcv_5m to ohlcv_1w.

On plain PostgreSQL the views compute from the minutes, and are always right. On TimescaleDB they read continuous
aggregates, each made from the one before it, which know nothing of a write until they are refreshed. The database
remembers what changed, so refreshing twice costs next to nothing, and what a killed run left undone is not lost:
`catch_up` does it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from titan10_dagster.candles.slices import Window
from titan10_dagster.store import locks
from titan10_dagster.store.database import Cursor, Database, one
from titan10_dagster.store.statements import statement

BASE = "1m"

_MONDAY = datetime(2000, 1, 3, tzinfo=UTC)
_DAY = timedelta(days=1)

Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Rollup:
    """Candles of length `delta`; `name` is the one ccxt uses. A week begins on Monday, as ISO 8601 has it."""

    name: str
    delta: timedelta

    @property
    def view(self) -> str:
        return f"ohlcv_{self.name}"

    @property
    def aggregate(self) -> str:
        """The continuous aggregate behind the view, where there is one."""
        return f"rollup_{self.name}"

    def floor(self, instant: datetime) -> datetime:
        """The start (UTC) of the candle that the aware instant falls into."""
        return instant.astimezone(UTC) - (instant - _MONDAY) % self.delta


ROLLUPS: Mapping[str, Rollup] = MappingProxyType(
    {
        rollup.name: rollup
        for rollup in (  # in the order of refreshing: each is made from the one before it
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
    """Brings the rollups up to date over the UTC days that the windows touch; call it after the write's commit.

    Windows of other timeframes than 1m are passed over. Nothing to do on plain PostgreSQL. All series of these days
    are refreshed, not only the windows' own. Whoever refreshes at the same time waits, and then finds done what was
    written before: five exchanges that write the same days at once and each refresh take 3.2 s, writes included,
    against 3.0 s with one refresh after all. Raises DatabaseUnavailable if it was cut short; running it again does
    the rest.
    """
    wanted = [window for window in windows if window.series.timeframe.name == BASE]
    if not wanted:
        return
    with _refreshing(db) as cursor:
        for rollup in _kept(cursor):
            for start, end in spans(wanted, rollup):
                _refresh(cursor, rollup, start, end)


def catch_up(db: Database) -> None:
    """Brings the rollups up to date wherever they are not: milliseconds if nothing is left to do.

    For days whose `refresh` did not come about, and for a database that has just gained TimescaleDB: until then the
    rollups of what it holds are empty. Nothing to do on plain PostgreSQL; raises as `refresh` does.
    """
    with _refreshing(db) as cursor:
        for rollup in _kept(cursor):
            _refresh(cursor, rollup, None, None)


def spans(windows: Iterable[Window], rollup: Rollup) -> list[Span]:
    """The touched UTC days, widened to whole candles of the rollup; those that touch or overlap as one, by time."""
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
    """A session that alone refreshes: two at once would at best wait for each other in the middle."""
    with db.session() as cursor:
        # Years of candles take longer than any other statement may.
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SELECT pg_advisory_lock(%s)", [locks.ROLLUPS])
        yield cursor


def _kept(cursor: Cursor) -> list[Rollup]:
    """The rollups that need refreshing: all of them, or none where they are plain views."""
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [ROLLUPS["5m"].aggregate])
    if one(cursor) != (True,):
        return []
    # A compressed day of a few hundred series is more than the 100,000 rows that a statement may decompress. 2.23 does
    # not hold a refresh to that limit, but its authors expect that it can be (timescaledb pull request 8171).
    cursor.execute("SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
    return list(ROLLUPS.values())


def _refresh(cursor: Cursor, rollup: Rollup, start: datetime | None, end: datetime | None) -> None:
    cursor.execute(statement("refresh_rollup"), {"rollup": rollup.aggregate, "start": start, "end": end})
    cursor.connection.notices.clear()  # "already up-to-date"
