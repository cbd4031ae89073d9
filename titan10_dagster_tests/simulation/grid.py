"""The candles of a stretch of time as masks: one cell for each candle of the grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from titan10_dagster.candles.slices import to_ms
from titan10_dagster_tests.simulation.events import Span

Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """A grid of `size` candles of the length `step`. The first candle starts at `start` (aware, UTC)."""

    start: datetime
    step: timedelta
    size: int

    @property
    def end(self) -> datetime:
        return self.start + self.size * self.step

    def none(self) -> Mask:
        return np.zeros(self.size, np.bool_)

    def all(self) -> Mask:
        return np.ones(self.size, np.bool_)

    def cell(self, instant: datetime) -> int:
        """Return the cell that contains the instant. The cell may be outside of the grid."""
        return (instant - self.start) // self.step

    def time(self, cell: int) -> datetime:
        return self.start + int(cell) * self.step

    def floor(self, instant: datetime) -> datetime:
        """Return the start of the candle that contains the instant."""
        return self.time(self.cell(instant))

    def at(self, times_ms: Floats) -> Mask:
        """Return the cells that contain these instants (epoch ms). Instants outside of the grid are left out."""
        cells = ((times_ms - to_ms(self.start)) // (self.step / timedelta(milliseconds=1))).astype(np.int64)
        mask = self.none()
        mask[cells[(cells >= 0) & (cells < self.size)]] = True
        return mask

    def of(self, instants: Iterable[datetime]) -> Mask:
        return self.at(np.array([to_ms(instant) for instant in instants], np.float64))

    def within(self, start: datetime, end: datetime) -> Mask:
        """Return the cells from the cell that contains `start` to the last cell that begins before `end`."""
        mask = self.none()
        mask[self._bounded(self.cell(start)) : self._bounded(-(-(end - self.start) // self.step))] = True
        return mask

    def in_span(self, span: Span) -> Mask:
        """Return the cells of a span. An end within a minute counts as the start of that minute."""
        mask = self.none()
        mask[self._bounded(self.cell(span.start)) : self._bounded(self.cell(span.end))] = True
        return mask

    def day(self, day: datetime) -> slice:
        """Return the cells of the UTC day that begins at `day`."""
        first = self._bounded(self.cell(day))
        return slice(first, self._bounded(self.cell(day + timedelta(days=1))))

    def spans(self, mask: Mask) -> Iterator[tuple[Span, int]]:
        """Yield each run of True as a span, with its number of cells."""
        for first, last in runs(mask):
            yield Span(self.time(first), self.time(last)), last - first

    def _bounded(self, cell: int) -> int:
        return min(max(cell, 0), self.size)


def runs(mask: Mask) -> list[tuple[int, int]]:
    """Return the runs [first, last) of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def grown(seed: Mask, within: Mask) -> Mask:
    """Return the runs of `within` that contain a cell of `seed`."""
    starts = within & ~np.concatenate([[False], within[:-1]])
    run = np.cumsum(starts)
    return within & np.isin(run, run[seed])
