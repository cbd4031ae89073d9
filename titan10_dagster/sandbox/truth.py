"""The candles that the sandbox's exchanges have: a pure function of (exchange, symbol, minute).

The logarithm of a price is a sum of noise on ten time scales, from one minute to half a year. The price of any minute
can therefore be computed without the minutes before it. The price of an asset is the same random walk on all exchanges,
and each exchange adds a little noise. Prices and volumes stay whole numbers of the smallest unit as long as possible.
So the decimal string in an answer and the float64 in this module are the same number.

Some candles are missing by rule (the figures are in `SandboxVenue` and `Asset`):
- A symbol has no candle before its listing, and no candle while it is delisted.
- A minute without a trade is absent, or a flat row of volume 0 if the exchange fills empty minutes.
  `Instrument.quiet` is the share of minutes without a trade. They occur in clusters.
- On average, one day in `SandboxVenue.outage_every` days has an outage of 5 to 44 minutes. No symbol of the exchange
  has a candle in these minutes.

The candles are always computed for whole days, because NumPy can round differently in arrays of different lengths. The
same machine therefore always computes the same candles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from titan10_dagster.sandbox.instruments import Asset, asset, instrument
from titan10_dagster.sandbox.venues.instrument import Instrument
from titan10_dagster.sandbox.venues.registry import venue
from titan10_dagster.sandbox.venues.venue import SandboxVenue
from titan10_dagster.sandbox.venues.wire import DAY, HOUR, MINUTE

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Values = npt.NDArray[np.int64 | np.float64]

TIMEFRAMES = {
    "1m": MINUTE, "3m": 3 * MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE,
    "1h": HOUR, "2h": 2 * HOUR, "4h": 4 * HOUR, "6h": 6 * HOUR, "8h": 8 * HOUR, "12h": 12 * HOUR, "1d": DAY,
}  # fmt: skip
DAY_MS = DAY * 1_000
_MINUTES = 1_440
# A price is a sum of random movements, one for each of these time scales (in minutes, from one minute to half a year).
_SCALES = tuple(4**power for power in range(10))


class RawCandles(NamedTuple):
    """Candles in ascending order: `times` (n,) epoch ms, `values` (n, 5) in the source's own unit."""

    times: Ints
    values: Values


