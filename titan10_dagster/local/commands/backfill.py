"""`titan10 backfill`: a backfill in this process, its progress and its result."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from titan10_dagster.candles.completeness import Completeness
from titan10_dagster.candles.fetched import FetchedSlice, Source
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import Slice, days
from titan10_dagster.errors import without_promises
from titan10_dagster.exchanges.fetching import LAUNCH_AGAIN
from titan10_dagster.ingest.context import IngestContext, open_context
from titan10_dagster.ingest.days import ledger_rows, read_ledger
from titan10_dagster.ingest.forecast import forecast_backfill
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.local.directories import ensure_directory, ensure_private_file
from titan10_dagster.local.exit_codes import DONE, FAILED, SHUT_OUT
from titan10_dagster.local.instance import Say, open_instance, open_tables
from titan10_dagster.local.printable import printable_lines
from titan10_dagster.local.signals import before_forced_end
from titan10_dagster.local.supervision import rotate
from titan10_dagster.local.tables import print_table
from titan10_dagster.local.waiting import waits_shown
from titan10_dagster.planning.forecast import Cost, Costs, Forecast, joined, sentence, side_by_side
from titan10_dagster.settings import Settings, load

if TYPE_CHECKING:
    from titan10_dagster.defs.launch import Backfill


INCOMPLETE = (
    "The table `gaps` has the reason of each missing candle. While `titan10 up` runs, gaps without a final reason are "
    "fetched again automatically."
)


@dataclass(frozen=True)
class Request:
    """A backfill request. The days `first` and `last` are included.

    If `symbols` is None, all configured symbols are fetched.
    """

    exchange: str
    first: date
    last: date
    symbols: Sequence[str] | None = None
    refresh: bool = False


@dataclass
class Tally:
    """What was fetched so far. `spent`: the real cost, by source."""

    slices: int = 0
    rows: int = 0
    requests: int = 0
    spent: dict[Source, Cost] = field(default_factory=dict)

    def add(self, fetched: FetchedSlice) -> None:
        self.slices += 1
        self.rows += len(fetched.candles)
        self.requests += fetched.record.requests

    @property
    def all_requests(self) -> int:
        """The number of requests, including requests for slices that could not be fetched."""
        return max(self.requests, self.spent.get(Source.REST, Cost()).requests)

    def add_spent(self, spent: Costs) -> None:
        self.spent = joined([self.spent, spent])


class Files(ProgressColumn):
    """A progress column: how many of the archive files were read, and the download speed."""

    def render(self, task: Task) -> Text:
        wanted, files, downloaded = (task.fields[name] for name in ("wanted", "files", "downloaded"))
        speed = downloaded / task.elapsed / 1e6 if task.elapsed else 0.0
        return Text(f"{files:,} of {max(wanted, files):,} files, {speed:,.1f} MB/s")


class Rate(ProgressColumn):
    """A progress column with the number of fetched rows per second since the start."""

    def render(self, task: Task) -> Text:
        rate = task.fields["rows"] / task.elapsed if task.elapsed else 0.0
        return Text(f"{rate:,.0f} rows/s")


def run_backfill(
    settings: Settings,
    home: Path,
    request: Request,
    say: Say,
    *,
    as_json: bool,
    more: Mapping[str, Any] | None = None,
    failed_before: bool = False,
) -> int:
    """Run the backfill, print its result and return the exit code.

    `more`: other fields for the JSON document. `failed_before`: whether a part of the command failed before the
    backfill. In this case, the exit code is never DONE.
    """
    with open_instance(settings, home, say):
        titan10 = open_context(load(home))
        forecast, tally = _forecast(titan10, request), Tally()
        if not as_json:
            say(sentence(forecast, titan10.now()))
        began = time.monotonic()
        archive = forecast.by_source.get(Source.ARCHIVE, Cost())
        with _progress(titan10, request, archive.files) as watch:

            def landed(fetched: FetchedSlice) -> None:
                tally.add(fetched)
                watch.landed(fetched)

            watched = replace(titan10, on_landed=landed, on_file=watch.file, on_spent=tally.add_spent)
            with waits_shown(watch.notify):
                outcome = _backfill(watched, request)
        seconds = time.monotonic() - began
        report = _report(titan10, request, outcome, tally) | _compared(forecast, tally, seconds)
    if failed_before and report["exit_code"] == DONE:
        report["exit_code"] = FAILED
    if as_json:
        click.echo(orjson.dumps({**(more or {}), **report}).decode())
    else:
        click.echo(_sentences(report))
        rows = side_by_side(forecast, tally.spent, candles=tally.rows, seconds=seconds)
        print_table(("", "forecast", "result"), rows, numbers={"forecast", "result"})
    return int(report["exit_code"])


def show_forecast(settings: Settings, request: Request, say: Say, *, as_json: bool) -> None:
    """Print a forecast of the backfill's cost. Nothing is fetched or stored."""
    with open_tables(settings, say) as db:
        titan10 = IngestContext(settings, db, LandingZone(settings.landing))
        forecast = _forecast(titan10, request)
        if as_json:
            ends_at = forecast.ends_at(titan10.now())
            click.echo(orjson.dumps({"forecast": forecast.to_json(), "ends_at": ends_at}).decode())
        else:
            click.echo(sentence(forecast, titan10.now()))
            rows = [(source.value, *_costs(cost)) for source, cost in forecast.by_source.items()]
            print_table(("source", "requests", "files", "downloaded", "seconds"), rows, numbers={"requests", "files"})


def _costs(cost: Cost) -> tuple[int, int, str, str]:
    return cost.requests, cost.files, f"{cost.bytes / 1e6:,.1f} MB", f"{cost.seconds:,.1f}"


