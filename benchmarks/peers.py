"""Fetch the same candles from the same sandbox with other tools, and compare the speed with the possible maximum.

    python -m benchmarks.peers [--freqtrade PATH] [--symbols 10] [--days 180] [--rounds 3] [--round-trip 150]

Three tools run in separate processes, one after the other:

- `titan10`: fetch, land, check and store
- `freqtrade download-data`: fetch by REST and write files; `--freqtrade` is the path of its command
- the usual tutorial: see `benchmarks.tutorial`

`titan10` works like the runs of a backfill. Each run is a process that fetches a month, and the next run fetches while
the previous run checks and stores. `benchmarks.runs` shows the additional cost of Dagster. There is no rate limit. All
tools are measured without and with a round trip. Each tool fetches a short window and a long window. Rate and CPU time
are computed from the difference of both windows, so that start-up does not count. CPU time is the CPU time of the
client's process. The possible maximum is the slowest of three steps that every design needs. Each step is measured
alone: send the requests without reading the answers, with as many requests in parallel as `titan10`; read the answers;
and COPY the rows into a table without an index.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import numpy as np
import psycopg2

from benchmarks import results
from benchmarks.backfill import LAST, open_context, servers, symbols_of
from titan10_dagster.candles.slices import days, to_ms
from titan10_dagster.exchanges.decoding import decode
from titan10_dagster.exchanges.rows import Rows, parse
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import read_days
from titan10_dagster.ingest.fetch import fetch_and_land, plan_days
from titan10_dagster.ingest.inspection import inspect_slices
from titan10_dagster.ingest.store import store_slices
from titan10_dagster.store import binary

TITLE = "Compared with other tools"
EXCHANGE = "binance"
IN_FLIGHT = 32
MINUTE_MS = 60_000
DAYS_OF_A_RUN = 30
LEAST_STORED = 0.98  # the smallest valid share of stored candles: the sandbox's exchanges have outages
UNINDEXED = """
CREATE TEMPORARY TABLE unindexed (
    exchange text, symbol text, timeframe text, "time" timestamptz, open bigint, high bigint, low bigint, close bigint,
    volume bigint, price_scale double precision, volume_scale double precision
)
"""


@dataclass(frozen=True)
class Window:
    """A window to fetch: the complete UTC days from `first` to `last` of the given symbols."""

    symbols: Sequence[str]
    first: date
    last: date = LAST

    @property
    def candles(self) -> int:
        return len(self.symbols) * (self.end_ms - self.start_ms) // MINUTE_MS

    @property
    def start_ms(self) -> int:
        return to_ms(datetime.combine(self.first, datetime.min.time(), UTC))

    @property
    def end_ms(self) -> int:
        return to_ms(datetime.combine(self.last + timedelta(days=1), datetime.min.time(), UTC))


@dataclass(frozen=True)
class Spent:
    """The elapsed seconds, the CPU seconds, and the memory of the largest process in MB.

    The memory is at least the memory of this process, because Linux includes the process that started the measured one.
    """

    clock: float
    cpu: float
    peak_mb: float = 0.0

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.clock - other.clock, self.cpu - other.cpu, self.peak_mb)


@dataclass(frozen=True)
class Servers:
    """The addresses of the sandbox exchange and of the database."""

    sandbox: str
    database: str


# A function that returns the command to fetch a window into a folder.
Contestant = Callable[[Servers, Window, Path], list[str]]


def main() -> None:
    arguments = _arguments()
    if arguments.child:
        print(_titan10_here(*arguments.child))  # noqa: T201
        return
    contestants: dict[str, Contestant] = {"titan10": titan10, "the usual tutorial": tutorial}
    if arguments.freqtrade:
        contestants["freqtrade download-data"] = freqtrade(arguments.freqtrade)
    else:
        print("freqtrade was NOT measured: give the path of its command with --freqtrade.")  # noqa: T201
    lines = []
    for milliseconds in (0, arguments.round_trip):
        with servers(EXCHANGE, "--no-limits", "--latency", str(milliseconds)) as addresses:
            lines += [
                f"A round trip of {milliseconds} ms:",
                *_measured(Servers(*addresses), contestants, arguments),
                "",
            ]
    print("\n".join(lines))  # noqa: T201
    about = " ".join((__doc__ or "").split("Three tools")[1].split("\n\n", 2)[2].split())
    table = "\n".join(lines)
    results.write(
        TITLE, f"{about}\n\n```\n{table}\n```", beside=f"embedded PostgreSQL 18{freqtrade_version(arguments.freqtrade)}"
    )


def _measured(on: Servers, contestants: dict[str, Contestant], arguments: argparse.Namespace) -> Iterator[str]:
    long = Window(symbols_of(on.sandbox)[: arguments.symbols], LAST - timedelta(days=arguments.days - 1))
    spend(titan10, on, long)  # the sandbox computes its candles once, before the measurement
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    costs: dict[str, list[float]] = {name: [] for name in contestants}
    ceilings: dict[str, list[float]] = {"requests": [], "reading": [], "COPY": []}
    for _ in range(arguments.rounds):
        for name, contestant in contestants.items():
            # The tutorial is slow, so it fetches only one symbol.
            window = replace(long, symbols=long.symbols[:1]) if contestant is tutorial else long
            short = replace(window, first=LAST)
            spent = spend(contestant, on, window) - spend(contestant, on, short)
            rates[name].append((window.candles - short.candles) / spent.clock)
            costs[name].append(1e6 * spent.cpu / (window.candles - short.candles))
        for name, rate in zip(ceilings, _ceilings(on, long), strict=True):
            ceilings[name].append(rate)
    ours = rates["titan10"]
    wanted = f"{long.candles:,} candles of {len(long.symbols)} symbols"
    yield f"{wanted}; candles per second, median of {arguments.rounds} rounds"
    for name, those in rates.items():
        yield f"{_line(name, those, ours)}; client CPU {median(costs[name]):.1f} us per candle"
    yield "each step alone:"
    for name, those in ceilings.items():
        yield _line(f"  {name}", those, ours)


def _line(name: str, rates: Sequence[float], ours: Sequence[float]) -> str:
    ratio = median(mine / theirs for mine, theirs in zip(ours, rates, strict=True))
    spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
    return f"{name:<26}{median(rates):>10,.0f}   ({spread})".ljust(66) + f"titan10: {ratio:.2f} times this rate"


def spend(contestant: Contestant, on: Servers, window: Window) -> Spent:
    with tempfile.TemporaryDirectory() as folder:
        _empty_tables(on.database)
        command = contestant(on, window, Path(folder))
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        with tempfile.TemporaryFile() as output:
            began = time.perf_counter()
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
            _, status, used = os.wait4(process.pid, 0)
            clock = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            if process.returncode:
                raise RuntimeError(f"{' '.join(command)}: {output.read().decode()[-2000:]}")
        return Spent(clock, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def _empty_tables(database: str) -> None:
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(name) FROM unnest(ARRAY['candles', 'tutorial_ohlcv']) AS name")
        tables = [name for (name,) in cursor.fetchall() if name]
        if "candles" in tables:
            tables += ["slice_ledger", "gaps", "series", "source_stretches"]
        if tables:
            cursor.execute(f"TRUNCATE {', '.join(tables)}")


# -- the contestants ---------------------------------------------------------------------------------------


def titan10(on: Servers, window: Window, folder: Path) -> list[str]:
    child = [on.sandbox, on.database, str(folder), ",".join(window.symbols), str(window.first)]
    return [sys.executable, "-m", "benchmarks.peers", "--child", *child]


def _titan10_here(sandbox: str, database: str, folder: str, symbols: str, first: str) -> int:
    """Fetch and store the window. Return the number of stored candles."""
    wanted = days(date.fromisoformat(first), LAST)
    runs = [wanted[start : start + DAYS_OF_A_RUN] for start in range(0, len(wanted), DAYS_OF_A_RUN)]
    return fetch_and_store(lambda: open_context(EXCHANGE, symbols.split(","), sandbox, database, Path(folder)), runs)


def fetch_and_store(new_context: Callable[[], IngestContext], runs: Iterable[Sequence[date]]) -> int:
    """Work like the runs of a backfill, and return the stored candles.

    Each run is a process that fetches, checks and stores. The pool of an exchange is free again as soon as the candles
    have landed. So the next run fetches while the previous run stores.

    `new_context` opens a context, because each process needs its own connections.
    """
    context = multiprocessing.get_context("fork")
    stored = context.Value("q", 0)
    wanted_candles = 0

    def run(wanted: Sequence[date], landed: Connection) -> None:
        titan10 = new_context()
        slices = titan10.slices(EXCHANGE, wanted)
        fetch_and_land(titan10, EXCHANGE, plan_days(titan10, read_days(titan10, slices)).fetch)
        landed.send(sum(slice_.expected for slice_ in slices))
        list(inspect_slices(titan10, slices))
        inserted = store_slices(titan10, read_days(titan10, slices).unstored()).inserted
        with stored.get_lock():
            stored.value += inserted

    before: list[BaseProcess] = []
    gc.freeze()  # as in the template process of the code server
    for wanted in runs:
        landed, end = context.Pipe(duplex=False)
        process = context.Process(target=run, args=(wanted, end))
        process.start()
        end.close()
        wanted_candles += landed.recv()  # this raises EOFError if the process ends before its candles have landed
        _join(before)
        before = [process]
    _join(before)
    assert stored.value >= LEAST_STORED * wanted_candles, f"{stored.value} of {wanted_candles} candles were stored"
    return int(stored.value)


def _join(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.join()
        assert process.exitcode == 0


def tutorial(on: Servers, window: Window, _: Path) -> list[str]:
    span = [",".join(window.symbols), str(window.start_ms), str(window.end_ms)]
    return [sys.executable, "-m", "benchmarks.tutorial", on.sandbox, on.database, *span]


def freqtrade(program: str) -> Contestant:
    def command(on: Servers, window: Window, folder: Path) -> list[str]:
        # Without `only_from_ccxt`, freqtrade would read Binance's archive first.
        return [program, *freqtrade_arguments(on, window, folder, only_from_ccxt=True)]

    return command


def freqtrade_arguments(on: Servers, window: Window, folder: Path, **options_of_exchange: object) -> list[str]:
    """Write freqtrade's configuration, and return the arguments with which it downloads the window."""
    api = dict.fromkeys(("public", "private", "v1", "v3"), f"{on.sandbox}/api/v3")
    options = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False}
    ccxt_config = {"urls": {"api": api}, "enableRateLimit": False, "options": options}
    exchange = {"name": EXCHANGE, "pair_whitelist": [], "ccxt_config": ccxt_config, **options_of_exchange}
    config = folder / "config.json"
    config.write_text(json.dumps({"stake_currency": "USDT", "dry_run": True, "exchange": exchange}))
    span = f"{window.first:%Y%m%d}-{window.last + timedelta(days=1):%Y%m%d}"
    options_of_command = ["-c", str(config), "--userdir", str(folder), "-t", "1m", "--timerange", span]
    return ["download-data", *options_of_command, "-p", *window.symbols]


