"""Runs in this process that are interrupted, or that fail outside of their steps."""

# `from __future__ import annotations` must not be used here: Dagster reads the annotations of resources.

import os
import signal
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution import compute_logs

from titan10_dagster.dagster_internals.interruption import (
    canceled_if_interrupted,
    failure_of_run,
    helpers_in_own_session,
    interruption_as_keyboard_interrupt,
    mark_as_canceled,
    was_interrupted,
)


@dg.op
def interrupted() -> None:
    """Send SIGINT to this process, like Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)


@dg.op
def failing() -> None:
    raise ValueError("a failure of its own")


@dg.resource
def unusable(_: dg.InitResourceContext) -> None:
    raise ValueError("the resource cannot be set up")


@dg.op(required_resource_keys={"unusable"})
def waiting() -> None:
    """An op that is never executed."""


@dg.resource
def interrupting(_: dg.InitResourceContext) -> None:
    """Receive SIGINT before the first step."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)


@dg.op(required_resource_keys={"interrupting"})
def never_reached() -> None:
    raise AssertionError("the run was interrupted before")


@dg.job(resource_defs={"interrupting": interrupting})
def interrupted_before_its_steps() -> None:
    never_reached()


@dg.job
def interrupted_job() -> None:
    interrupted()


@dg.job
def failing_job() -> None:
    failing()


@dg.job(resource_defs={"unusable": unusable})
def unusable_job() -> None:
    waiting()


def test_an_interrupted_step_is_not_taken_for_a_failed_one(instance: dg.DagsterInstance) -> None:
    assert was_interrupted(interrupted_job.execute_in_process(instance=instance, raise_on_error=False))
    failed = failing_job.execute_in_process(instance=instance, raise_on_error=False)
    assert not failed.success
    assert not was_interrupted(failed)


def test_an_interruption_outside_of_the_steps_counts_too(instance: dg.DagsterInstance) -> None:
    result = interrupted_before_its_steps.execute_in_process(instance=instance, raise_on_error=False)
    assert not any(event.is_step_failure for event in result.all_events)
    assert was_interrupted(result)


def test_an_interrupted_run_is_canceled_and_frees_its_slot(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots("binance", 1)
    run = instance.create_run_for_job(failing_job, status=dg.DagsterRunStatus.STARTED)
    assert instance.event_log_storage.claim_concurrency_slot("binance", run.run_id, "step").is_claimed
    with pytest.raises(KeyboardInterrupt), canceled_if_interrupted(instance, run.run_id):
        raise KeyboardInterrupt
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status is dg.DagsterRunStatus.CANCELED
    assert instance.event_log_storage.claim_concurrency_slot("binance", "next", "step").is_claimed


def test_an_error_leaves_the_state_of_the_run_alone(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(failing_job, status=dg.DagsterRunStatus.STARTED)
    with pytest.raises(ValueError, match="an error"), canceled_if_interrupted(instance, run.run_id):
        raise ValueError("an error")
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status is dg.DagsterRunStatus.STARTED
    mark_as_canceled(instance, "no such run")


def test_dagsters_interruption_becomes_a_keyboard_interrupt() -> None:
    from dagster._core.errors import DagsterExecutionInterruptedError

    with pytest.raises(KeyboardInterrupt), interruption_as_keyboard_interrupt():
        raise DagsterExecutionInterruptedError


def test_the_reason_of_a_run_that_failed_outside_of_its_steps(instance: dg.DagsterInstance) -> None:
    failed = unusable_job.execute_in_process(instance=instance, raise_on_error=False)
    assert not failed.success
    (reason,) = failure_of_run(failed)
    assert "the resource cannot be set up" in reason


def test_ctrl_c_in_a_terminal_does_not_reach_the_helpers_of_a_step(tmp_path: Path) -> None:
    """They would print stack traces on the terminal."""
    with (tmp_path / "log").open("w") as stream:
        with helpers_in_own_session(), compute_logs.tail_to_stream(str(tmp_path / "log"), stream) as pids:
            assert all(os.getsid(pid) == pid for pid in pids)
        with compute_logs.tail_to_stream(str(tmp_path / "log"), stream) as pids:
            assert all(os.getsid(pid) == os.getsid(0) for pid in pids)
