"""The three assets of an exchange: its markets, its candles as they came, its candles as they are stored."""

# No `from __future__ import annotations`: Dagster reads the annotations of configs and resources as they stand.

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg

from titan10_dagster.candles.slices import Slice
from titan10_dagster.defs.metadata import candles_metadata, table
from titan10_dagster.defs.partitions import to_days
from titan10_dagster.errors import DatabaseUnavailable, FetchError, SettingsError, Throttled, TransientError
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.exchanges.venues.venue import Venue
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import read_days
from titan10_dagster.ingest.fetch import fetch_and_land, plan_days
from titan10_dagster.ingest.markets import refresh_markets
from titan10_dagster.logs import about
from titan10_dagster.planning.resume import FetchPlan
from titan10_dagster.settings import ExchangeSettings, RetrySettings

OWNERS = ["team:titan10"]
LANDING_IO, STORE_IO = "landing_io", "store_io"


class FetchConfig(dg.Config):
    """Run configuration of `<exchange>/candles`."""

    symbols: list[str] | None = None  # only these; default: all that titan10.toml names
    refresh: bool = False  # fetch again what is stored; what the exchange rewrote goes to `restatements`
    repair: bool = False  # fetch again what is stored but for gaps without a final reason: their second look


@dataclass(frozen=True)
class LandedCandles:
    """The slices of some partitions of an exchange. Their candles stay in the landing zone until they are read.

    `landed`: those of them that this run landed, or found landed by a run that died.
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
    """`<name>/markets`, `<name>/candles` and `<name>/ohlcv`.

    The first two make requests and share the exchange's pool, so that one process owns its request budget; the
    third does not, so that one run may write while the next is fetching.
    """
    policy = dg.BackfillPolicy.multi_run(max_partitions_per_run=days_per_run)
    return [
        _markets(name, settings, retries),
        _candles(name, settings, partitions, policy, retries),
        _ohlcv(name, settings, partitions, policy),
    ]


def _markets(name: str, settings: ExchangeSettings, retries: RetrySettings) -> dg.AssetsDefinition:
    @dg.asset(
        key=[name, "markets"],
        description=f"The spot markets that {name} lists now, and how its configured symbols resolve. "
        "Candle runs read them from the database and never ask for them.",
        kinds={"python", "postgres"},
        group_name=name,
        owners=OWNERS,
        tags=_tags(name, settings),
        pool=name,
    )
    def markets(
        context: dg.AssetExecutionContext, titan10: dg.ResourceParam[IngestContext]
    ) -> dg.MaterializeResult[Any]:
        with told_as_failure(context, name, retries), logged(context.run.run_id, name):
            listed = refresh_markets(titan10, name)
        by_symbol = {market.symbol: market for market in listed}
        unlisted = [symbol for symbol in settings.symbols if symbol not in by_symbol]
        rows = [
            {"symbol": symbol, "market_id": by_symbol[symbol].market_id, "active": by_symbol[symbol].active}
            for symbol in settings.symbols
            if symbol in by_symbol
        ]
        return dg.MaterializeResult(metadata={"markets": len(listed), "configured": table(rows), "unlisted": unlisted})

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
        description=f"{settings.timeframe} candles of {name} as it gave them, one Parquet file a symbol and UTC day, "
        f"finished candles only. What the ledger calls settled is not asked for again.{_horizon(facts)}",
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
        symbols = checked_symbols(name, settings.symbols, config.symbols)
        slices = titan10.slices(name, to_days(context.partition_keys), symbols)
        days = read_days(titan10, slices)
        plan = plan_days(titan10, days, refresh=config.refresh, repair=config.repair)
        context.log.info(told(plan))
        with told_as_failure(context, name, retries), logged(context.run.run_id, name, context.partition_keys):
            fetch = fetch_and_land(titan10, name, plan.fetch)
        for symbol, error in fetch.failed.items():
            context.log.error(f"{name} {symbol}: {error}")
        for key, metadata in candles_metadata(plan, fetch, alternative=facts.alternative).items():
            context.add_asset_metadata(metadata, partition_key=key)
        fetched = [slice_ for slice_ in plan.fetch if slice_ not in fetch.skipped]
        return LandedCandles(days.slices, landed=(*plan.landed, *fetched))

    return candles


def _ohlcv(
    name: str, settings: ExchangeSettings, partitions: dg.DailyPartitionsDefinition, policy: dg.BackfillPolicy
) -> dg.AssetsDefinition:
    @dg.asset(
        key=[name, "ohlcv"],
        ins={"candles": dg.AssetIn([name, "candles"])},
        description=f"The valid {settings.timeframe} candles of {name}, in the database: view `ohlcv`. "
        "Broken rows are in `quarantine`, rewritten ones in `restatements`, and every missing minute in `gaps`.",
        kinds={"python", "postgres"},
        metadata={"dagster/relation_identifier": "public.ohlcv"},
        io_manager_key=STORE_IO,
        group_name=name,
        owners=OWNERS,
        tags=_tags(name, settings),
        partitions_def=partitions,
        backfill_policy=policy,
    )
    def ohlcv(candles: LandedCandles, titan10: dg.ResourceParam[IngestContext]) -> LandedCandles:
        return LandedCandles(tuple(read_days(titan10, candles.slices).unstored()))

    return ohlcv


def _horizon(facts: Venue) -> str:
    if facts.depth is None:
        return ""
    return f" It gives its last {facts.depth:,} candles only; for older ones: {facts.alternative}."


def _tags(name: str, settings: ExchangeSettings) -> dict[str, str]:
    return {"exchange": name, "timeframe": settings.timeframe.name}


def checked_symbols(name: str, configured: Sequence[str], asked: Sequence[str] | None) -> Sequence[str]:
    """The symbols of a run: those asked for in its config, else the configured ones.

    Raises:
        SettingsError: none is asked for, or one that titan10.toml does not name.
    """
    if asked is None:
        return configured
    unknown = [symbol for symbol in asked if symbol not in configured]
    if unknown or not asked:
        raise SettingsError(
            f"symbols: {', '.join(unknown) or 'none at all'} asked for, but exchanges.{name}.symbols in titan10.toml "
            f"names {', '.join(configured)}; add it there, or leave `symbols` out for all of them."
        )
    return asked


def logged(run: str, exchange: str, partitions: Sequence[str] = ()) -> AbstractContextManager[None]:
    """While this is open, every line that is logged tells its run, exchange and partition, or the range of them."""
    ends = dict.fromkeys([*partitions[:1], *partitions[-1:]])
    return about(run=run, exchange=exchange, partition="...".join(ends) or None)


@contextmanager
def told_as_failure(context: dg.AssetExecutionContext, exchange: str, retries: RetrySettings) -> Iterator[None]:
    """An error of the exchange, or of the database, ends the step with its own sentence, after as many tries as it is
    worth.

    No RetryPolicy does that: Dagster's also runs a step again that somebody interrupted.
    """
    try:
        yield
    except (TransientError, Throttled, DatabaseUnavailable) as error:
        if context.retry_number < retries.steps:
            # Here and not by `seconds_to_wait`: while Dagster waits, it does not react to Ctrl-C.
            time.sleep(retries.seconds * 2**context.retry_number)
            raise dg.RetryRequested(max_retries=retries.steps) from error
        raise _failure(exchange, error) from None
    except FetchError as error:
        raise _failure(exchange, error) from None


def _failure(exchange: str, error: FetchError | DatabaseUnavailable) -> dg.Failure:
    status = error.status if isinstance(error, FetchError) else None
    metadata = {"exchange": exchange, "error": type(error).__name__, "http_status": status}
    return dg.Failure(str(error), metadata=metadata, allow_retries=False)


def told(plan: FetchPlan) -> str:
    return (
        f"{len(plan.fetch)} slices to fetch; {len(plan.settled)} are settled, {len(plan.landed)} were landed by a run "
        f"that did not store them, {len(plan.before_start)} lie before the exchange's start."
    )
