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

    `source` is "rest", "archive" and the like; `seconds` the time spent. `answered`: the exchange answered
    well for the whole slice, so what is absent was absent there. `horizon`: the exchange can give nothing
    before it.
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
