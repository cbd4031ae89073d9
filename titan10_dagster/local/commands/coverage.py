"""`titan10 coverage`: the stored candles of each series, and the reasons of the missing candles."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import click

from titan10_dagster.candles.completeness import NEVER_FETCHED
from titan10_dagster.errors import SettingsError
from titan10_dagster.local.instance import Say, open_tables
from titan10_dagster.local.tables import counts, day_range, print_json, print_table, share
from titan10_dagster.settings import Settings
from titan10_dagster.settings_errors import unknown_name
from titan10_dagster.store import ledger
from titan10_dagster.store.database import Database

HEADERS = ("series", "days", "settled", "not fetched", "stored", "expected", "share", "missing", "days by source")
NUMBERS = set(HEADERS[2:7])


def show_coverage(
    settings: Settings,
    say: Say,
    exchange: str | None,
    first: date | None,
    last: date | None,
    *,
    as_json: bool,
) -> None:
    """Print a row for each series.

    A day that was never fetched counts as missing if it lies between the first and the last fetched day.
    """
    with open_tables(settings, say) as db:
        rows = [_series(row) for row in ledger.coverage(db, exchange, first, last)]
        if not rows and exchange is not None:
            _check_exchange(settings, db, exchange)
    if as_json:
        print_json(rows)
        return
    if not rows:
        of_what = "of these days is stored" if first or last else "is stored yet"
        click.echo(f"Nothing {of_what}: launch a backfill in the UI, or with `titan10 backfill`.")
        return
    print_table(HEADERS, [_table_row(row) for row in rows], numbers=NUMBERS)


def _check_exchange(settings: Settings, db: Database, exchange: str) -> None:
    """Raise SettingsError if the exchange is neither configured nor stored.

    A stored exchange is possibly no longer in the settings.
    """
    known = {*settings.exchanges, *(row.series.exchange for row in ledger.coverage(db))}
    if exchange not in known:
        raise SettingsError(unknown_name(exchange, exchange, known, "neither in titan10.toml nor stored"))


def _series(row: ledger.CoverageRow) -> dict[str, Any]:
    never_fetched = (row.last - row.first).days + 1 - row.slices
    missing = {reason.value: candles for reason, candles in row.missing.items()}
    if never_fetched:
        missing[NEVER_FETCHED] = never_fetched * row.series.timeframe.per_day
    return {
        "exchange": row.series.exchange,
        "symbol": row.series.symbol,
        "timeframe": row.series.timeframe.name,
        "first": row.first,
        "last": row.last,
        "slices": row.slices,
        "settled": row.settled,
        "days_never_fetched": never_fetched,
        "expected": row.expected + missing.get(NEVER_FETCHED, 0),
        "stored": row.present,
        "missing": missing,
        "sources": {source.value: slices for source, slices in row.sources.items()},
    }


def _table_row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        f"{row['exchange']} {row['symbol']} {row['timeframe']}",
        day_range(row["first"], row["last"]),
        row["settled"],
        row["days_never_fetched"],
        row["stored"],
        row["expected"],
        share(row["stored"], row["expected"]),
        counts(row["missing"]),
        counts(row["sources"]),
    )
