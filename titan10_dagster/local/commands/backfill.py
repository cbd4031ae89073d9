"""`titan10 backfill`: a backfill in this process, its progress and its result."""

from __future__ import annotations

import sys
from collections import Counter
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

from titan10_dagster.candles.completeness import Completeness
from titan10_dagster.candles.fetched import FetchedSlice
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import Slice, days
from titan10_dagster.ingest.context import IngestContext, open_context
from titan10_dagster.ingest.days import ledger_rows, read_ledger
from titan10_dagster.local.directories import ensure_directory
from titan10_dagster.local.exit_codes import DONE, FAILED, SHUT_OUT
from titan10_dagster.local.instance import Say, open_instance
from titan10_dagster.local.printable import printable_lines
from titan10_dagster.local.supervision import rotate
from titan10_dagster.settings import Settings, load

if TYPE_CHECKING:
    from titan10_dagster.defs.launch import Backfill


INCOMPLETE = (
    "The table `gaps` has the reason of each missing candle; gaps without a final reason are fetched again "
    "automatically while `titan10 up` runs."
)


@dataclass(frozen=True)
class Request:
    """What to backfill; both days are included. `symbols` None: all configured."""

    exchange: str
    first: date
    last: date
    symbols: Sequence[str] | None = None
    refresh: bool = False


@dataclass
class Tally:
    """Count what was fetched so far."""

    slices: int = 0
    rows: int = 0
    requests: int = 0

    def add(self, fetched: FetchedSlice) -> None:
        self.slices += 1
        self.rows += len(fetched.candles)
        self.requests += fetched.record.requests


class Rate(ProgressColumn):
    """Show how many rows were fetched per second, since the start."""

    def render(self, task: Task) -> Text:
        rate = task.fields["rows"] / task.elapsed if task.elapsed else 0.0
        return Text(f"{rate:,.0f} rows/s")


def run_backfill(settings: Settings, home: Path, request: Request, say: Say, *, as_json: bool) -> int:
    """Run the backfill, print its result and return the exit code."""
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
    """Run the backfill with all output of Dagster in a file, because the terminal shows the progress bar."""
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
    """Show a progress bar if standard error is a terminal; yield the function to call with each fetched slice."""
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
    """Return the slices that will be fetched: those that are not settled, or all."""
    wanted = titan10.slices(request.exchange, days(request.first, request.last), request.symbols)
    return wanted if request.refresh else read_ledger(titan10, wanted).unsettled()


def _report(titan10: IngestContext, request: Request, outcome: Backfill, tally: Tally) -> dict[str, Any]:
    start = titan10.exchange(request.exchange).start
    wanted = titan10.slices(request.exchange, days(request.first, request.last), request.symbols)
    expected = sum(slice_.expected for slice_ in wanted if slice_.day >= start)
    rows = ledger_rows(titan10, wanted).values()
    stored, missing = sum(row.present for row in rows), Counter[Reason]()
    for row in rows:
        missing.update(row.missing)
    completeness = Completeness(expected, stored, missing)
    return {
        "exchange": request.exchange,
        "from": request.first,
        "to": request.last,
        "days": len(outcome.days),
        "failed_days": outcome.failed,
        "incomplete_days": outcome.incomplete,
        "runs": outcome.runs,
        "messages": outcome.messages,
        "symbols": outcome.symbols,
        "permanent": outcome.permanent,
        "fetched": asdict(tally),
        "expected": expected,
        "stored": stored,
        "missing": {reason.value: candles for reason, candles in missing.items()},
        "whole": completeness.whole,
        "exit_code": _exit_code(outcome, completeness),
    }


def _exit_code(outcome: Backfill, completeness: Completeness) -> int:
    """Return 1 for the same reason as `titan10 export`: candles are missing that the exchange made."""
    if outcome.shut_out:
        return SHUT_OUT
    return FAILED if outcome.failed or outcome.incomplete or not completeness.whole else DONE


def _sentences(report: dict[str, Any]) -> str:
    fetched, missing = report["fetched"], report["missing"]
    reasons = ", ".join(f"{candles:,} {reason}" for reason, candles in sorted(missing.items()))
    lines = [
        f"{report['exchange']} {report['from']} to {report['to']}: {report['stored']:,} of {report['expected']:,} "
        f"candles stored{f'; missing: {reasons}' if reasons else ''}.",
        f"Fetched {fetched['rows']:,} rows with {fetched['requests']:,} requests in {len(report['runs'])} run(s).",
        *report["messages"],
    ]
    if report["failed_days"]:
        lines.append(f"Failed: {_span(report['failed_days'])}.{_advice(report)}")
    if report["incomplete_days"]:
        reason = " ".join(f"{error}" for error in report["symbols"].values())
        lines.append(f"Incomplete: {_span(report['incomplete_days'])}. {reason or INCOMPLETE}")
    elif not report["whole"] and not report["failed_days"]:
        lines.append(f"Incomplete: candles are missing that {report['exchange']} may have made. {INCOMPLETE}")
    return "\n".join(printable_lines(line) for line in lines)


def _advice(report: dict[str, Any]) -> str:
    """Return what to do about failed runs; nothing if their messages say that a repetition does not help."""
    if report["permanent"]:
        return ""
    return " Run the same command again to continue where it stopped."


def _span(named: Sequence[date]) -> str:
    return f"{named[0]}" if len(named) == 1 else f"{len(named)} days from {named[0]} to {named[-1]}"