def freqtrade_version(program: str | None) -> str:
    if not program:
        return ""
    python = Path(program).with_name("python")
    code = "from importlib.metadata import version; print(version('freqtrade'))"
    return (
        ", freqtrade " + subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    )


# -- the ceiling -------------------------------------------------------------------------------------------


def _ceilings(on: Servers, window: Window) -> tuple[float, float, float]:
    began = time.perf_counter()
    answers = asyncio.run(_requests(on.sandbox, window))
    requested = time.perf_counter()
    pages = _read(answers)
    read = time.perf_counter()
    copied = _copy(on.database, pages)
    count = sum(map(len, pages))
    return count / (requested - began), count / (read - requested), count / copied


async def _requests(sandbox: str, window: Window) -> list[bytes]:
    """Return the answers to all pages of the window, in the order of arrival."""
    page = venue_of(EXCHANGE).page_size
    urls = iter(
        f"{sandbox}/api/v3/klines?symbol={symbol.replace('/', '')}&interval=1m&limit={page}&startTime={since}"
        for symbol in window.symbols
        for since in range(window.start_ms, window.end_ms, page * MINUTE_MS)
    )
    answers: list[bytes] = []

    async def work(session: aiohttp.ClientSession) -> None:
        for url in urls:
            async with session.get(url) as answer:
                answers.append(await answer.read())

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(work(session) for _ in range(IN_FLIGHT)))
    return answers


def _read(answers: Sequence[bytes]) -> list[Rows]:
    wire = venue_of(EXCHANGE).wire
    return [parse(decode(answer.decode(), wire), wire, list, MINUTE_MS).candles for answer in answers]


def _copy(database: str, pages: Sequence[Any]) -> float:
    """Return the seconds that a COPY of the rows takes. The rows are converted to its format before the measurement."""
    blocks = [_rows(page) for page in pages]
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(UNINDEXED)
        began = time.perf_counter()
        binary.copy_in(cursor, "COPY unindexed FROM STDIN (FORMAT binary)", blocks)
        return time.perf_counter() - began


def _rows(page: Any) -> bytes:
    times = page[:, 0].astype("M8[ms]")
    integers = np.rint(page[:, 1:].T * np.array([[1e8]] * 4 + [[1e2]])).astype(np.int64)
    scale = np.full(len(page), 1e8)
    return binary.rows((EXCHANGE, "BTC/USDT", "1m"), [times, *integers, scale, scale])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--freqtrade", default=shutil.which("freqtrade"))
    parser.add_argument("--symbols", type=int, default=10)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--round-trip", type=int, default=150)
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
