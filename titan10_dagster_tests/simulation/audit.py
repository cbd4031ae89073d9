"""Rules for the tables of one series. After any events, these rules must be followed.

The rules are checked with the rows alone, without the product.

- No candle is stored twice, and no candle is off the grid. The view `ohlcv` shows exactly the stored candles.
- If a day has a ledger row, each candle of the day is either stored or in exactly one gap.
- The ledger's counts equal the counts of candles and gaps. On a day without a ledger row, there is no gap and no
  candle.
- Each silence in the evidence is one stretch of gaps with one reason, and each such gap has its evidence.
- `ohlcv_filled` adds a candle exactly where a gap `no_trades` follows a stored candle, with nothing but such gaps and
  no break of the series in between: at the last close, without volume.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta

import numpy as np
from numpy.typing import NDArray

from titan10_dagster_tests.simulation.grid import Counts, Floats, Grid, Mask
from titan10_dagster_tests.simulation.tables import LedgerRow, SeriesTables

WITH_EVIDENCE = ("outage", "halted", "not_listed")
_MOST = 4  # the maximum number of complaints of one kind


class Audit:
    """The rows of one series as masks over the grid."""

    def __init__(self, tables: SeriesTables, grid: Grid) -> None:
        self.tables, self.grid = tables, grid
        self.stored = grid.at(tables.candles[:, 0])
        self.missing = self._missing()

    def complaints(self) -> Iterator[str]:
        yield from self._candles()
        yield from self._accounting()
        yield from self._evidence()
        yield from self._filled_rows()

    def filled(self) -> Mask:
        """Return the cells with a synthetic candle of `ohlcv_filled`."""
        rows = self.tables.filled
        return self.grid.at(rows.candles[rows.synthetic, 0])

    # -- candles

    def _candles(self) -> Iterator[str]:
        times = self.tables.candles[:, 0]
        step = self.grid.step / timedelta(milliseconds=1)
        if len(np.unique(times)) != len(times):
            yield f"{len(times) - len(np.unique(times))} candles are stored twice"
        if (times % step).any():
            yield f"{int((times % step != 0).sum())} candles lie off the grid"
        outside = len(times) - int(self.stored.sum())
        if outside:
            yield f"{outside} candles lie outside of the time that was simulated"
        if not np.array_equal(self.tables.candles, self.tables.visible):
            yield "the view ohlcv does not show the stored candles"

    # -- every candle has one place

    def _accounting(self) -> Iterator[str]:
        covered = self._covered()
        expected = self._expected()
        yield from self._spans(self.stored & (covered > 0), "is stored and lies in a gap")
        yield from self._spans(covered > 1, "lies in more than one gap")
        yield from self._spans(expected & ~self.stored & (covered == 0), "is missing without a gap")
        yield from self._spans(~expected & (self.stored | (covered > 0)), "lies on no day of the ledger")
        for gap in self.tables.gaps:
            if gap.candles * self.grid.step != gap.end - gap.start:
                yield f"the gap from {gap.start} to {gap.end} counts {gap.candles} candles"
            if gap.start.date() != (gap.end - timedelta(microseconds=1)).date():
                yield f"the gap from {gap.start} to {gap.end} crosses midnight"
        for row in self.tables.ledger.values():
            yield from self._counts(row)

    def _counts(self, row: LedgerRow) -> Iterator[str]:
        cells = self.grid.day(datetime.combine(row.day, time(), UTC))
        present = int(self.stored[cells].sum())
        if present != row.present:
            yield f"{row.day}: the ledger counts {row.present} candles, {present} are stored"
        if row.present + sum(row.counts.values()) != row.expected:
            yield f"{row.day}: the ledger's counts do not add up to {row.expected}"
        for reason, count in row.counts.items():
            found = int(self.missing[reason][cells].sum()) if reason in self.missing else 0
            if found != count:
                yield f"{row.day}: the ledger counts {count} candles {reason}, the gaps have {found}"

    def _covered(self) -> Counts:
        covered = np.zeros(self.grid.size, np.int64)
        for gap in self.tables.gaps:
            covered += self.grid.within(gap.start, gap.end)
        return covered

    def _expected(self) -> Mask:
        expected = self.grid.none()
        for row in self.tables.ledger.values():
            start = datetime.combine(row.day, time(), UTC)
            expected |= self.grid.within(start, start + row.expected * self.grid.step)
        return expected

    def _missing(self) -> Mapping[str, Mask]:
        found: dict[str, Mask] = {}
        for gap in self.tables.gaps:
            mask = found.setdefault(gap.reason, self.grid.none())
            mask |= self.grid.within(gap.start, gap.end)
        return found

    # -- the evidence for silences

    def _evidence(self) -> Iterator[str]:
        for reason in WITH_EVIDENCE:
            proven = self.grid.none()
            for silence in self.tables.silences:
                if silence.reason == reason:
                    proven |= self.grid.within(silence.start, silence.end)
            called = self.missing.get(reason, self.grid.none())
            yield from self._spans(called & ~proven, f"is called {reason} without evidence")
            yield from self._spans(proven & ~called, f"is not called {reason}, although the evidence says so")
        for silence in self.tables.silences:
            if silence.reason == "outage" and silence.witness is None:
                yield f"the outage of {silence.start} has no witness"

    # -- ohlcv_filled

    def _filled_rows(self) -> Iterator[str]:
        rows = self.tables.filled
        if not np.array_equal(rows.candles[~rows.synthetic], self.tables.visible):
            yield "the rows of ohlcv_filled that are not synthetic are not those of ohlcv"
        if len(np.unique(rows.candles[:, 0])) != len(rows.candles):
            yield "ohlcv_filled gives a candle twice"
        expected = self._fillable()
        yield from self._spans(self.filled() & ~expected, "is made up by ohlcv_filled")
        yield from self._spans(expected & ~self.filled(), "could be filled by ohlcv_filled, and is not")
        yield from self._made_up_values(rows.candles[rows.synthetic], rows.reasons[rows.synthetic])

    def _fillable(self) -> Mask:
        """Return the cells of gaps `no_trades` that directly follow a stored candle or another such cell."""
        empty = self.missing.get("no_trades", self.grid.none())
        fillable, carried = [], False
        # Python's own booleans are used, because numpy's booleans take four times as long.
        cells = zip(self.stored.tolist(), empty.tolist(), self._before_breaks().tolist(), strict=True)
        for stored, is_empty, blocked in cells:
            if stored:
                carried = not blocked
            elif not is_empty:
                carried = False
            fillable.append(carried and not stored)
        return np.array(fillable, np.bool_)

    def _before_breaks(self) -> Mask:
        """Return the last stored candle before each break. Its close must not be carried over the break."""
        blocked = self.grid.none()
        cells = np.flatnonzero(self.stored)
        for instant in self.tables.breaks:
            before = cells[cells < self.grid.cell(instant)]
            if len(before):
                blocked[before[-1]] = True
        return blocked

    def _made_up_values(self, synthetic: Floats, reasons: NDArray[np.object_]) -> Iterator[str]:
        times, closes = self.tables.candles[:, 0], self.tables.candles[:, 4]
        # The close before the first candle is NaN, which is not equal to any value.
        before = np.concatenate(([np.nan], closes))[np.searchsorted(times, synthetic[:, 0])]
        expected = np.column_stack([before, before, before, before, np.zeros(len(before))])
        wrong = int(((synthetic[:, 1:] != expected).any(axis=1) | (reasons != "no_trades")).sum())
        if wrong:
            yield f"{wrong} candles of ohlcv_filled are not the last close without volume"

    def _spans(self, wrong: Mask, what: str) -> Iterator[str]:
        for span, cells in list(self.grid.spans(wrong))[:_MOST]:
            yield f"{span} ({cells}) {what}"
