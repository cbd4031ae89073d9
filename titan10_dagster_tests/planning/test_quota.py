from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.planning.quota import Quota, Release, Usage

WARM_UP = 10  # after this number of answers, the shortest round trip is subtracted


@dataclass(frozen=True)
class Delays:
    """Seconds from the release of a request to its arrival, from there to its answer, and until the next request."""

    there: float
    back: float
    pause: float = 0.0


def arrivals(quota: Quota, requests: list[Delays]) -> list[float]:
    """Release each request as soon as the pause and the quota allow it. Return when the exchange received them."""
    usage, now, received = Usage(quota.seconds), 0.0, list[float]()
    under_way: list[tuple[float, Release]] = []
    for delays in requests:
        while True:
            for end, release in sorted(under_way, key=lambda pair: pair[0]):
                if end <= now:
                    usage.end(release, end)
                    under_way.remove((end, release))
            due = usage.next_release(1, quota.requests, now)
            if due <= now:
                break
            now = min([due, *(end for end, _ in under_way)])
        release = usage.release(1, now)
        received.append(now + delays.there)
        under_way.append((now + delays.there + delays.back, release))
        now += delays.pause
    return sorted(received)


def most_within(moments: list[float], seconds: float) -> int:
    """Return the largest number of moments within any half-open span of this length."""
    return max(sum(begin <= moment < begin + seconds - 1e-6 for moment in moments) for begin in moments)


seconds = st.floats(0, 3).map(lambda value: round(value, 2))
disturbed = st.lists(st.builds(Delays, seconds, seconds, seconds), min_size=20, max_size=60)


@given(disturbed, st.integers(1, 10), seconds, seconds)
def test_no_span_receives_more_than_the_quota_whatever_delays_the_requests(
    requests: list[Delays], most: int, there: float, back: float
) -> None:
    calm = [Delays(there, back)] * WARM_UP
    late = [Delays(there + extra.there, back + extra.back, extra.pause) for extra in requests]
    assert most_within(arrivals(Quota(most, 1.0), [*calm, *late]), 1.0) <= most


@pytest.mark.parametrize("round_trip", [0.0, 0.2, 3.0])
def test_a_distant_exchange_gets_its_whole_quota_once_its_round_trip_is_known(round_trip: float) -> None:
    received = arrivals(Quota(10, 1.0), [Delays(round_trip / 2, round_trip / 2)] * 200)
    tail = received[100:]
    assert (len(tail) - 1) / (tail[-1] - tail[0]) == pytest.approx(10 if round_trip < 1 else 10 / round_trip, rel=0.12)


def test_requests_that_were_held_back_together_delay_the_next_ones() -> None:
    usage = Usage(1.0)
    held = [usage.release(1, now=0.1 * number) for number in range(5)]
    assert usage.next_release(1, most=5, now=3.0) == math.inf  # any of them may still arrive
    for release in held:
        usage.end(release, now=3.0)
    assert usage.next_release(1, most=5, now=3.1) == 4.0


def test_a_request_that_ends_twice_counts_once() -> None:
    usage = Usage(1.0)
    release = usage.release(1, now=0.0)
    usage.end(release, now=1.0)
    usage.end(release, now=5.0)
    assert usage.next_release(1, most=1, now=1.5) == 2.0
    assert usage.next_release(1, most=1, now=2.0) == 2.0


def test_a_heavier_request_counts_more_and_one_above_the_quota_can_be_made() -> None:
    usage = Usage(1.0)
    usage.end(usage.release(4, now=0.0), now=0.0)
    assert usage.next_release(4, most=5, now=0.5) == 1.0
    assert usage.next_release(1, most=5, now=0.5) == 0.5
    assert usage.next_release(50, most=5, now=1.0) == 1.0


def test_a_share_of_a_quota_is_a_whole_number_of_requests_and_at_least_one() -> None:
    shares = [Quota(10, 1).share(share) for share in (1.0, 0.8 / 0.9, 0.1 / 0.9, 0.01)]
    assert shares == [10, 8, 1, 1]
    assert Quota(10, 2).spacing == 0.2
