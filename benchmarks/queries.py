"""Compare the layout of the candles with alternatives: bytes on disk, reading, rollups and repairs.

    TITAN10_TEST_TIMESCALEDB_URL=postgresql://... python -m benchmarks.queries [--days 90] [--rounds 9] [--plain]

There are five exchanges with 20 symbols each. The databases are created on the given server and dropped afterwards. 90
days need 12 GB of disk and a quarter of an hour. In a round each query runs on all layouts, one after the other, so
that the ratios are right even on a shared machine. `--plain` adds the embedded PostgreSQL 18, without TimescaleDB.

At the end the same queries read a sixteenth and a quarter of the history. This shows which queries take longer with
more history.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import pandas as pd
import psycopg2

from benchmarks import results
from benchmarks.layouts import (
    END,
    EXCHANGES,
    FLOATS_ROLLUP,
    LAST,
    MINUTE,
    NEWEST,
    SYMBOLS,
    Layout,
    Walk,
    beside,
    database,
    embedded,
    random_slice,
    session,
    timescaledb,
)
from titan10_dagster.candles.slices import Series, Slice, midnight, windows
from titan10_dagster.store import reader, rollups
from titan10_dagster.store.database import Database
from titan10_dagster.store.rollups import ROLLUPS
from titan10_dagster.store.writer import write_slices

TITLE = "Layouts of the candles in TimescaleDB"
READ = Series("exchange2", "S7/USDT", MINUTE)
REPAIRED = "exchange1"

SERIES = "exchange = %(exchange)s AND symbol = %(symbol)s AND timeframe = '1m'"
CANDLES = f'SELECT "time", open, high, low, close, volume FROM ohlcv WHERE {SERIES}'
HISTORY = f'{CANDLES} ORDER BY "time"'

ON_SERVER = "history of a series, not sent"
READ_OUT = "history of a series, read out by COPY"
AS_PANDAS = "history of a series, as pandas"
LATEST = "last candle of every series (view `latest`)"
ALL_COMPRESSED = "view `latest`, even the newest chunk compressed"
QUERIES: Mapping[str, str] = {
    ON_SERVER: f"{HISTORY} OFFSET 1000000000",
    READ_OUT: f"COPY ({HISTORY}) TO STDOUT (FORMAT binary)",
    "history of a series, averaged": f"SELECT avg(close) FROM ohlcv WHERE {SERIES}",
    "history of a series, added up": f"SELECT min(low), max(high), sum(volume), count(*) FROM ohlcv WHERE {SERIES}",
    "one day of a series": f'{CANDLES} AND "time" >= %(day)s AND "time" < %(next)s ORDER BY "time"',
    "candles per day of an exchange": """SELECT symbol, date_bin('1 day', "time", '2000-01-03 00:00Z'), count(*)
        FROM ohlcv WHERE exchange = %(exchange)s GROUP BY 1, 2""",
    "1h candles from the minutes": f"""SELECT date_bin('1 hour', "time", '2000-01-03 00:00Z') AS hour,
        first(open, "time"), max(high), min(low), last(close, "time"), sum(volume), count(*)
        FROM ohlcv WHERE {SERIES} AND "time" >= %(since)s GROUP BY 1""",
    LATEST: 'SELECT exchange, symbol, "time", close FROM latest',
    "last candle of every series, without the view": NEWEST,
    "missing minutes of an exchange": """SELECT symbol, minute FROM listed
        CROSS JOIN generate_series(%(since)s, %(end)s::timestamptz - interval '1 minute', interval '1 minute') AS minute
        WHERE exchange = %(exchange)s EXCEPT SELECT symbol, "time" FROM ohlcv
        WHERE exchange = %(exchange)s AND timeframe = '1m' AND "time" >= %(since)s""",
}
MEASURED = tuple(dict.fromkeys((ON_SERVER, READ_OUT, AS_PANDAS, *QUERIES, ALL_COMPRESSED)))
KEPT = """COPY (SELECT "time", open, high, low, close, volume, candles FROM ohlcv_{name}
    WHERE exchange = %(exchange)s AND symbol = %(symbol)s ORDER BY "time") TO STDOUT (FORMAT binary)"""
KEPT_DAY = """SELECT "time", open, high, low, close, volume, candles FROM ohlcv_1h
    WHERE exchange = %(exchange)s AND symbol = %(symbol)s AND "time" >= %(day)s AND "time" < %(next)s"""
WEEK, OF_A_DAY = "refresh of a week, all six", "refresh of a day that was written again, all six"

OURS, UNCOMPRESSED, FLOATS, BY_TIME = "ours", "ours, not compressed", "float8 by series", "float8 by time only"
PLAIN = "ours, plain PostgreSQL 18"

Parameters = Mapping[str, Any]


def main() -> None:
    arguments = _arguments()
    server = timescaledb()
    if server is None:
        return
    sections: list[str] = []
    with ExitStack() as stack:
        walk = Walk.of(arguments.days * 1440)
        layouts = _layouts(stack, server, walk, plain=arguments.plain)
        for text in _compared(layouts, walk, arguments.rounds):
            _publish(sections, text, server)
        smaller = _smaller(stack, server, walk, plain=arguments.plain)
        whole = [layouts[OURS], layouts[PLAIN]] if arguments.plain else [layouts[OURS]]
        _publish(sections, _growth([*smaller, whole], walk), server)


def _publish(sections: list[str], text: str, server: str) -> None:
    """Print a section, and write all sections so far to RESULTS.md."""
    print(text, flush=True)  # noqa: T201
    sections.append(text)
    results.write(TITLE, "\n\n".join(sections), beside=beside(server))


def _layouts(stack: ExitStack, server: str, walk: Walk, *, plain: bool) -> dict[str, Layout]:
    """Return the layouts. Two databases are filled, with integers and with doubles. The other databases are copies."""
    uncompressed = Layout(UNCOMPRESSED, stack.enter_context(database(server, "titan10_bench_u")), compressed=False)
    _report_time("filled", uncompressed.name, partial(uncompressed.fill, walk))
    ours = Layout(OURS, stack.enter_context(database(server, "titan10_bench_c", uncompressed.url)))
    by_time = Layout(BY_TIME, stack.enter_context(database(server, "titan10_bench_t")), floats=True, segmented=False)
    _report_time("filled", by_time.name, partial(by_time.fill, walk))
    floats = Layout(FLOATS, stack.enter_context(database(server, "titan10_bench_f", by_time.url)), floats=True)
    for layout in (ours, floats, by_time):
        _report_time("compressed", layout.name, layout.compress)
    layouts = [uncompressed, ours, floats, by_time]
    if plain:
        layouts.append(_plain(stack, walk))
    return {layout.name: layout for layout in layouts}


def _plain(stack: ExitStack, walk: Walk) -> Layout:
    layout = Layout(PLAIN, stack.enter_context(embedded()), compressed=False, timescaledb=False)
    _report_time("filled", layout.name, partial(layout.fill, walk))
    return layout


def _smaller(stack: ExitStack, server: str, walk: Walk, *, plain: bool) -> list[list[Layout]]:
    """Return layouts with a sixteenth and a quarter of the history. `plain`: include layouts in plain PostgreSQL."""
    found = []
    for part in (16, 4):
        shorter = Walk.of(len(walk.times) // part)
        ours = Layout(OURS, stack.enter_context(database(server, f"titan10_bench_{part}")))
        _report_time("filled", f"{shorter.rows:,} rows of {ours.name}", partial(ours.fill, shorter))
        ours.compress()
        ours.decompress_newest()
        with closing(Database(ours.url)) as store:
            rollups.catch_up(store)
        found.append([ours, _plain(stack, shorter)] if plain else [ours])
    return found


def _report_time(done: str, name: str, work: Callable[[], None]) -> None:
    started = time.perf_counter()
    work()
    print(f"{name}: {done} in {time.perf_counter() - started:.0f} s", flush=True)  # noqa: T201


def _compared(by_name: Mapping[str, Layout], walk: Walk, rounds: int) -> Iterator[str]:
    """Yield each section of the result as soon as it is measured."""
    layouts = list(by_name.values())
    parameters = _parameters(day=LAST - timedelta(days=9), since=LAST - timedelta(days=29))
    sizes = [layout.bytes() / walk.rows for layout in layouts]
    yield (
        f"{len(EXCHANGES)} exchanges of {len(SYMBOLS)} symbols, {len(walk.times) // 1440} days of random 1m candles:"
        f" {walk.rows:,} rows, chunks of 7 days. Medians of {rounds} rounds in milliseconds (fastest-slowest). Chunks"
        " are compressed, except the newest chunk, because the policy leaves one or two chunks uncompressed. 1h candles"
        " and missing minutes are from the last 30 days. All sessions have a work_mem of 16 MB.\n\nA history is read in"
        " three ways: completely, but without sending it (OFFSET); by COPY in binary; and as a pandas frame."
        " `store.reader` makes the frame of our layout; doubles are read from a cursor, as `pandas.read_sql` does."
    )
    for _ in range(rounds):
        for layout in layouts:
            layout.measure(ALL_COMPRESSED, QUERIES[LATEST], parameters)
    for layout in layouts:
        layout.decompress_newest()
    for number in range(rounds):
        started = time.perf_counter()
        _round(layouts, parameters)
        print(f"round {number + 1} took {time.perf_counter() - started:.0f} s", flush=True)  # noqa: T201
    yield _table(layouts, sizes)
    yield _ratios(by_name)
    rolled = [by_name[OURS], by_name[FLOATS]]
    _roll_up(rolled, walk, parameters, rounds)
    yield _rollup_table(*rolled)
    yield _repairs(by_name[OURS], by_name[BY_TIME])


def _parameters(*, day: date, since: date) -> Parameters:
    return {
        "exchange": READ.exchange,
        "symbol": READ.symbol,
        "day": midnight(day),
        "next": midnight(day + timedelta(days=1)),
        "since": midnight(since),
        "end": END,
    }


def _round(layouts: Sequence[Layout], parameters: Parameters) -> None:
    """Measure the time of every query on every layout."""
    for name, query in QUERIES.items():
        for layout in layouts:
            layout.measure(name, query, parameters)
    for layout in layouts:
        layout.seconds.setdefault(AS_PANDAS, []).append(_as_pandas(layout, parameters))


def _as_pandas(layout: Layout, parameters: Parameters) -> float:
    """Return the seconds to read a history as pandas: by `store.reader`, or doubles as `pandas.read_sql` does."""
    if layout.floats:
        started = time.perf_counter()
        layout.open().execute(HISTORY, parameters)
        names = [column.name for column in layout.open().description]
        frame = pd.DataFrame.from_records(layout.open().fetchall(), columns=names, coerce_float=True)
    else:
        with closing(Database(layout.url)) as store:
            reader.candles(store, READ, parameters["day"], parameters["next"])  # connects
            started = time.perf_counter()
            frame = reader.candles(store, READ, midnight(date(2000, 1, 1)), END)
    assert len(frame), f"{layout.name} has no history"
    return time.perf_counter() - started


def _table(layouts: Sequence[Layout], sizes: Sequence[float]) -> str:
    head = f"| | {' | '.join(layout.name for layout in layouts)} |\n|-|{'-|' * len(layouts)}"
    size = " | ".join(f"{size:.1f}" for size in sizes)
    rows = [f"| {name} | {' | '.join(layout.range(name) for layout in layouts)} |" for name in MEASURED]
    return "\n".join((head, f"| bytes a candle | {size} |", *rows))


def _ratios(by_name: Mapping[str, Layout]) -> str:
    ours = by_name[OURS]
    titles = {
        UNCOMPRESSED: "ours / not compressed",
        FLOATS: "ours / float8 by series",
        BY_TIME: "by time only / ours",
        PLAIN: "plain PostgreSQL 18 / ours",
    }
    others = [name for name in titles if name in by_name]
    lines = []
    for question in MEASURED:
        cells = []
        for name in others:
            time_ratio = by_name[name].median(question) / ours.median(question)
            cells.append(f"{1 / time_ratio:.2f}" if name in (UNCOMPRESSED, FLOATS) else f"{time_ratio:,.1f}")
        lines.append(f"| {question} | {' | '.join(cells)} |")
    return "\n".join((f"| | {' | '.join(titles[name] for name in others)} |", f"|-|{'-|' * len(others)}", *lines))


def _roll_up(layouts: Sequence[Layout], walk: Walk, parameters: Parameters, rounds: int) -> None:
    """Create the rollups of both layouts week by week, in turns. Then refresh a changed day, and read the rollups."""
    _float_rollups(layouts[1])
    for start, end in _weeks(walk):
        for layout in layouts:
            layout.seconds.setdefault(WEEK, []).append(_refresh(layout, start, end))
    for layout in layouts:
        _refresh(layout, None, None)
    print("rollups made", flush=True)  # noqa: T201
    for _ in range(rounds):
        for layout in layouts:
            _touch(layout, parameters)
            layout.seconds.setdefault(OF_A_DAY, []).append(_refresh(layout, None, None))
    for name in ("1h", "5m"):
        for _ in range(3 * rounds):  # these queries take milliseconds, and their times differ little
            for layout in layouts:
                layout.measure(f"kept {name} candles of a series", KEPT.format(name=name), parameters)


def _float_rollups(layout: Layout) -> None:
    with session(layout.url) as cursor:
        source, count = "candles", "count(*)"
        for name, rollup in ROLLUPS.items():
            cursor.execute(FLOATS_ROLLUP.format(name=name, source=source, count=count), [rollup.delta])
            cursor.execute(f"CREATE INDEX ON ohlcv_{name} (exchange, symbol, time)")
            source, count = f"ohlcv_{name}", "sum(candles)::bigint"


def _weeks(walk: Walk) -> Iterator[tuple[datetime, datetime]]:
    """Yield the whole weeks, from Monday to Monday."""
    monday = END
    while midnight(walk.times[0].astype("M8[D]").item()) <= monday - timedelta(weeks=1):
        monday -= timedelta(weeks=1)
        yield monday, monday + timedelta(weeks=1)


def _refresh(layout: Layout, start: datetime | None, end: datetime | None) -> float:
    with session(layout.url) as cursor:
        started = time.perf_counter()
        for name in ROLLUPS:
            aggregate = f"ohlcv_{name}" if layout.floats else f"rollup_{name}"
            cursor.execute(
                "CALL refresh_continuous_aggregate(%s, %s::timestamptz, %s::timestamptz)", [aggregate, start, end]
            )
        return time.perf_counter() - started


def _touch(layout: Layout, parameters: Parameters) -> None:
    """Change the first and the last minute of a day in one transaction. This invalidates all rollups of the day."""
    touch = f"""UPDATE candles SET volume = volume + 1 WHERE {SERIES}
        AND "time" IN (%(day)s, %(next)s::timestamptz - interval '1 minute')"""
    with session(layout.url) as cursor:
        cursor.execute(touch, {**parameters, "exchange": REPAIRED})


def _rollup_table(ours: Layout, floats: Layout) -> str:
    head = "| rollups | ours | float8 | ratio |\n|-|-|-|-|"
    names = (WEEK, OF_A_DAY, "kept 1h candles of a series", "kept 5m candles of a series")
    rows = [
        f"| {name} | {ours.range(name)} | {floats.range(name)} | {ours.median(name) / floats.median(name):.2f} |"
        for name in names
    ]
    return "\n".join((head, *rows))


def _repairs(ours: Layout, by_time: Layout) -> str:
    """Measure repairs of compressed days, by the store, and by an upsert in the layout "by time only"."""
    day = LAST - timedelta(days=8)
    lines = []
    with closing(Database(ours.url)) as store:
        for what, symbols in (("a day of one symbol", SYMBOLS[3:4]), ("a day of an exchange", SYMBOLS)):
            slices = [Slice(Series(REPAIRED, symbol, MINUTE), day) for symbol in symbols]
            seconds = [_restate(store, slices, seed) for seed in range(3)]
            started = time.perf_counter()
            rollups.refresh(store, windows(slices))
            refreshed = time.perf_counter() - started
            lines.append(
                f"- every minute of {what} restated, compressed ({len(slices) * 1440:,} rows):"
                f" {statistics.median(seconds) * 1000:,.0f} ms; the rollups of that day afterwards"
                f" {refreshed * 1000:,.0f} ms"
            )
    lines.append(f"- the same of one symbol, by time only: {_upsert(by_time, day)}")
    return "Repairs:\n\n" + "\n".join(lines)


def _restate(store: Database, slices: Sequence[Slice], seed: int) -> float:
    given = [random_slice(slice_, seed) for slice_ in slices]
    started = time.perf_counter()
    write_slices(store, given)
    return time.perf_counter() - started


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


def _growth(sizes: Sequence[Sequence[Layout]], walk: Walk) -> str:
    """Compare the times for three lengths of history. `sizes`: the same layouts for each length."""
    parameters = _parameters(day=LAST - timedelta(days=4), since=LAST - timedelta(days=4))
    for layouts in sizes:
        for layout in layouts:
            layout.seconds.clear()
    for seed in range(5):
        for layouts in sizes:
            for layout in layouts:
                _measure_all(layout, parameters, seed)
    first = sizes[0]
    head = "| | " + " | ".join(f"{layout.name}, 1x (ms) | 4x | 16x" for layout in first) + " |"
    rows = []
    for name in first[0].seconds:
        cells = [_ratios_of_growth([layouts[number] for layouts in sizes], name) for number in range(len(first))]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return (
        f"The same queries with {len(walk.times) / 16 / 1440:.1f} days (1x), and with four and sixteen times as much:"
        " times relative to 1x. 1h candles and missing minutes are those of the last five days.\n\n"
        + "\n".join((head, f"|-|{'-|-|-|' * len(first)}", *rows))
    )


def _measure_all(layout: Layout, parameters: Parameters, seed: int) -> None:
    for name, query in QUERIES.items():
        layout.measure(name, query, parameters)
    slices = [Slice(Series(REPAIRED, SYMBOLS[3], MINUTE), parameters["day"].date())]
    with closing(Database(layout.url)) as store:
        restated = layout.seconds.setdefault("a day of one symbol restated", [])
        restated.append(_restate(store, slices, seed))
        started = time.perf_counter()
        rollups.refresh(store, windows(slices))
        layout.seconds.setdefault("rollups of that day refreshed", []).append(time.perf_counter() - started)
    layout.measure("kept 1h candles of a day", KEPT_DAY, parameters)


def _ratios_of_growth(layouts: Sequence[Layout], name: str) -> str:
    first, *others = (layout.median(name) for layout in layouts)
    return " | ".join((f"{first:,.1f}", *(f"{other / first:.1f}" for other in others)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--plain", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
