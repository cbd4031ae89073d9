"""The code location: what Dagster loads. It composes and decides nothing."""

from __future__ import annotations

from functools import cache

import dagster as dg

from titan10_dagster import logs, settings
from titan10_dagster.defs.compose import compose
from titan10_dagster.ingest.context import open_context


@dg.definitions
@cache  # a run asks for them three times
def defs() -> dg.Definitions:
    loaded = settings.load()
    logs.configure(loaded)
    return compose(open_context(loaded))
