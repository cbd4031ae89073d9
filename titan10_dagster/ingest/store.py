"""Write landed slices to the database: the use case behind the IO manager of `<exchange>/ohlcv`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from titan10_dagster.candles.fetched import JudgedSlice
from titan10_dagster.candles.slices import Slice, windows
from titan10_dagster.errors import StoreError
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.store import rollups
from titan10_dagster.store.database import retrying
from titan10_dagster.store.outages import classify_outages
from titan10_dagster.store.writer import WriteReport, write_slices

log = logging.getLogger(__name__)


def store_slices(titan10: IngestContext, slices: Sequence[Slice]) -> WriteReport:
    """Write landed slices of one exchange in one transaction, then classify outages again where the evidence changed.

    The transaction is repeated while the database is unavailable.

    Raises:
        DatabaseUnavailable: the database stayed unavailable; nothing was written.
    """
    report = retrying(lambda: write_slices(titan10.database, judged_slices(titan10, slices)))
    _classify_outages(titan10)
    return report


def judged_slices(titan10: IngestContext, slices: Sequence[Slice]) -> Iterator[JudgedSlice]:
    """Yield the landed slices of `slices`, with their verdicts."""
    for slice_ in slices:
        judged = titan10.judged.take(slice_)
        if judged is not None:
            yield judged


def refresh_rollups(titan10: IngestContext, report: WriteReport) -> None:
    """Refresh the rollups of the days in which a write changed candles. Rollups that are views need no refresh.

    The candles are already stored, so an error is only logged, and the next refresh of the rollups repairs it.
    """
    changed = []
    for slice_, done in report.by_slice.items():
        if done.inserted or done.restated:
            changed.append(slice_)
    try:
        retrying(lambda: rollups.refresh(titan10.database, windows(changed)))
    except StoreError as error:
        log.warning("the rollups were not refreshed, and will be within minutes: %s", error)


def _classify_outages(titan10: IngestContext) -> None:
    """Classify outages and minutes without trades. The candles are stored by then, so an error is only logged."""
    try:
        retrying(lambda: classify_outages(titan10.database))
    except StoreError as error:
        log.warning("outages were not classified, and will be after the next write: %s", error)
