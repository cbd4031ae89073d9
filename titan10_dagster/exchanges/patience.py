"""How often an exchange is asked the same thing, and after which pauses."""

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
class Patience:
    """How often a question is asked. `wait` is tenacity's, for passing errors; throttled ones wait at the pacer."""

    attempts: int = 5
    throttled: int = 8
    wait: wait_base = field(default_factory=lambda: wait_exponential_jitter(initial=1, max=30))


@dataclass
class Effort:
    """What was done for an answer; `seconds` is how long the exchange took to give it."""

    requests: int = 0
    retries: int = 0
    seconds: float = 0.0

    def add(self, other: Effort) -> None:
        self.requests += other.requests
        self.retries += other.retries
        self.seconds += other.seconds


async def patiently(
    ask: Callable[[], Awaitable[T]], patience: Patience, *, tell: Callable[[str], object], effort: Effort
) -> T:
    """Asks until there is an answer or patience is over; then the last error is raised.

    Passing errors and demands for a slower pace are worth another try, nothing else is. `tell` is told of each that
    is retried; requests and retries are added to `effort`.
    """
    failures = Counter[bool]()
    before = effort.requests

    async def once() -> T:
        effort.requests += 1
        effort.retries += effort.requests > before + 1
        return await ask()

    def enough(state: RetryCallState) -> bool:
        throttled = isinstance(_error(state), Throttled)
        failures[throttled] += 1
        return failures[throttled] >= (patience.throttled if throttled else patience.attempts)

    def pause(state: RetryCallState) -> float:
        return 0.0 if isinstance(_error(state), Throttled) else patience.wait(state)

    def say(state: RetryCallState) -> None:
        tell(f"{_error(state)}")

    retrying = AsyncRetrying(
        retry=retry_if_exception_type((TransientError, Throttled)),
        stop=enough,
        wait=pause,
        before_sleep=say,
        reraise=True,
    )
    answer: T = await retrying(once)
    return answer


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
