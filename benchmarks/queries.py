"""What the layout of the candles costs and gives, beside what one might pick instead: bytes, reading, rollups, repairs.

    TITAN10_TEST_TIMESCALEDB_URL=postgresql://... python -m benchmarks.queries [--days 90] [--rounds 7] [--plain]

Five exchanges of 20 symbols each. The databases are made on that server and dropped afterwards. A round asks every
layout the same question, one after the other, so that the ratios hold even where the machine is shared.
`--plain` adds the embedded PostgreSQL 18, without TimescaleDB.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import pandas as pd
import psycopg2
from psycopg2 import sql

from benchmarks import results
from titan10_dagster.candles import frame
from titan10_dagster.candles.fetched import FetchRecord, JudgedSlice
from titan10_dagster.candles.rules import judge
from titan10_dagster.candles.slices import Series, Slice, days, midnight, windows
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.store import policies, rollups
from titan10_dagster.store.database import Database
from titan10_dagster.store.migrations import migrate
from titan10_dagster.store.policies import Policies
from titan10_dagster.store.rollups import ROLLUPS
from titan10_dagster.store.writer import write_slices

TITLE = "Layouts of the candles in TimescaleDB"
EXCHANGES = [f"exchange{n}" for n in range(5)]
SYMBOLS = [f"S{n}/USDT" for n in range(20)]
LAST = date(2024, 3, 31)
FETCHED = datetime(2024, 5, 1, tzinfo=UTC)
ONE = {"exchange": "exchange2", "symbol": "S7/USDT"}
MINUTE = Timeframe.parse("1m")

Cursor = Any
SERIES = "exchange = %(exchange)s AND symbol = %(symbol)s AND timeframe = '1m'"
LAST_CANDLE = """SELECT listed.*, newest.* FROM listed CROSS JOIN LATERAL (
    SELECT "time", close FROM ohlcv WHERE exchange = listed.exchange AND symbol = listed.symbol
    AND timeframe = '1m' ORDER BY "time" DESC LIMIT 1) AS newest"""
# Chunks are compressed a week after their end, so the newest candles are not: asked like that as well.
NEWEST_LOOSE = "the same, the newest chunk not compressed"
QUERIES: Mapping[str, str] = {
    "history of a series, read out": f"""COPY (SELECT "time", open, high, low, close, volume FROM ohlcv
        WHERE {SERIES} ORDER BY "time") TO STDOUT (FORMAT binary)""",
    "history of a series, averaged": f"SELECT avg(close), count(*) FROM ohlcv WHERE {SERIES}",
    "history of a series, added up": f"SELECT min(low), max(high), sum(volume), count(*) FROM ohlcv WHERE {SERIES}",
    "one day of a series": f"""SELECT "time", open, high, low, close, volume FROM ohlcv
        WHERE {SERIES} AND "time" >= %(day)s AND "time" < %(next)s ORDER BY "time\"""",
    "counts a day of an exchange": """SELECT symbol, date_bin('1 day', "time", '2000-01-03 00:00Z'), count(*) FROM ohlcv
        WHERE exchange = %(exchange)s GROUP BY 1, 2""",
    "1h candles of a month from the minutes": f"""SELECT date_bin('1 hour', "time", '2000-01-03 00:00Z') AS hour,
        first(open, "time"), max(high), min(low), last(close, "time"), sum(volume), count(*)
        FROM ohlcv WHERE {SERIES} AND "time" >= %(month)s GROUP BY 1""",
    "last candle of every series": LAST_CANDLE,
    "missing minutes of an exchange": """SELECT symbol, minute FROM listed
        CROSS JOIN generate_series(%(month)s, %(end)s::timestamptz - interval '1 minute', interval '1 minute') AS minute
        WHERE exchange = %(exchange)s EXCEPT SELECT symbol, "time" FROM ohlcv
        WHERE exchange = %(exchange)s AND timeframe = '1m' AND "time" >= %(month)s""",
}
KEPT = """SELECT "time", open, high, low, close, volume, candles FROM {view}
    WHERE exchange = %(exchange)s AND symbol = %(symbol)s ORDER BY "time\""""

