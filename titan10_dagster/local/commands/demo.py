"""`titan10 demo`: an offline backfill of sandbox exchanges, and a check of every stored candle.

The demo takes about a minute. It has its own project below .titan10/demo, with its own settings, database and logs. It
launches a partition backfill in the same way as the button of the UI, so it uses the real daemon, queue, pools and
checks. At the end it compares every stored candle with the candles of the sandbox's exchanges. It also fails if an
asset check failed, or if an exchange refused a request because there were too many requests.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from titan10_dagster import settings as titan10_settings
from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import Source
from titan10_dagster.candles.frame import VALUES
from titan10_dagster.candles.gaps import REASONS, Reason
from titan10_dagster.candles.slices import Series, Slice, days, to_ms
from titan10_dagster.errors import SettingsError
from titan10_dagster.local.directories import ensure_directory
from titan10_dagster.local.exit_codes import DONE, FAILED
from titan10_dagster.local.graphql import backfill_of, failed_checks, launch_backfill
from titan10_dagster.local.instance import Say, child_environment
from titan10_dagster.local.ports import free_port
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.local.stack import Stack, demo_folder
from titan10_dagster.local.stack_lock import running_stack
from titan10_dagster.local.supervision import Child, Service, Watchdog
from titan10_dagster.sandbox import truth
from titan10_dagster.settings import Settings
from titan10_dagster.store import ledger, reader
from titan10_dagster.store.database import Database

DAYS = 5
BASES = ("BTC", "ETH", "SOL", "PEPE")  # prices from 60,000 to 0.0000041
QUOTES = {"binance": "USDT", "bybit": "USDT", "coinbase": "USD", "kraken": "USD", "okx": "USDT"}
TIMEFRAMES = {"kraken": "15m"}  # Kraken serves a week of 15m candles, but only twelve hours of 1m candles
REFUSALS = (418, 429)  # HTTP status of a ban, and of too many requests
REQUESTS_LOG = "requests.jsonl"
ARCHIVED = "binance"  # older days of Binance come from its archive; a daily file appears 33 hours after its day ends
PORT_VARIABLE = "TITAN10_SERVER__PORT"
UI_PORT = 3000  # preferred port; if another program uses it, the demo takes the next free port
WAIT_SECONDS = 600.0
POLL_SECONDS = 0.5
UNDER_WAY = {"REQUESTED", "CANCELING"}
SANDBOX_SECONDS = 60.0
PIPE_WIDTH = 130  # width of the table if the output is not a terminal


@dataclass(frozen=True)
class Verdict:
    """The comparison of an exchange's stored candles with the sandbox; all values are numbers of candles."""

    right: int
    wrong: int  # stored candles that differ from the exchange's candles, or that the exchange does not have
    lost: int  # candles that were not stored, although the exchange serves them
    beyond: int  # candles that were not stored, because the exchange no longer serves them

    @property
    def passed(self) -> bool:
        return not self.wrong and not self.lost


def run_demo(say: Say) -> int:
    """Run the demo, and print its result. Return 0 if the demo found no problem, otherwise 1."""
    project = titan10_settings.home()
    folder = demo_folder(project)
    _empty(folder, say)
    last = datetime.now(UTC).date() - timedelta(days=1)
    wanted = days(last - timedelta(days=DAYS - 1), last)
    with _sandbox(folder) as urls:
        settings = _make_project(folder, project, urls, wanted[0])
        stack = Stack(settings, folder, say)
        try:
            return _show(stack, settings, wanted, say)
        finally:
            stack.stop()


