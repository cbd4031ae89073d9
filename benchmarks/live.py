"""Measure the cost of live polling and the lag of its candles: 5 sandbox exchanges with 20 symbols each.

    python -m benchmarks.live [--minutes 6] [--symbols 20] [--days 3 30] [--database URL]

Cost: the CPU seconds of the polling process for polls of one new minute, without a rate limit. The polls are measured
with three days of stored history, and with ten times as much. Then the job is measured as a process that starts, polls
and ends. Dagster starts such a process as a new Python. Titan-10 starts it as a copy of a process that has imported all
modules. Both are measured.

Lag: the complete stack, as `titan10 up` starts it, runs in real time, and the rate limits of the exchanges are
enforced. PostgreSQL records when each candle was committed (`track_commit_timestamp`).

`--database`: the URL of an empty database to use in place of the embedded server. If this server does not record commit
times, the lag is not measured.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psycopg2

from benchmarks import results
from titan10_dagster import settings as titan10_settings
from titan10_dagster.dagster_internals.code_server import PRELOADED, RunContext
from titan10_dagster.ingest.context import IngestContext, open_context
from titan10_dagster.ingest.live import LiveReport, poll_exchanges
from titan10_dagster.local.ports import free_port
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.local.stack import Stack
from titan10_dagster.store.migrations import migrate

TITLE = "Live polling"
ABOUT = """The time from the close of a candle to its committed row, for {minutes} minutes of {series} series on 5
exchanges, with the complete stack: schedule, daemon, and a run for each tick. CPU time is the CPU time of the polling
process. Sandboxes, PostgreSQL, UI and daemon share the cores. Kraken's candles are later, because Kraken allows only
about one request per second.
"""
EXCHANGES = ("binance", "bybit", "coinbase", "kraken", "okx")
PROJECT = Path(__file__).parents[1]
POLLS = 5
START = datetime(2026, 3, 10, 0, 30, 5, tzinfo=UTC)
WARM_UP = timedelta(seconds=150)  # the first poll of the stack fetches all candles of the current day
MINUTE = timedelta(minutes=1)
CANDLES = """
INSERT INTO candles
SELECT exchange, symbol, '1m', "time", 6000000, 6000300, 5999000, 6000200, 123456, 100, 100000
FROM unnest(%(exchanges)s::text[], %(symbols)s::text[]) AS series (exchange, symbol)
CROSS JOIN generate_series(%(start)s, %(end)s - interval '1 minute', interval '1 minute') AS "time"
ON CONFLICT DO NOTHING
"""
LEDGER = """
INSERT INTO slice_ledger
SELECT exchange, symbol, '1m', day, 'settled', 1440, 1440, 0, 0, 0, 0, 0, 0, 0, 0, day + interval '26 hours', 'rest', 2,
    0, 0.1
