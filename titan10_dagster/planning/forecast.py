"""Forecast the cost of a fetch before it starts, and compare the forecast with the result.

The number of requests is computed for each source: `exchanges.rehearsal` simulates the requests of REST, and
`archives.cost` lists the files of an archive. This module adds the time and the disk space.

The forecast number of requests is exact if the exchange has every candle and no request has to be repeated. A minute
without trades at the edge of a page, an outage, or a damaged file causes further requests, which cannot be forecast.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from titan10_dagster.candles.fetched import Source
from titan10_dagster.planning.pace import FULL_AFTER, Pace

# Bytes of a stored candle: compressed by TimescaleDB, or as a row of a table. TimescaleDB compresses candles after a
# week or two. Before that, the candles need more space.
BYTES_COMPRESSED, BYTES_OF_A_ROW = 13.0, 206.0


@dataclass(frozen=True)
class Cost:
    """The forecast or measured cost of fetching slices from one source.

    requests: the number of all requests: for pages, files, digest files and absent files.
    files: the number of files that are read.
    cached: the number of these files that are in the cache and need no request.
    bytes: the number of bytes that are downloaded from an archive.
    seconds: the elapsed time.
    """

    requests: int = 0
    files: int = 0
    cached: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.requests + other.requests,
            self.files + other.files,
            self.cached + other.cached,
            self.bytes + other.bytes,
            self.seconds + other.seconds,
        )


Costs = Mapping[Source, Cost]


@dataclass(frozen=True)
class Speed:
    """The speed of a machine in candles per second, if the processor is the limit and not the pace or the network.

    The values were measured with `benchmarks.forecast` on two cores. The same cores also ran the file server. Other
    machines are faster or slower (see `ingest.machine`).

    pages: candles per second from pages of REST.
    files: candles per second from archive files.
    stored: candles per second that are checked and stored.
    run_seconds: the additional time of each run in seconds.
    """

    pages: float = 240_000
    files: float = 430_000
    stored: float = 230_000
    run_seconds: float = 1.0

    def times(self, factor: float) -> Speed:
        """Return the speed of a machine that is `factor` times as fast."""
        return Speed(self.pages * factor, self.files * factor, self.stored * factor, self.run_seconds / factor)

    def under(self, load: float, cores: int) -> Speed:
        """Return the reduced speed of this machine while other processes use its processors.

        `load`: the load average, which is the number of processes that use a processor or wait for a processor.

        The function is based on a measurement on two cores, with work that needs only the processor. The work took 1.6
        times as long at a load of 4, and 3.2 times as long at a load of 12.
        """
        return self.times(1 / max(1.0, (load + 2) / (2 * cores)))


@dataclass(frozen=True)
class Forecast:
    """The forecast cost of one or more runs.

    Attributes:
        slices: the number of slices to fetch.
        candles: the number of candles in these slices if no candle is missing.
        runs: the number of runs.
        by_source: the cost of each source.
        store_seconds: the time to check and store the candles, and the additional time of each run.
        stored_bytes: the size of the candles in the database, after compression if the database compresses candles.
    """

    slices: int = 0
    candles: int = 0
    runs: int = 0
    by_source: Costs = field(default_factory=dict)
    store_seconds: float = 0.0
    stored_bytes: int = 0

    @property
    def cost(self) -> Cost:
        """Return the cost of all sources together."""
        return total(self.by_source)

    @property
    def seconds(self) -> float:
        """Return the time from the first request to the last stored candle, in seconds."""
        return self.cost.seconds + self.store_seconds

    def ends_at(self, now: datetime) -> datetime:
        """Return the time at which the runs end if they start at `now`."""
        return now + timedelta(seconds=self.seconds)

    def to_json(self) -> dict[str, Any]:
        """Return the forecast as plain JSON values."""
        return {
            "slices": self.slices,
            "candles": self.candles,
            "runs": self.runs,
            "sources": {source.value: asdict(cost) for source, cost in self.by_source.items()},
            "seconds": round(self.seconds, 1),
            "stored_bytes": self.stored_bytes,
        }


def total(costs: Costs) -> Cost:
    """Return the cost of all sources together."""
    result = Cost()
    for cost in costs.values():
        result += cost
    return result


def joined(costs: Iterable[Costs]) -> dict[Source, Cost]:
    """Return the sum of the costs of several fetches, separately for each source."""
    result: dict[Source, Cost] = {}
    for of_fetch in costs:
        for source, cost in of_fetch.items():
            result[source] = result.get(source, Cost()) + cost
    return result


def forecast_runs(
    runs: Sequence[Costs], slices: int, candles: int, *, is_compressed: bool, speed: Speed | None = None
) -> Forecast:
    """Return the forecast of one or more runs.

    Args:
        runs: for each run, the cost of each source.
        slices: the number of slices in all runs.
        candles: the number of candles in these slices if no candle is missing.
        is_compressed: whether the database compresses old candles.
        speed: the speed of this machine.
    """
    speed = speed or Speed()
    return Forecast(
        slices=slices,
        candles=candles,
        runs=len(runs),
        by_source=joined(runs),
        store_seconds=candles / speed.stored + len(runs) * speed.run_seconds,
        stored_bytes=round(candles * (BYTES_COMPRESSED if is_compressed else BYTES_OF_A_ROW)),
    )


def seconds_at_pace(requests: int, spacing: float, pace: Pace, now: datetime) -> float:
    """Return the time in seconds that the given number of requests takes.

    `spacing`: the seconds between two requests at the full pace.
    `pace`: the current pace. If it is reduced, it returns to the full pace during the requests (see `planning.pace`).
    """
    if not requests:
        return 0.0
    # `work`: the seconds that the requests would take at the full pace
    work, share = requests * spacing, pace.as_of(now)
    full_after = FULL_AFTER.total_seconds()
    recovery = (1 - share) * full_after  # seconds until the full pace is reached
    done_meanwhile = recovery * (1 + share) / 2  # the part of `work` that is done during the recovery
    if work >= done_meanwhile:
        seconds = recovery + work - done_meanwhile
    else:  # the solution for t of: share * t + t * t / (2 * full_after) = work
        seconds = full_after * (math.sqrt(share * share + 2 * work / full_after) - share)
    return pace.rest(now).total_seconds() + seconds


Row = tuple[str, str, str]


def side_by_side(forecast: Forecast, result: Costs, *, candles: int, seconds: float) -> list[Row]:
    """Return a table that compares forecast and result. Each row has a name, the forecast value and the result value.

    `candles`: the number of received candles.
    `seconds`: the total time of the fetch.
    """
    expected, real = forecast.cost, total(result)
    return [
        ("requests", f"{expected.requests:,}", f"{real.requests:,}"),
        ("files", _files(expected), _files(real)),
        ("downloaded", f"{expected.bytes / 1e6:,.1f} MB", f"{real.bytes / 1e6:,.1f} MB"),
        ("candles", f"{forecast.candles:,}", f"{candles:,}"),
        ("seconds of fetching", f"{expected.seconds:,.1f}", f"{real.seconds:,.1f}"),
        ("seconds in all", f"{forecast.seconds:,.1f}", f"{seconds:,.1f}"),
    ]


def sentence(forecast: Forecast, now: datetime) -> str:
    """Return the forecast as a sentence. `now`: the time at which the runs begin (aware, UTC)."""
    if not forecast.slices:
        return "Forecast: no requests, because all days are fetched already."
    cost = forecast.cost
    parts = [f"{cost.requests:,} requests"]
    if cost.files:
        parts.append(f"{_files(cost)} archive files with {cost.bytes / 1e6:,.1f} MB")
    parts.append(f"{cost.seconds:,.1f} s of fetching at the present pace")
    parts.append(f"{forecast.seconds:,.1f} s in all")
    parts.append(f"{forecast.stored_bytes / 1e6:,.1f} MB in the database")
    return (
        f"Forecast for {forecast.slices:,} slices in {forecast.runs:,} run(s): {', '.join(parts)}; done at "
        f"{forecast.ends_at(now):%Y-%m-%d %H:%M} UTC."
    )


def result_sentence(result: Costs, candles: int) -> str:
    """Return the cost of a finished fetch as a sentence. `candles`: the number of received candles."""
    cost = total(result)
    parts = [f"{cost.requests:,} requests"]
    if cost.files:
        parts.append(f"{_files(cost)} archive files with {cost.bytes / 1e6:,.1f} MB")
    return f"Result: {', '.join(parts)}, {candles:,} candles in {cost.seconds:,.1f} s of fetching."


def _files(cost: Cost) -> str:
    return f"{cost.files:,} ({cost.cached:,} of them from the cache)" if cost.cached else f"{cost.files:,}"