FLOATS = """
CREATE TABLE candles (
    exchange text NOT NULL, symbol text NOT NULL, timeframe text NOT NULL, "time" timestamptz NOT NULL,
    open float8 NOT NULL, high float8 NOT NULL, low float8 NOT NULL, close float8 NOT NULL, volume float8 NOT NULL,
    PRIMARY KEY (exchange, symbol, timeframe, "time")
);
CREATE VIEW ohlcv AS SELECT * FROM candles;
SELECT create_hypertable('candles', by_range('time', interval '7 days'), create_default_indexes => false);
"""
BY_SERIES = """ALTER TABLE candles SET (timescaledb.compress, timescaledb.compress_orderby = '"time"',
    timescaledb.compress_segmentby = 'exchange, symbol, timeframe')"""
BY_TIME = "ALTER TABLE candles SET (timescaledb.compress, timescaledb.compress_orderby = '\"time\"')"
FLOAT_ROLLUP = """
CREATE MATERIALIZED VIEW ohlcv_{name} WITH (timescaledb.continuous, timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false) AS
SELECT exchange, symbol, time_bucket(%s, "time") AS "time", first(open, "time") AS open, max(high) AS high,
    min(low) AS low, last(close, "time") AS close, sum(volume) AS volume, {count} AS candles
FROM {source} GROUP BY 1, 2, 3 WITH NO DATA
"""


@dataclass
class Layout:
    """A database with the candles in it; `floats`: as doubles, else as the project keeps them."""

    name: str
    url: str
    floats: bool = False
    compressed: bool = True
    segmented: bool = True
    timescaledb: bool = True
    seconds: dict[str, list[float]] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)
    cursor: Cursor = None

    def make(self, base: pd.DataFrame) -> None:
        if self.floats:
            with session(self.url) as cursor:
                cursor.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
                cursor.execute(FLOATS)
                cursor.execute(BY_SERIES if self.segmented else BY_TIME)
        else:
            migrate(self.url, timescaledb=self.timescaledb)
            database = Database(self.url)
            policies.apply(database, Policies.in_days(chunk=7, compress_after=7))
            database.close()
        with session(self.url) as cursor:
            self._fill(cursor, base)

    def _fill(self, cursor: Cursor, base: pd.DataFrame) -> None:
        """A random walk for all series, each a few cents apart and some hours ahead of the one before."""
        cursor.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'")
        if cursor.rowcount:
            cursor.execute("SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE job_id >= 1000")
        columns = 'place int, "time" timestamptz, o bigint, h bigint, l bigint, c bigint, v bigint'
        cursor.execute(f"CREATE TEMPORARY TABLE base ({columns})")
        cursor.copy_expert("COPY base FROM STDIN (FORMAT csv)", io.StringIO(base.to_csv(index=False, header=False)))
        values = ", ".join([*(f"({price} + n) / 1e2::float8" for price in "ohlc"), "v / 1e5::float8"])
        if not self.floats:
            values = "o + n, h + n, l + n, c + n, v, 1e2, 1e5"
        cursor.execute("CREATE TABLE listed (exchange text, symbol text)")
        for number, (exchange, symbol) in enumerate((e, s) for e in EXCHANGES for s in SYMBOLS):
            cursor.execute("INSERT INTO listed VALUES (%s, %s)", [exchange, symbol])
            cursor.execute(
                f"""INSERT INTO candles SELECT %(exchange)s, %(symbol)s, '1m', "time", {values}
                    FROM (SELECT place, "time" FROM base) AS times, (SELECT %(n)s::bigint AS n) AS number,
                        (SELECT place AS start, o, h, l, c, v FROM base) AS walks
                    WHERE start = (place + %(turn)s) %% %(rows)s ORDER BY "time\"""",
                {"exchange": exchange, "symbol": symbol, "n": 700 * number, "turn": 1009 * number, "rows": len(base)},
            )
        if not self.floats:
            cursor.execute(
                """INSERT INTO series SELECT exchange, symbol, '1m', NULL, first, last
                   FROM listed, (SELECT min("time") AS first, max("time") AS last FROM base) AS ends"""
            )
        if self.compressed:
            cursor.execute("SELECT show_chunks('candles')::text")
            for (chunk,) in cursor.fetchall():
                cursor.execute("SELECT compress_chunk(%s::regclass)", [chunk])
        cursor.execute("VACUUM ANALYZE candles")

    def loosen(self) -> None:
        """Decompresses the newest chunk."""
        with session(self.url) as cursor:
            if self.compressed:
                cursor.execute(
                    "SELECT decompress_chunk(format('%I.%I', chunk_schema, chunk_name)::regclass)"
                    " FROM timescaledb_information.chunks WHERE hypertable_name = 'candles'"
                    " ORDER BY range_end DESC LIMIT 1"
                )

    def bytes(self) -> int:
        size = "hypertable_size('candles')" if self.timescaledb else "pg_total_relation_size('candles')"
        with session(self.url) as cursor:
            cursor.execute(f"SELECT {size}")
            return int(cursor.fetchone()[0])

    def ask(self, name: str, query: str, parameters: Mapping[str, Any]) -> None:
        """Twice, in the layout's own session, as a notebook or dashboard has one; the second counts."""
        if self.cursor is None:
            connection = psycopg2.connect(self.url, options="-c timezone=UTC -c jit=off")
            connection.autocommit = True
            self.cursor = connection.cursor()
        bound = self.cursor.mogrify(query, parameters).decode()
        if not self.timescaledb:  # it has no first() and last()
            bound = bound.replace('first(open, "time")', '(array_agg(open ORDER BY "time"))[1]')
            bound = bound.replace('last(close, "time")', '(array_agg(close ORDER BY "time" DESC))[1]')
        for _ in range(2):
            started = time.perf_counter()
            if bound.startswith("COPY"):
                self.cursor.copy_expert(bound, io.BytesIO())
            else:
                self.cursor.execute(bound)
                self.cursor.fetchall()
            seconds = time.perf_counter() - started
        self.seconds.setdefault(name, []).append(seconds)

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def range(self, name: str) -> str:
        if name not in self.seconds:
            return ""
        low, middle, high = (f(self.seconds[name]) * 1000 for f in (min, statistics.median, max))
        return f"{middle:,.1f} ({low:,.1f}-{high:,.1f})"


