"""Writes candles into the table candles. Candles that are already stored with the same values are not written.

The stored candles of a slice are read, and compared with the received candles in numpy. A join on the server would take
longer, and would decompress chunks even if no candle changes. COPY writes new candles directly into the table, without
a temporary table. Stored candles with other values are overwritten. The module `restatements` keeps their old values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg2.extras import execute_values

from titan10_dagster.candles.columns import Candles, Floats, Mask
from titan10_dagster.candles.fetched import FetchRecord, Source
from titan10_dagster.candles.scaling import Scaled, scale
from titan10_dagster.candles.slices import Series, Slice, Times, from_datetime64
from titan10_dagster.errors import StoreError
from titan10_dagster.store import binary
from titan10_dagster.store.database import Cursor, all_rows
from titan10_dagster.store.statements import key, of_slices, statement

_PRICES = slice(0, 4)
_VOLUME = slice(4, 5)
_STORED = ("i8", "M8[ms]", "f8", "f8", "f8", "f8", "f8")  # the types of the slice number, the time and the five values


@dataclass(frozen=True, eq=False)
class Incoming:
    """The received candles of one slice, in order of time.

    Each value is present in two forms: as a double in `candles`, and as an integer with a scale. Both forms are exact.
    """

    record: FetchRecord
    candles: Candles
    integers: NDArray[np.int64]
    price_scales: Floats
    volume_scales: Floats

    @property
    def slice(self) -> Slice:
        return self.record.slice

    def rows(self, mask: Mask) -> bytes:
        """Return rows for the table candles in COPY's binary format. `mask`: True for the candles to return."""
        columns = [self.candles.times, *self.integers, self.price_scales, self.volume_scales]
        if not mask.all():
            columns = [column[mask] for column in columns]
        return binary.rows(key(self.slice.series), columns)


@dataclass
class Scales:
    """The latest scales of each series. The next slice uses the same scales if they fit.

    The reason is that the column of the scales compresses best if the scales do not change.
    """

    prices: dict[Series, float] = field(default_factory=dict)
    volumes: dict[Series, float] = field(default_factory=dict)

    def incoming(self, record: FetchRecord, candles: Candles) -> Incoming:
        """Return the valid candles of a slice with their integers and scales.

        The integers are exact, because the candle rule not_representable rejects candles without exact integers.
        """
        prices = _scaled(candles.values[_PRICES], self.prices, record.slice.series)
        volume = _scaled(candles.values[_VOLUME], self.volumes, record.slice.series)
        if not (prices.exact & volume.exact).all():
            raise StoreError(
                f"{record.slice}: some valid candles cannot be stored exactly; the rule"
                " not_representable should have rejected these candles"
            )
        integers = np.concatenate((prices.integers, volume.integers))
        return Incoming(record, candles, integers, prices.scales, volume.scales)


def _scaled(values: Floats, hints: dict[Series, float], series: Series) -> Scaled:
    scaled = scale(values, hints.get(series, 1.0))
    if scaled.common is not None:
        hints[series] = scaled.common
    return scaled


@dataclass(frozen=True, eq=False)
class Change:
    """The comparison of a slice's received candles with its stored candles.

    `stored`: the stored candles before the write. `new`: for each received candle, True if it is not stored yet.
    `changed`: for each received candle, True if it replaces a stored candle with other values. `position`: for each
    received candle that is not new, its index in `stored`.
    """

    incoming: Incoming
    stored: Candles
    new: Mask
    changed: Mask
    position: NDArray[np.intp]

    @property
    def inserted(self) -> int:
        return int(self.new.sum())

    @property
    def restated(self) -> int:
        return int(self.changed.sum())

    @property
    def unchanged(self) -> int:
        return len(self.new) - self.inserted - self.restated

    @property
    def times(self) -> Times:
        """The starts of all candles of the slice that are stored after the write, in no particular order."""
        return np.concatenate((self.stored.times, self.incoming.candles.times[self.new]))


