"""The one way by which candles come into the database.

One transaction under the exchange's lock: candles, restatements, quarantine, gaps and ledger change together or not
at all. The slices are taken from the iterable a few at a time, so memory stays flat however long the window is; while
the server writes some, a thread takes the next ones and makes them ready.
Writing the same slices again changes no row of candles and gaps.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import JudgedSlice
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.rules import Broken
from titan10_dagster.candles.slices import Slice
from titan10_dagster.store.accounts import Look, account
from titan10_dagster.store.chunks import Chunks
from titan10_dagster.store.database import Cursor, Database
from titan10_dagster.store.ledger import LedgerRow
from titan10_dagster.store.locks import lock_exchange
from titan10_dagster.store.merge import Change, Incoming, Scales, merge
from titan10_dagster.store.outages import mark

NOT_REPRESENTABLE = "not_representable"

# Candles a batch. It bounds the memory; and a batch of repairs must stay under the number of rows that TimescaleDB
# decompresses for one statement, 100,000 by default.
_BATCH = 32 * 1440
_MOST_SLICES = 1000

# A poll has to be over with its minute, and the next one brings the same candles.
LIVE_PATIENCE = timedelta(seconds=10)

T = TypeVar("T")


@dataclass(frozen=True)
class SliceResult:
    """What writing a slice did; counts are candles, but `quarantined`: rows without a valid candle in their place.

    `present` and the sum of `missing` make `expected`, as in the ledger.
    """

    slice: Slice
    inserted: int
    restated: int
    unchanged: int
    quarantined: int
    present: int
    expected: int
    missing: Mapping[Reason, int]


@dataclass(frozen=True)
class WriteReport:
    """What one call of write_slices did."""

    by_slice: Mapping[Slice, SliceResult]

    @property
    def inserted(self) -> int:
        return sum(result.inserted for result in self.by_slice.values())

    @property
    def restated(self) -> int:
        return sum(result.restated for result in self.by_slice.values())


def write_slices(db: Database, slices: Iterable[JudgedSlice], *, live: bool = False) -> WriteReport:
    """Writes slices of one exchange in one transaction; other writers of that exchange wait, a live one not for long.

    Slices whose fetch was not answered whole, or took place before their day ended, become "partial", the others
    "settled", and with `live` all "live"; a state only rises. A live poll asks for the last minutes only, so its
    records must not claim to be `answered`. A valid row whose numbers cannot be stored exactly goes to quarantine.

    The iterable is used in another thread. What it raises is raised here, and nothing is written.

    Raises ValueError if the slices are of several exchanges, DatabaseUnavailable if the server went away: then
    nothing was written, and the call may be repeated with the slices from the start (see `database.retrying`). That
    it did not come to write, for others do, is a WriteUnderWay.
    """
    with db.transaction() as cursor:
        writing = _Writing(cursor, Chunks(db, cursor), live)
        with closing(_one_ahead(_prepared(slices))) as batches:
            for batch in batches:
                writing.write(batch)
        mark(cursor, writing.over)
    return WriteReport(writing.results)


@dataclass
class _Writing:
    """One write, from batch to batch."""

    cursor: Cursor
    chunks: Chunks
    live: bool
    exchange: str | None = None
    results: dict[Slice, SliceResult] = field(default_factory=dict)
    over: set[Slice] = field(default_factory=set)  # of days that were over when they were fetched

    def write(self, batch: Sequence[_Prepared]) -> None:
        self._lock(batch)
        self.chunks.prepare(one.slice.day for one in batch if len(one.incoming.candles))
        changes = merge(self.cursor, [one.incoming for one in batch])
        looks = [
            Look(one.judged.record, change.times, _broken(one.judged, one.unfit), self.live)
            for one, change in zip(batch, changes, strict=True)
        ]
        rows = account(self.cursor, looks)
        for change, row in zip(changes, rows[: len(looks)], strict=True):
            self.results[row.slice] = _result(change, row, self.results.get(row.slice))
        self.over |= {look.slice for look in looks if look.record.until >= look.slice.end}
        self.over |= {row.slice for row in rows[len(looks) :]}

    def _lock(self, batch: Sequence[_Prepared]) -> None:
        exchanges = {one.slice.series.exchange for one in batch} | {self.exchange or ""} - {""}
        if len(exchanges) > 1:
            raise ValueError(f"one write is for one exchange, not for {' and '.join(sorted(exchanges))}")
        if self.exchange is None:
            (self.exchange,) = exchanges
            lock_exchange(self.cursor, self.exchange, patience=LIVE_PATIENCE if self.live else None)


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A slice made ready for the table, and its valid candles that no numbers of the table can stand for."""

    judged: JudgedSlice
    incoming: Incoming
    unfit: Candles

    @property
    def slice(self) -> Slice:
        return self.judged.record.slice


def _prepared(slices: Iterable[JudgedSlice]) -> Iterator[list[_Prepared]]:
    scales = Scales()
    for batch in _batches(slices):
        yield [_Prepared(one, *scales.incoming(one.record, one.verdict.valid)) for one in batch]


def _one_ahead(items: Iterable[T]) -> Generator[T]:
    """The items; each is made by a thread while the one before it is in use."""
    iterator, context = iter(items), copy_context()

    def make() -> T | None:
        return context.run(lambda: next(iterator, None))

    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        coming = thread.submit(make)
        while (item := coming.result()) is not None:
            coming = thread.submit(make)
            yield item


def _batches(slices: Iterable[JudgedSlice]) -> Iterator[list[JudgedSlice]]:
    """The slices, a few at a time; a slice that comes twice comes in two batches, for the second is a rewrite."""
    batch: dict[Slice, JudgedSlice] = {}
    room = _BATCH
    for judged in slices:
        slice_ = judged.record.slice
        if slice_ in batch or room < slice_.expected or len(batch) == _MOST_SLICES:
            yield list(batch.values())
            batch, room = {}, _BATCH
        batch[slice_] = judged
        room -= slice_.expected
    if batch:
        yield list(batch.values())


def _broken(judged: JudgedSlice, unfit: Candles) -> Broken:
    """The rows that broke a rule, and those whose numbers cannot be stored exactly."""
    broken = judged.verdict.broken
    return Broken(Candles.joined(broken.candles, unfit), broken.rules + ((NOT_REPRESENTABLE,),) * len(unfit))


def _result(change: Change, row: LedgerRow, before: SliceResult | None) -> SliceResult:
    return SliceResult(
        slice=row.slice,
        inserted=change.inserted + (before.inserted if before else 0),
        restated=change.restated + (before.restated if before else 0),
        unchanged=change.unchanged,
        quarantined=row.quarantined,
        present=row.present,
        expected=row.expected,
        missing=row.missing,
    )
