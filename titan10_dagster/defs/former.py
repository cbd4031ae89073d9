"""Assets of exchanges that were removed from titan10.toml (or disabled there) while a backfill or run included them.

A backfill of the UI may include several exchanges. If assets of a backfill no longer exist, Dagster fails the whole
backfill. Therefore such a former exchange keeps its assets as long as an unfinished backfill or run includes them. The
steps of these assets fail with a short error message, and the days of the other exchanges are still fetched. When the
backfill or run has finished, the next load of the definitions does not create the assets any more.
"""

# `from __future__ import annotations` must not be used here: Dagster reads the annotations of configs.

import os
from collections.abc import Collection
from typing import NoReturn

import dagster as dg

from titan10_dagster.dagster_internals.backfills import assets_under_way
from titan10_dagster.dagster_internals.storage import URL_VARIABLE
from titan10_dagster.defs.assets import OWNERS, SAME_MARKETS, FetchConfig
from titan10_dagster.defs.rollups import KEY as ROLLUPS  # its path is like the path of an exchange's asset

KINDS = ("markets", "candles", "ohlcv")
# The maximum number of days in a run. All days of a former exchange fail for the same reason, so one run is enough. The
# position of each former exchange is added, because Dagster combines assets with equal backfill policies into one run.
_DAYS_PER_RUN = 100_000


def former_exchanges(enabled: Collection[str]) -> tuple[str, ...]:
    """Return the exchanges that are not `enabled` but are part of an unfinished backfill or run.

    The result is empty if the environment names no database of Dagster (for example in Dagster's own tools), or if the
    database does not answer.
    """
    url = os.environ.get(URL_VARIABLE)
    if not url:
        return ()
    assets = assets_under_way(url) - {ROLLUPS}
    names = {key.path[0] for key in assets if len(key.path) == 2 and key.path[1] in KINDS}
    return tuple(sorted(names.difference(enabled)))


def former_assets(name: str, number: int, partitions: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """Return assets with the same keys as `exchange_assets`. Their steps fail with a short error message.

    `number`: the position of the exchange among the former exchanges. It makes the backfill policies of the exchanges
    different (see `_DAYS_PER_RUN`).
    """
    description = (
        f"{name} was removed from titan10.toml or switched off. These assets exist until the last backfill or run that "
        f"includes {name} has ended."
    )
    policy = dg.BackfillPolicy.multi_run(max_partitions_per_run=_DAYS_PER_RUN + number)

    @dg.asset(
        key=[name, "markets"],
        description=description,
        group_name=name,
        owners=OWNERS,
        check_specs=[dg.AssetCheckSpec(SAME_MARKETS, asset=[name, "markets"])],
    )
    def markets() -> dg.MaterializeResult:  # type: ignore[type-arg]  # see `markets` in assets.py
        _refuse(name)

    @dg.asset(
        key=[name, "candles"],
        deps=[[name, "markets"]],
        description=description,
        group_name=name,
        owners=OWNERS,
        partitions_def=partitions,
        backfill_policy=policy,
    )
    def candles(config: FetchConfig) -> None:
        _refuse(name)

    @dg.asset(
        key=[name, "ohlcv"],
        deps=[[name, "candles"]],
        description=description,
        group_name=name,
        owners=OWNERS,
        partitions_def=partitions,
        backfill_policy=policy,
    )
    def ohlcv() -> None:
        _refuse(name)

    return [markets, candles, ohlcv]


def _refuse(name: str) -> NoReturn:
    raise dg.Failure(
        f"{name} was removed from titan10.toml, or switched off with `enabled = false`, so its candles are not "
        f"fetched. Stored candles are kept. To fetch these days, add or enable [exchanges.{name}] again, restart "
        "`titan10 up` and launch the backfill again.",
        metadata={"exchange": name},
        allow_retries=False,
    )
