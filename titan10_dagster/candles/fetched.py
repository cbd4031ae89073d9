"""The result of fetching a slice: its candles, and the record of how they were requested."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.rules import Verdict
from titan10_dagster.candles.slices import Slice
from titan10_dagster.candles.source_files import SourceFile

# Candles that a request plan adds to an exchange's retention horizon, because the horizon moves while a request is
# under way.
HORIZON_SLACK = 2

# In the note of a slice of a closed market, the evidence follows this text. A later candle opens such slices again.
CLOSED_NOTE = "closed market: "


class Source(StrEnum):
    """The source of candles."""

    REST = "rest"
    ARCHIVE = "archive"
    IMPORT = "import"


@dataclass(frozen=True)
class FetchRecord:
    """How one slice was fetched; instants are aware and UTC.

    `fetched_at`: when it was requested. `seconds`: the time spent. `answered`: the exchange answered completely for the
        whole slice, so candles absent from the answer were absent at the exchange. `horizon`: the exchange serves no
        candles before this time.
    `covered_until`: the end of the part covered by live polling, if it is before `fetched_at`. `files`: the files from
        which the candles were read; none for REST.
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
        """The end of the part that the fetch covered. Later candles had not ended yet, or have not been polled yet."""
        return self.covered_until or self.fetched_at


@dataclass(frozen=True, eq=False)
class FetchedSlice:
    """A slice as received from the exchange. Its candles may break rules or conflict."""

    record: FetchRecord
    candles: Candles


@dataclass(frozen=True, eq=False)
class JudgedSlice:
    """A slice whose candles were checked against the rules."""

    record: FetchRecord
    verdict: Verdict
