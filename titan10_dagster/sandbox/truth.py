"""The candles that the sandbox's exchanges have: a pure function of (exchange, symbol, minute).

Prices are a walk in the logarithm: noise on a lattice, summed over ten scales from one minute to half a year,
so that any minute can be computed without the ones before it. An asset walks alike on all exchanges; an
exchange adds a little noise of its own. Prices and volumes are whole numbers of the smallest unit until the
very end, so the decimal string on the wire and the float64 here are the same number.

What is missing, by rule (`Venue` and `Asset` hold the figures):
- no candle before the symbol's listing, none after its delisting;
- a minute without a trade (share `Instrument.quiet`, in clusters) is a flat row of volume 0 where the exchange
  fills them and absent where it does not;
- on one day in `Venue.outage_every` the exchange is down for 5 to 44 minutes: absent for all of its symbols.

The same machine always computes the same candles; they are computed by whole days for that reason.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from titan10_dagster.sandbox.instruments import Asset, asset, instrument
from titan10_dagster.sandbox.venues.registry import venue
from titan10_dagster.sandbox.venues.venue import DAY, HOUR, MINUTE, Instrument, Venue

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

TIMEFRAMES = {
    "1m": MINUTE, "3m": 3 * MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE,
    "1h": HOUR, "2h": 2 * HOUR, "4h": 4 * HOUR, "6h": 6 * HOUR, "8h": 8 * HOUR, "12h": 12 * HOUR, "1d": DAY,
}  # fmt: skip
DAY_MS = DAY * 1_000
_MINUTES = 1_440
_SCALES = tuple(4**power for power in range(10))  # minutes: one to half a year


class Raw(NamedTuple):
    """Candles in ascending order: `times` (n,) epoch ms, `values` (n, 5) in the source's own unit."""

    times: Ints
    values: npt.NDArray[np.int64 | np.float64]


def candles(exchange: str, symbol: str, start_ms: int, end_ms: int, timeframe: str = "1m") -> Floats:
    """Candles of the half-open [start_ms, end_ms): (n, 6) of epoch ms, open, high, low, close, volume."""
    traded = instrument(venue(exchange), symbol)
    days = range(start_ms // DAY_MS, -(-end_ms // DAY_MS))
    parts = [as_rows(aggregate(day_of(traded, day), TIMEFRAMES[timeframe]), scales(traded)) for day in days]
    rows = np.concatenate(parts) if parts else np.empty((0, 6))
    return rows[(rows[:, 0] >= start_ms) & (rows[:, 0] < end_ms)]


def scales(traded: Instrument) -> Floats:
    """What the five whole numbers of a candle are divided by."""
    return np.array([10.0**traded.price_decimals] * 4 + [10.0**traded.volume_decimals])


def as_rows(raw: Raw, divisors: Floats) -> Floats:
    return np.column_stack([raw.times.astype(np.float64), raw.values / divisors])


@lru_cache(maxsize=256)
def day_of(traded: Instrument, day: int) -> Raw:
    """The 1m candles of one UTC day (days since the epoch) as whole numbers of the smallest unit."""
    minutes = np.arange(day * _MINUTES, (day + 1) * _MINUTES + 1, dtype=np.int64)
    exchange = venue(traded.exchange)
    values = _values(traded, exchange, minutes)
    traded_at = ~_quiet(traded, minutes[:-1])
    if exchange.empty_minutes == "filled":
        values = _filled(values, traded_at)
        there = _open_hours(traded, exchange, day)
    else:
        there = _open_hours(traded, exchange, day) & traded_at
    return Raw(minutes[:-1][there] * 60_000, values[there])


def aggregate(raw: Raw, seconds: int) -> Raw:
    """The candles of a longer timeframe; one without any minute in it is absent."""
    buckets = raw.times // (seconds * 1_000)
    if len(buckets) == 0:
        return raw
    first = np.flatnonzero(np.diff(buckets, prepend=buckets[0] - 1))
    if len(first) == len(buckets):
        return Raw(buckets * (seconds * 1_000), raw.values)
    last = np.append(first[1:], len(buckets)) - 1
    columns = [
        raw.values[first, 0],
        np.maximum.reduceat(raw.values[:, 1], first),
        np.minimum.reduceat(raw.values[:, 2], first),
        raw.values[last, 3],
        np.add.reduceat(raw.values[:, 4], first),
    ]
    return Raw(buckets[first] * (seconds * 1_000), np.column_stack(columns))


def outage(exchange: Venue, day: int) -> tuple[int, int] | None:
    """Minutes of the day, [first, last), in which the exchange is down; None on most days."""
    if exchange.outage_every is None:
        return None
    chance, at, length = _uniform(np.arange(3) + day * 3, _seed("outage", exchange.id))
    if chance * exchange.outage_every >= 1:
        return None
    first = int(at * (_MINUTES - 45))
    return first, first + 5 + int(length * 40)


def _open_hours(traded: Instrument, exchange: Venue, day: int) -> npt.NDArray[np.bool_]:
    times = day * DAY_MS + np.arange(_MINUTES, dtype=np.int64) * 60_000
    there = times >= traded.listed_ms
    if traded.delisted_ms is not None:
        there &= times < traded.delisted_ms
    down = outage(exchange, day)
    if down is not None:
        there[down[0] : down[1]] = False
    return there


def _values(traded: Instrument, exchange: Venue, minutes: Ints) -> Ints:
    """Whole numbers (n - 1, 5) of the minutes but the last, which only closes the one before it."""
    base, quote = asset(traded.base), asset(traded.quote)
    seed = _seed(traded.exchange, traded.symbol)
    log_price = _walk(base, minutes) - _walk(quote, minutes)
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
    """Minutes without a trade become flat at the last close of the day, or at its first price before any."""
    last = np.maximum.accumulate(np.where(traded_at, np.arange(len(values)), -1))
    flat = np.where(last >= 0, values[last, 3], values[0, 0])
    empty = np.column_stack([flat, flat, flat, flat, np.zeros_like(flat)])
    return np.where(traded_at[:, None], values, empty)


def _quiet(traded: Instrument, minutes: Ints) -> npt.NDArray[np.bool_]:
    """Minutes without a trade: half as likely as the share says in one half hour, 1.5 times in another."""
    seed = _seed("quiet", traded.exchange, traded.symbol)
    mood = np.where(_uniform(minutes // 32, seed) < 0.5, 0.5, 1.5)
    quiet: npt.NDArray[np.bool_] = _uniform(minutes, seed + 1) < np.minimum(traded.quiet * mood, 0.98)
    return quiet


def _walk(walked: Asset, minutes: Ints) -> Floats:
    """The logarithm of an asset's price in dollars."""
    total = np.full(len(minutes), np.log(walked.dollars))
    if walked.volatility == 0:
        return total
    for scale in _SCALES:
        total += walked.volatility * scale**0.5 * _noise(minutes, scale, _seed("walk", walked.code, scale))
    return total


def _noise(minutes: Ints, scale: int, seed: int) -> Floats:
    """Noise between -1 and 1 that turns every `scale` minutes, straight in between."""
    lattice = np.arange(minutes[0] // scale, minutes[-1] // scale + 2, dtype=np.int64)
    return np.interp(minutes, lattice * scale, 2 * _uniform(lattice, seed) - 1)


def _uniform(numbers: Ints, seed: int) -> Floats:
    """Uniform in [0, 1) for each number: splitmix64 of it."""
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53


@lru_cache(maxsize=4_096)
def _seed(*words: str | int) -> int:
    text = " ".join(map(str, words)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 1
