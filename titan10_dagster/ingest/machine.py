"""Measures the speed of this machine, so that forecasts are right on fast, slow and busy machines."""

from __future__ import annotations

import os
import time
import zlib
from datetime import UTC, date, datetime
from functools import lru_cache

import numpy as np

from titan10_dagster.archives.parsing import NAMES, read_rows
from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.rules import judge
from titan10_dagster.candles.scaling import scale
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.planning.forecast import Speed

_REFERENCE_SECONDS = 0.000_76  # the result of `seconds_of_work` on the machine on which `Speed` was measured
_REPETITIONS = 15
_SLICE = Slice(Series("binance", "BTC/USDT", Timeframe.parse("1m")), date(2024, 1, 1))
_FETCHED_AT = datetime(2024, 1, 3, tzinfo=UTC)


def speed_now() -> Speed:
    """Return the speed of this machine under its current load."""
    speed = Speed().times(_REFERENCE_SECONDS / seconds_of_work())
    return speed.under(os.getloadavg()[0], os.cpu_count() or 1)


@lru_cache(1)
def seconds_of_work() -> float:
    """Return the CPU time in seconds to unpack, parse, check and scale one slice of 1m candles.

    The work is repeated, and the shortest time counts, because other processes only make the work slower. The first
    call takes about 20 ms. Further calls return the same result.
    """
    packed = zlib.compress(_csv())
    seconds = []
    for _ in range(_REPETITIONS):
        began = time.thread_time()
        _work(packed)
        seconds.append(time.thread_time() - began)
    return min(seconds)


def _work(packed: bytes) -> None:
    rows, _ = read_rows(zlib.decompress(packed), NAMES)
    verdict = judge(Candles.from_rows(rows), _SLICE, _FETCHED_AT)
    scale(verdict.valid.values[:4])
    scale(verdict.valid.values[4:])


def _csv() -> bytes:
    """Return a CSV text with a candle for each minute of a day. The prices and volumes are always the same."""
    random = np.random.default_rng(10)
    starts = _SLICE.grid().astype("datetime64[ms]").view(np.int64)
    prices = np.round(60_000 + np.cumsum(random.normal(0, 5, len(starts))), 2)
    volumes = np.round(random.random(len(starts)), 5)
    lines = [
        f"{start},{price:.8f},{price + 1:.8f},{price - 1:.8f},{price:.8f},{volume:.8f}"
        for start, price, volume in zip(starts.tolist(), prices.tolist(), volumes.tolist(), strict=True)
    ]
    return "\n".join(lines).encode()
