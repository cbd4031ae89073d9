"""Records the file from which stored candles were read, in the tables `source_files` and `source_stretches`.

A row of `source_stretches` is a stretch of time of one series. Each candle in this stretch was read from the file of
the stretch. All candles outside of the stretches came by REST. Therefore, if REST adds or overwrites a candle in a
stretch, the stretch is cut there. The stretch of a new file is cut at stored candles that are not in the file. If a
file and REST have the same values for a candle, its source is the file, because a file can be checked again later. The
view `provenance` shows both tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from psycopg2.extras import execute_values

from titan10_dagster.candles.provenance import Stretch, covered_stretches, cut, files_at, replaced, stretches_of
from titan10_dagster.candles.slices import Series
from titan10_dagster.candles.source_files import SourceFile
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.store.database import Cursor, all_rows
from titan10_dagster.store.merge import Change
from titan10_dagster.store.statements import key, statement


@dataclass(frozen=True, eq=False)
class Origins:
    """The sources of the changed candles of a slice.

    `before`, `after`: for each changed candle, the id of the file that was its source before and after the write. The
    id is 0 if the candle came by REST.
    """

    before: NDArray[np.int64]
    after: NDArray[np.int64]


@dataclass
class _Known:
    """What was stored before the write.

    `stretches`: for each series, its stretches in the time of the written slices (see `_read`). `imported`: for the id
    of each file of these stretches, whether a user imported the file.
    """

    stretches: dict[Series, list[Stretch]] = field(default_factory=lambda: defaultdict(list))
    imported: dict[int, bool] = field(default_factory=dict)


def write_provenance(cursor: Cursor, changes: Sequence[Change]) -> tuple[list[Origins], Mapping[int, bool]]:
    """Update the stretches of the series whose slices were written. All slices belong to one exchange.

    Call this function in the transaction that wrote the slices. It returns two values. The first value contains the
    origins of the changed candles of each slice. The second value shows, for the id of each file that was a source
    before the write, whether a user imported the file.
    """
    by_series: dict[Series, list[Change]] = {}
    for change in changes:
        if change.incoming.record.files or change.inserted or change.restated:
            by_series.setdefault(change.incoming.slice.series, []).append(change)
    if not by_series:
        return [_no_origins(change) for change in changes], {}
    known, ids, origins = _read(cursor, by_series), _Ids(cursor), {}
    for series, of_series in by_series.items():
        before = known.stretches[series]
        after = list(before)
        for change in of_series:
            new = _stretches(change, ids)
            if after:
                after = cut(after, _taken_by_rest(change))
            after = replaced(after, new)
            times = change.incoming.candles.times[change.changed]
            origins[id(change)] = Origins(files_at(before, times), files_at(after, times))
        _write(cursor, series, before, after)
    return [origins.get(id(change)) or _no_origins(change) for change in changes], known.imported


def _no_origins(change: Change) -> Origins:
    nothing = np.zeros(change.restated, np.int64)
    return Origins(nothing, nothing)


def _stretches(change: Change, ids: _Ids) -> list[Stretch]:
    """Return the stretches of a slice that were read from its files. Stored candles that are in no file are cut out."""
    record, candles = change.incoming.record, change.incoming.candles
    if not record.files:
        return []
    covered = covered_stretches(record, candles.times)
    kept: list[tuple[datetime, datetime]] = []
    if len(change.stored):
        others = np.setdiff1d(change.stored.times, candles.times)
        kept = stretches_of(others, record.slice.series.timeframe)
    found: list[Stretch] = []
    for start, end, file in covered:
        found += cut([Stretch(start, end, ids.of(record.slice.series.exchange, file))], kept)
    return found


def _taken_by_rest(change: Change) -> list[tuple[datetime, datetime]]:
    """Return the stretches of time in which REST added or changed candles. For a slice with files, return nothing."""
    if change.incoming.record.files:
        return []
    times = change.incoming.candles.times[change.new | change.changed]
    return stretches_of(times, change.incoming.slice.series.timeframe)


def _read(cursor: Cursor, by_series: Mapping[Series, Sequence[Change]]) -> _Known:
    """Return the stored stretches that overlap or touch the time from the first slice to the last slice.

    Only the symbols of the slices count.
    """
    slices = [change.incoming.slice for changes in by_series.values() for change in changes]
    cursor.execute(
        statement("read_stretches"),
        {
            "exchange": slices[0].series.exchange,
            "symbols": sorted({slice_.series.symbol for slice_ in slices}),
            "first": min(slice_.start for slice_ in slices),
            "last": max(slice_.end for slice_ in slices),
        },
    )
    known = _Known()
    for row in all_rows(cursor):
        series = Series(slices[0].series.exchange, row.symbol, Timeframe.parse(row.timeframe))
        known.stretches[series].append(Stretch(row.stretch_start, row.stretch_end, row.file_id))
        known.imported[row.file_id] = row.is_imported
    return known


def _write(cursor: Cursor, series: Series, before: Sequence[Stretch], after: Sequence[Stretch]) -> None:
    """Replace the stretches `before` with the stretches `after` in the database.

    Stretches that are in both lists stay unchanged.
    """
    kept = set(after)
    gone = [part.start for part in before if part not in kept]
    if gone:
        cursor.execute(statement("delete_stretches"), [*key(series), gone])
    known = set(before)
    added = [(*key(series), part.start, part.end, part.file) for part in after if part not in known]
    if added:
        execute_values(cursor, statement("write_stretches"), added)


@dataclass
class _Ids:
    """The ids of source files. A file without an id is written into the table `source_files`, which gives it an id."""

    cursor: Cursor
    known: dict[SourceFile, int] = field(default_factory=dict)

    def of(self, exchange: str, file: SourceFile) -> int:
        if file not in self.known:
            self.cursor.execute(statement("write_source_file"), {"exchange": exchange, **vars(file)})
            (number,) = self.cursor.fetchone() or (0,)
            self.known[file] = int(number)
        return self.known[file]
