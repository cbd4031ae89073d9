from __future__ import annotations

from dataclasses import replace

from titan10_dagster.candles.inspection import not_requested
from titan10_dagster_tests.candles import strategies as some


def test_a_slice_that_was_not_requested_lacks_everything_and_says_why() -> None:
    inspected = not_requested(some.HOURLY)
    assert (inspected.missing, inspected.valid, inspected.broken, inspected.counts) == (24, 0, 0, {})
    assert not inspected.answered
    assert inspected.note == "not requested yet"


def test_what_is_missing_is_what_is_not_valid() -> None:
    assert replace(not_requested(some.HOURLY), valid=20, broken=3).missing == 4
