"""A backfill in this process: the same assets, checks and partitions as a launch in the UI, on the same instance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from titan10_dagster.candles.slices import days
from titan10_dagster.dagster_internals.database import database_url
from titan10_dagster.dagster_internals.interruption import was_interrupted
from titan10_dagster.defs.compose import compose
from titan10_dagster.defs.partitions import RANGE_END, RANGE_START, daily_keys, days_per_run
from titan10_dagster.errors import Banned, BreakerOpen, Refused
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import read_ledger
from titan10_dagster.operate.run_processes import PROCESS_TAG, is_alive, this_process, visible_to_other_machines

SHUT_OUT = {error.__name__ for error in (Banned, BreakerOpen, Refused)}


@dataclass(frozen=True)
class Backfill:
    """What a backfill did. `failed` are the days of runs that failed, `messages` say why, one a run.

    `incomplete` days were stored, but a symbol of theirs did not come or was withheld. `shut_out`: the exchange banned
    or refused us, or its breaker is open.
    """

    exchange: str
    days: tuple[date, ...]
    runs: tuple[str, ...]
    failed: tuple[date, ...]
    incomplete: tuple[date, ...]
    messages: tuple[str, ...]
    shut_out: bool = False


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
    """Fetch, check and store the UTC days `first` to `last`, run after run, oldest first.

    A run that fails does not keep the next from being tried, unless the exchange shut us out: then nothing more is
    asked. `instance` defaults to that of DAGSTER_HOME.

    Raises:
        KeyboardInterrupt: a run was interrupted.
    """
    definitions = compose(titan10)
    instance = instance or DagsterInstance.get()
    clean_up_dead_runs(instance)
    asked = days(first, last)
    results: list[tuple[Sequence[date], dg.ExecuteInProcessResult]] = []
    for chunk in _chunks(asked, days_per_run(titan10.settings)[exchange]):
        result = _run(definitions, instance, exchange, chunk, symbols, refresh)
        results.append((chunk, result))
        if was_interrupted(result):
            raise KeyboardInterrupt
        if _is_shut_out(result):
            break
    done = {day for chunk, result in results if result.success for day in chunk}
    unsettled = {slice_.day for slice_ in read_ledger(titan10, titan10.slices(exchange, asked, symbols)).unsettled()}
    told = {day for _, result in results for day in _failed_days(result)}
    return Backfill(
        exchange=exchange,
        days=tuple(asked),
        runs=tuple(result.run_id for _, result in results),
        failed=tuple(day for day in asked if day not in done),
        incomplete=tuple(sorted(done & (unsettled | told))),
        messages=tuple(message for _, result in results for message in _messages(result)),
        shut_out=any(_is_shut_out(result) for _, result in results),
    )


def clean_up_dead_runs(instance: DagsterInstance) -> list[str]:
    """Mark runs as failed if their process is gone, and free their pool slots; return the ids of these runs.

    A killed process cannot do this itself, and its slot would block the exchange's pool for the next run.
    """
    dead = [
        run
        for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.STARTING]))
        if PROCESS_TAG in run.tags and not is_alive(run.tags[PROCESS_TAG], database_url(instance))
    ]
    for run in dead:
        instance.report_run_failed(run, "The process that executed this run is gone.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in dead]


def _run(
    definitions: dg.Definitions,
    instance: DagsterInstance,
    exchange: str,
    chunk: Sequence[date],
    symbols: Sequence[str] | None,
    refresh: bool,
) -> dg.ExecuteInProcessResult:
    config = {"symbols": list(symbols) if symbols else None, "refresh": refresh}
    with visible_to_other_machines(database_url(instance)):
        return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=daily_keys(exchange),
            tags={RANGE_START: str(chunk[0]), RANGE_END: str(chunk[-1]), PROCESS_TAG: this_process()},
            run_config={"ops": {f"{exchange}__candles": {"config": config}}},
            raise_on_error=False,
        )


def _chunks(asked: Sequence[date], size: int) -> Iterator[Sequence[date]]:
    for start in range(0, len(asked), size):
        yield asked[start : start + size]


def _failures(result: dg.ExecuteInProcessResult) -> Iterator[Any]:
    for event in result.all_events:
        if event.is_step_failure:
            yield event.step_failure_data


def _is_shut_out(result: dg.ExecuteInProcessResult) -> bool:
    """Whether the exchange said no in a way that asking for the next days would not change."""
    return any(
        failure.user_failure_data is not None
        and (error := failure.user_failure_data.metadata.get("error")) is not None
        and error.value in SHUT_OUT
        for failure in _failures(result)
    )


def _failed_days(result: dg.ExecuteInProcessResult) -> Iterator[date]:
    """Days of which a symbol failed, whether or not it was there already."""
    for event in result.all_events:
        if event.is_step_materialization and "failed_symbols" in event.materialization.metadata:
            yield date.fromisoformat(str(event.partition))


def _messages(result: dg.ExecuteInProcessResult) -> list[str]:
    return [
        (failure.user_failure_data and failure.user_failure_data.description)
        or (failure.error.cause or failure.error).message.strip()
        for failure in _failures(result)
    ]
