"""One symbol's candles as the sandbox serves them: computed or replayed, with what was rewritten since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from titan10_dagster.sandbox.replay import Replay
from titan10_dagster.sandbox.truth import DAY_MS, Floats, Raw, aggregate, as_rows, day_of, scales
from titan10_dagster.sandbox.venues.venue import Instrument, Venue


class Source(Protocol):
    """Where candles come from; `seconds` is their interval, `first_ms` and `last_ms` bound them."""

    seconds: int
    first_ms: int
    last_ms: int | None

    def day(self, day: int) -> Raw:
        """All candles of one UTC day, in the source's unit."""

    def rows(self, raw: Raw) -> Floats:
        """(n, 6): epoch ms and the five values."""

    def units(self, values: Sequence[float]) -> Floats:
        """Five values in the source's unit."""

    def texts(self, raw: Raw, pad: int | None, trim: bool) -> list[list[str]]:
        """Five columns of decimal strings, whose float is exactly the value in `rows`."""


class Computed:
    """Candles of `truth`, in whole numbers of the smallest unit."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.seconds = 60
        self.first_ms = instrument.listed_ms
        self.last_ms: int | None = None if instrument.delisted_ms is None else instrument.delisted_ms - 1
        self._decimals = [instrument.price_decimals] * 4 + [instrument.volume_decimals]

    def day(self, day: int) -> Raw:
        return day_of(self.instrument, day)

    def rows(self, raw: Raw) -> Floats:
        return as_rows(raw, scales(self.instrument))

    def units(self, values: Sequence[float]) -> Floats:
        return np.rint(np.asarray(values) * scales(self.instrument))

    def texts(self, raw: Raw, pad: int | None, trim: bool) -> list[list[str]]:
        columns = (raw.values / scales(self.instrument)).T.tolist()
        return [
            _decimal_texts(column, decimals, pad, trim)
            for column, decimals in zip(columns, self._decimals, strict=True)
        ]


class Replayed:
    """Candles of a file, as they are."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self.seconds, self.first_ms = replay.seconds, replay.first_ms
        self.last_ms: int | None = replay.last_ms

    def day(self, day: int) -> Raw:
        return self._replay.day(day)

    def rows(self, raw: Raw) -> Floats:
        return as_rows(raw, np.ones(5))

    def units(self, values: Sequence[float]) -> Floats:
        return np.asarray(values, dtype=np.float64)

    def texts(self, raw: Raw, pad: int | None, trim: bool) -> list[list[str]]:
        return [[_shortest_text(value, pad, trim) for value in column] for column in raw.values.T.tolist()]


