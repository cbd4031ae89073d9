"""`titan10 status` and `titan10 coverage`: the ledger as a table or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date
from typing import Any, Literal

import click
import orjson
from rich.console import Console
from rich.table import Table

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.ingest.context import IngestContext, utc_now
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.local.instance import Say, embedded, migrate_all, open_database
from titan10_dagster.local.stack import running_stack
from titan10_dagster.operate.status import ExchangeHealth, facts, health_report
from titan10_dagster.settings import Settings
from titan10_dagster.store import ledger
from titan10_dagster.store.database import Database, connection_parameters, shown

NUMBERS = {
    "symbols", "settled", "stored", "expected", "share", "pace", "budget used", "live lag", "unasked", "quarantined",
    "restated",
}  # fmt: skip
MOST_OF_AN_ERROR = 100  # characters; --json has all of them
PIPE_WIDTH = 250


def show_status(settings: Settings, say: Say, *, as_json: bool) -> None:
    """Prints what runs and what is stored of each exchange."""
    with open_tables(settings, say) as db:
        report = health_report(IngestContext(settings, db, LandingZone(settings.landing)), utc_now())
        exchanges = [{"exchange": one.exchange, "symbols": _symbols(settings, one), **facts(one)} for one in report]
        timescaledb, where = db.has_timescaledb(), _where(settings, say)
    stack = running_stack(settings.data)
    status = {
        "up": stack is not None,
        "url": stack.url if stack else None,
        "data": str(settings.data),
        "database": where,
        "embedded": settings.database.url is None,
        "timescaledb": timescaledb,
        "exchanges": exchanges,
    }
    if as_json:
        print_json(status)
        return
    click.echo(f"titan10 is up at {stack.url}." if stack else "No `titan10 up` runs in this folder.")
    click.echo(f"Database: {where}, {'with' if timescaledb else 'without'} TimescaleDB.")
    print_table(
        ("exchange", "enabled", "symbols", "settled days", "complete", "stored", "expected", "missing"),
        [_history_row(row) for row in exchanges],
    )
    click.echo()
    print_table(
        ("exchange", "breaker", "pace", "budget used", "live lag", "unasked", "quarantined", "restated", "last error"),
        [_health_row(row) for row in exchanges],
    )


def _where(settings: Settings, say: Say) -> str:
    """Where to point psql or Grafana, without the password."""
    server = embedded(settings, say)
    if server is not None:
        return f"{server.address()} (embedded; its password is in {server.folder / 'password'})"
    assert settings.database.url is not None
    return shown(connection_parameters(settings.database.url.get_secret_value()))


def show_coverage(
    settings: Settings,
    say: Say,
    exchange: str | None,
    first: date | None,
    last: date | None,
    *,
    as_json: bool,
) -> None:
    """Prints a row for each series."""
    with open_tables(settings, say) as db:
        rows = [_series(row) for row in ledger.coverage(db, exchange, first, last)]
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo("Nothing is stored yet: launch a backfill in the UI, or with `titan10 backfill`.")
        return
    print_table(
        ("series", "days", "settled", "stored", "expected", "share", "missing"),
        [_coverage_row(row) for row in rows],
    )


@contextmanager
def open_tables(settings: Settings, say: Say) -> Iterator[Database]:
    with open_database(settings, say) as url:
        migrate_all(settings, url)  # a first command may well be `titan10 status`
        with closing(Database(url, max_connections=1)) as db:
            yield db


def _symbols(settings: Settings, one: ExchangeHealth) -> int:
    return len(settings.exchanges[one.exchange].symbols) if one.exchange in settings.exchanges else 0


def _series(row: ledger.CoverageRow) -> dict[str, Any]:
    return {
        "exchange": row.series.exchange,
        "symbol": row.series.symbol,
        "timeframe": row.series.timeframe.name,
        "first": row.first,
        "last": row.last,
        "slices": row.slices,
        "settled": row.settled,
        "expected": row.expected,
        "stored": row.present,
        "missing": _by_name(row.missing),
    }


def _history_row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    enabled = "yes" if row["enabled"] else "no"
    settled = _days(row["first_settled"], row["last_settled"])
    counts = (row["stored"], row["expected"], words(row["missing"]))
    return (row["exchange"], enabled, row["symbols"], settled, _complete(row), *counts)


def _complete(row: Mapping[str, Any]) -> str:
    """Which days are whole: all, those to a day, those from a day on, or both."""
    parts = {"to": row["complete_to"], "since": row["complete_since"]}
    return ", ".join(f"{word} {day}" for word, day in parts.items() if day)


def _health_row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    until, at = row["breaker_until"], row["last_error_at"]
    breaker = f"{row['breaker']} until {until:%Y-%m-%d %H:%M:%S} UTC" if until else row["breaker"]
    lag = "" if row["live_lag_seconds"] is None else f"{row['live_lag_seconds']:,.0f} s"
    error = f"{at:%Y-%m-%d %H:%M} {row['last_error'][:MOST_OF_AN_ERROR]}" if at else ""
    shares = (f"{row['pace']:.0%}", f"{row['budget_used']:.1%}")
    return (row["exchange"], breaker, *shares, lag, row["unasked"], row["quarantined"], row["restatements"], error)


def _coverage_row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    series = f"{row['exchange']} {row['symbol']} {row['timeframe']}"
    share = f"{row['stored'] / row['expected']:.2%}" if row["expected"] else ""
    counts = (row["settled"], row["stored"], row["expected"], share)
    return (series, _days(row["first"], row["last"]), *counts, words(row["missing"]))


def _by_name(missing: Mapping[Reason, int]) -> dict[str, int]:
    return {reason.value: count for reason, count in missing.items()}


def words(missing: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in missing.items())


def _days(first: date | None, last: date | None) -> str:
    return f"{first} to {last}" if first else ""


def print_json(what: Any) -> None:
    click.echo(orjson.dumps(what, option=orjson.OPT_INDENT_2).decode())


def print_table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for header in headers:
        justify: Literal["left", "right"] = "right" if header in NUMBERS else "left"
        table.add_column(header, justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    # A pipe has no width: its lines are not to be cut for one.
    console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
    console.print(table)
