"""The entries of ledger and landing zone for the days of a run, read once per step."""

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
    """Some slices of one exchange and their ledger rows, at one moment.

    `start` is the exchange's first day; earlier days are not requested. An exchange that is no longer configured has no
    start, so all its days count.
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
        """Return the slices since the exchange's start for which `wanted` is true. All selections use this method."""
        return [slice_ for slice_ in self.slices if slice_.day >= self.start and wanted(slice_)]


@dataclass(frozen=True)
class RunDays(LedgerDays):
    """Some slices of one exchange with their ledger rows and their records in the landing zone."""

    landed: Mapping[Slice, FetchRecord]

    def unstored(self) -> list[Slice]:
        """Return the slices that have to be written to the database, see `is_only_landed`."""
        return self._since_start(self.is_only_landed)

    def is_only_landed(self, slice_: Slice) -> bool:
        """Return whether the slice landed but the ledger did not settle it by that fetch or a later one.

        Its candles may then be only in the landing zone.
        """
        if slice_ not in self.landed:
            return False
        return not self.is_settled(slice_) or self.ledger[slice_].fetched_at < self.landed[slice_].fetched_at


def ledger_rows(titan10: IngestContext, slices: Sequence[Slice]) -> dict[Slice, LedgerRow]:
    """Return the ledger's rows of `slices`, which are of one exchange and timeframe."""
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
    """Return `slices`, which belong to one exchange and timeframe, with their ledger rows."""
    return LedgerDays(tuple(slices), _start(titan10, slices), ledger_rows(titan10, slices))


def read_days(titan10: IngestContext, slices: Sequence[Slice]) -> RunDays:
    """Return `slices`, which belong to one exchange and timeframe, with their ledger rows and landed records."""
    landed = titan10.judged.records(slices)
    return RunDays(tuple(slices), _start(titan10, slices), ledger_rows(titan10, slices), landed)


def _start(titan10: IngestContext, slices: Sequence[Slice]) -> date:
    name = slices[0].series.exchange if slices else ""
    return titan10.exchange(name).start if name in titan10.settings.exchanges else date.min
