"""The errors after which a step is repeated, and its failures."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import dagster as dg
import pytest

from titan10_dagster.defs.step_errors import failure, retried_or_failed
from titan10_dagster.errors import (
    Banned,
    DatabaseUnavailable,
    LandingError,
    MalformedAnswer,
    Throttled,
    Titan10Error,
    TransientError,
)
from titan10_dagster.settings import RetrySettings

RETRIES = RetrySettings(steps=2, seconds=0.05)
CAN_PASS = [
    TransientError("timed out", exchange="binance"),
    MalformedAnswer("HTML", exchange="binance", status=200),
    Throttled("429", exchange="binance", status=429),
    DatabaseUnavailable("in recovery mode"),
    LandingError("no space left on device"),
]


@pytest.mark.parametrize("error", CAN_PASS, ids=lambda error: type(error).__name__)
def test_an_error_that_can_pass_is_retried_after_growing_pauses(error: Titan10Error) -> None:
    for tries, pause in ((0, 0.05), (1, 0.1)):
        started = time.monotonic()
        with pytest.raises(dg.RetryRequested) as raised, retried_or_failed("binance", RETRIES, tries):
            raise error
        assert time.monotonic() - started >= pause
        assert raised.value.max_retries == 2


@pytest.mark.parametrize("error", CAN_PASS, ids=lambda error: type(error).__name__)
def test_after_the_last_try_the_step_fails_with_the_sentence_of_the_error(error: Titan10Error) -> None:
    with pytest.raises(dg.Failure) as raised, retried_or_failed("binance", RETRIES, 2):
        raise error
    assert raised.value.description == str(error)
    assert not raised.value.allow_retries


def test_a_ban_is_not_retried() -> None:
    ban = Banned("banned until noon", exchange="binance", until=datetime(2024, 3, 1, 12, tzinfo=UTC), status=418)
    with pytest.raises(dg.Failure) as raised, retried_or_failed("binance", RETRIES, 0):
        raise ban
    assert raised.value.metadata["error"].value == "Banned"
    assert raised.value.metadata["http_status"].value == 418


def test_a_bug_is_raised_unchanged() -> None:
    with pytest.raises(ZeroDivisionError), retried_or_failed("binance", RETRIES, 0):
        raise ZeroDivisionError


def test_the_failure_names_the_exchange() -> None:
    assert failure("kraken", LandingError("full")).metadata["exchange"].value == "kraken"
