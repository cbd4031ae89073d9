"""A simulated exchange: a pure function from a request to the rows of the answer.

It can simulate every known way of selecting rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from titan10_dagster.exchanges.pages import PageRequest, Purpose
from titan10_dagster.exchanges.survey import Survey

STEP = 60_000


@dataclass(frozen=True, repr=False)
class Exchange:
    """An exchange with configurable limits of its answers.

    Candles are identified by numbers.

    there: the numbers of the existing candles.
    now: the number of the unfinished candle.
    ranged: whether only rows in [since, until) are returned, or in [since, until] if `inclusive`. Otherwise all rows
        from `since` on are returned.
    newest: whether an answer with too many rows keeps its newest rows.
    cap: the maximum number of rows in an answer.
    remembers: the number of newest candles that are served.
    ignores_since: whether the last rows are always returned.
    cursor: whether the last rows before `until` are returned, whatever their age.
    before: the number of rows before `since` in the answer.
    """

    there: frozenset[int]
    now: int
    cap: int = 1000
    ranged: bool = False
    inclusive: bool = False
    newest: bool = False
    remembers: int | None = None
    ignores_since: bool = False
    ignores_limit: bool = False
    cursor: bool = False
    before: int = 0
    exclusive: bool = False
    short: bool = False

    def __repr__(self) -> str:
        absent = sorted(set(range(self.now + 1)) - self.there)
        shown = {name: value for name, value in vars(self).items() if name != "there"}
        return f"Exchange({shown}, absent={absent})"

    def gives(self) -> list[int]:
        """Return every candle that the exchange serves."""
        rows = sorted(self.there)
        return rows if self.remembers is None else [row for row in rows if row > self.now - self.remembers]

    def answer(self, since: int, limit: int) -> list[int]:
        rows = self.gives()
        most = self.cap if self.ignores_limit else min(limit, self.cap)
        if self.ignores_since:
            return rows[-most:]
        until = since + limit + (1 if self.inclusive else 0) - (1 if self.short else 0)
        if self.cursor:
            return [row for row in rows if row < until][-most:]
        if not self.ranged:
            until = self.now + 1
        most += 1 if self.inclusive else 0
        start = since + (1 if self.exclusive else 0)
        asked = [row for row in rows if start <= row < until]
        stragglers = [row for row in rows if since - self.before <= row < since]
        return stragglers + (asked[-most:] if self.newest else asked[:most])


def survey(
    first: int,
    end: int,
    exchange: Exchange,
    page_size: int,
    overlap: int,
    depth: int | None = None,
    **options: Any,
) -> Survey:
    return Survey(
        [(first * STEP, end * STEP)],
        step=STEP,
        page_size=page_size,
        overlap=overlap,
        depth=depth,
        now=exchange.now * STEP + 5_000,
        **options,
    )


@dataclass
class Recovered:
    times: set[int]
    requests: list[PageRequest]


def drive(planner: Survey, exchange: Exchange, *, at_once: int = 1, most: int = 5_000) -> Recovered:
    """Make requests until no candle is open, with `at_once` requests in progress.

    The last request is answered first.
    """
    found = Recovered(set(), [])
    now = exchange.now * STEP + 5_000
    under_way: list[PageRequest] = []
    while True:
        while len(under_way) < at_once and (request := planner.next_request(now)) is not None:
            under_way.append(request)
        if not under_way:
            return found
        request = under_way.pop()
        found.requests.append(request)
        assert len(found.requests) <= most, "it never ends"
        rows = exchange.answer(request.since // STEP, request.limit)
        found.times.update(rows)
        planner.learn(request, times(rows), now)


def times(rows: list[int]) -> NDArray[np.int64]:
    return np.array(rows, np.int64) * STEP


def pages(found: Recovered) -> list[tuple[int, int]]:
    """Return the requests for candles as (first candle, limit)."""
    return [(request.since // STEP, request.limit) for request in found.requests if request.purpose is Purpose.PAGE]
