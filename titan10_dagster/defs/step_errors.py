"""The end of a step after an error of an exchange, of the database or of the disk.

| error | what the step does |
|-|-|
| TransientError, Throttled, DatabaseUnavailable, LandingError | is tried again a few times, after growing pauses |
| these in the last try, and every other FetchError | fails with the error's own sentence |

The repair sensor later fetches or stores all days of failed runs: see `defs.requests`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from titan10_dagster.errors import (
    DatabaseUnavailable,
    FetchError,
    LandingError,
    Throttled,
    Titan10Error,
    TransientError,
)
from titan10_dagster.settings import RetrySettings


@contextmanager
def retried_or_failed(exchange: str, retries: RetrySettings, retry_number: int) -> Iterator[None]:
    """Request another attempt at the step from Dagster, or fail it with one sentence.

    A RetryPolicy of Dagster cannot do this: it also repeats steps that a user interrupted.

    Raises:
        RetryRequested: the error can pass, and there are tries left.
        Failure: the error cannot pass, or there are no tries left.
    """
    try:
        yield
    except (TransientError, Throttled, DatabaseUnavailable, LandingError) as error:
        if retry_number < retries.steps:
            # Here and not by `seconds_to_wait`: while Dagster waits, it does not react to Ctrl-C.
            time.sleep(retries.seconds * 2**retry_number)
            raise dg.RetryRequested(max_retries=retries.steps) from error
        raise failure(exchange, error) from None
    except FetchError as error:
        raise failure(exchange, error) from None


def failure(exchange: str, error: Titan10Error) -> dg.Failure:
    """Return the failure of a step, with the error's sentence and class."""
    status = error.status if isinstance(error, FetchError) else None
    metadata = {"exchange": exchange, "error": type(error).__name__, "http_status": status}
    return dg.Failure(str(error), metadata=metadata, allow_retries=False)
