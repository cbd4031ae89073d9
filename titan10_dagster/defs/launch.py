"""Executes a backfill in this process, with the same assets, checks, partitions and instance as in the UI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from titan10_dagster.candles.slices import days
from titan10_dagster.dagster_internals.database import database_url
from titan10_dagster.dagster_internals.interruption import (
    canceled_if_interrupted,
    failure_of_run,
    mark_as_canceled,
    was_interrupted,
)
from titan10_dagster.defs.compose import compose
from titan10_dagster.defs.metadata import FAILURES
from titan10_dagster.defs.partitions import RANGE_END, RANGE_START, daily_keys, days_per_run
from titan10_dagster.errors import Banned, BreakerOpen, FetchError, Refused, Unavailable, UnknownSymbol
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import read_ledger
from titan10_dagster.operate.run_processes import PROCESS_TAG, is_alive, this_process, visible_to_other_machines

# after these errors (a ban, a long pause, an open breaker, a refusal), no request is allowed for some time
SHUT_OUT = {error.__name__ for error in (Banned, Unavailable, BreakerOpen, Refused)}
# if a request failed with one of these errors, the same request would fail again
PERMANENT = {error.__name__ for error in (FetchError, UnknownSymbol)}


@dataclass(frozen=True)
class Backfill:
    """The result of a backfill.

    Attributes:
        failed: the days of failed runs, and the days that were not requested because the exchange blocks this machine.
        incomplete: the days of successful runs on which a symbol failed or is not settled.
        messages: the reasons why runs failed.
        symbols: the symbols that failed, each with the reason.
        shut_out: whether the exchange banned or refused this machine, or its breaker is open.
        permanent: whether at least one run failed, and every failed run would fail again in the same way.
    """

    exchange: str
    days: tuple[date, ...]
    runs: tuple[str, ...]
    failed: tuple[date, ...]
    incomplete: tuple[date, ...]
    messages: tuple[str, ...]
    symbols: Mapping[str, str] = field(default_factory=dict)
    shut_out: bool = False
    permanent: bool = False


def backfill(
    titan10: IngestContext,
    exchange: str,
    first: date,
    last: date,
    *,
    symbols: Sequence[str] | None = None,
    refresh: bool = False,
    instance: DagsterInstance | None = None,
) -> Backfill:
    """Fetch, check and store the UTC days from `first` to `last`, run after run, the oldest days first.

    If a run fails, the next run still starts. If the exchange blocks this machine, the backfill ends. The default of
    `instance` is the instance of DAGSTER_HOME.

    Raises:
        KeyboardInterrupt: a run was interrupted. The run is marked as cancelled.
    """
    definitions = compose(titan10)
    instance = instance or DagsterInstance.get()
    clean_up_dead_runs(instance)
    wanted = days(first, last)
    results: list[tuple[Sequence[date], dg.ExecuteInProcessResult]] = []
    for chunk in _chunks(wanted, days_per_run(titan10.settings)[exchange]):
        result = _run(definitions, instance, exchange, chunk, symbols, refresh)
        results.append((chunk, result))
        if was_interrupted(result):
            mark_as_canceled(instance, result.run_id)
            raise KeyboardInterrupt
        if _is_shut_out(result):
            break
    done: set[date] = set()
    messages: list[str] = []
    for chunk, result in results:
        messages.extend(_messages(result))
        if result.success:
            done.update(chunk)
    failures = [result for _, result in results if not result.success]
    unsettled = {slice_.day for slice_ in read_ledger(titan10, titan10.slices(exchange, wanted, symbols)).unsettled()}
    with_errors: set[date] = set()
    errors: dict[str, str] = {}
    for _, result in results:
        for day, of_day in _failed_symbols(result).items():
            with_errors.add(day)
            errors.update(of_day)
    return Backfill(
        exchange=exchange,
        days=tuple(wanted),
        runs=tuple(result.run_id for _, result in results),
        failed=tuple(day for day in wanted if day not in done),
        incomplete=tuple(sorted(done & (unsettled | with_errors))),
        messages=tuple(messages),
        symbols=errors,
        shut_out=any(_is_shut_out(result) for _, result in results),
        permanent=bool(failures) and all(map(_is_permanent, failures)),
    )


def clean_up_dead_runs(instance: DagsterInstance) -> list[str]:
    """Mark runs as failed if their process no longer exists, and free their pool slots. Return the ids of these runs.

    A killed process can neither mark its run nor free its slot. The slot would block the exchange's pool for the next
    run.
    """
    dead = []
    for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.STARTING])):
        if PROCESS_TAG in run.tags and not is_alive(run.tags[PROCESS_TAG], database_url(instance)):
            dead.append(run)
    for run in dead:
        instance.report_run_failed(run, "The process that executed this run no longer exists.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in dead]


def cancel_runs_of_this_process(instance: DagsterInstance | None = None) -> list[str]:
    """Mark the runs that this process executes as cancelled, and return their ids.

    The default of `instance` is the instance of DAGSTER_HOME.
    """
    instance = instance or DagsterInstance.get()
    running = RunsFilter(
        statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.STARTING], tags={PROCESS_TAG: this_process()}
    )
    run_ids = [run.run_id for run in instance.get_runs(running)]
    for run_id in run_ids:
        mark_as_canceled(instance, run_id)
    return run_ids


def _run(
    definitions: dg.Definitions,
    instance: DagsterInstance,
    exchange: str,
    chunk: Sequence[date],
    symbols: Sequence[str] | None,
    refresh: bool,
) -> dg.ExecuteInProcessResult:
    config = {"symbols": list(symbols) if symbols else None, "refresh": refresh}
    run_id = str(uuid4())
    with visible_to_other_machines(database_url(instance)), canceled_if_interrupted(instance, run_id):
        return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=daily_keys(exchange),
            tags={RANGE_START: str(chunk[0]), RANGE_END: str(chunk[-1]), PROCESS_TAG: this_process()},
            run_config={"ops": {f"{exchange}__candles": {"config": config}}},
            raise_on_error=False,
            run_id=run_id,
        )


def _chunks(wanted: Sequence[date], size: int) -> Iterator[Sequence[date]]:
    for start in range(0, len(wanted), size):
        yield wanted[start : start + size]


def _failures(result: dg.ExecuteInProcessResult) -> Iterator[Any]:
    for event in result.all_events:
        if event.is_step_failure:
            yield event.step_failure_data


def _errors(result: dg.ExecuteInProcessResult) -> set[str]:
    """Return the class names of the errors that ended steps of a run. The name is "" if the class is not known."""
    names = set()
    for failure in _failures(result):
        data = failure.user_failure_data
        named = data.metadata.get("error") if data is not None else None
        names.add(str(named.value) if named is not None else "")
    return names


def _is_shut_out(result: dg.ExecuteInProcessResult) -> bool:
    """Return whether the exchange blocks this machine, so that requests for the next days would fail too."""
    return not SHUT_OUT.isdisjoint(_errors(result))


def _is_permanent(result: dg.ExecuteInProcessResult) -> bool:
    """Return whether the exchange rejected the requests and would reject the same requests again."""
    errors = _errors(result)
    return bool(errors) and errors <= PERMANENT


def _failed_symbols(result: dg.ExecuteInProcessResult) -> dict[date, dict[str, str]]:
    """Return the failed symbols of each day, each with the reason.

    A failed symbol is included even if some of its candles are stored.
    """
    failed: dict[date, dict[str, str]] = {}
    for event in result.all_events:
        if event.is_step_materialization and FAILURES in event.materialization.metadata:
            reasons: Any = event.materialization.metadata[FAILURES].value
            failed[date.fromisoformat(str(event.partition))] = dict(reasons)
    return failed


def _messages(result: dg.ExecuteInProcessResult) -> list[str]:
    """Return the reason of each failed step. If the run failed outside of its steps, return the reason of the run."""
    messages = []
    for failure in _failures(result):
        stated = failure.user_failure_data and failure.user_failure_data.description
        messages.append(stated or (failure.error.cause or failure.error).message.strip())
    return messages or failure_of_run(result)
