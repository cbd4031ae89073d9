"""Databases with random candles, in the layouts that `benchmarks.queries` compares.

All layouts have the same tables and views. `ohlcv` is a view with prices as doubles. `listed` has the stored series.
`latest` has the newest candle of each series.
"""

from __future__ import annotations

import io
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import psycopg2
from numpy.typing import NDArray
from psycopg2 import sql
from psycopg2.extras import execute_values

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import FetchRecord, JudgedSlice, Source
from titan10_dagster.candles.rules import judge
from titan10_dagster.candles.slices import Slice, Times
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.store import binary, policies
from titan10_dagster.store.database import Database
from titan10_dagster.store.migrations import migrate
from titan10_dagster.store.policies import Policies

EXCHANGES = [f"exchange{n}" for n in range(5)]
SYMBOLS = [f"S{n}/USDT" for n in range(20)]
LISTED = [(exchange, symbol) for exchange in EXCHANGES for symbol in SYMBOLS]
LAST = date(2024, 3, 31)
END = datetime(2024, 4, 1, tzinfo=UTC)
FETCHED = datetime(2024, 5, 1, tzinfo=UTC)
MINUTE = Timeframe.parse("1m")
PRICE_SCALE, VOLUME_SCALE = 1e2, 1e5

# These options are the same for every layout. With PostgreSQL's default work_mem of 4 MB, the planner sorts rows and
# does not hash them.
SESSION = "-c timezone=UTC -c jit=off -c work_mem=16MB"
ENOUGH, MOST = 0.2, 9  # within a round, a query is repeated for ENOUGH seconds, but at most MOST times

Cursor = Any

FLOATS = """
CREATE TABLE candles (
    exchange text NOT NULL, symbol text NOT NULL, timeframe text NOT NULL, "time" timestamptz NOT NULL,
    open float8 NOT NULL, high float8 NOT NULL, low float8 NOT NULL, close float8 NOT NULL, volume float8 NOT NULL,
    PRIMARY KEY (exchange, symbol, timeframe, "time")
);
CREATE VIEW ohlcv AS SELECT * FROM candles;
SELECT create_hypertable('candles', by_range('time', interval '7 days'), create_default_indexes => false);
"""
NEWEST = """SELECT listed.exchange, listed.symbol, newest."time", newest.close FROM listed CROSS JOIN LATERAL (
    SELECT "time", close FROM ohlcv WHERE exchange = listed.exchange AND symbol = listed.symbol AND timeframe = '1m'
    ORDER BY "time" DESC LIMIT 1) AS newest"""
BY_SERIES = """ALTER TABLE candles SET (timescaledb.compress, timescaledb.compress_orderby = '"time"',
    timescaledb.compress_segmentby = 'exchange, symbol, timeframe')"""
BY_TIME = "ALTER TABLE candles SET (timescaledb.compress, timescaledb.compress_orderby = '\"time\"')"
FLOATS_ROLLUP = """
CREATE MATERIALIZED VIEW ohlcv_{name} WITH (timescaledb.continuous, timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false) AS
SELECT exchange, symbol, time_bucket(%s, "time") AS "time", first(open, "time") AS open, max(high) AS high,
    min(low) AS low, last(close, "time") AS close, sum(volume) AS volume, {count} AS candles
FROM {source} GROUP BY 1, 2, 3 WITH NO DATA
"""


@dataclass(frozen=True, eq=False)
class Walk:
    """A random walk of prices. `times` (n,): each minute as datetime64[ms]. `integers` (5, n): open to volume."""

    times: Times
    integers: NDArray[np.int64]

    @classmethod
    def of(cls, minutes: int) -> Walk:
        random = np.random.default_rng(0)
        end = np.datetime64(END.replace(tzinfo=None), "ms")
        walk = 4_000_000 + np.cumsum(random.normal(0, 500, minutes + 1)).astype(np.int64)
        opens, closes = walk[:-1], walk[1:]
        high = np.maximum(opens, closes) + random.exponential(200, minutes).astype(np.int64)
        low = np.minimum(opens, closes) - random.exponential(200, minutes).astype(np.int64)
        volume = random.exponential(2e5, minutes).astype(np.int64)
        times = end - np.arange(minutes, 0, -1) * np.timedelta64(60_000, "ms")
        return cls(times, np.stack((opens, high, low, closes, volume)))

    @property
    def rows(self) -> int:
        """Return the number of rows of all series."""
        return len(self.times) * len(LISTED)

    def weeks(self) -> Iterator[slice]:
        """Return the minutes of each chunk, as slices. Chunks of TimescaleDB begin on Thursdays."""
        week = self.times.astype("M8[W]")
        bounds = np.flatnonzero(np.diff(week.astype(np.int64))) + 1
        edges = [0, *bounds, len(self.times)]
        return (slice(a, b) for a, b in pairwise(edges))

    def integers_of(self, number: int) -> NDArray[np.int64]:
        """Return the integers of a series by its number. Prices and times are shifted against the previous series."""
        rolled = np.roll(self.integers, -1009 * number, axis=1)
        rolled[:4] += 700 * number
        return rolled


