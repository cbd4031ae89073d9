"""`titan10 backfill`: a backfill in this process, its progress, and what came of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from titan10_dagster.candles.fetched import FetchedSlice
from titan10_dagster.candles.slices import Slice, days
from titan10_dagster.ingest.context import IngestContext, open_context
from titan10_dagster.ingest.days import ledger_rows, read_ledger
from titan10_dagster.local.directories import ensure_directory
from titan10_dagster.local.exit_codes import DONE, FAILED, SHUT_OUT
from titan10_dagster.local.instance import Say, open_instance
from titan10_dagster.local.supervision import rotate
from titan10_dagster.settings import Settings, load

if TYPE_CHECKING:
    from titan10_dagster.defs.launch import Backfill


@dataclass(frozen=True)
class Request:
    """What to backfill: both days included; `symbols` None: all configured."""

    exchange: str
    first: date
    last: date
    symbols: Sequence[str] | None = None
    refresh: bool = False


@dataclass
class Tally:
    """What has come in so far."""

    slices: int = 0
    rows: int = 0
    requests: int = 0

    def add(self, fetched: FetchedSlice) -> None:
        self.slices += 1
        self.rows += len(fetched.candles)
        self.requests += fetched.record.requests


class Rate(ProgressColumn):
    """Rows that came in each second, since the start."""

    def render(self, task: Task) -> Text:
        rate = task.fields["rows"] / task.elapsed if task.elapsed else 0.0
        return Text(f"{rate:,.0f} rows/s")


def run_backfill(settings: Settings, home: Path, request: Request, say: Say, *, as_json: bool) -> int:
    """Runs it, tells what came of it, and returns the exit code."""
    with open_instance(settings, home, say):
        titan10 = open_context(load(home))
        tally = Tally()
        with _progress(titan10, request) as watch:

            def landed(fetched: FetchedSlice) -> None:
                tally.add(fetched)
                watch(fetched)

            outcome = _backfill(replace(titan10, on_landed=landed), request)
        report = _report(titan10, request, outcome, tally)
    click.echo(orjson.dumps(report).decode() if as_json else _sentences(report))
    return int(report["exit_code"])


def _backfill(titan10: IngestContext, request: Request) -> Backfill:
    """Dagster and its steps print what they do: that goes to a file, for the terminal has the progress bar."""
    from titan10_dagster import logs
    from titan10_dagster.dagster_internals.interruption import interruption_as_keyboard_interrupt
    from titan10_dagster.defs.launch import backfill

    logs.configure(titan10.settings)
    log = ensure_directory(titan10.settings.data / "logs") / "backfill.log"
    rotate(log)
    with (
        log.open("a") as file,
        redirect_stdout(file),
        redirect_stderr(file),
        interruption_as_keyboard_interrupt(),
    ):
        return backfill(
            titan10,
            request.exchange,
            request.first,
            request.last,
            symbols=request.symbols,
            refresh=request.refresh,
        )


@contextmanager
def _progress(titan10: IngestContext, request: Request) -> Iterator[Any]:
    """Shows candles that came of those that will, where somebody watches; yields what to tell of each slice."""
    console = Console(file=sys.__stderr__)
    total = sum(slice_.expected for slice_ in _open_slices(titan10, request))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} candles"),
        Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(request.exchange, total=total, rows=0)
        rows = 0

        def landed(fetched: FetchedSlice) -> None:
            nonlocal rows
            rows += len(fetched.candles)
            progress.update(task, advance=fetched.record.slice.expected, rows=rows)

        yield landed


def _open_slices(titan10: IngestContext, request: Request) -> list[Slice]:
    """What will be fetched: all that is not settled, or all."""
    asked = titan10.slices(request.exchange, days(request.first, request.last), request.symbols)
    return asked if request.refresh else read_ledger(titan10, asked).unsettled()


def _report(titan10: IngestContext, request: Request, outcome: Backfill, tally: Tally) -> dict[str, Any]:
    start = titan10.exchange(request.exchange).start
    asked = titan10.slices(request.exchange, days(request.first, request.last), request.symbols)
    rows = ledger_rows(titan10, asked)
    missing: dict[str, int] = {}
    for row in rows.values():
        for reason, count in row.missing.items():
            missing[reason.value] = missing.get(reason.value, 0) + count
    return {
        "exchange": request.exchange,
        "from": request.first,
        "to": request.last,
        "days": len(outcome.days),
        "failed_days": outcome.failed,
        "incomplete_days": outcome.incomplete,
        "runs": outcome.runs,
        "messages": outcome.messages,
        "fetched": asdict(tally),
        "expected": sum(slice_.expected for slice_ in asked if slice_.day >= start),
        "stored": sum(row.present for row in rows.values()),
        "missing": missing,
        "exit_code": _exit_code(outcome),
    }


def _exit_code(outcome: Backfill) -> int:
    if outcome.shut_out:
        return SHUT_OUT
    return FAILED if outcome.failed or outcome.incomplete else DONE


def _sentences(report: dict[str, Any]) -> str:
    fetched, missing = report["fetched"], report["missing"]
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(missing.items()))
    lines = [
        f"{report['exchange']} {report['from']} to {report['to']}: {report['stored']:,} of {report['expected']:,} "
        f"candles stored{f'; missing: {reasons}' if reasons else ''}.",
        f"Fetched {fetched['rows']:,} rows with {fetched['requests']:,} requests in {len(report['runs'])} run(s).",
        *report["messages"],
    ]
    if report["failed_days"]:
        lines.append(f"Failed: {_span(report['failed_days'])}. Run the same command again to go on.")
    if report["incomplete_days"]:
        lines.append(f"Incomplete: {_span(report['incomplete_days'])}; the checks in the UI say why.")
    return "\n".join(lines)


def _span(named: Sequence[date]) -> str:
    return f"{named[0]}" if len(named) == 1 else f"{len(named)} days from {named[0]} to {named[-1]}"
