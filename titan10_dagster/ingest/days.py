"""Reads the ledger rows of a run's slices, and the records of those slices that are in the landing zone.

Each step of the run reads this data once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from titan10_dagster.candles.fetched import FetchRecord
from titan10_dagster.candles.slices import Slice, SliceState
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.store import ledger
from titan10_dagster.store.database import retrying
from titan10_dagster.store.ledger import LedgerRow


@dataclass(frozen=True)
class LedgerDays:
    """Slices of one exchange and their ledger rows, as they were at one moment.

    `start`: the first day of the exchange in the settings. Earlier days are not requested. If the exchange is no longer
    configured, `start` is date.min, so that no day is left out.
    """

    slices: tuple[Slice, ...]
    start: date
    ledger: Mapping[Slice, LedgerRow]

    def not_requested(self) -> list[Slice]:
        """Return the slices without a ledger row."""
        return self._since_start(lambda slice_: slice_ not in self.ledger)

    def unsettled(self) -> list[Slice]:
        """Return the slices that are not settled in the ledger."""
        return self._since_start(lambda slice_: not self.is_settled(slice_))

    def is_settled(self, slice_: Slice) -> bool:
        """Return whether the slice is settled in the ledger."""
        row = self.ledger.get(slice_)
        return row is not None and row.state == SliceState.SETTLED

    def _since_start(self, wanted: Callable[[Slice], bool]) -> list[Slice]:
        """Return the slices for which `wanted` returns True. Slices before the exchange's start are left out."""
        return [slice_ for slice_ in self.slices if slice_.day >= self.start and wanted(slice_)]


@dataclass(frozen=True)
class RunDays(LedgerDays):
    """Slices of one exchange, their ledger rows, and the records of those slices that are in the landing zone."""

    landed: Mapping[Slice, FetchRecord]

    def unstored(self) -> list[Slice]:
        """Return the slices that must be written to the database; see `is_only_landed`."""
        return self._since_start(self.is_only_landed)

    def is_only_landed(self, slice_: Slice) -> bool:
        """Return whether the candles of the slice are possibly only in the landing zone.

        This is the case if the slice is in the landing zone and one of two conditions holds: the slice is not settled
        in the ledger, or the ledger describes an older fetch than the file in the landing zone.
        """
        if slice_ not in self.landed:
            return False
        return not self.is_settled(slice_) or self.ledger[slice_].fetched_at < self.landed[slice_].fetched_at


def ledger_rows(titan10: IngestContext, slices: Sequence[Slice]) -> dict[Slice, LedgerRow]:
    """Return the ledger rows of the slices. All slices must belong to one exchange and timeframe."""
    if not slices:
        return {}
    series = slices[0].series
    days = [slice_.day for slice_ in slices]
    symbols = sorted({slice_.series.symbol for slice_ in slices})
    rows = retrying(
        lambda: ledger.slices(titan10.database, series.exchange, series.timeframe, symbols, min(days), max(days))
    )
    return {row.slice: row for row in rows}


def read_ledger(titan10: IngestContext, slices: Sequence[Slice]) -> LedgerDays:
    """Return the slices with their ledger rows. All slices must belong to one exchange and timeframe."""
    return LedgerDays(tuple(slices), _start(titan10, slices), ledger_rows(titan10, slices))


def read_days(titan10: IngestContext, slices: Sequence[Slice]) -> RunDays:
    """Return the slices with their ledger rows, and with the records of the landing zone.

    All slices must belong to one exchange and timeframe.
    """
    landed = titan10.judged.records(slices)
    return RunDays(tuple(slices), _start(titan10, slices), ledger_rows(titan10, slices), landed)


def _start(titan10: IngestContext, slices: Sequence[Slice]) -> date:
    name = slices[0].series.exchange if slices else ""
    return titan10.exchange(name).start if name in titan10.settings.exchanges else date.min
