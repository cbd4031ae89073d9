"""Writes landed slices to the database. The IO manager of the asset `<exchange>/ohlcv` uses this module."""

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
    """Write landed slices of one exchange in one transaction.

    If the database is unavailable, the transaction is repeated for some time. After the transaction, outages are
    classified again on the days with new evidence.

    Raises:
        DatabaseUnavailable: the database stayed unavailable, and nothing was written.
    """
    report = retrying(lambda: write_slices(titan10.database, judged_slices(titan10, slices)))
    _classify_outages(titan10)
    return report


def judged_slices(titan10: IngestContext, slices: Sequence[Slice]) -> Iterator[JudgedSlice]:
    """Yield each slice with its verdict. Slices without a readable file in the landing zone are left out."""
    for slice_ in slices:
        judged = titan10.judged.take(slice_)
        if judged is not None:
            yield judged


def refresh_rollups(titan10: IngestContext, report: WriteReport) -> None:
    """Refresh the rollups of the days on which a write changed candles. On plain PostgreSQL, nothing happens.

    The candles are already stored, so an error of the database is only logged. The next refresh of the rollups also
    refreshes these days.
    """
    changed = []
    for slice_, done in report.by_slice.items():
        if done.inserted or done.restated:
            changed.append(slice_)
    try:
        retrying(lambda: rollups.refresh(titan10.database, windows(changed)))
    except StoreError as error:
        log.warning("the rollups were not refreshed; the next attempt is made within minutes: %s", error)


def _classify_outages(titan10: IngestContext) -> None:
    """Classify outages and minutes without trades.

    The candles are already stored, so an error of the database is only logged.
    """
    try:
        retrying(lambda: classify_outages(titan10.database))
    except StoreError as error:
        log.warning("outages were not classified; they are classified after the next write: %s", error)