def _show(stack: Stack, settings: Settings, wanted: Sequence[date], say: Say) -> int:
    console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
    began = time.monotonic()
    stack.start()
    say(f"The UI is at {stack.url}; launching a backfill of {len(wanted)} days of {', '.join(settings.enabled)}.")
    assets = [(exchange, kind) for exchange in settings.enabled for kind in ("candles", "ohlcv")]
    backfill = launch_backfill(stack.url, assets, wanted)
    db = Database(stack.database_url, max_connections=1)
    try:
        runs = _wait(stack, backfill, settings, wanted, db)
        verdicts = {name: _compare(db, settings, name, wanted) for name in settings.enabled}
        console.print(_summary(db, settings, wanted, runs, verdicts))
        archived, by_rest = _by_source(db, wanted)
    finally:
        db.close()
    faults = _faults(verdicts, runs, failed_checks(stack.url), _refused_requests(settings.data / "logs" / REQUESTS_LOG))
    if archived:
        console.print(_archive_sentence(archived, by_rest))
    else:
        faults.append(f"No day of {ARCHIVED} came from a file, although its archive is the first source.")
    console.print(_conclusion(verdicts, faults, time.monotonic() - began))
    if os.environ.get("DEMO_KEEP") == "1":
        stack.announce()
        with suppress(KeyboardInterrupt):
            stack.watch()
        say(f"The demo has stopped. Its files stay in {settings.data} until the next `titan10 demo`.")
    return FAILED if faults else DONE


# -- the project of the demo ----------------------------------------------------------------------------------------


def _empty(folder: Path, say: Say) -> None:
    stack = running_stack(folder)
    if stack is not None:
        raise SettingsError(f"A demo is already running, as process {stack.pid} at {stack.url}. Stop that demo first.")
    server = EmbeddedPostgres(folder / "postgres", say=say)
    server.end_if_unused()  # a demo that was killed may have left its server running
    shutil.rmtree(server.files.folder)
    shutil.rmtree(folder, ignore_errors=True)
    ensure_directory(folder / "logs")


@contextmanager
def _sandbox(folder: Path) -> Iterator[Mapping[str, str]]:
    """Run the sandbox as a process, with each exchange on a free port. Yield the URL of each exchange."""
    log = folder / "logs" / "sandbox.log"
    command = [sys.executable, "-m", "titan10_dagster.sandbox", "--log", str(folder / "logs" / REQUESTS_LOG)]
    for exchange in QUOTES:
        command += ["--exchange", exchange, "--port", "0"]
    guard = Watchdog()
    service = Service("sandbox", command, lambda: len(_announced(log)) == len(QUOTES))
    child = Child(service, child_environment({}, os.environ), folder, log, guard)
    try:
        child.start()
        child.wait_until_it_answers(SANDBOX_SECONDS, go_on=lambda: True)
        yield _announced(log)
    finally:
        child.end(grace=3)
        guard.close()


def _announced(log: Path) -> dict[str, str]:
    """Return the URL of each exchange that the sandbox has logged so far."""
    lines = log.read_text().splitlines() if log.exists() else []
    urls = {}
    for line in lines:
        words = line.split()
        if "http://" in line and len(words) == 2:
            urls[words[0]] = words[1]
    return urls


def _make_project(folder: Path, project: Path, urls: Mapping[str, str], start: date) -> Settings:
    """Write the settings of the demo into its folder, and load them.

    Of the user's settings, only the variable TITAN10_SERVER__PORT is used.
    """
    for variable in tuple(os.environ):
        if variable.upper().startswith(titan10_settings.PREFIX) and variable != PORT_VARIABLE:
            del os.environ[variable]
    lines = ['data = "."', f"first_day = {start}", "", "[server]", f"port = {free_port(UI_PORT)}", "postgres_port = 0"]
    for exchange, quote in QUOTES.items():
        symbols = ", ".join(f'"{base}/{quote}"' for base in BASES)
        lines += ["", f"[exchanges.{exchange}]", f"symbols = [{symbols}]", f"start = {start}"]
        lines += [f'base_url = "{urls[exchange]}"', f'timeframe = "{TIMEFRAMES.get(exchange, "1m")}"']
        if exchange == ARCHIVED:
            lines += ['sources = ["archive", "rest"]']
    (folder / "titan10.toml").write_text("\n".join(lines) + "\n")
    (folder / "dagster.yaml").symlink_to(project / "dagster.yaml")
    os.environ["TITAN10_HOME"] = str(folder)
    return titan10_settings.load(folder)


# -- waiting --------------------------------------------------------------------------------------------------------


