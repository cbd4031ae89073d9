"""The counts of a landed slice, for the asset checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from titan10_dagster.candles.rules import Concern
from titan10_dagster.candles.slices import Slice


@dataclass(frozen=True)
class SliceInspected:
    """Counts of one slice: `valid` candles, `broken` rows, and how many rows broke each rule.

    `by_concern`: how many rows break at least one rule of a concern. `shift`: the distance from the grid at which most
    off-grid rows start; None if no row is off the grid. `answered`: the exchange answered for the whole slice.
    `over_broken_limit`: more rows are broken than the settings allow.
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
        """The number of received rows."""
        return self.valid + self.broken

    @property
    def missing(self) -> int:
        """The number of missing candles."""
        return self.slice.expected - self.valid

    def rows_broken(self, concern: Concern) -> int:
        """Return how many rows break at least one rule of the concern."""
        return self.by_concern.get(concern, 0)


def not_requested(slice_: Slice) -> SliceInspected:
    """Return the counts of a slice that no run has requested yet."""
    return SliceInspected(slice_, note="not requested yet")