@dataclass
class Layout:
    """A database with the candles. `floats`: whether the values are doubles; otherwise the layout is Titan-10's."""

    name: str
    url: str
    floats: bool = False
    compressed: bool = True
    segmented: bool = True
    timescaledb: bool = True
    seconds: dict[str, list[float]] = field(default_factory=dict)
    cursor: Cursor = None

    def fill(self, walk: Walk) -> None:
        """Create the tables and fill them, without compression."""
        if self.floats:
            with session(self.url) as cursor:
                cursor.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
                cursor.execute(FLOATS)
        else:
            migrate(self.url, timescaledb=self.timescaledb)
            self._apply_policies()
        with session(self.url) as cursor:
            if self.timescaledb:  # background jobs must not run during the measurement
                cursor.execute("SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE job_id >= 1000")
            cursor.execute("CREATE TABLE listed (exchange text, symbol text)")
            execute_values(cursor, "INSERT INTO listed VALUES %s", LISTED)
            if self.floats:
                cursor.execute(f"CREATE VIEW latest AS {NEWEST}")
            for week in walk.weeks():
                binary.copy_in(cursor, "COPY candles FROM STDIN (FORMAT binary)", self._rows(walk, week))
            if not self.floats:
                cursor.execute(
                    """INSERT INTO series SELECT exchange, symbol, '1m', NULL, first, last
                       FROM listed, (SELECT min("time") AS first, max("time") AS last FROM candles) AS ends"""
                )
            cursor.execute("VACUUM ANALYZE candles")

    def _rows(self, walk: Walk, week: slice) -> Iterator[bytes]:
        for number, (exchange, symbol) in enumerate(LISTED):
            values = list(walk.integers_of(number)[:, week])
            count = len(values[0])
            if self.floats:
                values = [*(value / PRICE_SCALE for value in values[:4]), values[4] / VOLUME_SCALE]
            else:
                values += [np.full(count, PRICE_SCALE), np.full(count, VOLUME_SCALE)]
            yield binary.rows((exchange, symbol, "1m"), [walk.times[week], *values])

    def compress(self) -> None:
        if self.floats:
            with session(self.url) as cursor:
                cursor.execute(BY_SERIES if self.segmented else BY_TIME)
        else:
            self._apply_policies()
        with session(self.url) as cursor:
            cursor.execute("SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE job_id >= 1000")
            cursor.execute("SELECT show_chunks('candles')::text")
            for (chunk,) in cursor.fetchall():
                cursor.execute("SELECT compress_chunk(%s::regclass)", [chunk])
            cursor.execute("VACUUM ANALYZE candles")

    def _apply_policies(self) -> None:
        """Apply the storage policies again. Some policies belong to the name of a database, so a copy lacks them."""
        with closing(Database(self.url)) as store:
            policies.apply(store, Policies.in_days(chunk=7, compress_after=7))

    def decompress_newest(self) -> None:
        """Decompress the newest chunk."""
        if self.compressed:
            with session(self.url) as cursor:
                cursor.execute(
                    "SELECT decompress_chunk(format('%I.%I', chunk_schema, chunk_name)::regclass)"
                    " FROM timescaledb_information.chunks WHERE hypertable_name = 'candles'"
                    " ORDER BY range_end DESC LIMIT 1"
                )
                cursor.execute("VACUUM ANALYZE candles")

    def bytes(self) -> int:
        size = "hypertable_size('candles')" if self.timescaledb else "pg_total_relation_size('candles')"
        with session(self.url) as cursor:
            cursor.execute(f"SELECT {size}")
            return int(cursor.fetchone()[0])

    def measure(self, name: str, query: str, parameters: Mapping[str, Any]) -> None:
        """Measure the time of a query in the layout's session, as in a notebook or dashboard. Repeat fast queries."""
        bound = self._bound(query, parameters)
        seconds = [self._timed(bound)]
        while sum(seconds) < ENOUGH and len(seconds) < MOST:
            seconds.append(self._timed(bound))
        self.seconds.setdefault(name, []).append(statistics.median(seconds))

    def open(self) -> Cursor:
        """Return the cursor of the layout's session, which all queries share."""
        if self.cursor is None:
            connection = psycopg2.connect(self.url, options=SESSION)
            connection.autocommit = True
            self.cursor = connection.cursor()
        return self.cursor

    def _bound(self, query: str, parameters: Mapping[str, Any]) -> str:
        bound = str(self.open().mogrify(query, parameters).decode())
        if not self.timescaledb:  # plain PostgreSQL has no first() and last()
            bound = bound.replace('first(open, "time")', '(array_agg(open ORDER BY "time"))[1]')
            bound = bound.replace('last(close, "time")', '(array_agg(close ORDER BY "time" DESC))[1]')
        return bound

    def _timed(self, bound: str) -> float:
        started = time.perf_counter()
        if bound.startswith("COPY"):
            self.open().copy_expert(bound, io.BytesIO())
        else:
            self.open().execute(bound)
            self.open().fetchall()
        return time.perf_counter() - started

    def median(self, name: str) -> float:
        """Return the median time of a query, in milliseconds."""
        return statistics.median(self.seconds[name]) * 1000

    def range(self, name: str) -> str:
        """Return the median, fastest and slowest time in milliseconds, or an empty text without measurements."""
        if name not in self.seconds:
            return ""
        low, high = min(self.seconds[name]) * 1000, max(self.seconds[name]) * 1000
        return f"{self.median(name):,.1f} ({low:,.1f}-{high:,.1f})"


