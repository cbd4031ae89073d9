"""How many rows of a slice are valid or broken. The asset checks use these numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from titan10_dagster.candles.rules import Concern
from titan10_dagster.candles.slices import Slice


@dataclass(frozen=True)
class SliceInspected:
    """The numbers of valid candles and broken rows of one slice, and facts about its fetch.

    valid, broken: the numbers of valid candles and broken rows.
    counts: for each candle rule that is broken, the number of rows that break it.
    by_concern: for each concern (values or times), the number of rows that break at least one rule of the concern.
    shift: the most common distance of an off-grid row from the timeframe's grid point before the row; None if all rows
        are on the grid.
    answered: whether the exchange answered for the whole slice.
    beyond_horizon: whether the exchange no longer serves any candle of the slice.
    over_broken_limit: whether more rows are broken than the settings allow.
    """

    slice: Slice
    valid: int = 0
    broken: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    by_concern: Mapping[Concern, int] = field(default_factory=dict)
    shift: timedelta | None = None
    answered: bool = False
    beyond_horizon: bool = False
    over_broken_limit: bool = False
    note: str | None = None

    @property
    def rows(self) -> int:
        """Return the number of received rows."""
        return self.valid + self.broken

    @property
    def missing(self) -> int:
        """Return the number of missing candles."""
        return self.slice.expected - self.valid

    def rows_broken(self, concern: Concern) -> int:
        """Return the number of rows that break at least one rule of the concern."""
        return self.by_concern.get(concern, 0)


def not_requested(slice_: Slice) -> SliceInspected:
    """Return the result for a slice that no run has requested yet: no candles and no broken rows."""
    return SliceInspected(slice_, note="not requested yet")
