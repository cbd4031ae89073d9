"""Repeat requests that failed temporarily, with pauses between the attempts."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from titan10_dagster.errors import Throttled, TransientError

T = TypeVar("T")

_LONGEST_WAIT = 30.0  # the largest number of seconds between two attempts


def exponential_jitter(failures: int) -> float:
    """Return the seconds to wait after this number of failed attempts.

    The wait is 1, 2, 4 and so on seconds plus a random part of a second, but at most 30 seconds.
    """
    return min(2.0 ** (failures - 1) + random.random(), _LONGEST_WAIT)


@dataclass(frozen=True)
class RetryLimits:
    """The limits of the attempts at one request.

    attempts: the maximum number of attempts that end with a transient error.
    throttled: the maximum number of attempts that the exchange throttles.
    wait: a function that returns the seconds to wait after a transient error. Its argument is the number of failed
        attempts so far. After a throttled request, the pacer waits instead.
    """

    attempts: int = 5
    throttled: int = 8
    wait: Callable[[int], float] = exponential_jitter


@dataclass
class Effort:
    """The cost of one or more answers. `seconds`: how long the exchange took for all of these answers together."""

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
    """Return the answer to a request. The request is repeated after a transient error, and after it was throttled.

    If the maximum number of attempts is reached, the last error is raised. Errors of other kinds are raised at once.

    `log`: a function that is called before the request is repeated. Its argument is the text of the error.
    `effort`: the numbers of requests and retries are added to this object.
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
