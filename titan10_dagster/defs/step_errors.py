"""Decides how a step ends after an error of an exchange, of the database or of the disk.

| error | result |
|-|-|
| TransientError, Throttled, DatabaseUnavailable, LandingError | the step is repeated a few times, with growing pauses |
| one of these errors in the last try | the step fails with the message of the error, without a stack trace |
| any other FetchError, SettingsError | the step fails with the message of the error, without a stack trace |

The repair sensor later fetches or stores the days of failed runs. Exception: the autopilot itself requests the days of
its failed runs again. See `defs.requests`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from titan10_dagster.defs.requests import BLOCKED
from titan10_dagster.errors import (
    Blocked,
    DatabaseUnavailable,
    FetchError,
    LandingError,
    SettingsError,
    Throttled,
    Titan10Error,
    TransientError,
)
from titan10_dagster.settings import RetrySettings

log = logging.getLogger(__name__)


@contextmanager
def retried_or_failed(exchange: str, retries: RetrySettings, retry_number: int) -> Iterator[None]:
    """Let Dagster try the step again, or fail the step with the message of the error.

    Dagster's RetryPolicy is not used, because it also repeats steps that a user interrupted.

    Raises:
        RetryRequested: the error can be temporary, and the step has tries left.
        Failure: the error is not temporary, or the step has no tries left.
    """
    try:
        yield
    except (TransientError, Throttled, DatabaseUnavailable, LandingError) as error:
        if retry_number < retries.steps:
            # This function itself waits. If Dagster waited (`seconds_to_wait` of RetryRequested), it would not react to
            # Ctrl-C during this time.
            pause = retries.seconds * 2**retry_number
            log.warning("the step is tried again in %g s: %s", pause, error)
            time.sleep(pause)
            raise dg.RetryRequested(max_retries=retries.steps) from error
        raise failure(exchange, error) from None
    except (FetchError, SettingsError) as error:
        raise failure(exchange, error) from None


@contextmanager
def tagged_if_blocked(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Add the tag `titan10/blocked` to the run if a ban or an open breaker stops the fetch.

    A finished run with this tag does not count as an attempt.

    Raises:
        Blocked: the exchange banned this machine, or its breaker is open.
    """
    try:
        yield
    except Blocked as error:
        context.instance.add_run_tags(context.run.run_id, {BLOCKED: error.until.isoformat()})
        raise


def failure(exchange: str, error: Titan10Error) -> dg.Failure:
    """Return the failure of a step, with the message and the class of the error."""
    status = error.status if isinstance(error, FetchError) else None
    metadata = {"exchange": exchange, "error": type(error).__name__, "http_status": status}
    return dg.Failure(str(error), metadata=metadata, allow_retries=False)
