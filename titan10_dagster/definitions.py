"""The code location that Dagster loads. It only composes the definitions of other modules."""

from __future__ import annotations

import warnings
from functools import cache

import dagster as dg

from titan10_dagster import logs, settings
from titan10_dagster.defs.compose import compose
from titan10_dagster.defs.former import former_exchanges
from titan10_dagster.ingest.context import open_context


@dg.definitions
@cache  # Dagster calls this function three times in a run
def defs() -> dg.Definitions:
    # Dagster warns because each exchange has its own backfill policy. The policies apply to backfills from the UI. Jobs
    # with several exchanges are launched by schedules and sensors with a range of days, so no policy applies to these
    # jobs.
    warnings.filterwarnings("ignore", message="Asset job .* materializes assets with varying BackfillPolicies")
    loaded = settings.load()
    logs.configure(loaded)
    return compose(open_context(loaded, needs_database=False), former_exchanges(loaded.enabled))