FROM unnest(%(exchanges)s::text[], %(symbols)s::text[]) AS series (exchange, symbol)
CROSS JOIN generate_series(%(start)s, %(end)s - interval '1 day', interval '1 day') AS day
ON CONFLICT DO NOTHING
"""
LAGS = """
SELECT exchange, extract(epoch FROM pg_xact_commit_timestamp(xmin) - "time" - interval '1 minute')::float
FROM candles
WHERE "time" >= %s AND "time" < %s
"""


def main() -> None:
    arguments = _arguments()
    if arguments.child:
        _execute_the_job()
        return
    with tempfile.TemporaryDirectory(prefix="titan10-") as folder:
        Path(folder).chmod(0o711)
        with _database(arguments.database, Path(folder)) as database:
            lines = _costs(database, arguments, Path(folder) / "cost")
            _empty_tables(database)
            lines += _lags(database, arguments, Path(folder) / "lag")
    text = "\n".join(lines)
    print(text)  # noqa: T201
    about = ABOUT.format(minutes=arguments.minutes, series=len(EXCHANGES) * arguments.symbols)
    server = "embedded PostgreSQL 18" if arguments.database is None else "PostgreSQL with TimescaleDB"
    if arguments.write:
        results.write(TITLE, f"{about}\n```\n{text}\n```", beside=server)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=6)
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--days", type=int, nargs="+", default=[3, 30])
    parser.add_argument("--database", default=None)
    parser.add_argument("--no-write", dest="write", action="store_false", help="do not change RESULTS.md")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


# -- the cost of a tick -----------------------------------------------------------------------------------------------


def _costs(database: str, arguments: argparse.Namespace, folder: Path) -> list[str]:
    with _sandbox("--no-limits", "--now", START.isoformat()) as urls:
        _make_project(folder, urls, database, arguments.symbols, paced=False)
        migrate(database)
        now = START
        lines = []
        for days in arguments.days:
            rows = _store_history(database, urls, arguments.symbols, days)
            cpu, wall, now = _poll_minutes(urls, now)
            lines.append(
                f"{days:>3} days of history, {rows:>9,} candles: a poll takes {cpu:.2f} s of CPU, {wall:.2f} s in"
                f" all (medians of {POLLS})"
            )
        return [*lines, *_costs_of_a_process(folder)]


def _store_history(database: str, urls: Mapping[str, str], count: int, days: int) -> int:
    """Store `days` days of every series before the day of START. Return the number of candles."""
    midnight = START.replace(hour=0, minute=0, second=0)
    series = [(name, symbol) for name, url in urls.items() for symbol in _symbols(url, count)]
    parameters = {
        "exchanges": [exchange for exchange, _ in series],
        "symbols": [symbol for _, symbol in series],
        "start": midnight - timedelta(days=days),
        "end": midnight,
    }
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(CANDLES, parameters)
        cursor.execute(LEDGER, parameters)
        cursor.execute("ANALYZE candles, slice_ledger")
    return len(series) * days * 1440


def _poll_minutes(urls: Mapping[str, str], now: datetime) -> tuple[float, float, datetime]:
    """Return the median CPU and elapsed seconds of polls of one new minute, and the new time.

    The first poll fetches older candles too, so it does not count.
    """
    titan10 = open_context(titan10_settings.load())
    cpu, wall = [], []
    with closing(titan10.database):
        for _ in range(POLLS + 1):
            now += MINUTE
            for url in urls.values():
                _post(f"{url}/_sandbox/clock", {"now": now.isoformat()})
            began, used = time.perf_counter(), time.process_time()
            reports = poll_exchanges(_at(titan10, now), list(EXCHANGES))
            cpu.append(time.process_time() - used)
            wall.append(time.perf_counter() - began)
            _check(reports)
    return median(cpu[1:]), median(wall[1:]), now


def _at(titan10: IngestContext, now: datetime) -> IngestContext:
    return replace(titan10, now=lambda: now)


def _check(reports: Sequence[LiveReport]) -> None:
    wrong = [report for report in reports if report.error or report.failed]
    if wrong:
        raise SystemExit(f"A poll failed: {wrong[0]}")


def _costs_of_a_process(folder: Path) -> list[str]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "TITAN10_HOME": str(folder)}
    subprocess.run([sys.executable, "-m", "benchmarks.live", "--child"], env=environment, check=True, cwd=PROJECT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    copies = sorted(_cost_of_a_copy() for _ in range(POLLS))
    return [
        "a process that executes the job, from its start to its end:",
        f"  as a new Python  {used:.1f} s of CPU, most of it imports",
        f"  as a copy        {median(copies):.1f} s of CPU ({copies[0]:.1f} to {copies[-1]:.1f})",
    ]


def _cost_of_a_copy() -> float:
    multiprocessing.set_forkserver_preload(list(PRELOADED))
    context = RunContext()
    answers = context.SimpleQueue()
    process = context.Process(target=_execute_the_job_and_report, args=(answers,))
    process.start()
    seconds = answers.get()
    process.join()
    return float(seconds)


def _execute_the_job_and_report(answers: Any) -> None:
    _execute_the_job()
    answers.put(time.process_time())


def _execute_the_job() -> None:
    import dagster as dg

    from titan10_dagster.defs.compose import compose

    titan10 = _at(open_context(titan10_settings.load()), START + timedelta(hours=1))
    with closing(titan10.database), dg.DagsterInstance.ephemeral() as instance:
        job = compose(titan10).resolve_job_def("live")
        assert job.execute_in_process(instance=instance).success


# -- the lag ----------------------------------------------------------------------------------------------------------


def _lags(database: str, arguments: argparse.Namespace, folder: Path) -> list[str]:
    if not _keeps_commit_times(database):
        return ["the server keeps no commit times: the lag was not measured"]
    with _sandbox() as urls:
        settings = _make_project(folder, urls, database, arguments.symbols, paced=True)
        stack = Stack(settings, folder, lambda _: None)
        try:
            stack.start()
            first = _wait(stack, WARM_UP).replace(second=0, microsecond=0)
            last = _wait(stack, arguments.minutes * MINUTE).replace(second=0, microsecond=0)
        finally:
            stack.stop()
        lags = _read_lags(database, first - MINUTE, last - 2 * MINUTE)
        refused = sum(entry["status"] != 200 for url in urls.values() for entry in _requests(url))
    load = f"load average of the machine meanwhile: {os.getloadavg()[1]:.0f} on {os.cpu_count()} cores"
    return [*_lag_table(lags), f"requests that an exchange refused: {refused}", load]


def _wait(stack: Stack, span: timedelta) -> datetime:
    end = time.monotonic() + span.total_seconds()
    while time.monotonic() < end:
        stack.tend()
        time.sleep(0.5)
    return datetime.now(UTC)


def _read_lags(database: str, first: datetime, last: datetime) -> dict[str, list[float]]:
    """Return by exchange the seconds from close to commit, for the candles that begin in [first, last)."""
    lags: dict[str, list[float]] = {name: [] for name in EXCHANGES}
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute(LAGS, (first, last))
        for exchange, lag in cursor:
            lags[exchange].append(lag)
    return lags


def _lag_table(lags: Mapping[str, Sequence[float]]) -> list[str]:
    rows = ["seconds from close to commit    p50    p95   most   candles"]
    for name, seconds in [*lags.items(), ("all", list(chain.from_iterable(lags.values())))]:
        if seconds:
            p50, p95 = np.percentile(seconds, 50), np.percentile(seconds, 95)
            rows.append(f"  {name:<26} {p50:>8.1f} {p95:>6.1f} {max(seconds):>6.1f} {len(seconds):>9,}")
    return rows


# -- servers ----------------------------------------------------------------------------------------------------------


@contextmanager
def _database(given: str | None, folder: Path) -> Iterator[str]:
    """Yield the URL of an empty database: the given database, or a database of an embedded server with commit times."""
    if given is not None:
        yield given
        return
    server = EmbeddedPostgres(folder / "postgres")
    try:
        server.start()
        server.stop()
        with (server.files.folder / "cluster" / "postgresql.conf").open("a") as file:
            file.write("\ntrack_commit_timestamp = on\n")
        yield server.start()
    finally:
        server.stop()


def _keeps_commit_times(database: str) -> bool:
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW track_commit_timestamp")
        return bool(cursor.fetchall() == [("on",)])


def _empty_tables(database: str) -> None:
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE candles, slice_ledger, gaps, series, exchange_health, exchange_requests")


@contextmanager
def _sandbox(*options: str) -> Iterator[dict[str, str]]:
    command = [sys.executable, "-m", "titan10_dagster.sandbox", *options]
    for name in EXCHANGES:
        command += ["--exchange", name, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    try:
        assert process.stdout is not None
        urls: dict[str, str] = {}
        while len(urls) < len(EXCHANGES):
            found = re.match(r"(\w+) +(http://\S+)", process.stdout.readline())
            if found:
                urls[found[1]] = found[2]
        yield urls
    finally:
        process.terminate()
        process.wait()


def _make_project(
    folder: Path, urls: Mapping[str, str], database: str, count: int, *, paced: bool
) -> titan10_settings.Settings:
    """Create a project folder with live polling, set TITAN10_HOME to it, and return its settings."""
    folder.mkdir()
    lines = ['data = "."', "[database]", f'url = "{database}"', "[live]", "enabled = true"]
    lines += ["[server]", f"port = {free_port(0)}"]
    for name, url in urls.items():
        symbols = ", ".join(f'"{symbol}"' for symbol in _symbols(url, count))
        lines += [
            f"[exchanges.{name}]",
            f"symbols = [{symbols}]",
            f'base_url = "{url}"',
            f"paced = {str(paced).lower()}",
        ]
        lines += [f"start = {START.date() if not paced else datetime.now(UTC).date()}"]
    (folder / "titan10.toml").write_text("\n".join(lines) + "\n")
    (folder / "dagster.yaml").symlink_to(PROJECT / "dagster.yaml")
    os.environ["TITAN10_HOME"] = str(folder)
    return titan10_settings.load(folder)


def _symbols(url: str, count: int) -> list[str]:
    with urllib.request.urlopen(f"{url}/_sandbox/venue") as answer:
        return list(json.load(answer)["symbols"])[:count]


def _requests(url: str) -> list[dict[str, int]]:
    with urllib.request.urlopen(f"{url}/_sandbox/requests") as answer:
        requests: list[dict[str, int]] = json.load(answer)["requests"]
    return requests


def _post(url: str, body: Mapping[str, str]) -> None:
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), method="POST")).close()


if __name__ == "__main__":
    main()
