"""The result of fetching a slice: the candles, and a record of the fetch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.rules import Verdict
from titan10_dagster.candles.slices import Slice
from titan10_dagster.candles.source_files import SourceFile

# If an exchange serves only the last N candles, Titan-10 plans with N minus this number of candles, because the oldest
# served candles can expire during a request.
HORIZON_SLACK = 2

# If a slice was not served because its market is closed, its note in the ledger contains this text, followed by the
# evidence. If a later candle of the market arrives, slices with such notes are fetched again.
CLOSED_NOTE = "closed market: "


class Source(StrEnum):
    """The source from which candles were read: the REST API, the exchange's archive, or files of the user."""

    REST = "rest"
    ARCHIVE = "archive"
    IMPORT = "import"


@dataclass(frozen=True)
class FetchRecord:
    """The record of the fetch of one slice. Instants are aware and UTC.

    fetched_at: the time of the fetch.
    requests, retries: the number of requests, and the number of repeated requests.
    seconds: the time that all of these requests took.
    answered: whether the source answered completely for the whole slice. If so, candles that are absent from the answer
        are absent at the source.
    horizon: the exchange serves no candles before this time; None if this time is not known.
    listed, delisted: the start and the end of the trading of the symbol; None if the time is not known.
    note: a remark about the fetch for the ledger.
    covered_until: the end of the part that live polling covered; None if the fetch covered everything up to
        `fetched_at`.
    files: the files from which the candles were read. REST has no files.
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
        """Return the end of the part that the fetch covered. Later candles had not ended, or were not polled yet."""
        return self.covered_until or self.fetched_at


@dataclass(frozen=True, eq=False)
class FetchedSlice:
    """A slice as received from the source. Its candles have not been checked against the candle rules yet."""

    record: FetchRecord
    candles: Candles


@dataclass(frozen=True, eq=False)
class JudgedSlice:
    """A slice, and the result of checking its candles against the candle rules."""

    record: FetchRecord
    verdict: Verdict
