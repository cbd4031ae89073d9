"""The IO managers of candles. `landing_io` checks the landing zone, and `store_io` writes to the database.

An asset passes only slices, without their candles, to the next asset. The candles are in the landing zone. Programs
that read candles use the database; see `store.reader`.
"""

from __future__ import annotations

import dagster as dg

from titan10_dagster.defs.assets import LandedCandles, logged
from titan10_dagster.defs.metadata import stored_metadata
from titan10_dagster.defs.partitions import to_days
from titan10_dagster.defs.step_errors import retried_or_failed
from titan10_dagster.errors import LandingError
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import ledger_rows
from titan10_dagster.ingest.fetch import absent_files
from titan10_dagster.ingest.store import refresh_rollups, store_slices


class _SliceIOManager(dg.IOManager):
    """An IO manager that loads the slices of an asset's partitions."""

    def __init__(self, titan10: IngestContext) -> None:
        self._titan10 = titan10

    def load_input(self, context: dg.InputContext) -> LandedCandles:
        """Return the slices of the partitions."""
        exchange = context.asset_key.path[0]
        return LandedCandles(tuple(self._titan10.slices(exchange, to_days(context.asset_partition_keys))))


class LandingIOManager(_SliceIOManager):
    """The IO manager of `<exchange>/candles`, which has a Parquet file for each slice.

    The fetch itself writes each slice as soon as the slice is complete, so a killed run loses only the slices that were
    not complete yet. This IO manager then checks that each landed slice has a file. If a file is missing, it raises
    LandingError.
    """

    def handle_output(self, context: dg.OutputContext, obj: LandedCandles) -> None:
        absent = absent_files(self._titan10, obj.landed)
        if absent:
            raise LandingError(
                f"{len(absent)} slices were fetched, but their files are missing in the landing zone. The first is "
                f"{absent[0]}. Was {self._titan10.settings.landing} emptied? Launch the run again."
            )
        folder = self._titan10.landing.root / context.asset_key.path[0]
        context.add_output_metadata({"landing": dg.MetadataValue.path(str(folder))})


class StoreIOManager(_SliceIOManager):
    """The IO manager of `<exchange>/ohlcv`.

    It writes the slices of a run to the database in one transaction, and then refreshes the rollups. If the database is
    unavailable, the transaction is repeated. If this does not help, the step is repeated.
    """

    def handle_output(self, context: dg.OutputContext, obj: LandedCandles) -> None:
        exchange, titan10 = context.asset_key.path[0], self._titan10
        days = to_days(context.asset_partition_keys)
        tries = context.step_context.previous_attempt_count
        with (
            retried_or_failed(exchange, titan10.settings.retries, tries),
            logged(context.run_id, exchange, context.asset_partition_keys),
        ):
            report = store_slices(titan10, obj.slices)
            rows = ledger_rows(titan10, titan10.slices(exchange, days))
        for day, metadata in stored_metadata(days, report, rows.values()).items():
            context.step_context.add_asset_metadata(
                metadata, asset_key=context.asset_key, partition_key=day.isoformat()
            )
        refresh_rollups(titan10, report)
