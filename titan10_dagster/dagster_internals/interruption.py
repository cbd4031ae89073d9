"""Handles runs in this process that were interrupted by Ctrl-C or SIGTERM, or that failed outside of their steps."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.execution import compute_logs

_compute_logs: Any = compute_logs


@contextmanager
def interruption_as_keyboard_interrupt() -> Iterator[None]:
    """Replace Dagster's own exception for an interruption with KeyboardInterrupt."""
    try:
        yield
    except DagsterExecutionInterruptedError:
        raise KeyboardInterrupt from None


@contextmanager
def helpers_in_own_session() -> Iterator[None]:
    """Let Dagster start the processes that copy the output of a step in a session of their own.

    Ctrl-C in a terminal interrupts all processes of the command's session. The helpers would then print stack traces.
    Dagster ends the helpers with the step, and they end by themselves if the command is killed.
    """
    own_session = partial(subprocess.Popen, start_new_session=True)
    _compute_logs.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": own_session})
    try:
        yield
    finally:
        _compute_logs.subprocess = subprocess


def was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Return whether the run was interrupted, in a step or between two steps."""
    for event in result.all_events:
        error = None
        if event.is_step_failure:
            error = event.step_failure_data.error
        elif event.is_run_failure:
            error = event.job_failure_data.error
        while error is not None:
            if error.cls_name == DagsterExecutionInterruptedError.__name__:
                return True
            error = error.cause or error.context
    return False


@contextmanager
def canceled_if_interrupted(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Mark the run as cancelled if an interruption (Ctrl-C or SIGTERM) ends the run between two steps."""
    try:
        yield
    except (KeyboardInterrupt, DagsterExecutionInterruptedError):
        mark_as_canceled(instance, run_id)
        raise


def mark_as_canceled(instance: dg.DagsterInstance, run_id: str) -> None:
    """Mark an interrupted run as cancelled, and free its pool slots.

    Dagster itself marks such a run as failed, because the interruption was not requested in the UI.
    """
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status is not dg.DagsterRunStatus.CANCELED:
        instance.report_run_canceled(run, "Interrupted on the command line. Stored candles are kept.")
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)


def failure_of_run(result: dg.ExecuteInProcessResult) -> list[str]:
    """Return the reasons why a run failed outside of its steps, for example because a resource could not be created."""
    reasons = []
    for event in result.all_events:
        if event.is_run_failure:
            error = event.job_failure_data.error
            reasons.append((error.cause or error).message.strip() if error else str(event.message))
    return reasons
