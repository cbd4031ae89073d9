"""Forecasts the cost of a fetch from each source, before a request is made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import chain

from titan10_dagster.candles.markets import Market, guessed_market
from titan10_dagster.candles.slices import Slice
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import read_days
from titan10_dagster.ingest.fetch import plan_days
from titan10_dagster.ingest.machine import speed_now
from titan10_dagster.ingest.sources import assign, sources_of
from titan10_dagster.planning.forecast import Costs, Forecast, forecast_runs
from titan10_dagster.store.database import retrying
from titan10_dagster.store.markets import MarketStore


def forecast_fetch(titan10: IngestContext, exchange: str, runs: Sequence[Sequence[Slice]]) -> Forecast:
    """Return the cost of fetching the slices of the given runs. No request is made.

    If no market list is stored yet, the fetch also needs requests for the market list. They are not included.
    """
    slices = list(chain.from_iterable(runs))
    sources = sources_of(titan10, exchange, _markets(titan10, exchange, slices))
    costs: list[Costs] = []
    for run in runs:
        plan = assign(sources, run)
        costs.append({source.source: source.cost(taken) for source, taken in plan if taken})
    return forecast_runs(
        costs,
        len(slices),
        sum(slice_.expected for slice_ in slices),
        is_compressed=retrying(titan10.database.has_timescaledb),
        speed=speed_now(),
    )


def forecast_backfill(
    titan10: IngestContext,
    exchange: str,
    wanted: Sequence[date],
    days_per_run: int,
    *,
    symbols: Sequence[str] | None = None,
    refresh: bool = False,
) -> Forecast:
    """Return the cost of fetching the missing slices of the days. No request is made.

    wanted: the days of the backfill.
    days_per_run: the number of days that one run fetches.
    symbols: None for the configured symbols.
    refresh: whether to fetch slices again that are already settled.
    """
    runs = []
    for start in range(0, len(wanted), days_per_run):
        slices = titan10.slices(exchange, wanted[start : start + days_per_run], symbols)
        runs.append(plan_days(titan10, read_days(titan10, slices), refresh=refresh).fetch)
    return forecast_fetch(titan10, exchange, runs)


def _markets(titan10: IngestContext, exchange: str, slices: Sequence[Slice]) -> list[Market]:
    """Return the stored markets of the exchange. For each other symbol of the slices, add a market with guessed ids."""
    known = {market.symbol: market for market in retrying(lambda: MarketStore(titan10.database).load(exchange))}
    for symbol in {slice_.series.symbol for slice_ in slices} - known.keys():
        known[symbol] = guessed_market(exchange, symbol, active=True)
    return list(known.values())
