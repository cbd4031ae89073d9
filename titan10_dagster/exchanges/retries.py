"""Retries: how often a request is repeated, and after which pauses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter
from tenacity.wait import wait_base

from titan10_dagster.errors import Throttled, TransientError

T = TypeVar("T")


@dataclass(frozen=True)
class RetryLimits:
    """The most attempts that one request gets.

    attempts: after transient errors. throttled: after demands for a slower pace.
    wait: tenacity's pause after a transient error. After a demand for a slower pace, the pacer does the waiting.
    """

    attempts: int = 5
    throttled: int = 8
    wait: wait_base = field(default_factory=lambda: wait_exponential_jitter(initial=1, max=30))


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

    Only transient errors and demands for a slower pace are retried. `log` gets the text of each error that is
    retried; requests and retries are added to `effort`.
    """
    failures = Counter[bool]()
    before = effort.requests

    async def attempt() -> T:
        effort.requests += 1
        effort.retries += effort.requests > before + 1
        return await request()

    def is_enough(state: RetryCallState) -> bool:
        throttled = isinstance(_error(state), Throttled)
        failures[throttled] += 1
        return failures[throttled] >= (limits.throttled if throttled else limits.attempts)

    def pause(state: RetryCallState) -> float:
        return 0.0 if isinstance(_error(state), Throttled) else limits.wait(state)

    def log_retry(state: RetryCallState) -> None:
        log(f"{_error(state)}")

    retrying = AsyncRetrying(
        retry=retry_if_exception_type((TransientError, Throttled)),
        stop=is_enough,
        wait=pause,
        before_sleep=log_retry,
        reraise=True,
    )
    answer: T = await retrying(attempt)
    return answer


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
