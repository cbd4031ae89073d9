from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from titan10_dagster.errors import FetchError, Throttled, TransientError, UnknownSymbol
from titan10_dagster.exchanges.retries import Effort, RetryLimits, exponential_jitter, with_retries
from titan10_dagster_tests.exchanges.harness import run

TRANSIENT = TransientError("binance: HTTP 500", exchange="binance", status=500)
THROTTLED = Throttled("binance: HTTP 429", exchange="binance", status=429)
UNKNOWN = UnknownSymbol("binance: not listed", exchange="binance", status=400)
LIMITS = RetryLimits(attempts=3, throttled=4, wait=lambda _: 0.0)


def answers(*errors: FetchError) -> Callable[[], Awaitable[str]]:
    """Return a request that first fails with these errors and is then answered."""
    left = list(errors)

    async def request() -> str:
        if left:
            raise left.pop(0)
        return "page"

    return request


def test_an_answer_after_transient_errors_counts_each_attempt() -> None:
    effort, logged = Effort(requests=1, retries=0), list[str]()
    answer = run(with_retries(answers(TRANSIENT, TRANSIENT), LIMITS, log=logged.append, effort=effort))
    assert answer == "page"
    assert (effort.requests, effort.retries) == (4, 2)
    assert logged == ["binance: HTTP 500"] * 2


@pytest.mark.parametrize(("error", "attempts"), [(TRANSIENT, 3), (THROTTLED, 4), (UNKNOWN, 1)])
def test_each_kind_of_error_has_its_own_limit(error: FetchError, attempts: int) -> None:
    effort = Effort()
    with pytest.raises(type(error)):
        run(with_retries(answers(*[error] * 10), LIMITS, log=print, effort=effort))
    assert effort.requests == attempts


def test_transient_errors_and_demands_for_a_slower_pace_are_counted_apart() -> None:
    mixed = answers(TRANSIENT, THROTTLED, TRANSIENT, THROTTLED, THROTTLED)
    assert run(with_retries(mixed, LIMITS, log=print, effort=Effort())) == "page"


def test_pauses_double_up_to_half_a_minute_and_differ() -> None:
    for failures, least in [(1, 1.0), (2, 2.0), (4, 8.0)]:
        pauses = {exponential_jitter(failures) for _ in range(5)}
        assert len(pauses) == 5
        assert all(least <= pause < least + 1 for pause in pauses)
    assert exponential_jitter(9) == 30.0


def test_the_pause_grows_with_the_failed_attempts() -> None:
    failures = list[int]()
    limits = RetryLimits(attempts=4, wait=lambda count: failures.append(count) or 0.0)
    run(with_retries(answers(TRANSIENT, TRANSIENT, TRANSIENT), limits, log=print, effort=Effort()))
    assert failures == [1, 2, 3]
