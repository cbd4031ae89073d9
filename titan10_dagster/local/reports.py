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
from titan10_dagster.local.instance import Say, embedded, migrate_all, open_database
from titan10_dagster.local.stack import running_stack
from titan10_dagster.settings import Settings
from titan10_dagster.store import ledger
from titan10_dagster.store.database import Database, connection_parameters, shown
from titan10_dagster.store.health import HealthStore

NUMBERS = {"symbols", "settled", "stored", "expected", "share"}
PIPE_WIDTH = 250


def show_status(settings: Settings, say: Say, *, as_json: bool) -> None:
    """Prints what runs and what is stored of each exchange."""
    with open_tables(settings, say) as db:
        stored = {row.exchange: row for row in ledger.summary(db)}
        names = sorted({*settings.exchanges, *stored})
        exchanges = [_exchange(settings, db, name, stored.get(name)) for name in names]
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
        ("exchange", "enabled", "symbols", "settled days", "stored", "expected", "missing", "breaker"),
        [_status_row(row) for row in exchanges],
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


def _exchange(settings: Settings, db: Database, name: str, row: ledger.ExchangeSummary | None) -> dict[str, Any]:
    configured = settings.exchanges.get(name)
    health = HealthStore(db).load(name)
    return {
        "exchange": name,
        "enabled": configured is not None and configured.enabled,
        "symbols": len(configured.symbols) if configured else 0,
        "first_settled": row.first_settled if row else None,
        "last_settled": row.last_settled if row else None,
        "slices": row.slices if row else 0,
        "settled": row.settled if row else 0,
        "stored": row.present if row else 0,
        "expected": row.expected if row else 0,
        "missing": _by_name(row.missing) if row else {},
        "quarantined": row.quarantined if row else 0,
        "breaker": health.state.value,
        "breaker_until": health.open_until,
        "breaker_reason": health.reason,
    }


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


def _status_row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    enabled = "yes" if row["enabled"] else "no"
    settled = _days(row["first_settled"], row["last_settled"])
    counts = (row["stored"], row["expected"], words(row["missing"]))
    return (row["exchange"], enabled, row["symbols"], settled, *counts, row["breaker"])


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