def compare(incoming: Incoming, stored: Candles) -> Change:
    """Compare received candles with stored candles. The doubles are compared, not the integers with their scales.

    An unfinished candle does not replace the stored candle (see `_unfinished`).
    """
    given = incoming.candles
    nothing = np.zeros(len(given), np.bool_)
    if len(stored) == 0:
        return Change(incoming, stored, ~nothing, nothing, np.empty(0, np.intp))
    position = np.minimum(np.searchsorted(stored.times, given.times), len(stored) - 1)
    known = stored.times[position] == given.times
    differs = (stored.values[:, position] != given.values).any(axis=0)
    changed = known & differs
    if changed.any() and incoming.record.source is Source.REST:
        changed &= ~_unfinished(given, stored, position)
    return Change(incoming, stored, ~known, changed, position)


def _unfinished(given: Candles, stored: Candles, position: NDArray[np.intp]) -> Mask:
    """Return which received candles are possibly unfinished versions of the stored candles at `position`.

    A server that is behind ends its answer with an unfinished candle, and does not have the next candle yet. So two
    conditions apply: the next stored candle was not received, and all trades of the received candle can be among the
    trades of the stored candle.
    """
    lacks_next = np.append(~np.isin(stored.times[1:], given.times), False)
    open_, high, low, _, volume = given.values
    was_open, was_high, was_low, _, was_volume = stored.values[:, position]
    is_part = (open_ == was_open) & (high <= was_high) & (low >= was_low) & (volume <= was_volume)
    unfinished: Mask = lacks_next[position] & is_part
    return unfinished


def merge(cursor: Cursor, batch: Sequence[Incoming]) -> list[Change]:
    """Write the candles of different slices of one exchange. Return the change of each slice, in the given order."""
    stored = read(cursor, [incoming.slice for incoming in batch])
    changes = [compare(incoming, old) for incoming, old in zip(batch, stored, strict=True)]
    _insert(cursor, [change for change in changes if change.inserted])
    _restate(cursor, [change for change in changes if change.restated])
    return changes


def read(cursor: Cursor, slices: Sequence[Slice]) -> list[Candles]:
    """Return the stored candles of each of the given slices of one exchange, in order of time."""
    query = cursor.mogrify(statement("read_slices"), of_slices(slices)).decode()
    numbers, times, *values = binary.copy_out(cursor, query, _STORED)
    order = np.lexsort((times, numbers))
    bounds = np.searchsorted(numbers[order], np.arange(1, len(slices) + 2))
    table = Candles(times, np.stack(values)).take(order)
    return [table.cut(a, b) for a, b in pairwise(bounds)]


def _insert(cursor: Cursor, changes: Sequence[Change]) -> None:
    if not changes:
        return
    # The rows are inserted in the order of the primary key (series, then day), so that few pages of the index change.
    ordered = sorted(changes, key=lambda change: change.incoming.slice)
    binary.copy_in(cursor, statement("copy_candles"), [change.incoming.rows(change.new) for change in ordered])
    execute_values(cursor, statement("write_series"), [_ends(change.incoming) for change in changes])
    _verify(cursor, changes)


def _ends(incoming: Incoming) -> tuple[Any, ...]:
    times = incoming.candles.times
    return (*key(incoming.slice.series), *map(from_datetime64, times[[0, -1]]))


def _restate(cursor: Cursor, changes: Sequence[Change]) -> None:
    if not changes:
        return
    cursor.execute(statement("create_restated"))
    rows = [change.incoming.rows(change.changed) for change in changes]
    binary.copy_in(cursor, statement("copy_restated"), rows)
    cursor.execute(statement("merge_restated"))


def _verify(cursor: Cursor, changes: Sequence[Change]) -> None:
    """Raise StoreError if the table has more or fewer candles of a slice than this write has calculated.

    The calculated number is written into the ledger, so it must be right. The numbers differ if another program writes
    to the table at the same time.
    """
    slices = [change.incoming.slice for change in changes]
    cursor.execute(statement("count_slices"), of_slices(slices))
    for change, row in zip(changes, all_rows(cursor), strict=True):
        if row.candles != len(change.times):
            raise StoreError(
                f"{change.incoming.slice}: {row.candles} candles are stored instead of {len(change.times)}; another"
                " program wrote to the table at the same time. Nothing was changed: repeat the run or the command"
            )
