"""What came of fetching a slice: the candles, and the record of how they were asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.rules import Verdict
from titan10_dagster.candles.slices import Slice


@dataclass(frozen=True)
class FetchRecord:
    """How one slice was fetched; instants are aware and UTC.

    `fetched_at`: when it was asked for; nothing of it was known before. `source` is "rest", "archive" and the like;
    `seconds` the time spent. `answered`: the exchange answered well for the whole slice, so what is absent was absent
    there. `horizon`: the exchange can give nothing before it. `covered_until`: where live polling ended that did not
    come up to `fetched_at`.
    """

    slice: Slice
    fetched_at: datetime
    source: str
    requests: int
    retries: int
    seconds: float
    answered: bool
    horizon: datetime | None
    listed: datetime | None = None
    delisted: datetime | None = None
    note: str | None = None
    covered_until: datetime | None = None

    @property
    def until(self) -> datetime:
        """What ended later was not over when the slice was asked for, or is still to be polled."""
        return self.covered_until or self.fetched_at


@dataclass(frozen=True, eq=False)
class FetchedSlice:
    """A slice as the exchange gave it: its candles may break rules or conflict."""

    record: FetchRecord
    candles: Candles


@dataclass(frozen=True, eq=False)
class JudgedSlice:
    """A slice whose candles were held against the rules."""

    record: FetchRecord
    verdict: Verdict
