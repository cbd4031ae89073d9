"""What ledger and landing zone know of the days of a run, read once per step."""

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
    """Some slices of one exchange and what the ledger knows of them, at one moment.

    `start` is the exchange's first day: nothing before it is requested. An exchange that is no longer configured has
    none, so all its days count.
    """

    slices: tuple[Slice, ...]
    start: date
    ledger: Mapping[Slice, LedgerRow]

    def not_requested(self) -> list[Slice]:
        """Return the slices that the ledger does not know."""
        return self._since_start(lambda slice_: slice_ not in self.ledger)

    def unsettled(self) -> list[Slice]:
        """Return the slices that the ledger does not call settled."""
        return self._since_start(lambda slice_: not self.is_settled(slice_))

    def is_settled(self, slice_: Slice) -> bool:
        """Whether the ledger calls the slice settled."""
        row = self.ledger.get(slice_)
        return row is not None and row.state == SliceState.SETTLED

    def _since_start(self, wanted: Callable[[Slice], bool]) -> list[Slice]:
        """Return the slices since the exchange's start for which `wanted` holds: every selection goes through here."""
        return [slice_ for slice_ in self.slices if slice_.day >= self.start and wanted(slice_)]


@dataclass(frozen=True)
class RunDays(LedgerDays):
    """The same with what the landing zone holds of the slices."""

    landed: Mapping[Slice, FetchRecord]

    def unstored(self) -> list[Slice]:
        """Return the slices that have to be written to the database: see `is_only_landed`."""
        return self._since_start(self.is_only_landed)

    def is_only_landed(self, slice_: Slice) -> bool:
        """Whether the slice landed, and the ledger does not call it settled by that fetch or a later one.

        Its candles may then be nowhere but in the landing zone.
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
    """Return what the ledger knows of `slices`, which are of one exchange and timeframe."""
    return LedgerDays(tuple(slices), _start(titan10, slices), ledger_rows(titan10, slices))


def read_days(titan10: IngestContext, slices: Sequence[Slice]) -> RunDays:
    """Return what the ledger and the landing zone know of `slices`, which are of one exchange and timeframe."""
    landed = titan10.judged.records(slices)
    return RunDays(tuple(slices), _start(titan10, slices), ledger_rows(titan10, slices), landed)


def _start(titan10: IngestContext, slices: Sequence[Slice]) -> date:
    name = slices[0].series.exchange if slices else ""
    return titan10.exchange(name).start if name in titan10.settings.exchanges else date.min