def candles(exchange: str, symbol: str, start_ms: int, end_ms: int, timeframe: str = "1m") -> Floats:
    """Return the candles in [start_ms, end_ms) as an array (n, 6): epoch ms, open, high, low, close, volume."""
    served = venue(exchange)
    traded, seconds = instrument(served, symbol), TIMEFRAMES[timeframe]

    def minutes(day: int) -> RawCandles:
        return candles_of_day(traded, day)

    days = range(start_ms // DAY_MS, -(-end_ms // DAY_MS))
    parts = [as_rows(at_timeframe(minutes, day, seconds, served), scales(traded)) for day in days]
    rows = np.concatenate(parts) if parts else np.empty((0, 6))
    return rows[(rows[:, 0] >= start_ms) & (rows[:, 0] < end_ms)]


def at_timeframe(minutes: Callable[[int], RawCandles], day: int, seconds: int, exchange: SandboxVenue) -> RawCandles:
    """Return the candles of a timeframe of `seconds` that start on a UTC day.

    `minutes`: a function that returns the candles of a UTC day, from which longer candles are aggregated.
    On some exchanges, 1d candles do not start at 00:00 UTC. On these exchanges, a 1d candle also includes minutes of
    the next UTC day.
    """
    if seconds != DAY or exchange.day_starts == 0:
        return aggregate(minutes(day), seconds)
    offset = exchange.day_starts * 3_600_000
    both = [minutes(day), minutes(day + 1)]
    times = np.concatenate([part.times for part in both])
    values = np.concatenate([part.values for part in both])
    inside = (times >= day * DAY_MS + offset) & (times < (day + 1) * DAY_MS + offset)
    return aggregate(RawCandles(times[inside], values[inside]), seconds, offset)


def scales(traded: Instrument) -> Floats:
    """Return five divisors. They turn the five whole numbers of a candle into prices and a volume."""
    return np.array([10.0**traded.price_decimals] * 4 + [10.0**traded.volume_decimals])


def as_rows(raw: RawCandles, divisors: Floats) -> Floats:
    return np.column_stack([raw.times.astype(np.float64), raw.values / divisors])


@lru_cache(maxsize=256)
def candles_of_day(traded: Instrument, day: int) -> RawCandles:
    """Return the 1m candles of one UTC day as whole numbers of the smallest unit. `day`: days since the epoch."""
    minutes, exchange = _minutes(day), venue(traded.exchange)
    values = _values(traded, exchange, day)
    traded_at = ~_quiet(traded, minutes[:-1])
    if exchange.empty_minutes == "filled":
        values = _filled(values, traded_at)
        there = _open_hours(traded, exchange, day)
    else:
        there = _open_hours(traded, exchange, day) & traded_at
    return RawCandles(minutes[:-1][there] * 60_000, values[there])


def aggregate(raw: RawCandles, seconds: int, offset: int = 0) -> RawCandles:
    """Combine candles into candles of `seconds` seconds, which start `offset` ms after multiples of this duration.

    If no candle falls into a longer candle, the longer candle is absent.
    With 60 seconds, candles that start in the same minute become one candle. If no minute has several candles, `raw` is
    returned unchanged, even if its times are not whole minutes (after the fault `shift`, or in a replayed file).
    """
    step = seconds * 1_000
    buckets = (raw.times - offset) // step
    if len(buckets) == 0:
        return raw
    first = np.flatnonzero(np.diff(buckets, prepend=buckets[0] - 1))
    if len(first) == len(buckets):
        return raw if seconds == MINUTE else RawCandles(buckets * step + offset, raw.values)
    last = np.append(first[1:], len(buckets)) - 1
    columns = [
        raw.values[first, 0],
        np.maximum.reduceat(raw.values[:, 1], first),
        np.minimum.reduceat(raw.values[:, 2], first),
        raw.values[last, 3],
        np.add.reduceat(raw.values[:, 4], first),
    ]
    return RawCandles(buckets[first] * step + offset, np.column_stack(columns))


def outage(exchange: SandboxVenue, day: int) -> tuple[int, int] | None:
    """Return the outage of a day as a range of minutes [first, end), counted from the start of the day.

    Return None if the day has no outage.
    """
    if exchange.outage_every is None:
        return None
    chance, at, length = _uniform(np.arange(3) + day * 3, _seed("outage", exchange.id))
    if chance * exchange.outage_every >= 1:
        return None
    first = int(at * (_MINUTES - 45))
    return first, first + 5 + int(length * 40)


def _open_hours(traded: Instrument, exchange: SandboxVenue, day: int) -> npt.NDArray[np.bool_]:
    times = day * DAY_MS + np.arange(_MINUTES, dtype=np.int64) * 60_000
    there = np.zeros(_MINUTES, np.bool_)
    for first, end in traded.spells:
        there |= (times >= first) & (times < (end if end is not None else times[-1] + 1))
    down = outage(exchange, day)
    if down is not None:
        there[down[0] : down[1]] = False
    return there


def _minutes(day: int) -> Ints:
    """Return the minutes of a UTC day and the first minute of the next day, as minutes since the epoch."""
    return np.arange(day * _MINUTES, (day + 1) * _MINUTES + 1, dtype=np.int64)


def _values(traded: Instrument, exchange: SandboxVenue, day: int) -> Ints:
    """Return the values of the day's minutes as an integer array of shape (1440, 5).

    The close of a minute is the open of the next minute.
    """
    base, quote = asset(traded.base), asset(traded.quote)
    minutes, seed = _minutes(day), _seed(traded.exchange, traded.symbol)
    log_price = _walk(base, day) - _walk(quote, day)
    log_price += 0.2 * base.volatility * _noise(minutes, 8, seed)
    price = np.exp(log_price)
    draws = _uniform(np.arange(minutes[0] * 5, minutes[-1] * 5), seed).reshape(-1, 5)
    body = np.sort(np.column_stack([price[:-1], price[1:]]))
    high = body[:, 1] * (1 + base.volatility * draws[:, 0] ** 2)
    low = body[:, 0] * (1 - base.volatility * draws[:, 1] ** 2)
    quoted = np.column_stack([price[:-1], high, low, price[1:]]) * 10.0**traded.price_decimals
    turnover = min(base.turnover, quote.turnover) * exchange.turnover / quote.dollars
    volume = turnover / price[:-1] * np.exp(4 * (draws[:, 2] + draws[:, 3] + draws[:, 4] - 1.5))
    lots = volume * 10.0**traded.volume_decimals
    return np.maximum(np.rint(np.column_stack([quoted, lots])), 1).astype(np.int64)


def _filled(values: Ints, traded_at: npt.NDArray[np.bool_]) -> Ints:
    """Return the values with flat candles in minutes without a trade.

    A flat candle has the close of the last minute with a trade. Before the first trade of the day, it has the first
    price of the day.
    """
    last = np.maximum.accumulate(np.where(traded_at, np.arange(len(values)), -1))
    flat = np.where(last >= 0, values[last, 3], values[0, 0])
    empty = np.column_stack([flat, flat, flat, flat, np.zeros_like(flat)])
    return np.where(traded_at[:, None], values, empty)


def _quiet(traded: Instrument, minutes: Ints) -> npt.NDArray[np.bool_]:
    """Return a mask of the minutes without a trade.

    Each block of 32 minutes has its own share of such minutes: 0.5 or 1.5 times `Instrument.quiet`, at most 0.98.
    """
    seed = _seed("quiet", traded.exchange, traded.symbol)
    mood = np.where(_uniform(minutes // 32, seed) < 0.5, 0.5, 1.5)
    quiet: npt.NDArray[np.bool_] = _uniform(minutes, seed + 1) < np.minimum(traded.quiet * mood, 0.98)
    return quiet


def _walk(walked: Asset, day: int) -> Floats:
    """Return the logarithm of an asset's price in dollars, for the minutes of a UTC day and the minute after it."""
    if walked.volatility == 0:
        return np.full(_MINUTES + 1, np.log(walked.dollars))
    return _random_walk(walked, day)


@lru_cache(maxsize=1_024)  # at most 12 MB; all exchanges and symbols share the walk of an asset
def _random_walk(walked: Asset, day: int) -> Floats:
    minutes = _minutes(day)
    total = np.full(len(minutes), np.log(walked.dollars))
    for scale in _SCALES:
        total += walked.volatility * scale**0.5 * _noise(minutes, scale, _seed("walk", walked.code, scale))
    return total


def _noise(minutes: Ints, scale: int, seed: int) -> Floats:
    """Return noise between -1 and 1: a random value every `scale` minutes, with straight lines between the values."""
    lattice = np.arange(minutes[0] // scale, minutes[-1] // scale + 2, dtype=np.int64)
    return np.interp(minutes, lattice * scale, 2 * _uniform(lattice, seed) - 1)


def _uniform(numbers: Ints, seed: int) -> Floats:
    """Return a uniform value in [0, 1) for each number, computed with splitmix64."""
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53


@lru_cache(maxsize=4_096)
def _seed(*words: str | int) -> int:
    text = " ".join(map(str, words)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 1
