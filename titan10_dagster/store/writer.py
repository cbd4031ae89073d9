"""Writes fetched slices to the database. All candles get into the database through `write_slices`.

A write is one transaction, which holds the exchange's lock. The transaction changes candles, restatements, quarantine,
gaps and ledger together or not at all. Slices are written in batches, so memory use does not grow with the number of
slices. While the server writes a batch, a thread prepares the next batch. If the result of the same fetch is written a
second time, no row of candles or gaps changes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from titan10_dagster.candles.fetched import JudgedSlice
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import Slice
from titan10_dagster.store.breaks import BreakFinder, record_mass_restatement
from titan10_dagster.store.chunks import Chunks
from titan10_dagster.store.database import Cursor, Database
from titan10_dagster.store.ledger import LedgerRow
from titan10_dagster.store.ledger_writer import SliceObservation, update_ledger
from titan10_dagster.store.locks import lock_exchange
from titan10_dagster.store.merge import Change, Incoming, Scales, merge
from titan10_dagster.store.outages import flag_days
from titan10_dagster.store.provenance import write_provenance
from titan10_dagster.store.restatements import write_restatements

# The largest number of candles in a batch. The limit keeps memory use small. Also, TimescaleDB decompresses only a
# limited number of rows for one statement (by default 100,000), and a batch must stay below this number.
_BATCH = 32 * 1440
_MOST_SLICES = 1000

# A poll must end within its minute. So it waits at most this long for the exchange's lock (see `ingest/live.py`), and
# after that at most this long for each other lock of a table or row. If a lock is not free in time, nothing is written,
# and the next poll fetches the same candles again.
LIVE_PATIENCE = timedelta(seconds=10)

T = TypeVar("T")


@dataclass(frozen=True)
class SliceResult:
    """The result of writing a slice.

    `quarantined` is the number of broken rows in quarantine that no valid candle has replaced. All other numbers are
    numbers of candles. `expected` is the sum of `present` and all numbers in `missing`, as in the ledger.
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
    """The result of one call of `write_slices`."""

    by_slice: Mapping[Slice, SliceResult]

    @property
    def inserted(self) -> int:
        return sum(result.inserted for result in self.by_slice.values())

    @property
    def restated(self) -> int:
        return sum(result.restated for result in self.by_slice.values())


def write_slices(db: Database, slices: Iterable[JudgedSlice], *, live: bool = False) -> WriteReport:
    """Write slices of one exchange in one transaction.

    If another write of the exchange is under way, this write waits until the other write ends. A live write does not
    wait, and raises WriteUnderWay.

    A slice becomes "settled" if its fetch was after the end of its day and was answered completely. Otherwise the slice
    becomes "partial". If `live` is True, all slices become "live". The order of the states is live, partial, settled,
    and a slice never returns to an earlier state. A live poll requests only the last minutes, so `answered` must be
    False in its records.

    Another thread iterates over `slices`. If `slices` raises an exception, this function raises the same exception, and
    nothing is written.

    Raises ValueError if the slices belong to several exchanges. Raises DatabaseUnavailable if the connection to the
    server is lost. Raises WriteUnderWay if another write of the exchange is still under way: for a live write at once,
    and for other writes after the lock timeout. After DatabaseUnavailable and WriteUnderWay, you can repeat the call
    with all slices (see `database.retrying`).
    """
    with db.transaction() as cursor:
        writing = _Writing(cursor, Chunks(db, cursor), live, breaks=BreakFinder(live))
        with closing(_prefetched(_prepared(slices))) as batches:
            for batch in batches:
                writing.write(batch)
        flag_days(cursor, writing.ended)
        writing.breaks.record(cursor)
    return WriteReport(writing.results)


@dataclass
class _Writing:
    """The state of one call of `write_slices`, which writes batch by batch.

    `ended`: the slices that were written or changed, if their day has ended.
    """

    cursor: Cursor
    chunks: Chunks
    live: bool
    breaks: BreakFinder
    exchange: str | None = None
    results: dict[Slice, SliceResult] = field(default_factory=dict)
    ended: set[Slice] = field(default_factory=set)

    def write(self, batch: Sequence[_Prepared]) -> None:
        self._lock(batch)
        self.chunks.prepare(prepared.slice.day for prepared in batch if len(prepared.incoming.candles))
        changes = merge(self.cursor, [prepared.incoming for prepared in batch])
        observations = []
        for prepared, change in zip(batch, changes, strict=True):
            self.breaks.observe(change)
            record_mass_restatement(self.cursor, change)
            record, broken = prepared.judged.record, prepared.judged.verdict.broken
            observations.append(SliceObservation(record, change.times, broken, self.live))
            if record.until >= record.slice.end:
                self.ended.add(record.slice)
        origins, imported = write_provenance(self.cursor, changes)
        write_restatements(self.cursor, changes, origins, imported)
        rows = update_ledger(self.cursor, observations)
        written, others = rows[: len(batch)], rows[len(batch) :]
        for change, row in zip(changes, written, strict=True):
            self.results[row.slice] = _result(change, row, self.results.get(row.slice))
        self.ended |= {row.slice for row in others}

    def _lock(self, batch: Sequence[_Prepared]) -> None:
        exchanges = {prepared.slice.series.exchange for prepared in batch} | {self.exchange or ""} - {""}
        if len(exchanges) > 1:
            raise ValueError(f"a write accepts slices of one exchange only, not of {' and '.join(sorted(exchanges))}")
        if self.exchange is None:
            (self.exchange,) = exchanges
            lock_exchange(self.cursor, self.exchange, patience=LIVE_PATIENCE if self.live else None)


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A checked slice, and its valid candles as the integers and scales that the table stores."""

    judged: JudgedSlice
    incoming: Incoming

    @property
    def slice(self) -> Slice:
        return self.judged.record.slice


def _prepared(slices: Iterable[JudgedSlice]) -> Iterator[list[_Prepared]]:
    scales = Scales()
    for batch in _batches(slices):
        yield [_Prepared(judged, scales.incoming(judged.record, judged.verdict.valid)) for judged in batch]


def _prefetched(items: Iterable[T]) -> Generator[T]:
    """Yield the items. While the caller uses an item, a thread already gets the next item."""
    iterator, context = iter(items), copy_context()

    def make() -> T | None:
        return context.run(lambda: next(iterator, None))

    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        coming = thread.submit(make)
        while (item := coming.result()) is not None:
            coming = thread.submit(make)
            yield item


def _batches(slices: Iterable[JudgedSlice]) -> Iterator[list[JudgedSlice]]:
    """Yield batches of slices. If a slice occurs twice, its two versions are in different batches."""
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
