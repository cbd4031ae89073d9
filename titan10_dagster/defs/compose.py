"""Creates all Dagster definitions from the list of exchanges that are enabled in `titan10.toml`."""

from __future__ import annotations

import warnings

import dagster as dg

from titan10_dagster.defs.alerts import alert_sensor
from titan10_dagster.defs.archives import archive_asset, archives_schedule
from titan10_dagster.defs.assets import LANDING_IO, STORE_IO, exchange_assets
from titan10_dagster.defs.autopilot import autopilot_sensor
from titan10_dagster.defs.checks import candle_checks, store_checks
from titan10_dagster.defs.former import former_assets
from titan10_dagster.defs.housekeeping import housekeeping_asset, housekeeping_schedule
from titan10_dagster.defs.io_managers import LandingIOManager, StoreIOManager
from titan10_dagster.defs.live import live_schedule
from titan10_dagster.defs.partitions import daily, days_per_run
from titan10_dagster.defs.probes import probe_asset, probes_schedule
from titan10_dagster.defs.repairs import gap_sensor
from titan10_dagster.defs.rollups import rollups_asset, rollups_schedule
from titan10_dagster.defs.schedules import markets_schedule, settle_schedule
from titan10_dagster.defs.status import health_asset, health_schedule
from titan10_dagster.defs.storage import storage_asset, storage_schedule
from titan10_dagster.ingest.context import IngestContext


def compose(titan10: IngestContext, former: tuple[str, ...] = ()) -> dg.Definitions:
    """Return assets, checks, schedules, sensors and resources for a context. No connection is opened.

    `former`: exchanges that are not enabled in the settings but are still part of a backfill; see `defs.former`.
    """
    with warnings.catch_warnings():
        # Backfill policies are a beta feature of Dagster, and partitioned checks are a preview. The version of Dagster
        # is pinned, and tests cover both features.
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return _compose(titan10, former)


def _compose(titan10: IngestContext, former: tuple[str, ...]) -> dg.Definitions:
    settings = titan10.settings
    partitions, sizes, names = daily(settings.first_day), days_per_run(settings), tuple(settings.enabled)
    assets, checks = [], []
    for name, exchange in settings.enabled.items():
        assets += exchange_assets(
            name=name, settings=exchange, partitions=partitions, days_per_run=sizes[name], retries=settings.retries
        )
        checks += [candle_checks(name, partitions), store_checks(name, partitions)]
    for number, name in enumerate(former):
        assets += former_assets(name, number, partitions)
        checks += [candle_checks(name, partitions), store_checks(name, partitions)]
    assets += map(probe_asset, names)
    with_archive = tuple(name for name, exchange in settings.enabled.items() if "archive" in exchange.sources)
    assets += map(archive_asset, with_archive)
    schedules = [
        settle_schedule(names),
        markets_schedule(names),
        live_schedule(names, enabled=settings.live.enabled),
        rollups_schedule(),
        health_schedule(),
        housekeeping_schedule(),
        storage_schedule(),
        probes_schedule(names),
        *([archives_schedule(with_archive)] if with_archive else []),
    ]
    sensors = [
        gap_sensor(names),
        autopilot_sensor(names, enabled=settings.autopilot.enabled),
        alert_sensor(),
    ]
    return dg.Definitions(
        assets=[*assets, rollups_asset(names), health_asset(), housekeeping_asset(), storage_asset()]
        if names
        else assets,
        asset_checks=checks,
        schedules=schedules if names else [],
        sensors=sensors if names else [],
        resources={
            "titan10": titan10,
            LANDING_IO: LandingIOManager(titan10),
            STORE_IO: StoreIOManager(titan10),
        },
        executor=dg.in_process_executor,
    )
