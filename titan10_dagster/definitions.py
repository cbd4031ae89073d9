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
@cache  # in the process of a run, Dagster calls this function three times
def defs() -> dg.Definitions:
    # Dagster warns if a job has assets with different backfill policies. Each exchange has its own policy, so this is
    # true of jobs with several exchanges. The warning does not matter, because Dagster applies policies only to
    # backfills from the UI. Jobs with several exchanges are launched by schedules and sensors, with a range of days.
    warnings.filterwarnings("ignore", message="Asset job .* materializes assets with varying BackfillPolicies")
    loaded = settings.load()
    logs.configure(loaded)
    return compose(open_context(loaded, needs_database=False), former_exchanges(loaded.enabled))
