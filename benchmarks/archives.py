"""Fetch the same candles from the same archive files with Titan-10 and with freqtrade.

    python -m benchmarks.archives --freqtrade PATH [--pairs 20] [--rounds 3] [--database URL] [--files FOLDER]

There are two windows of the sandbox's Binance: one pair since its listing in 2017, and one year of 20 pairs. All files
are on the disk before the measurement, and a separate process serves the files: monthly files with their digests, and
daily files.

- `titan10`: download, verify, parse, land, check and store in the table with its primary key. The database is an
  embedded PostgreSQL, or the empty database at `--database`, such as a database with TimescaleDB
- `freqtrade download-data`: its download from the archive, which reads daily files, does not verify these files, and
  writes feather files

Both tools run as separate processes, one after the other, without a round trip. The elapsed time is from the start of
the process to the last committed row. The time for a month of the same pairs is subtracted, so that start-up does not
count. CPU time is the CPU time of the client. Memory is the peak of the client's largest process, for the month and for
the whole window.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median

import aiohttp
from aiohttp import web

from benchmarks import results
from benchmarks.backfill import open_context, servers, symbols_of
from benchmarks.peers import (
    EXCHANGE,
    Contestant,
    Servers,
    Spent,
    Window,
    fetch_and_store,
    freqtrade_arguments,
    freqtrade_version,
    spend,
)
from titan10_dagster.candles.slices import days
from titan10_dagster.ingest.context import IngestContext

TITLE = "Archives beside freqtrade"
LAST = date(2026, 9, 30)
NOW = datetime(2026, 10, 10, tzinfo=UTC)
LISTED = date(2017, 9, 1)  # the first whole month of the sandbox's BTC/USDT
MONTHS_OF_A_RUN = 20  # a run reads 20 months of one pair, or one month of 20 pairs
IN_FLIGHT = 16


def main() -> None:
    arguments = _arguments()
    if arguments.child:
        print(_titan10_here(*arguments.child))  # noqa: T201
        return
    if arguments.serve:
        _serve(Path(arguments.serve))
        return
    lines: list[str] = []
    with servers(EXCHANGE, "--no-limits", now=NOW) as (sandbox, embedded), tempfile.TemporaryDirectory() as temporary:
        folder = arguments.files or Path(temporary)
        database = arguments.database or embedded
        pairs = symbols_of(sandbox)[: arguments.pairs]
        windows = {
            "one pair since 2017": Window(pairs[:1], LISTED, LAST),
            f"one year of {len(pairs)} pairs": Window(
                pairs, LAST.replace(year=LAST.year - 1) + timedelta(days=1), LAST
            ),
        }
        for window in windows.values():
            asyncio.run(_mirror(sandbox, window, folder))
        with _file_server(folder) as files:
            contestants: dict[str, Contestant] = {"titan10": titan10(files)}
            if arguments.freqtrade:
                contestants["freqtrade"] = freqtrade(arguments.freqtrade, files)
            for name, window in windows.items():
                lines += _measured(name, Servers(sandbox, database), window, contestants, arguments.rounds)
    table = "\n".join(lines)
    print(table)  # noqa: T201
    about = (__doc__ or "").split("There are two windows")[1].strip()
    server = "the database of --database" if arguments.database else "embedded PostgreSQL 18"
    beside = f"{server}{freqtrade_version(arguments.freqtrade)}"
    results.write(TITLE, f"There are two windows {about}\n\n```\n{table}\n```", beside=beside)


def _measured(name: str, on: Servers, window: Window, contestants: dict[str, Contestant], rounds: int) -> Iterator[str]:
    month = replace(window, first=window.last - timedelta(days=29))
    candles = window.candles - month.candles
    spent: dict[str, list[Spent]] = {contestant: [] for contestant in contestants}
    memory: dict[str, list[tuple[float, float]]] = {contestant: [] for contestant in contestants}
    for _ in range(rounds):
        for contestant, command in contestants.items():
            whole, short = spend(command, on, window), spend(command, on, month)
            spent[contestant].append(whole - short)
            memory[contestant].append((short.peak_mb, whole.peak_mb))
    yield f"{name}, {window.candles:,} candles; median of {rounds} rounds"
    for contestant, spent_by_round in spent.items():
        rate = median(candles / round_.clock for round_ in spent_by_round)
        cpu = median(1e6 * round_.cpu / candles for round_ in spent_by_round)
        pairs = zip(spent["titan10"], spent_by_round, strict=True)
        ratio = median(theirs.clock / ours.clock for ours, theirs in pairs)
        speed = f"{rate:>10,.0f} candles/s, {cpu:.1f} us of CPU a candle"
        short_mb, whole_mb = (max(peaks) for peaks in zip(*memory[contestant], strict=True))
        memory_of_it = f"{short_mb:.0f} MB for the month, {whole_mb:.0f} MB for all"
        yield f"  {contestant:<12}{speed}; takes {ratio:.2f} times as long as titan10; {memory_of_it}"


# -- the contestants ---------------------------------------------------------------------------------------


def titan10(files: str) -> Contestant:
    def command(on: Servers, window: Window, folder: Path) -> list[str]:
        span = [",".join(window.symbols), str(window.first), str(window.last)]
        return [
            sys.executable,
            "-m",
            "benchmarks.archives",
            "--child",
            on.sandbox,
            on.database,
            files,
            str(folder),
            *span,
        ]

    return command


def _titan10_here(sandbox: str, database: str, files: str, folder: str, symbols: str, first: str, last: str) -> int:
    """Fetch and store the window. Return the number of stored candles."""

    def new_context() -> IngestContext:
        titan10 = open_context(EXCHANGE, symbols.split(","), sandbox, database, Path(folder))
        exchange = titan10.exchange(EXCHANGE).model_copy(
            update={"sources": ("archive", "rest"), "archive_url": files, "start": LISTED}
        )
        settings = titan10.settings.model_copy(update={"exchanges": {EXCHANGE: exchange}})
        return replace(titan10, settings=settings, now=lambda: NOW)

    wanted = days(date.fromisoformat(first), date.fromisoformat(last))
    return fetch_and_store(new_context, _runs(wanted, len(symbols.split(","))))


def _runs(wanted: Sequence[date], pairs: int) -> Iterator[list[date]]:
    """Yield groups of whole months. Each group has the size of a usual run."""
    months: dict[tuple[int, int], list[date]] = {}
    for day in wanted:
        months.setdefault((day.year, day.month), []).append(day)
    together = max(MONTHS_OF_A_RUN // pairs, 1)
    groups = list(months.values())
    for start in range(0, len(groups), together):
        yield [day for month in groups[start : start + together] for day in month]


def freqtrade(program: str, files: str) -> Contestant:
    """Return a command that runs freqtrade with another address of the archive.

    The address is a constant in freqtrade's code, so the command replaces this constant.
    """
    code = (
        "import sys, freqtrade.exchange.binance_public_data as data; url = data.binance_vision_ohlcv_zip_url;"
        "data.binance_vision_ohlcv_zip_url = lambda *of: url(*of).replace('https://data.binance.vision', sys.argv[1]);"
        "from freqtrade.main import main; main(sys.argv[2:])"
    )

    def command(on: Servers, window: Window, folder: Path) -> list[str]:
        python = str(Path(program).with_name("python"))
        return [python, "-c", code, files, *freqtrade_arguments(on, window, folder)]

    return command


# -- the files ---------------------------------------------------------------------------------------------


async def _mirror(sandbox: str, window: Window, folder: Path) -> None:
    """Write the sandbox's monthly files of the window below the folder, and the daily files with the same rows."""
    wanted = iter([(symbol.replace("/", ""), month) for symbol in window.symbols for month in _months(window)])

    async def work(session: aiohttp.ClientSession) -> None:
        for symbol, month in wanted:
            path = f"data/spot/monthly/klines/{symbol}/1m/{symbol}-1m-{month}.zip"
            if (folder / path).exists():
                continue
            for file in (path, f"{path}.CHECKSUM"):
                async with session.get(f"{sandbox}/{file}") as answer:
                    assert answer.status == 200, (file, answer.status)
                    _write(folder / file, await answer.read())
            await asyncio.to_thread(_split_into_days, folder, symbol, path)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(work(session) for _ in range(IN_FLIGHT)))


