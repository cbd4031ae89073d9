"""The three assets of an exchange: its markets, its raw candles, and its valid candles in the database."""

# `from __future__ import annotations` must not be used here: Dagster reads the annotations of configs and resources.

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import dagster as dg

from titan10_dagster.candles.slices import Slice
from titan10_dagster.defs.metadata import candles_metadata, table
from titan10_dagster.defs.partitions import to_days
from titan10_dagster.defs.step_errors import retried_or_failed, tagged_if_blocked
from titan10_dagster.errors import SettingsError
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.exchanges.venues.venue import Venue
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import read_days
from titan10_dagster.ingest.fetch import fetch_and_land, plan_days
from titan10_dagster.ingest.forecast import forecast_fetch
from titan10_dagster.ingest.markets import market_events, refresh_markets
from titan10_dagster.logs import about
from titan10_dagster.planning.forecast import sentence
from titan10_dagster.planning.resume import FetchPlan
from titan10_dagster.settings import ExchangeSettings, RetrySettings

OWNERS = ["team:titan10"]
SAME_MARKETS = "same_markets"
LANDING_IO, STORE_IO = "landing_io", "store_io"
NO_DAYS = "The run has no days. Choose a partition (a day) in the launchpad, or click Materialize and choose days."


class FetchConfig(dg.Config):
    """Run configuration of `<exchange>/candles`."""

    symbols: list[str] | None = None  # the symbols to fetch; default: all symbols of the exchange in titan10.toml
    refresh: bool = False  # fetch stored days again; changed candles are recorded in `restatements`
    # Fetch settled days again if they have a gap without a final reason, or if a check for late candles is due.
    repair: bool = False
    sources: list[str] | None = None  # the sources in order, such as ["archive", "rest"]; default: as in titan10.toml


@dataclass(frozen=True)
class LandedCandles:
    """The slices of the partitions of a run. An asset passes them, without their candles, to the next asset.

    `landed`: the slices that have a file in the landing zone and are not stored yet. The file was written by this run,
    or by an earlier run that did not store the candles.
    """

    slices: tuple[Slice, ...]
    landed: tuple[Slice, ...] = ()


def exchange_assets(
    *,
    name: str,
    settings: ExchangeSettings,
    partitions: dg.DailyPartitionsDefinition,
    days_per_run: int,
    retries: RetrySettings,
) -> list[dg.AssetsDefinition]:
    """Return `<name>/markets`, `<name>/candles` and `<name>/ohlcv`.

    The first two assets make requests. They share the exchange's pool, so that only one of their steps at a time uses
    the request budget. The third asset is not in a pool, so that one run can write while the next run fetches.
    """
    policy = dg.BackfillPolicy.multi_run(max_partitions_per_run=days_per_run)
    return [
        _markets(name, settings, retries),
        _candles(name, settings, partitions, policy, retries),
        _ohlcv(name, settings, partitions, policy, retries),
    ]