def _wait(stack: Stack, backfill: str, settings: Settings, wanted: Sequence[date], db: Database) -> dict[str, str]:
    """Wait for the backfill and show its progress.

    Return the status of each run, by the run's id. The wait ends when the backfill has ended. The daemon updates the
    status of a backfill only every half minute. Therefore the wait also ends when all runs have ended and every slice
    is settled in the ledger.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    with _progress(settings, wanted) as show:
        while time.monotonic() < deadline:
            stack.tend()
            show()
            seen = backfill_of(stack.url, backfill)
            runs = {run["runId"]: str(run["status"]) for run in seen["runs"]}
            if seen["status"] not in UNDER_WAY or _has_ended(runs, db, settings, wanted):
                show()
                return runs
            time.sleep(POLL_SECONDS)
    raise SettingsError(f"The backfill did not end within {WAIT_SECONDS:.0f} s. See its state at {stack.url}.")


def _has_ended(runs: Mapping[str, str], db: Database, settings: Settings, wanted: Sequence[date]) -> bool:
    if not runs or any(status not in {"SUCCESS", "FAILURE", "CANCELED"} for status in runs.values()):
        return False
    settled = sum(row.settled for row in ledger.coverage(db, None, wanted[0], wanted[-1]))
    return settled == sum(len(exchange.symbols) for exchange in settings.enabled.values()) * len(wanted)


@contextmanager
def _progress(settings: Settings, wanted: Sequence[date]) -> Iterator[Callable[[], None]]:
    """Show a progress bar for each exchange. Yield the function that updates the bars."""
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(),
        TextColumn("{task.completed} of {task.total} slices landed"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        total = len(BASES) * len(wanted)
        tasks = {name: progress.add_task(name, total=total) for name in settings.enabled}

        def show() -> None:
            for name, task in tasks.items():
                progress.update(task, completed=sum(1 for _ in (settings.landing / name).glob("*/*/*.parquet")))

        yield show


# -- the proof ------------------------------------------------------------------------------------------------------


def _compare(db: Database, settings: Settings, exchange: str, wanted: Sequence[date]) -> Verdict:
    """Compare every stored candle with the sandbox, and every candle of the sandbox with the store and the ledger."""
    verdicts = [_compare_series(db, series, wanted) for series in _series(settings, exchange)]
    sums = np.array([(v.right, v.wrong, v.lost, v.beyond) for v in verdicts]).sum(axis=0)
    return Verdict(*(int(number) for number in sums))


def _compare_series(db: Database, series: Series, wanted: Sequence[date]) -> Verdict:
    start, end = Slice(series, wanted[0]).start, Slice(series, wanted[-1]).end
    stored = reader.candles(db, series, start, end)
    rows = truth.candles(series.exchange, series.symbol, to_ms(start), to_ms(end), series.timeframe.name)
    true = Candles.from_rows(rows).to_pandas()
    both = true.merge(stored, on="time", how="outer", suffixes=("", "_stored"), indicator=True)
    matched = both[both["_merge"] == "both"]
    equal = np.logical_and.reduce([matched[name] == matched[f"{name}_stored"] for name in VALUES])
    invented = int((both["_merge"] == "right_only").sum())
    absent = both.loc[both["_merge"] == "left_only", "time"]
    beyond = int(_excused(db, series, absent).sum())
    return Verdict(int(equal.sum()), int((~equal).sum()) + invented, len(absent) - beyond, beyond)


def _excused(db: Database, series: Series, absent: pd.Series) -> Any:
    """Return a mask of `absent`. It is True for candles that the exchange no longer serves, according to the ledger."""
    excused = np.zeros(len(absent), dtype=bool)
    for found in ledger.gaps(db, series.exchange, symbol=series.symbol, reasons=[Reason.BEYOND_HORIZON]):
        excused |= ((absent >= found.gap.start) & (absent < found.gap.end)).to_numpy()
    return excused


def _series(settings: Settings, exchange: str) -> list[Series]:
    configured = settings.exchanges[exchange]
    return [Series(exchange, symbol, configured.timeframe) for symbol in configured.symbols]


# -- what is shown --------------------------------------------------------------------------------------------------


def _summary(
    db: Database,
    settings: Settings,
    wanted: Sequence[date],
    runs: Mapping[str, str],
    verdicts: Mapping[str, Verdict],
) -> Table:
    others = ", ".join(f"{exchange} {timeframe}" for exchange, timeframe in TIMEFRAMES.items())
    title = f"{wanted[0]} to {wanted[-1]}, {len(BASES)} symbols each, 1m candles ({others}), {len(runs)} runs"
    table = Table(title=title)
    for header in ("exchange", "requests", "expected", "stored", "equal to the sandbox", "missing, and why"):
        table.add_column(header, justify="right" if header not in {"exchange", "missing, and why"} else "left")
    for name, verdict in verdicts.items():
        rows = ledger.coverage(db, name, wanted[0], wanted[-1])
        missing: dict[Reason, int] = {}
        for row in rows:
            for reason, count in row.missing.items():
                missing[reason] = missing.get(reason, 0) + count
        table.add_row(
            name,
            f"{_requests(db, settings, name, wanted):,}",
            f"{sum(row.expected for row in rows):,}",
            f"{sum(row.present for row in rows):,}",
            f"{verdict.right:,}",
            "\n".join(f"{count:,} {reason.value}: {REASONS[reason].sentence}" for reason, count in missing.items()),
        )
    return table


def _requests(db: Database, settings: Settings, exchange: str, wanted: Sequence[date]) -> int:
    configured = settings.exchanges[exchange]
    rows = ledger.slices(db, exchange, configured.timeframe, configured.symbols, wanted[0], wanted[-1])
    return sum(row.requests for row in rows)


def _by_source(db: Database, wanted: Sequence[date]) -> tuple[int, int]:
    """Return how many slices of the exchange ARCHIVED came from archive files, and how many came by REST."""
    archived = by_rest = 0
    for row in ledger.coverage(db, ARCHIVED, wanted[0], wanted[-1]):
        archived += row.sources.get(Source.ARCHIVE, 0)
        by_rest += row.sources.get(Source.REST, 0)
    return archived, by_rest


def _archive_sentence(archived: int, by_rest: int) -> str:
    return (
        f"{archived} slices of {ARCHIVED} came from the files of its archive. The view `provenance` lists the files "
        f"with their digests. The other {by_rest} slices came by REST: the archive has not published their days yet."
    )


def _refused_requests(log: Path) -> int:
    """Return how many requests the sandbox's exchanges refused because there were too many requests."""
    refused = 0
    with log.open() as file:
        for line in file:
            entry = json.loads(line)
            refused += entry["throttled"] or entry["banned"] or entry["status"] in REFUSALS
    return refused


