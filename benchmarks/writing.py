"""Compare the speed of writing candles by the store with the fastest way: COPY into a table without an index.

    TITAN10_TEST_TIMESCALEDB_URL=postgresql://... python -m benchmarks.writing [--days 5] [--rounds 5]

The rows are candles of twenty symbols of one exchange. In one transaction the store reads the stored candles, compares
them with the new candles, copies the new candles, counts the rows, and updates ledger and gaps. COPY receives the same
rows in its own format.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import partial

from benchmarks import results
from benchmarks.layouts import LAST, MINUTE, SYMBOLS, beside, database, embedded, random_slice, session, timescaledb
from titan10_dagster.candles.fetched import JudgedSlice
from titan10_dagster.candles.slices import Series, Slice, days
from titan10_dagster.store.database import Database
from titan10_dagster.store.migrations import migrate
from titan10_dagster.store.writer import write_slices

TITLE = "Writing candles"


def main() -> None:
    arguments = _arguments()
    server = timescaledb()
    if server is None:
        return
    with ExitStack() as stack:
        urls = {
            "TimescaleDB": stack.enter_context(database(server, "titan10_bench_w")),
            "plain PostgreSQL 18": stack.enter_context(embedded()),
        }
        lines = [_measured(name, url, arguments.days, arguments.rounds) for name, url in urls.items()]
    rows = arguments.days * len(SYMBOLS) * 1440
    text = (
        f"{rows:,} candles a round, medians of {arguments.rounds} rounds (slowest-fastest), in rows a second.\n\n"
        "| | through the store | COPY without an index | share | written again, unchanged |\n|-|-|-|-|-|\n"
    ) + "\n".join(lines)
    print(text)  # noqa: T201
    results.write(TITLE, text, beside=beside(server))


def _measured(name: str, url: str, wanted: int, rounds: int) -> str:
    migrate(url)
    store = Database(url)
    fresh, copied, again = [], [], []
    for number in range(rounds):
        judged_slices = _random_slices(f"exchange{number}", wanted)
        rows = sum(len(judged.verdict.valid) for judged in judged_slices)
        fresh.append(rows / _seconds(partial(write_slices, store, judged_slices)))
        again.append(rows / _seconds(partial(write_slices, store, judged_slices)))
        copied.append(rows / _copy(url, f"exchange{number}"))
    store.close()
    share = statistics.median(fresh) / statistics.median(copied)
    return f"| {name} | {_summary(fresh)} | {_summary(copied)} | {share:.0%} | {_summary(again)} |"


def _random_slices(exchange: str, wanted: int) -> list[JudgedSlice]:
    dates = days(LAST - timedelta(days=wanted - 1), LAST)
    return [random_slice(Slice(Series(exchange, symbol, MINUTE), day), 0) for symbol in SYMBOLS for day in dates]


def _copy(url: str, exchange: str) -> float:
    """Return the seconds that the server needs to COPY the same rows into a table without an index."""
    buffer = io.BytesIO()
    with session(url) as cursor:
        query = cursor.mogrify("SELECT * FROM candles WHERE exchange = %s", [exchange]).decode()
        cursor.copy_expert(f"COPY ({query}) TO STDOUT (FORMAT binary)", buffer)
        cursor.execute("DROP TABLE IF EXISTS unindexed")
        cursor.execute("CREATE TABLE unindexed (LIKE candles)")
        buffer.seek(0)
        return _seconds(lambda: cursor.copy_expert("COPY unindexed FROM STDIN (FORMAT binary)", buffer, 1 << 18))


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _summary(rates: Sequence[float]) -> str:
    return f"{statistics.median(rates):,.0f} ({min(rates):,.0f}-{max(rates):,.0f})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