@contextmanager
def session(url: str) -> Iterator[Cursor]:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def main() -> None:
    arguments = _arguments()
    first = LAST - timedelta(days=arguments.days - 1)
    base = _walk(first)
    server = timescaledb()
    if server is None:
        return
    with ExitStack() as stack:
        layouts = [
            Layout("ours, not compressed", stack.enter_context(database(server, "titan10_bench_u")), compressed=False),
            Layout("ours", stack.enter_context(database(server, "titan10_bench_c"))),
            Layout("float8 by series", stack.enter_context(database(server, "titan10_bench_f")), floats=True),
            Layout(
                "float8 by time only",
                stack.enter_context(database(server, "titan10_bench_t")),
                floats=True,
                segmented=False,
            ),
        ]
        if arguments.plain:
            plain = stack.enter_context(embedded())
            layouts.append(Layout("ours, plain PostgreSQL 18", plain, compressed=False, timescaledb=False))
        for layout in layouts:
            started = time.perf_counter()
            layout.make(base)
            print(f"{layout.name}: made in {time.perf_counter() - started:.0f} s", flush=True)  # noqa: T201
        told = []
        for text in _measured(layouts, base, first, arguments.rounds):
            print(text, flush=True)  # noqa: T201
            told.append(text)
            results.write(TITLE, "\n\n".join(told), beside=beside(server))


def timescaledb() -> str | None:
    """The URL of a server with TimescaleDB; without one it says that nothing was measured."""
    server = os.environ.get("TITAN10_TEST_TIMESCALEDB_URL")
    if not server:
        print("no TimescaleDB: TITAN10_TEST_TIMESCALEDB_URL names none, so this was NOT measured")  # noqa: T201
    return server or None


def beside(server: str) -> str:
    """The server and its versions, for the line above the results."""
    with session(server) as cursor:
        cursor.execute("SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'")
        version = cursor.fetchone()[0]
        return (
            f"TimescaleDB {version} on PostgreSQL {cursor.connection.server_version // 10_000}, embedded PostgreSQL 18"
        )


