"""`titan10 coverage`: what is stored of each series, and why the rest is missing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import click

from titan10_dagster.local.instance import Say, open_tables
from titan10_dagster.local.tables import counts, day_range, print_json, print_table
from titan10_dagster.settings import Settings
from titan10_dagster.store import ledger

HEADERS = ("series", "days", "settled", "stored", "expected", "share", "missing")
NUMBERS = set(HEADERS[2:6])


def show_coverage(
    settings: Settings,
    say: Say,
    exchange: str | None,
    first: date | None,
    last: date | None,
    *,
    as_json: bool,
) -> None:
    """Print a row for each series."""
    with open_tables(settings, say) as db:
        rows = [_series(row) for row in ledger.coverage(db, exchange, first, last)]
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo("Nothing is stored yet: launch a backfill in the UI, or with `titan10 backfill`.")
        return
    print_table(HEADERS, [_table_row(row) for row in rows], numbers=NUMBERS)


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
        "missing": {reason.value: count for reason, count in row.missing.items()},
    }


def _table_row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    series = f"{row['exchange']} {row['symbol']} {row['timeframe']}"
    share = f"{row['stored'] / row['expected']:.2%}" if row["expected"] else ""
    days = day_range(row["first"], row["last"])
    return (series, days, row["settled"], row["stored"], row["expected"], share, counts(row["missing"]))
