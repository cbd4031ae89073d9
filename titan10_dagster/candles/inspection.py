"""A landed slice reduced to its counts, for the checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from titan10_dagster.candles.slices import Slice


@dataclass(frozen=True)
class SliceInspected:
    """Counts of one slice: `valid` candles, `broken` rows, and how many rows broke each rule.

    `answered`: the exchange answered for all of it. `withheld`: so many rows are broken that none is stored.
    """

    slice: Slice
    valid: int
    broken: int
    counts: Mapping[str, int]
    answered: bool
    beyond_horizon: bool
    withheld: bool
    note: str | None = None

    @property
    def missing(self) -> int:
        return self.slice.expected - self.valid


def not_requested(slice_: Slice) -> SliceInspected:
    """Return the counts of a slice that no run has requested yet."""
    return SliceInspected(
        slice_,
        valid=0,
        broken=0,
        counts={},
        answered=False,
        beyond_horizon=False,
        withheld=False,
        note="not requested yet",
    )
