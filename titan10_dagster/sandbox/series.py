"""The candles of one symbol as the sandbox serves them: computed or replayed, with all changes applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from titan10_dagster.sandbox.changes import Changes
from titan10_dagster.sandbox.replay import Replay
from titan10_dagster.sandbox.truth import (
    DAY_MS,
    Floats,
    RawCandles,
    as_rows,
    at_timeframe,
    candles_of_day,
    scales,
)
from titan10_dagster.sandbox.venues.instrument import Instrument
from titan10_dagster.sandbox.venues.venue import SandboxVenue


class Source(Protocol):
    """A source of candles. `seconds`: their timeframe.

    No candle starts before `first_ms` or after `last_ms` (epoch ms). `last_ms` is None if the candles have no end.
    """

    seconds: int
    first_ms: int
    last_ms: int | None

    def day(self, day: int) -> RawCandles:
        """Return all candles of one UTC day. Prices and volumes are in the source's own unit (see `units`)."""

    def rows(self, raw: RawCandles) -> Floats:
        """Return the candles as an array (n, 6): epoch ms and the five values."""

    def units(self, values: Sequence[float]) -> Floats:
        """Convert the five values of a candle (prices and volume) to the source's unit."""

    def texts(self, raw: RawCandles, pad: int | None, trim: bool) -> list[list[str]]:
        """Return five columns of decimal strings. Each string parses to exactly the float that `rows` returns.

        `pad`, `trim`: see `SandboxVenue`.
        """


class Computed:
    """The candles that the module `truth` computes, as whole numbers of the smallest unit."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.seconds = 60
        self.first_ms = instrument.listed_ms
        self.last_ms: int | None = None if instrument.delisted_ms is None else instrument.delisted_ms - 1
        self._decimals = [instrument.price_decimals] * 4 + [instrument.volume_decimals]

    def day(self, day: int) -> RawCandles:
        return candles_of_day(self.instrument, day)

    def rows(self, raw: RawCandles) -> Floats:
        return as_rows(raw, scales(self.instrument))

    def units(self, values: Sequence[float]) -> Floats:
        return np.rint(np.asarray(values) * scales(self.instrument))

    def texts(self, raw: RawCandles, pad: int | None, trim: bool) -> list[list[str]]:
        columns = (raw.values / scales(self.instrument)).T.tolist()
        return [
            _decimal_texts(column, decimals, pad, trim)
            for column, decimals in zip(columns, self._decimals, strict=True)
        ]


class Replayed:
    """The candles of a file, before any changes."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self.seconds, self.first_ms = replay.seconds, replay.first_ms
        self.last_ms: int | None = replay.last_ms

    def day(self, day: int) -> RawCandles:
        return self._replay.day(day)

    def rows(self, raw: RawCandles) -> Floats:
        return as_rows(raw, np.ones(5))

    def units(self, values: Sequence[float]) -> Floats:
        return np.asarray(values, dtype=np.float64)

    def texts(self, raw: RawCandles, pad: int | None, trim: bool) -> list[list[str]]:
        return [[_shortest_text(value, pad, trim) for value in column] for column in raw.values.T.tolist()]


