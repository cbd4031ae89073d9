"""Add up the results of a fetch for each UTC day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from titan10_dagster.candles.fetched import FetchRecord, Source
from titan10_dagster.candles.slices import Slice


@dataclass(frozen=True)
class DayFetched:
    """The part of a fetch that belongs to one partition (one exchange's UTC day).

    slices, rows, expected: the numbers of slices, received candles and expected candles.
    seconds: the sum of the durations of all requests, even if requests ran at the same time.
    unanswered: the symbols for which the source did not answer completely.
    beyond_horizon: the symbols for which the exchange no longer serves any candle of the day.
    sources: the number of slices for each source.
    files: the number of files from which candles were read.
    """

    slices: int = 0
    rows: int = 0
    expected: int = 0
    requests: int = 0
    retries: int = 0
    seconds: float = 0.0
    unanswered: tuple[str, ...] = ()
    beyond_horizon: tuple[str, ...] = ()
    sources: Mapping[Source, int] = field(default_factory=dict)
    files: int = 0

    @property
    def candles_per_second(self) -> float:
        return self.rows / self.seconds if self.seconds else 0.0


def by_day_fetched(landed: Mapping[Slice, tuple[FetchRecord, int]]) -> dict[date, DayFetched]:
    """Return the totals of each day. `landed`: the fetch record and the number of received rows of each slice."""
    days: dict[date, list[tuple[FetchRecord, int]]] = {}
    for slice_, fetched in landed.items():
        days.setdefault(slice_.day, []).append(fetched)
    return {day: _sum(fetched) for day, fetched in days.items()}


def _sum(fetched: list[tuple[FetchRecord, int]]) -> DayFetched:
    records = [record for record, _ in fetched]
    return DayFetched(
        slices=len(fetched),
        rows=sum(rows for _, rows in fetched),
        expected=sum(record.slice.expected for record in records),
        requests=sum(record.requests for record in records),
        retries=sum(record.retries for record in records),
        seconds=sum(record.seconds for record in records),
        unanswered=tuple(record.slice.series.symbol for record in records if not record.answered),
        beyond_horizon=tuple(record.slice.series.symbol for record in records if is_beyond_horizon(record)),
        sources=Counter(record.source for record in records),
        files=len({file.url for record in records for file in record.files}),
    )


def is_beyond_horizon(record: FetchRecord) -> bool:
    """Return whether the exchange no longer serves any candle of the slice, because all are before the horizon."""
    return record.horizon is not None and record.slice.end <= record.horizon