class Series:
    """The served candles of one symbol on one exchange."""

    def __init__(self, venue: Venue, instrument: Instrument, replay: Replay | None = None) -> None:
        self.venue = venue
        self.instrument = instrument
        self.source: Source = Computed(instrument) if replay is None else Replayed(replay)
        self._restated: dict[int, Floats | None] = {}
        self._absent: set[tuple[int, int]] = set()

    @property
    def first_ms(self) -> int:
        return min([self.source.first_ms, *(at for at, new in self._restated.items() if new is not None)])

    @property
    def last_ms(self) -> int | None:
        return self.source.last_ms

    def restate(self, at_ms: int, values: Sequence[float] | None) -> None:
        """From now on the candle at `at_ms` has these values (open to volume); None: it is gone.

        Values of a computed series are rounded to its smallest unit.
        """
        self._restated[at_ms] = None if values is None else self.source.units(values)

    def hide(self, start_ms: int, end_ms: int) -> None:
        """From now on there is no candle that starts in [start, end), whatever else is said of it."""
        self._absent.add((start_ms, end_ms))

    def show(self, start_ms: int, end_ms: int) -> None:
        """The stretch that was hidden with these bounds is there again."""
        self._absent.discard((start_ms, end_ms))

    def raw(self, day: int, seconds: int) -> Raw:
        """The candles of one UTC day at a timeframe; none at one shorter than the source's."""
        found = self._shown(self._overlaid(self.source.day(day), day))
        if seconds < self.source.seconds:
            return Raw(found.times[:0], found.values[:0])
        return aggregate(found, seconds)

    def rows(self, start_ms: int, end_ms: int, seconds: int) -> Floats:
        """Finished candles of the half-open range as (n, 6)."""
        days = range(start_ms // DAY_MS, -(-end_ms // DAY_MS))
        parts = [self.source.rows(self.raw(day, seconds)) for day in days]
        found = np.concatenate(parts) if parts else np.empty((0, 6))
        return found[(found[:, 0] >= start_ms) & (found[:, 0] < end_ms)]

    def forming(self, now_ms: int, seconds: int) -> Raw | None:
        """The candle that is still forming at `now_ms`; None where the running interval has no trade yet."""
        step = self.source.seconds * 1_000
        start = now_ms // (seconds * 1_000) * (seconds * 1_000)
        raw = self.raw(now_ms // DAY_MS, self.source.seconds)
        inside = (raw.times >= start) & (raw.times <= now_ms)
        if seconds < self.source.seconds or not inside.any():
            return None
        times, values = raw.times[inside], raw.values[inside].copy()
        if times[-1] + step > now_ms:
            values[-1] = self._partial(values[-1], (now_ms - times[-1]) / step)
        return aggregate(Raw(times, values), seconds)

    def texts(self, raw: Raw) -> list[list[str]]:
        return self.source.texts(raw, self.venue.pad, self.venue.trim)

    def _partial(self, values: Floats, share: float) -> Floats:
        """What a candle looks like when only a share of its time has passed."""
        moved = values[0] + np.trunc((values[:4] - values[0]) * share)
        if values.dtype.kind == "f":
            moved = values[0] + (values[:4] - values[0]) * (share >= 0.5)
        high, low = max(moved[1], moved[0], moved[3]), min(moved[2], moved[0], moved[3])
        return np.array([moved[0], high, low, moved[3], values[4] * share]).astype(values.dtype)

    def _shown(self, raw: Raw) -> Raw:
        if not self._absent:
            return raw
        there = np.ones(len(raw.times), np.bool_)
        for start, end in self._absent:
            there &= (raw.times < start) | (raw.times >= end)
        return Raw(raw.times[there], raw.values[there])

    def _overlaid(self, raw: Raw, day: int) -> Raw:
        changed = [at for at in self._restated if at // DAY_MS == day]
        if not changed:
            return raw
        rows = {int(at): values for at, values in zip(raw.times, raw.values, strict=True)}
        rows.update({at: values for at in changed if (values := self._restated[at]) is not None})
        for at in changed:
            if self._restated[at] is None:
                rows.pop(at, None)
        times = np.array(sorted(rows), dtype=np.int64)
        values = np.array([rows[at] for at in sorted(rows)]).reshape(-1, 5).astype(raw.values.dtype)
        return Raw(times, values)


def _decimal_texts(column: list[float], decimals: int, pad: int | None, trim: bool) -> list[str]:
    """Exact, because the numbers have no more than 15 digits."""
    zeros = "" if pad is None or pad <= decimals else "." * (decimals == 0) + "0" * (pad - decimals)
    form = f"%.{decimals}f{zeros}"
    texts = [form % value for value in column]
    if trim and decimals:
        return [text.rstrip("0").rstrip(".") for text in texts]
    return texts


def _shortest_text(value: float, pad: int | None, trim: bool) -> str:
    """The shortest decimal string whose float is `value`, never with an exponent."""
    text = repr(value)
    if "e" in text:
        text = np.format_float_positional(value, trim="0")
    if trim and text.endswith(".0"):
        return text[:-2]
    missing = 0 if pad is None else pad - (len(text) - text.index(".") - 1)
    return text + "0" * missing