@contextmanager
def session(url: str) -> Iterator[Cursor]:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def timescaledb() -> str | None:
    """Return the URL of a server with TimescaleDB. If none is set, print that nothing was measured, and return None."""
    server = os.environ.get("TITAN10_TEST_TIMESCALEDB_URL")
    if not server:
        print("NOT measured: set TITAN10_TEST_TIMESCALEDB_URL to a server with TimescaleDB")  # noqa: T201
    return server or None


def beside(server: str) -> str:
    """Return the names and versions of the servers, for the line above the results."""
    with session(server) as cursor:
        cursor.execute("SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'")
        version = cursor.fetchone()[0]
        return (
            f"TimescaleDB {version} on PostgreSQL {cursor.connection.server_version // 10_000}, embedded PostgreSQL 18"
        )


@contextmanager
def database(server: str, name: str, template: str | None = None) -> Iterator[str]:
    """Yield the URL of a new database, which is dropped afterwards.

    Its name ends with the id of this process. `template`: the URL of a database to copy.
    """
    name = f"{name}_{os.getpid()}"
    identifier = sql.Identifier(name)
    with session(server) as cursor:
        if template is None:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
        else:
            _clone(cursor, identifier, template)
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        with session(server) as cursor:
            cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


def _clone(cursor: Cursor, identifier: sql.Identifier, template: str) -> None:
    """Copy the files of a database. During the copy, no session (also of TimescaleDB's scheduler) can connect to it."""
    name = urlsplit(template).path[1:]
    source = sql.Identifier(name)
    cursor.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(source))
    cursor.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [name])
    cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(identifier, source))
    cursor.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(source))


@contextmanager
def embedded() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            yield postgres.start()
        finally:
            postgres.stop()


def random_slice(slice_: Slice, seed: int) -> JudgedSlice:
    random = np.random.default_rng(seed)
    walk = np.round(40_000 + np.cumsum(random.normal(0, 5, slice_.expected + 1)), 2)
    opens, closes = walk[:-1], walk[1:]
    high, low = np.maximum(opens, closes) + 1, np.minimum(opens, closes) - 1
    volume = np.round(random.exponential(2.0, slice_.expected), 5)
    rows = Candles(slice_.grid(), np.stack([opens, np.round(high, 2), np.round(low, 2), closes, volume]))
    record = FetchRecord(slice_, FETCHED + timedelta(hours=seed), Source.REST, 1, 0, 0.1, True, None)
    return JudgedSlice(record, judge(rows, slice_, FETCHED))