def _forecast(titan10: IngestContext, request: Request) -> Forecast:
    from titan10_dagster.defs.partitions import days_per_run

    return forecast_backfill(
        titan10,
        request.exchange,
        days(request.first, request.last),
        days_per_run(titan10.settings)[request.exchange],
        symbols=request.symbols,
        refresh=request.refresh,
    )


def _compared(forecast: Forecast, tally: Tally, seconds: float) -> dict[str, Any]:
    """Return the forecast and the real cost of the backfill, as JSON values."""
    spent = {source.value: asdict(cost) for source, cost in tally.spent.items()}
    return {"forecast": forecast.to_json(), "result": {"sources": spent, "seconds": round(seconds, 1)}}


def _backfill(titan10: IngestContext, request: Request) -> Backfill:
    """Run the backfill. Dagster's output goes to a file, because the terminal shows the progress bar."""
    from titan10_dagster import logs
    from titan10_dagster.dagster_internals.interruption import (
        helpers_in_own_session,
        interruption_as_keyboard_interrupt,
    )
    from titan10_dagster.defs.launch import backfill, cancel_runs_of_this_process

    logs.configure(titan10.settings)
    log = ensure_directory(titan10.settings.data / "logs") / "backfill.log"
    rotate(log)
    with (
        _log_file(log) as file,
        redirect_stdout(file),
        redirect_stderr(file),
        interruption_as_keyboard_interrupt(),
        helpers_in_own_session(),
        before_forced_end(cancel_runs_of_this_process),
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
def _log_file(path: Path) -> Iterator[TextIO]:
    """Yield the log file, opened for appending. If the file cannot be closed, the command still reports its result."""
    file = ensure_private_file(path).open("a")
    try:
        yield file
    finally:
        with suppress(OSError):
            file.close()


@dataclass
class _Watch:
    """The counts for the progress bar. Several threads call the methods.

    `rows`: the fetched rows. `files`: the archive files that were read. `downloaded`: the bytes of these files, without
    files from the cache.
    """

    progress: Progress
    task: TaskID
    rows: int = 0
    files: int = 0
    downloaded: int = 0

    def landed(self, fetched: FetchedSlice) -> None:
        self.rows += len(fetched.candles)
        self.progress.update(self.task, advance=fetched.record.slice.expected, rows=self.rows)

    def notify(self, message: str) -> None:
        """Print a message above the progress bar."""
        self.progress.console.print(Text(printable_lines(message)), soft_wrap=True)

    def file(self, downloaded: int) -> None:
        self.files += 1
        self.downloaded += downloaded
        self.progress.update(self.task, files=self.files, downloaded=self.downloaded)


@contextmanager
def _progress(titan10: IngestContext, request: Request, files: int) -> Iterator[_Watch]:
    """Show a progress bar if standard error is a terminal. Yield the counts, which the backfill updates.

    `files`: the number of archive files to read.
    """
    console = Console(file=sys.__stderr__)
    total = sum(slice_.expected for slice_ in _open_slices(titan10, request))
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=None if files else 40),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} candles"),
        Rate(),
        *([Files()] if files else []),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(request.exchange, total=total, rows=0, wanted=files, files=0, downloaded=0)
        yield _Watch(progress, task)


def _open_slices(titan10: IngestContext, request: Request) -> list[Slice]:
    """Return the slices that will be fetched: the slices that are not settled, or with --refresh all slices."""
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
        "fetched": {"slices": tally.slices, "rows": tally.rows, "requests": tally.all_requests},
        "expected": expected,
        "stored": stored,
        "missing": {reason.value: candles for reason, candles in missing.items()},
        "whole": completeness.whole,
        "exit_code": _exit_code(outcome, completeness),
    }


def _exit_code(outcome: Backfill, completeness: Completeness) -> int:
    """Return SHUT_OUT if the exchange blocks this machine, FAILED if days failed or are incomplete, otherwise DONE.

    As in `titan10 export`, days are also incomplete if the exchange may have some of the missing candles.
    """
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
        *(_for_terminal(message) for message in report["messages"]),
    ]
    if report["failed_days"]:
        lines.append(f"Failed: {_span(report['failed_days'])}.{_advice(report)}")
    if report["incomplete_days"]:
        lines.append(f"Incomplete: {_span(report['incomplete_days'])}. {_reasons(report['symbols']) or INCOMPLETE}")
    elif not report["whole"] and not report["failed_days"]:
        lines.append(f"Incomplete: {report['exchange']} may have some of the missing candles. {INCOMPLETE}")
    return "\n".join(printable_lines(line) for line in lines)


def _reasons(symbols: Mapping[str, str]) -> str:
    """Return the errors of the failed symbols as one text. `symbols`: the error of each failed symbol."""
    reasons = [_for_terminal(error) for error in symbols.values()]
    if any(without_promises(error) != error for error in symbols.values()):
        reasons.append("Run the same command again later.")
    return " ".join(reasons)


def _for_terminal(error: str) -> str:
    """Return the text of a run's error without two sentences that are not true here.

    One sentence promises that a request is repeated, but the command has ended. The other sentence is advice for users
    of the UI.
    """
    return without_promises(error).removesuffix(f" {LAUNCH_AGAIN}")


def _advice(report: dict[str, Any]) -> str:
    """Return advice about failed runs, or an empty text if all failed runs would fail again in the same way."""
    if report["permanent"]:
        return ""
    when = " when the exchange serves this machine again," if report["exit_code"] == SHUT_OUT else ""
    return f" Run the same command again{when} to continue where it stopped."


def _span(named: Sequence[date]) -> str:
    return f"{named[0]}" if len(named) == 1 else f"{len(named)} days from {named[0]} to {named[-1]}"
