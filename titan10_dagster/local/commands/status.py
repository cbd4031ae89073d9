"""`titan10 status`: the running processes, and the health of each exchange."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from titan10_dagster.ingest.context import IngestContext, utc_now
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.local.instance import Say, embedded, open_tables
from titan10_dagster.local.stack import demo_folder
from titan10_dagster.local.stack_lock import running_stack
from titan10_dagster.local.tables import counts, day_range, print_json, print_lines, print_table, share
from titan10_dagster.operate.status import ExchangeHealth, flat, health_report
from titan10_dagster.settings import Settings
from titan10_dagster.store.urls import connection_parameters, shown

# The column "all settled" shows on which days every configured series is settled. Some candles of these days may still
# be missing. Each missing candle has a reason.
HISTORY = ("exchange", "enabled", "symbols", "settled days", "all settled", "stored", "expected", "share", "missing")
HEALTH = (
    *("exchange", "breaker", "pace", "budget used", "live lag", "days not fetched"),
    *("quarantined", "restated", "last error"),
)
NUMBERS = {*HISTORY[2:3], *HISTORY[5:8], *HEALTH[2:8]}
ERROR_CHARACTERS = 100  # the table shows this many characters of the last error; --json has the whole text


def show_status(settings: Settings, home: Path, say: Say, *, as_json: bool) -> None:
    """Print the running processes, and the stored data of each exchange."""
    stack, demo = running_stack(settings.data), running_stack(demo_folder(home))
    if stack is None and demo is not None:
        say(
            f"A demo with its own database runs at {demo.url}. This is the status of {settings.data}. For the status "
            f"of the demo, run `TITAN10_HOME={demo_folder(home)} titan10 status`."
        )
    with open_tables(settings, say) as db:
        report = health_report(IngestContext(settings, db, LandingZone(settings.landing)), utc_now())
        exchanges = [
            {"exchange": health.exchange, "symbols": _symbols(settings, health), **flat(health)} for health in report
        ]
        timescaledb, where = db.has_timescaledb(), _where(settings, say)
    status = {
        "up": stack is not None,
        "url": stack.url if stack else None,
        "demo_url": demo.url if demo else None,
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
    print_table(HISTORY, [_history_row(row) for row in exchanges], numbers=NUMBERS)
    click.echo()
    print_table(HEALTH, [_health_row(row) for row in exchanges], numbers=NUMBERS)
    for row in exchanges:
        for event in row["series_events"]:
            print_lines(f"Changed: {event}")


def _where(settings: Settings, say: Say) -> str:
    """Return the address of the database for programs such as psql, without the password."""
    server = embedded(settings, say)
    if server is not None:
        return f"{server.address()} (embedded; its password is in {server.files.folder / 'password'})"
    assert settings.database.url is not None
    return shown(connection_parameters(settings.database.url.get_secret_value()))


def _symbols(settings: Settings, health: ExchangeHealth) -> int:
    """Return the number of configured symbols, or 0 if the stored exchange is no longer configured."""
    configured = settings.exchanges.get(health.exchange)
    return len(configured.symbols) if configured else 0


def _history_row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    enabled = "yes" if row["enabled"] else "no"
    settled = day_range(row["first_settled"], row["last_settled"])
    missing = counts(row["missing"])
    return (
        *(row["exchange"], enabled, row["symbols"], settled, _all_settled(row)),
        *(row["stored"], row["expected"], share(row["stored"], row["expected"]), missing),
    )


def _all_settled(row: Mapping[str, Any]) -> str:
    """Return the text of the column "all settled", such as "to 2024-01-31, since 2024-03-01".

    Every configured series is settled on all days up to the first date, and on all days from the second date to
    yesterday. Each of the two parts can be absent.
    """
    parts = {"to": row["complete_to"], "since": row["complete_since"]}
    return ", ".join(f"{word} {day}" for word, day in parts.items() if day)


def _health_row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    until, at = row["breaker_until"], row["last_error_at"]
    breaker = f"{row['breaker']} until {until:%Y-%m-%d %H:%M:%S} UTC" if until else row["breaker"]
    lag = "" if row["live_lag_seconds"] is None else f"{row['live_lag_seconds']:,.0f} s"
    error = f"{at:%Y-%m-%d %H:%M} {row['last_error'][:ERROR_CHARACTERS]}" if at else ""
    shares = (f"{row['pace']:.0%}", f"{row['budget_used']:.1%}")
    return (row["exchange"], breaker, *shares, lag, row["unasked"], row["quarantined"], row["restatements"], error)