def _faults(verdicts: Mapping[str, Verdict], runs: Mapping[str, str], checks: Sequence[str], refused: int) -> list[str]:
    """Return one sentence for each problem of the demo."""
    faults = []
    for name, verdict in verdicts.items():
        if not verdict.passed:
            faults.append(f"{name}: {verdict.wrong:,} candles are wrong, {verdict.lost:,} are lost.")
    failed = [run for run, status in runs.items() if status != "SUCCESS"]
    if failed:
        faults.append(f"{len(failed)} of {len(runs)} runs failed.")
    if not runs:
        faults.append("The backfill started no run.")
    if checks:
        faults.append(f"Asset checks failed: {', '.join(checks)}.")
    if refused:
        faults.append(f"The exchanges refused {refused} requests because there were too many.")
    return faults


def _conclusion(verdicts: Mapping[str, Verdict], faults: Sequence[str], seconds: float) -> str:
    right = sum(verdict.right for verdict in verdicts.values())
    if faults:
        return f"The demo failed. {' '.join(faults)}"
    beyond = sum(verdict.beyond for verdict in verdicts.values())
    older = f" {beyond:,} older candles are no longer served." if beyond else ""
    return (
        f"All {right:,} stored candles equal the candles of the sandbox. All candles that the exchanges still serve "
        f"are stored.{older} All checks passed, and no exchange refused a request. The demo took {seconds:.0f} s, "
        "including the start."
    )