class ServedSeries:
    """The served candles of one symbol on one exchange."""

    def __init__(self, venue: SandboxVenue, instrument: Instrument, replay: Replay | None = None) -> None:
        self.venue = venue
        self.instrument = instrument
        self._replay = replay
        self.source: Source = Computed(instrument) if replay is None else Replayed(replay)
        self.changes = Changes()

    @property
    def first_ms(self) -> int:
        return min([self.source.first_ms, *self.changes.restated_times()])

    @property
    def last_ms(self) -> int | None:
        return self.source.last_ms

    def become(self, instrument: Instrument) -> None:
        """Replace the instrument, for example by an instrument with another name or with other periods of trading.

        A replay keeps its candles.
        """
        self.instrument = instrument
        if self._replay is None:
            self.source = Computed(instrument)

    def raw(self, day: int, seconds: int) -> RawCandles:
        """Return the candles of a timeframe of `seconds` that start on a UTC day.

        If the source has a longer timeframe, the result is empty.
        """
        if seconds < self.source.seconds:
            found = self._base(day)
            return RawCandles(found.times[:0], found.values[:0])
        return at_timeframe(self._base, day, seconds, self.venue)

    def rows(self, start_ms: int, end_ms: int, seconds: int) -> Floats:
        """Return the candles that start in [start_ms, end_ms), as an array (n, 6)."""
        days = range(start_ms // DAY_MS, -(-end_ms // DAY_MS))
        parts = [self.source.rows(self.raw(day, seconds)) for day in days]
        found = np.concatenate(parts) if parts else np.empty((0, 6))
        return found[(found[:, 0] >= start_ms) & (found[:, 0] < end_ms)]

    def forming(self, now_ms: int, seconds: int) -> RawCandles | None:
        """Return the candle of a timeframe of `seconds` that is unfinished at `now_ms`.

        Return None if the source has no candle in this time yet, or if the source has a longer timeframe.
        """
        step = self.source.seconds * 1_000
        start = self.venue.candle_start(now_ms, seconds)
        days = range(start // DAY_MS, now_ms // DAY_MS + 1)
        parts = [self._base(day) for day in days]
        times = np.concatenate([part.times for part in parts])
        values = np.concatenate([part.values for part in parts])
        inside = (times >= start) & (times <= now_ms)
        if seconds < self.source.seconds or not inside.any():
            return None
        times, values = times[inside], values[inside].copy()
        if times[-1] + step > now_ms:
            values[-1] = self._partial(values[-1], (now_ms - times[-1]) / step)
        both = at_timeframe(lambda _: RawCandles(times, values), start // DAY_MS, seconds, self.venue)
        return RawCandles(both.times[-1:], both.values[-1:])

    def texts(self, raw: RawCandles) -> list[list[str]]:
        return self.source.texts(raw, self.venue.pad, self.venue.trim)

    def _base(self, day: int) -> RawCandles:
        """Return the candles of a UTC day in the source's own timeframe, with all changes applied."""
        return self.changes.applied(self.source.day(day), day)

    def _partial(self, values: Floats, share: float) -> Floats:
        """Return the values of a candle after a `share` of its time has passed."""
        moved = values[0] + np.trunc((values[:4] - values[0]) * share)
        if values.dtype.kind == "f":
            moved = values[0] + (values[:4] - values[0]) * (share >= 0.5)
        high, low = max(moved[1], moved[0], moved[3]), min(moved[2], moved[0], moved[3])
        return np.array([moved[0], high, low, moved[3], values[4] * share]).astype(values.dtype)


def _decimal_texts(column: list[float], decimals: int, pad: int | None, trim: bool) -> list[str]:
    """Return numbers of at most 15 digits as decimal texts. The texts are exact.

    The texts have `decimals` decimals. If `pad` is larger, they have `pad` decimals. `trim` cuts off zeros at the end.
    """
    zeros = ""
    if pad is not None and pad > decimals:
        point = "" if decimals else "."
        zeros = point + "0" * (pad - decimals)
    form = f"%.{decimals}f{zeros}"
    texts = [form % value for value in column]
    if trim and decimals:
        return [text.rstrip("0").rstrip(".") for text in texts]
    return texts


def _shortest_text(value: float, pad: int | None, trim: bool) -> str:
    """Return the shortest decimal string without an exponent that parses to `value`.

    If the string has fewer than `pad` decimals, zeros are added. `trim` cuts off ".0" at the end.
    """
    text = repr(value)
    if "e" in text:
        text = np.format_float_positional(value, trim="0")
    if trim and text.endswith(".0"):
        return text[:-2]
    missing = 0 if pad is None else pad - (len(text) - text.index(".") - 1)
    return text + "0" * missing