def _measured(layouts: Sequence[Layout], base: pd.DataFrame, first: date, rounds: int) -> Iterator[str]:
    """The sections of the result, each as soon as it is measured."""
    rows = len(base) * len(EXCHANGES) * len(SYMBOLS)
    parameters = {
        **ONE,
        "day": midnight(LAST - timedelta(days=9)),
        "next": midnight(LAST - timedelta(days=8)),
        "month": midnight(max(first, LAST - timedelta(days=29))),
        "end": midnight(LAST + timedelta(days=1)),
    }
    for layout in layouts:
        layout.facts["bytes"] = layout.bytes() / rows
    for _ in range(rounds):
        for name, query in QUERIES.items():
            for layout in layouts:
                layout.ask(name, query, parameters)
    for layout in layouts:
        layout.loosen()
    for _ in range(rounds):
        for layout in layouts:
            layout.ask(NEWEST_LOOSE, LAST_CANDLE, parameters)
    yield (
        f"{len(EXCHANGES)} exchanges of {len(SYMBOLS)} symbols, {len(base) // 1440} days of random 1m candles: "
        f"{rows:,} rows, chunks of 7 days. Medians of {rounds} rounds in milliseconds (fastest-slowest)."
    )
    yield _table(layouts)
    yield _ratios({layout.name: layout for layout in layouts})
    rolled = [layout for layout in layouts if layout.name in ("ours", "float8 by series")]
    _roll_up(rolled, parameters, rounds)
    yield _rollup_table(rolled)
    yield _repairs(layouts[1], layouts[3])


def _roll_up(layouts: Sequence[Layout], parameters: Mapping[str, Any], rounds: int) -> None:
    """Rollups of both, refreshed from nothing and then for a day that one exchange wrote again."""
    for layout in layouts:
        if layout.floats:
            with session(layout.url) as cursor:
                source, count = "candles", "count(*)"
                for name, rollup in ROLLUPS.items():
                    cursor.execute(FLOAT_ROLLUP.format(name=name, source=source, count=count), [rollup.delta])
                    cursor.execute(f"CREATE INDEX ON ohlcv_{name} (exchange, symbol, time)")
                    source, count = f"ohlcv_{name}", "sum(candles)::bigint"
        layout.facts["refresh all"] = _refresh(layout)
    touch = """UPDATE candles SET volume = volume + 1 WHERE exchange = 'exchange1' AND symbol = 'S3/USDT'
        AND timeframe = '1m' AND "time" = %(day)s"""
    ends = """UPDATE candles SET volume = volume + 1 WHERE exchange = 'exchange1' AND symbol = 'S3/USDT'
        AND timeframe = '1m' AND "time" = %(next)s::timestamptz - interval '1 minute'"""
    for _ in range(rounds):
        for layout in layouts:
            with session(layout.url) as cursor:  # one transaction: everything between the two is invalid then
                cursor.execute("BEGIN")
                cursor.execute(touch, parameters)
                cursor.execute(ends, parameters)
                cursor.execute("COMMIT")
            layout.seconds.setdefault("refresh of one day", []).append(_refresh(layout))
            layout.ask("kept 1h candles of a series", KEPT.format(view="ohlcv_1h"), parameters)
            layout.ask("kept 5m candles of a series", KEPT.format(view="ohlcv_5m"), parameters)


def _refresh(layout: Layout) -> float:
    started = time.perf_counter()
    if layout.floats:
        with session(layout.url) as cursor:
            for name in ROLLUPS:
                cursor.execute("CALL refresh_continuous_aggregate(%s, NULL, NULL)", [f"ohlcv_{name}"])
    else:
        rollups.catch_up(Database(layout.url))
    return time.perf_counter() - started


def _repairs(ours: Layout, by_time: Layout) -> str:
    """Repairs of compressed days: through the store, and what "by time only" does with an upsert."""
    database = Database(ours.url)
    day = LAST - timedelta(days=8)
    lines = []
    for what, symbols in (("a day of one symbol", SYMBOLS[3:4]), ("a day of an exchange", SYMBOLS)):
        slices = [Slice(Series("exchange1", symbol, MINUTE), day) for symbol in symbols]
        seconds = []
        for seed in range(3):
            given = [made_up(slice_, seed) for slice_ in slices]
            started = time.perf_counter()
            report = write_slices(database, given)
            seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
        rollups.refresh(database, windows(slices))
        refreshed = time.perf_counter() - started
        lines.append(
            f"- every minute of {what} restated, compressed ({report.restated:,} rows): {_middle(seconds)} ms; the"
            f" rollups of that day afterwards {refreshed * 1000:,.0f} ms"
        )
    database.close()
    lines.append(f"- the same of one symbol, by time only: {_upsert(by_time, day)}")
    return "Repairs:\n\n" + "\n".join(lines)


