"""The queue of dagster.yaml: the runs that Dagster's own daemon would launch next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.dagster_run import RunOpConcurrency
from dagster._core.test_utils import instance_for_test
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from titan10_dagster.defs.requests import AUTOPILOT, REPAIR, request_of_days
from titan10_dagster.defs.schedules import settle_requests

PROJECT = Path(__file__).parents[2]
EXCHANGES = ("binance", "bybit", "coinbase", "kraken", "okx")
NOW = datetime(2024, 3, 10, 2, tzinfo=UTC)
LOCATION = GrpcServerCodeLocationOrigin(host="127.0.0.1", port=1, location_name="nobody_listens")
ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(LOCATION, "repository"), "job")


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    given = yaml.safe_load((PROJECT / "dagster.yaml").read_text())
    with instance_for_test(overrides={"concurrency": given["concurrency"]}) as instance:
        for exchange in EXCHANGES:
            instance.event_log_storage.set_concurrency_slots(exchange, given["concurrency"]["pools"]["default_limit"])
        yield instance


def queue(instance: DagsterInstance, exchange: str, tags: dict[str, str]) -> None:
    """Queue a run that begins in the exchange's pool, like all runs that fetch."""
    pool = RunOpConcurrency(all_pools={exchange}, root_key_counts={exchange: 1}, has_unconstrained_root_nodes=False)
    run = dg.DagsterRun(
        "job",
        tags={"exchange": exchange, **tags},
        status=DagsterRunStatus.QUEUED,
        run_op_concurrency=pool,
        remote_job_origin=ORIGIN,
    )
    instance.run_storage.add_run(run)


def launch(instance: DagsterInstance) -> list[dg.DagsterRun]:
    """Return the runs that the daemon would launch now, and report them as starting."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    runs = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)
    report(instance, runs, DagsterEventType.PIPELINE_STARTING)
    return runs


def report(instance: DagsterInstance, runs: Sequence[dg.DagsterRun], event: DagsterEventType) -> None:
    for run in runs:
        instance.run_storage.handle_run_event(run.run_id, DagsterEvent(event.value, "job"))


def exchanges_of(runs: Sequence[dg.DagsterRun]) -> list[str]:
    return sorted(run.tags["exchange"] for run in runs)


def queue_a_long_backfill(instance: DagsterInstance) -> None:
    """Queue a backfill in Dagster's order: exchange after exchange, each with a year of runs."""
    for exchange in EXCHANGES:
        for _ in range(12):
            queue(instance, exchange, {"dagster/backfill": "long"})


def test_the_exchanges_of_a_long_backfill_run_side_by_side_from_first_to_last(instance: DagsterInstance) -> None:
    queue_a_long_backfill(instance)
    for _ in range(12):
        runs = launch(instance)
        assert exchanges_of(runs) == sorted(EXCHANGES)
        assert launch(instance) == []  # the next run of each exchange waits for the pool of the exchange
        report(instance, runs, DagsterEventType.PIPELINE_SUCCESS)
    assert launch(instance) == []


def test_yesterday_is_settled_before_what_a_backfill_has_queued(instance: DagsterInstance) -> None:
    queue_a_long_backfill(instance)
    report(instance, launch(instance), DagsterEventType.PIPELINE_SUCCESS)
    for request in settle_requests(EXCHANGES, NOW):
        queue(instance, request.asset_selection[0].path[0], {"settles": "yes", **request.tags})  # type: ignore[index]
    assert Counter(run.tags.get("settles") for run in launch(instance)) == {"yes": len(EXCHANGES)}


@pytest.mark.parametrize("tag", [REPAIR, AUTOPILOT])
def test_what_waits_for_a_busy_exchange_keeps_no_other_one_waiting(instance: DagsterInstance, tag: str) -> None:
    queue(instance, "binance", {"dagster/backfill": "one"})
    launch(instance)
    for exchange in ("binance",) * 5 + ("okx",):
        request = request_of_days(tag, exchange, date(2024, 2, 1), date(2024, 2, 2), NOW, config={})
        queue(instance, exchange, dict(request.tags))
    assert exchanges_of(launch(instance)) == ["okx"]
