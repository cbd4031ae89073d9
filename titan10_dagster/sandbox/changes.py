"""Changes to the candles of one symbol: restated, absent, rescaled or shifted candles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from titan10_dagster.sandbox.truth import DAY_MS, Floats, RawCandles, Values


class Rescaling(NamedTuple):
    """Factors for the prices and volumes of candles in [start, end), as after a redenomination. `end` None: no end."""

    start: int
    end: int | None
    prices: float
    volumes: float


class Shift(NamedTuple):
    """A shift by `ms` milliseconds: all candles in [start, end) start this much later."""

    start: int
    end: int
    ms: int


class Changes:
    """The changes of one symbol. They are applied in this order: restated, rescaled, absent, shifted."""

    def __init__(self) -> None:
        self._restated: dict[int, Floats | None] = {}
        self._absent: set[tuple[int, int]] = set()
        self._rescalings: list[Rescaling] = []
        self._shifts: list[Shift] = []

    def restate(self, at_ms: int, units: Floats | None) -> None:
        """Replace the values of the candle at `at_ms`, or remove the candle.

        `units`: the new values (open to volume) in the source's unit; None to remove the candle.
        """
        self._restated[at_ms] = units

    def restated_times(self) -> list[int]:
        """Return the times of all candles with new values. They include candles that the source does not have."""
        return [at for at, values in self._restated.items() if values is not None]

    def rescale(self, rescaling: Rescaling) -> None:
        self._rescalings.append(rescaling)

    def shift(self, shift: Shift) -> None:
        self._shifts.append(shift)

    def hide(self, start_ms: int, end_ms: int) -> None:
        """Remove the candles that start in [start, end), including restated candles."""
        self._absent.add((start_ms, end_ms))

    def show(self, start_ms: int, end_ms: int) -> None:
        """Undo a call of `hide` with the same bounds."""
        self._absent.discard((start_ms, end_ms))

    def applied(self, raw: RawCandles, day: int) -> RawCandles:
        """Return the candles of a UTC day with all changes."""
        found = self._shown(self._rescaled(self._overlaid(raw, day)))
        for shift in self._shifts:
            late = (found.times >= shift.start) & (found.times < shift.end)
            found = RawCandles(found.times + np.where(late, shift.ms, 0), found.values)
        return found

    def _rescaled(self, raw: RawCandles) -> RawCandles:
        values = raw.values
        for change in self._rescalings:
            inside = raw.times >= change.start
            if change.end is not None:
                inside &= raw.times < change.end
            if inside.any():
                factors = np.array([change.prices] * 4 + [change.volumes])
                values = np.where(inside[:, None], _in_units(values * factors, values), values)
        return RawCandles(raw.times, values)

    def _shown(self, raw: RawCandles) -> RawCandles:
        if not self._absent:
            return raw
        there = np.ones(len(raw.times), np.bool_)
        for start, end in self._absent:
            there &= (raw.times < start) | (raw.times >= end)
        return RawCandles(raw.times[there], raw.values[there])

    def _overlaid(self, raw: RawCandles, day: int) -> RawCandles:
        changed = [at for at in self._restated if at // DAY_MS == day]
        if not changed:
            return raw
        rows = {int(at): values for at, values in zip(raw.times, raw.values, strict=True)}
        for at in changed:
            values_now = self._restated[at]
            if values_now is None:
                rows.pop(at, None)
            else:
                rows[at] = values_now
        times = np.array(sorted(rows), dtype=np.int64)
        values = np.array([rows[at] for at in sorted(rows)]).reshape(-1, 5).astype(raw.values.dtype)
        return RawCandles(times, values)


def _in_units(changed: Floats, before: Values) -> Values:
    """Return the changed values. If `before` has whole numbers, the changed values are rounded to whole numbers.

    If a value was above zero before, it is rounded to 1 or more.
    """
    if before.dtype.kind == "f":
        return changed
    return np.where(before > 0, np.maximum(np.rint(changed), 1), 0).astype(np.int64)