def _markets(name: str, settings: ExchangeSettings, retries: RetrySettings) -> dg.AssetsDefinition:
    @dg.asset(
        key=[name, "markets"],
        description=f"The spot markets that {name} lists now. The metadata shows the market of each configured symbol. "
        "Runs that fetch candles read the markets from the database.",
        kinds={"python", "postgres"},
        group_name=name,
        owners=OWNERS,
        tags=_tags(name, settings),
        pool=name,
        check_specs=[
            dg.AssetCheckSpec(
                SAME_MARKETS,
                asset=[name, "markets"],
                description="Warns if the market list has a different market, asset or scale for a stored series, or "
                "several active markets for one symbol. See the table `series_events`.",
            )
        ],
    )
    def markets(  # Dagster rejects MaterializeResult[...] as the return type if check_specs is given
        context: dg.AssetExecutionContext, titan10: dg.ResourceParam[IngestContext]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with retried_or_failed(name, retries, context.retry_number), logged(context.run.run_id, name):
            listed = refresh_markets(titan10, name)
        events = market_events(titan10, name)
        by_symbol = {market.symbol: market for market in listed.markets}
        unlisted = [symbol for symbol in settings.symbols if symbol not in by_symbol]
        rows = [
            {"symbol": symbol, "market_id": by_symbol[symbol].market_id, "active": by_symbol[symbol].active}
            for symbol in settings.symbols
            if symbol in by_symbol
        ]
        metadata: dict[str, Any] = {
            "markets": len(listed.markets),
            "configured": table(rows),
            "unlisted": unlisted,
        }
        if listed.skipped:
            metadata["skipped_records"] = list(listed.skipped)
        return dg.MaterializeResult(
            metadata=metadata,
            check_results=[
                dg.AssetCheckResult(
                    check_name=SAME_MARKETS,
                    passed=not events,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=" ".join(events) or "Every stored series is still the same market.",
                )
            ],
        )

    return markets


def _candles(
    name: str,
    settings: ExchangeSettings,
    partitions: dg.DailyPartitionsDefinition,
    policy: dg.BackfillPolicy,
    retries: RetrySettings,
) -> dg.AssetsDefinition:
    facts = venue_of(name)

    @dg.asset(
        key=[name, "candles"],
        deps=[[name, "markets"]],
        description=f"Raw finished {settings.timeframe} candles of {name}: one Parquet file per symbol and UTC day. "
        "Days that were fetched completely are settled. A backfill does not fetch settled days again; a repair does if "
        f"candles are missing.{_horizon(facts)}",
        kinds={"python", "parquet"},
        metadata={"page_size": facts.page_size, "source": facts.source, "symbols": list(settings.symbols)},
        io_manager_key=LANDING_IO,
        group_name=name,
        owners=OWNERS,
        tags=_tags(name, settings),
        pool=name,
        partitions_def=partitions,
        backfill_policy=policy,
    )
    def candles(
        context: dg.AssetExecutionContext, config: FetchConfig, titan10: dg.ResourceParam[IngestContext]
    ) -> LandedCandles:
        with retried_or_failed(name, retries, context.retry_number):
            if not (context.has_partition_key or context.has_partition_key_range):
                raise SettingsError(NO_DAYS)
            symbols = checked_symbols(name, settings.symbols, config.symbols)
            if config.sources is not None:
                titan10 = titan10.with_sources(name, config.sources)
        slices = titan10.slices(name, to_days(context.partition_keys), symbols)
        with (
            retried_or_failed(name, retries, context.retry_number),
            tagged_if_blocked(context),
            logged(context.run.run_id, name, context.partition_keys),
        ):
            days = read_days(titan10, slices)
            plan = plan_days(titan10, days, refresh=config.refresh, repair=config.repair)
            forecast = sentence(forecast_fetch(titan10, name, [plan.fetch]), titan10.now())
            context.log.info(f"{summary(plan)} {forecast}")
            fetch = fetch_and_land(titan10, name, plan.fetch)
        for symbol, error in fetch.failed.items():
            context.log.error(f"{name} {symbol}: {error}")
        for key, metadata in candles_metadata(plan, fetch, forecast=forecast, alternative=facts.alternative).items():
            context.add_asset_metadata(metadata, partition_key=key)
        fetched = [slice_ for slice_ in plan.fetch if slice_ not in fetch.skipped]
        return LandedCandles(days.slices, landed=(*plan.landed, *fetched))

    return candles


def _ohlcv(
    name: str,
    settings: ExchangeSettings,
    partitions: dg.DailyPartitionsDefinition,
    policy: dg.BackfillPolicy,
    retries: RetrySettings,
) -> dg.AssetsDefinition:
    @dg.asset(
        key=[name, "ohlcv"],
        ins={"candles": dg.AssetIn([name, "candles"])},
        description=f"Valid {settings.timeframe} candles of {name}. The IO manager `store_io` writes them to the "
        "database, and the view `ohlcv` shows them. The table `quarantine` has broken rows, `restatements` has candles "
        "that the exchange rewrote, and `gaps` has every missing candle.",
        kinds={"python", "postgres"},
        metadata={"dagster/relation_identifier": "public.ohlcv"},
        io_manager_key=STORE_IO,
        group_name=name,
        owners=OWNERS,
        tags=_tags(name, settings),
        partitions_def=partitions,
        backfill_policy=policy,
    )
    def ohlcv(
        context: dg.AssetExecutionContext, candles: LandedCandles, titan10: dg.ResourceParam[IngestContext]
    ) -> LandedCandles:
        # This function only selects the slices to store. Dagster passes its result to `StoreIOManager` in
        # io_managers.py, which writes the slices to the database.
        with retried_or_failed(name, retries, context.retry_number):
            return LandedCandles(tuple(read_days(titan10, candles.slices).unstored()))

    return ohlcv


def _horizon(facts: Venue) -> str:
    if facts.depth is None:
        return ""
    return f" {facts.exchange} serves only the last {facts.depth:,} candles; for older candles: {facts.alternative}."


def _tags(name: str, settings: ExchangeSettings) -> dict[str, str]:
    return {"exchange": name, "timeframe": settings.timeframe.name}


def checked_symbols(name: str, configured: Sequence[str], requested: Sequence[str] | None) -> Sequence[str]:
    """Return the symbols of a run: the requested symbols, or all configured symbols if `requested` is None.

    Raises:
        SettingsError: `requested` is empty, or one of the requested symbols is not in titan10.toml.
    """
    if requested is None:
        return configured
    if not requested:
        raise SettingsError(
            "The list `symbols` in the configuration of the run is empty. Remove `symbols` from this configuration to "
            "fetch all symbols."
        )
    unknown = [symbol for symbol in requested if symbol not in configured]
    if unknown:
        raise SettingsError(
            f"The run requests symbols that are not in titan10.toml: {', '.join(unknown)}. "
            f"exchanges.{name}.symbols in titan10.toml is {', '.join(configured)}. Add the missing symbols there, or "
            "remove `symbols` from the configuration of the run to fetch all symbols."
        )
    return requested


def logged(run: str, exchange: str, partitions: Sequence[str] = ()) -> AbstractContextManager[None]:
    """Return a context that adds run, exchange and partition (or the range of partitions) to each log line."""
    ends = dict.fromkeys([*partitions[:1], *partitions[-1:]])
    return about(run=run, exchange=exchange, partition="...".join(ends) or None)


def summary(plan: FetchPlan) -> str:
    """Return a sentence that describes the work of a run."""
    return (
        f"{len(plan.fetch)} slices to fetch; {len(plan.settled)} are settled, {len(plan.landed)} are in the landing "
        f"zone but not stored yet, and {len(plan.before_start)} are before the exchange's start."
    )
