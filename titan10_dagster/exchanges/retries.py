"""Retries: the number of attempts at a request, and the pauses between them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from titan10_dagster.errors import Throttled, TransientError

T = TypeVar("T")

_LONGEST_WAIT = 30.0  # seconds


def exponential_jitter(failures: int) -> float:
    """Return the seconds to wait after this many failed attempts: 1, 2, 4, ... plus up to one second, at most 30."""
    return min(2.0 ** (failures - 1) + random.random(), _LONGEST_WAIT)


@dataclass(frozen=True)
class RetryLimits:
    """The maximum numbers of attempts at one request.

    attempts: the limit with transient errors. throttled: the limit with throttled requests.
    wait: the seconds to wait after a transient error, by the number of failed attempts so far. After a throttled
        request, the pacer waits.
    """

    attempts: int = 5
    throttled: int = 8
    wait: Callable[[int], float] = exponential_jitter


@dataclass
class Effort:
    """The cost of an answer. `seconds`: how long the exchange took, summed over the requests."""

    requests: int = 0
    retries: int = 0
    seconds: float = 0.0

    def add(self, other: Effort) -> None:
        self.requests += other.requests
        self.retries += other.retries
        self.seconds += other.seconds


async def with_retries(
    request: Callable[[], Awaitable[T]], limits: RetryLimits, *, log: Callable[[str], object], effort: Effort
) -> T:
    """Repeat a request until it is answered or `limits` is reached; then raise the last error.

    Only transient errors and throttled requests are retried. `log` gets the text of each error that is retried;
    requests and retries are added to `effort`.
    """
    failures = Counter[bool]()
    while True:
        effort.requests += 1
        try:
            return await request()
        except (TransientError, Throttled) as error:
            throttled = isinstance(error, Throttled)
            failures[throttled] += 1
            if failures[throttled] >= (limits.throttled if throttled else limits.attempts):
                raise
            log(f"{error}")
            effort.retries += 1
            await asyncio.sleep(0.0 if throttled else limits.wait(failures.total()))
