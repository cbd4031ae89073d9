"""How candles leave an asset: into the landing zone, and into the database."""

from __future__ import annotations

import dagster as dg

from titan10_dagster.defs.assets import LandedCandles, logged
from titan10_dagster.defs.metadata import stored_metadata
from titan10_dagster.defs.partitions import to_days
from titan10_dagster.errors import LandingError
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import ledger_rows
from titan10_dagster.ingest.fetch import absent_files
from titan10_dagster.ingest.store import refresh_rollups, store_slices


class _SliceIOManager(dg.IOManager):
    """What goes from asset to asset is which slices they are; landing zone and `store.reader` have their candles."""

    def __init__(self, titan10: IngestContext) -> None:
        self._titan10 = titan10

    def load_input(self, context: dg.InputContext) -> LandedCandles:
        """The slices of the partitions."""
        exchange = context.asset_key.path[0]
        return LandedCandles(tuple(self._titan10.slices(exchange, to_days(context.asset_partition_keys))))


class LandingIOManager(_SliceIOManager):
    """`<exchange>/candles`: Parquet files, one a slice.

    The slices land while they are fetched, so that a killed run loses only the pages in flight; what is handed
    over here is which slices they are, and a file that should be there and is not fails the step.
    """

    def handle_output(self, context: dg.OutputContext, obj: LandedCandles) -> None:
        absent = absent_files(self._titan10, obj.landed)
        if absent:
            raise LandingError(
                f"{len(absent)} slices were fetched, but their files are not in the landing zone; the first is "
                f"{absent[0]}. Was {self._titan10.settings.landing} emptied? Launch the run again."
            )
        folder = self._titan10.landing.root / context.asset_key.path[0]
        context.add_output_metadata({"landing": dg.MetadataValue.path(str(folder))})


class StoreIOManager(_SliceIOManager):
    """`<exchange>/ohlcv`: the database, all days of a run in one transaction, and then the rollups of these days."""

    def handle_output(self, context: dg.OutputContext, obj: LandedCandles) -> None:
        exchange = context.asset_key.path[0]
        with logged(context.run_id, exchange, context.asset_partition_keys):
            report = store_slices(self._titan10, obj.slices)
        days = to_days(context.asset_partition_keys)
        rows = ledger_rows(self._titan10, self._titan10.slices(exchange, days))
        for day, metadata in stored_metadata(days, report, rows.values()).items():
            context.step_context.add_asset_metadata(
                metadata, asset_key=context.asset_key, partition_key=day.isoformat()
            )
        refresh_rollups(self._titan10, report)
