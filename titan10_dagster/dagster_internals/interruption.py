"""How Dagster reports that a run in this process was interrupted by Ctrl-C or SIGTERM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError


@contextmanager
def interruption_as_keyboard_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt instead of Dagster's own exception."""
    try:
        yield
    except DagsterExecutionInterruptedError:
        raise KeyboardInterrupt from None


def was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Return whether a step of the run was interrupted."""
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            if error is not None and error.cls_name == DagsterExecutionInterruptedError.__name__:
                return True
    return False
