"""`titan10 reconcile`: compare an exchange's archive files with its REST interface, value by value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any

import click

from titan10_dagster.candles.reconciliation import Difference
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.reconcile import Reconciliation, reconcile, summary
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.local.instance import Say, open_tables
from titan10_dagster.local.tables import print_json, print_lines
from titan10_dagster.plurals import counted
from titan10_dagster.settings import Settings

_MOST_LINES = 50


@dataclass(frozen=True)
class ReconcileRequest:
    """A reconciliation request. The days `first` and `last` are included.

    If `symbols` is None, all configured symbols are compared.
    """

    exchange: str
    first: date
    last: date
    share: float
    seed: int
    symbols: Sequence[str] | None = None


def run_reconcile(settings: Settings, request: ReconcileRequest, say: Say, *, as_json: bool) -> bool:
    """Compare the archive with REST, and show the differences. Return True if days were compared and no candle differs.

    Raises:
        SettingsError: Titan-10 can read no archive of the exchange, or the settings do not accept its licence.
        FetchError: the exchange failed for all symbols, for example because it does not answer.
    """
    with open_tables(settings, say) as db:
        result = reconcile(
            IngestContext(settings, db, LandingZone(settings.landing)),
            request.exchange,
            request.first,
            request.last,
            share=request.share,
            seed=request.seed,
            symbols=request.symbols,
        )
    if as_json:
        print_json(_as_json(result))
    else:
        _show(result)
    return result.rate.days > 0 and not result.rate.differing


def _show(result: Reconciliation) -> None:
    for difference in islice(result.differences, _MOST_LINES):
        print_lines(_line(difference))
    more = sum(len(comparison.differences) for comparison in result.compared) - _MOST_LINES
    if more > 0:
        click.echo(f"... and {counted(more, 'more value')}. Use --json to see all values.")
    for slice_, reason in result.not_compared.items():
        print_lines(f"{slice_} was not compared. {reason}")
    click.echo(summary(result))


def _line(difference: Difference) -> str:
    archive, rest = (_value(value) for value in (difference.archive, difference.rest))
    place = f"{difference.slice.series} {difference.time:%Y-%m-%d %H:%M}"
    return f"{place} {difference.column}: {archive} in the archive, {rest} by REST"


def _value(value: float | None) -> str:
    return "absent" if value is None else repr(value)


def _as_json(result: Reconciliation) -> dict[str, Any]:
    rate = result.rate
    low, high = rate.interval
    return {
        "exchange": result.exchange,
        "from": result.first,
        "to": result.last,
        "share": result.share,
        "seed": result.seed,
        "settled_days": result.settled,
        "population_days": rate.population,
        "compared_days": rate.days,
        "differing_days": rate.differing_days,
        "compared_candles": rate.candles,
        "differing_candles": rate.differing,
        "rate": rate.share if rate.days else None,
        "rate_low": low if rate.days else None,
        "rate_high": high if rate.days else None,
        "requests": result.requests,
        "files": result.files,
        "not_compared": [
            {"symbol": slice_.series.symbol, "day": slice_.day, "reason": reason}
            for slice_, reason in result.not_compared.items()
        ],
        "differences": [_row(difference) for difference in result.differences],
    }


def _row(difference: Difference) -> dict[str, Any]:
    return {
        "symbol": difference.slice.series.symbol,
        "timeframe": difference.slice.series.timeframe.name,
        "time": difference.time,
        "column": difference.column,
        "archive": difference.archive,
        "rest": difference.rest,
    }
