"""Cutting pages out of a series, fast: each day's rows are formatted once and served as slices of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from titan10_dagster.sandbox.series import Series
from titan10_dagster.sandbox.truth import DAY_MS, Ints, Raw
from titan10_dagster.sandbox.venues.venue import Ask, Venue


class Block:
    """One day of one series as JSON rows joined by commas, in the exchange's order.

    Rows are addressed by their ascending position whatever the order.
    """

    def __init__(self, times: Ints, rows: Sequence[str], descending: bool) -> None:
        self.times = times
        self.descending = descending
        ordered = list(reversed(rows)) if descending else rows
        self._blob = ",".join(ordered).encode() + b","
        self._offsets = np.cumsum([0, *(len(row) + 1 for row in ordered)])

    def __len__(self) -> int:
        return len(self._blob) + self._offsets.nbytes + self.times.nbytes

    def piece(self, first: int, last: int) -> bytes:
        if self.descending:
            first, last = len(self.times) - last, len(self.times) - first
        return self._blob[self._offsets[first] : self._offsets[last] - 1]


class BlockCache:
    """The blocks served last, up to a number of bytes."""

    def __init__(self, max_bytes: int = 256 * 1024 * 1024) -> None:
        self._blocks: OrderedDict[tuple[str, int, int], Block] = OrderedDict()
        self._bytes = 0
        self._max_bytes = max_bytes

    def get(self, series: Series, seconds: int, day: int) -> Block:
        key = (series.instrument.symbol, seconds, day)
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = _format(series, seconds, day)
            self._bytes += len(block)
            self._shrink()
        else:
            self._blocks.move_to_end(key)
        return block

    def forget(self, symbol: str) -> None:
        for key in [key for key in self._blocks if key[0] == symbol]:
            self._bytes -= len(self._blocks.pop(key))

    def _shrink(self) -> None:
        while self._bytes > self._max_bytes and len(self._blocks) > 1:
            self._bytes -= len(self._blocks.popitem(last=False)[1])


class Cut(NamedTuple):
    """Rows [first, last) of one day."""

    day: int
    first: int
    last: int


@dataclass
class Row:
    """One candle on its way to the wire: epoch ms and five decimal strings. Faults change these."""

    time: int
    texts: list[str]
    closed: bool = True


@dataclass(frozen=True)
class Selection:
    """What answers a request: finished rows as cuts in ascending order, then perhaps the forming one."""

    cuts: list[Cut] = field(default_factory=list)
    forming: Raw | None = None

    @property
    def count(self) -> int:
        return sum(cut.last - cut.first for cut in self.cuts) + (self.forming is not None)


class Pages:
    """The pages of one exchange's series."""

    def __init__(self, venue: Venue, cache: BlockCache) -> None:
        self.venue = venue
        self.cache = cache

    def select(self, series: Series, ask: Ask, now_ms: int) -> Selection:
        """The rows that the exchange would answer at `now_ms`."""
        step = ask.seconds * 1_000
        running = now_ms // step * step
        start, end = _bounds(series, ask, running)
        forming = None
        wanted = ask.unfinished and (ask.start is None or ask.start <= running)
        if wanted and (ask.end is None or ask.end > running):
            forming = series.forming(now_ms, ask.seconds)
        if ask.keep == "newest":
            return Selection(self._newest(series, ask, start, end, ask.limit - (forming is not None)), forming)
        cuts = self._oldest(series, ask, start, end)
        full = sum(cut.last - cut.first for cut in cuts) >= ask.limit
        return Selection(cuts, None if full else forming)

    def body(self, series: Series, ask: Ask, found: Selection) -> bytes:
        """The rows of a selection in the exchange's order, joined by commas."""
        pieces = [self.cache.get(series, ask.seconds, cut.day).piece(cut.first, cut.last) for cut in found.cuts]
        if found.forming is not None:
            pieces.append(self.format(_rows(series, found.forming, closed=False), ask.seconds))
        return b",".join(reversed(pieces) if self.venue.descending else pieces)

    def rows(self, series: Series, ask: Ask, found: Selection) -> list[Row]:
        """The same selection as single rows, ascending."""
        rows: list[Row] = []
        for cut in found.cuts:
            raw = series.raw(cut.day, ask.seconds)
            rows += _rows(series, Raw(raw.times[cut.first : cut.last], raw.values[cut.first : cut.last]))
        if found.forming is not None:
            rows += _rows(series, found.forming, closed=False)
        return rows

    def ordered(self, rows: list[Row], seconds: int) -> bytes:
        """Rows, given ascending, in the exchange's order."""
        return self.format(rows[::-1] if self.venue.descending else rows, seconds)

    def format(self, rows: list[Row], seconds: int) -> bytes:
        """Rows in the order given."""
        texts = [
            self.venue.wire.rows([row.time], [[text] for text in row.texts], seconds, row.closed)[0] for row in rows
        ]
        return ",".join(texts).encode()

    def times(self, series: Series, ask: Ask, found: Selection) -> tuple[int | None, int | None]:
        """The first and the last time of a selection."""
        if found.count == 0:
            return None, None
        edges = [
            int(self.cache.get(series, ask.seconds, cut.day).times[at])
            for cut in (found.cuts[:1] + found.cuts[-1:])
            for at in (cut.first, cut.last - 1)
        ]
        if found.forming is not None:
            edges.append(int(found.forming.times[0]))
        return edges[0], edges[-1]

    def _oldest(self, series: Series, ask: Ask, start: int, end: int) -> list[Cut]:
        cuts, left = [], ask.limit
        for day in range(start // DAY_MS, -(-end // DAY_MS)):
            first, last = self._within(series, ask, day, start, end)
            last = min(last, first + left)
            if last > first:
                cuts.append(Cut(day, first, last))
                left -= last - first
            if left == 0:
                break
        return cuts

    def _newest(self, series: Series, ask: Ask, start: int, end: int, left: int) -> list[Cut]:
        cuts: list[Cut] = []
        for day in range(-(-end // DAY_MS) - 1, start // DAY_MS - 1, -1):
            first, last = self._within(series, ask, day, start, end)
            first = max(first, last - left)
            if last > first:
                cuts.append(Cut(day, first, last))
                left -= last - first
            if left <= 0:
                break
        return cuts[::-1]

    def _within(self, series: Series, ask: Ask, day: int, start: int, end: int) -> tuple[int, int]:
        first, last = np.searchsorted(self.cache.get(series, ask.seconds, day).times, [start, end])
        return int(first), int(last)


def _bounds(series: Series, ask: Ask, running: int) -> tuple[int, int]:
    """The half-open range of finished candles to look through."""
    step = ask.seconds * 1_000
    start = max(ask.start or 0, series.first_ms // step * step)
    end = running if ask.end is None else min(ask.end, running)
    if series.last_ms is not None:
        end = min(end, series.last_ms + 1)
    return start, max(end, start)


def _format(series: Series, seconds: int, day: int) -> Block:
    raw = series.raw(day, seconds)
    rows = series.venue.wire.rows(raw.times.tolist(), series.texts(raw), seconds, True)
    return Block(raw.times, rows, series.venue.descending)


def _rows(series: Series, raw: Raw, *, closed: bool = True) -> list[Row]:
    texts = zip(*series.texts(raw), strict=True)
    return [Row(time, list(row), closed) for time, row in zip(raw.times.tolist(), texts, strict=True)]