def _upsert(layout: Layout, day: date) -> str:
    with session(layout.url) as cursor:
        started = time.perf_counter()
        try:
            cursor.execute(
                """INSERT INTO candles SELECT exchange, symbol, timeframe, "time", open, high, low, close, volume + 1
                   FROM candles WHERE exchange = 'exchange1' AND symbol = 'S3/USDT' AND timeframe = '1m'
                   AND "time" >= %s AND "time" < %s
                   ON CONFLICT (exchange, symbol, timeframe, "time") DO UPDATE SET volume = excluded.volume""",
                [midnight(day), midnight(day + timedelta(days=1))],
            )
        except psycopg2.Error as error:
            return f"fails: {str(error).splitlines()[0]}"
        return f"{(time.perf_counter() - started) * 1000:,.0f} ms"


def made_up(slice_: Slice, seed: int) -> JudgedSlice:
    random = np.random.default_rng(seed)
    walk = np.round(40_000 + np.cumsum(random.normal(0, 5, slice_.expected + 1)), 2)
    opens, closes = walk[:-1], walk[1:]
    high, low = np.maximum(opens, closes) + 1, np.minimum(opens, closes) - 1
    volume = np.round(random.exponential(2.0, slice_.expected), 5)
    rows = frame.from_columns(slice_.grid(), [opens, np.round(high, 2), np.round(low, 2), closes, volume])
    record = FetchRecord(slice_, FETCHED + timedelta(hours=seed), "rest", 1, 0, 0.1, True, None)
    return JudgedSlice(record, judge(rows, slice_, FETCHED))


def _walk(first: date) -> pd.DataFrame:
    random = np.random.default_rng(0)
    times = np.concatenate([Slice(Series("x", "y", MINUTE), day).grid() for day in days(first, LAST)])
    walk = 4_000_000 + np.cumsum(random.normal(0, 500, len(times) + 1)).astype(np.int64)
    opens, closes = walk[:-1], walk[1:]
    high = np.maximum(opens, closes) + random.exponential(200, len(times)).astype(np.int64)
    low = np.minimum(opens, closes) - random.exponential(200, len(times)).astype(np.int64)
    volume = random.exponential(2e5, len(times)).astype(np.int64)
    stamps = pd.to_datetime(times, utc=True)
    return pd.DataFrame(
        {"place": range(len(times)), "time": stamps, "o": opens, "h": high, "l": low, "c": closes, "v": volume}
    )


def _table(layouts: Sequence[Layout]) -> str:
    head = f"| | {' | '.join(layout.name for layout in layouts)} |\n|-|{'-|' * len(layouts)}"
    sizes = " | ".join(f"{layout.facts['bytes']:.1f}" for layout in layouts)
    rows = [f"| {name} | {' | '.join(layout.range(name) for layout in layouts)} |" for name in (*QUERIES, NEWEST_LOOSE)]
    return "\n".join((head, f"| bytes a candle | {sizes} |", *rows))


def _ratios(by_name: Mapping[str, Layout]) -> str:
    ours, loose = by_name["ours"], by_name["ours, not compressed"]
    floats, by_time = by_name["float8 by series"], by_name["float8 by time only"]
    lines = [
        f"| {name} | {ours.median(name) / loose.median(name):.2f} | {ours.median(name) / floats.median(name):.2f}"
        f" | {by_time.median(name) / ours.median(name):,.1f} |"
        for name in (*QUERIES, NEWEST_LOOSE)
    ]
    head = "| ours takes | of not compressed | of float8 by series | by time only takes, of ours |\n|-|-|-|-|"
    return "\n".join((head, *lines))


def _rollup_table(layouts: Sequence[Layout]) -> str:
    ours, floats = layouts
    head = "| rollups | ours | float8 | ratio |\n|-|-|-|-|"
    first, second = (layout.facts["refresh all"] * 1000 for layout in layouts)
    whole = f"| refresh of everything, all six | {first:,.0f} | {second:,.0f} | {first / second:.2f} |"
    names = ("refresh of one day", "kept 1h candles of a series", "kept 5m candles of a series")
    rows = [
        f"| {name} | {ours.range(name)} | {floats.range(name)} | {ours.median(name) / floats.median(name):.2f} |"
        for name in names
    ]
    return "\n".join((head, whole, *rows))


def _middle(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) * 1000:,.0f}"


@contextmanager
def database(server: str, name: str) -> Iterator[str]:
    """A database of that name and this process, dropped afterwards."""
    name = f"{name}_{os.getpid()}"
    identifier = sql.Identifier(name)
    with session(server) as cursor:
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        with session(server) as cursor:
            cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


@contextmanager
def embedded() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            yield postgres.start()
        finally:
            postgres.stop()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--plain", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
