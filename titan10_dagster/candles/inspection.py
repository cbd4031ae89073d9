"""The counts of a slice in the landing zone, for the asset checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from titan10_dagster.candles.rules import Concern
from titan10_dagster.candles.slices import Slice


@dataclass(frozen=True)
class SliceInspected:
    """The counts of one slice.

    valid, broken: the numbers of valid candles and broken rows.
    counts: for each candle rule, the number of rows that break the rule.
    by_concern: for each concern (values or times), the number of rows that break at least one rule of the concern.
    shift: the most common distance between the start of a row that is off the timeframe's grid and the grid point
        before this start; None if all rows are on the grid.
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
    """Return the counts of a slice that no run has requested yet."""
    return SliceInspected(slice_, note="not requested yet")
