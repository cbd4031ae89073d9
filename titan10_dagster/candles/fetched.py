"""The result of fetching a slice: its candles, and the record of how they were requested."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.rules import Verdict
from titan10_dagster.candles.slices import Slice
from titan10_dagster.candles.source_files import SourceFile

# Candles that a request plan adds to an exchange's retention horizon: it moves on while a request is under way.
HORIZON_SLACK = 2


class Source(StrEnum):
    """Where candles come from."""

    REST = "rest"
    ARCHIVE = "archive"
    IMPORT = "import"


@dataclass(frozen=True)
class FetchRecord:
    """How one slice was fetched; instants are aware and UTC.

    `fetched_at`: when it was requested. `seconds`: the time spent. `answered`: the exchange answered well for the whole
    slice, so a candle absent from the answer was absent there. `horizon`: the exchange serves nothing before it.
    `covered_until`: how far live polling got, if it did not reach `fetched_at`. `files`: those that the candles
    were read from; none for REST.
    """

    slice: Slice
    fetched_at: datetime
    source: Source
    requests: int
    retries: int
    seconds: float
    answered: bool
    horizon: datetime | None
    listed: datetime | None = None
    delisted: datetime | None = None
    note: str | None = None
    covered_until: datetime | None = None
    files: tuple[SourceFile, ...] = ()

    @property
    def until(self) -> datetime:
        """The end of what the fetch covered: later candles were not over then, or are still to be polled."""
        return self.covered_until or self.fetched_at


@dataclass(frozen=True, eq=False)
class FetchedSlice:
    """A slice as the exchange gave it. Its candles may break rules or conflict."""

    record: FetchRecord
    candles: Candles


@dataclass(frozen=True, eq=False)
class JudgedSlice:
    """A slice whose candles were checked against the rules."""

    record: FetchRecord
    verdict: Verdict
