"""The pages of a series. For speed, the rows of a day are formatted once as bytes, and pages are cut out of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from titan10_dagster.sandbox.series import ServedSeries
from titan10_dagster.sandbox.truth import DAY_MS, Ints, RawCandles
from titan10_dagster.sandbox.venues.venue import SandboxVenue
from titan10_dagster.sandbox.venues.wire import Candle, CandleRequest, with_absent_values


class Block:
    """The rows of one series and day as JSON, joined by commas, in the exchange's order.

    A row's position counts from the oldest row, even if the exchange sends the newest row first.
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
    """A cache of the most recently used blocks.

    `max_bytes`: the maximum size of all blocks together. A single block may be larger.
    """

    def __init__(self, max_bytes: int = 256 * 1024 * 1024) -> None:
        self._blocks: OrderedDict[tuple[str, int, int], Block] = OrderedDict()
        self._bytes = 0
        self._max_bytes = max_bytes

    def get(self, series: ServedSeries, seconds: int, day: int) -> Block:
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
    """The rows of one day at the positions [first, last)."""

    day: int
    first: int
    last: int


@dataclass
class Row:
    """A candle before serialization: its time (epoch ms) and five decimal strings. Faults can change these values.

    `closed`: whether the candle is finished. `json`: a text that replaces the whole row. `cut_ms`: the length in ms of
    a candle that ended early.
    """

    time: int
    texts: list[str]
    closed: bool = True
    json: str | None = None
    cut_ms: int | None = None


@dataclass(frozen=True)
class Selection:
    """The rows of an answer: ranges of finished candles in ascending order, then possibly the unfinished candle."""

    cuts: list[Cut] = field(default_factory=list)
    forming: RawCandles | None = None

    @property
    def count(self) -> int:
        return sum(cut.last - cut.first for cut in self.cuts) + (self.forming is not None)


class PageCutter:
    """A source of pages for the series of one exchange."""

    def __init__(self, venue: SandboxVenue, cache: BlockCache) -> None:
        self.venue = venue
        self.cache = cache

    def select(self, series: ServedSeries, request: CandleRequest, now_ms: int) -> Selection:
        """Return the rows that the exchange sends as the answer to the request at `now_ms`."""
        running = self.venue.candle_start(now_ms, request.seconds)
        start, end = self._bounds(series, request, running)
        forming = None
        wanted = request.unfinished and (request.start is None or request.start <= running)
        if wanted and (request.end is None or request.end > running):
            forming = series.forming(now_ms, request.seconds)
        if request.keep == "newest":
            return Selection(self._newest(series, request, start, end, request.limit - (forming is not None)), forming)
        cuts = self._oldest(series, request, start, end)
        full = sum(cut.last - cut.first for cut in cuts) >= request.limit
        return Selection(cuts, None if full else forming)

    def body(self, series: ServedSeries, request: CandleRequest, found: Selection) -> bytes:
        """Return the rows of a selection as JSON in the exchange's order, joined by commas."""
        pieces = [self.cache.get(series, request.seconds, cut.day).piece(cut.first, cut.last) for cut in found.cuts]
        if found.forming is not None:
            pieces.append(self.format(_rows(series, found.forming, closed=False), request.seconds))
        return b",".join(reversed(pieces) if self.venue.descending else pieces)

    def rows(self, series: ServedSeries, request: CandleRequest, found: Selection) -> list[Row]:
        """Return the rows of a selection as a list, in ascending order."""
        rows: list[Row] = []
        for cut in found.cuts:
            raw = series.raw(cut.day, request.seconds)
            rows += _rows(series, RawCandles(raw.times[cut.first : cut.last], raw.values[cut.first : cut.last]))
        if found.forming is not None:
            rows += _rows(series, found.forming, closed=False)
        return rows

    def ordered(self, rows: list[Row], seconds: int) -> bytes:
        """Return the given rows, which are in ascending order, as JSON in the exchange's order."""
        return self.format(rows[::-1] if self.venue.descending else rows, seconds)

    def format(self, rows: list[Row], seconds: int) -> bytes:
        """Return the given rows as JSON, in the given order."""
        texts = []
        for row in rows:
            opened, high, low, close, volume = row.texts
            candle = Candle(row.time, opened, high, low, close, volume, seconds, row.closed, row.cut_ms)
            texts.append(self.venue.wire.row(candle) if row.json is None else row.json)
        return with_absent_values(",".join(texts).encode())

    def times(self, series: ServedSeries, request: CandleRequest, found: Selection) -> tuple[int | None, int | None]:
        """Return the times (epoch ms) of the first and the last row of a selection; without rows, (None, None)."""
        if found.count == 0:
            return None, None
        edges: list[int] = []
        for cut in found.cuts[:1] + found.cuts[-1:]:
            times = self.cache.get(series, request.seconds, cut.day).times
            edges += [int(times[cut.first]), int(times[cut.last - 1])]
        if found.forming is not None:
            edges.append(int(found.forming.times[0]))
        return edges[0], edges[-1]

    def _bounds(self, series: ServedSeries, request: CandleRequest, running: int) -> tuple[int, int]:
        """Return the time range [start, end) in epoch ms from which finished candles are selected."""
        start = max(request.start or 0, self.venue.candle_start(series.first_ms, request.seconds))
        end = running if request.end is None else min(request.end, running)
        if series.last_ms is not None:
            end = min(end, series.last_ms + 1)
        return start, max(end, start)

    def _oldest(self, series: ServedSeries, request: CandleRequest, start: int, end: int) -> list[Cut]:
        cuts, left = [], request.limit
        for day in range(start // DAY_MS, -(-end // DAY_MS)):
            first, last = self._within(series, request, day, start, end)
            last = min(last, first + left)
            if last > first:
                cuts.append(Cut(day, first, last))
                left -= last - first
            if left == 0:
                break
        return cuts

    def _newest(self, series: ServedSeries, request: CandleRequest, start: int, end: int, left: int) -> list[Cut]:
        cuts: list[Cut] = []
        for day in range(-(-end // DAY_MS) - 1, start // DAY_MS - 1, -1):
            first, last = self._within(series, request, day, start, end)
            first = max(first, last - left)
            if last > first:
                cuts.append(Cut(day, first, last))
                left -= last - first
            if left <= 0:
                break
        return cuts[::-1]

    def _within(self, series: ServedSeries, request: CandleRequest, day: int, start: int, end: int) -> tuple[int, int]:
        first, last = np.searchsorted(self.cache.get(series, request.seconds, day).times, [start, end])
        return int(first), int(last)


def _format(series: ServedSeries, seconds: int, day: int) -> Block:
    raw = series.raw(day, seconds)
    rows = series.venue.wire.rows(raw.times.tolist(), series.texts(raw), seconds, True)
    return Block(raw.times, rows, series.venue.descending)


def _rows(series: ServedSeries, raw: RawCandles, *, closed: bool = True) -> list[Row]:
    texts = zip(*series.texts(raw), strict=True)
    return [Row(time, list(row), closed) for time, row in zip(raw.times.tolist(), texts, strict=True)]