def _months(window: Window) -> list[str]:
    return sorted({f"{day:%Y-%m}" for day in days(window.first, window.last)})


def _split_into_days(folder: Path, symbol: str, monthly: str) -> None:
    """Write the daily files with the rows of a monthly file."""
    with zipfile.ZipFile(folder / monthly) as archive:
        rows = archive.read(archive.namelist()[0]).splitlines(keepends=True)
    of_day: dict[str, list[bytes]] = {}
    for row in rows:
        opened = int(row.partition(b",")[0])
        seconds = opened / (1e6 if opened > 1e14 else 1e3)  # since 2025 the times are in microseconds
        of_day.setdefault(f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}", []).append(row)
    for day, lines in of_day.items():
        name = f"{symbol}-1m-{day}"
        path = folder / f"data/spot/daily/klines/{symbol}/1m/{name}.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{name}.csv", b"".join(lines))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@contextmanager
def _file_server(folder: Path) -> Iterator[str]:
    """Serve the folder from another process, and yield the address of the server."""
    command = [sys.executable, "-m", "benchmarks.archives", "--serve", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def _serve(folder: Path) -> None:
    async def run() -> None:
        app = web.Application()
        app.router.add_static("/", folder)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        print(f"http://{host}:{port}", flush=True)  # noqa: T201
        await asyncio.Event().wait()

    asyncio.run(run())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--freqtrade", default=shutil.which("freqtrade"))
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--database", metavar="URL", help="store there instead of in an embedded PostgreSQL")
    parser.add_argument("--files", type=Path, metavar="FOLDER", help="keep the archive's files here for the next run")
    parser.add_argument("--child", nargs=7, help=argparse.SUPPRESS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
