from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
from dagster import DagsterInstance, DagsterRunStatus

from titan10_dagster.defs import requests
from titan10_dagster.defs.housekeeping import FREQUENT
from titan10_dagster.defs.partitions import daily_keys
from titan10_dagster.defs.requests import (
    AUTOPILOT,
    BLOCKED,
    JOBS_OF_DAYS,
    REPAIR,
    REPAIR_JOB,
    attempts_of,
    failed_requests,
    fetched_by_other_runs,
    request_of_days,
)
from titan10_dagster.planning.attempts import Attempt

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
FIRST, LAST = date(2024, 2, 1), date(2024, 2, 3)


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def requested(instance: DagsterInstance, tag: str, status: DagsterRunStatus, exchange: str = "binance") -> None:
    request = request_of_days(tag, exchange, FIRST, LAST, NOW, config={"symbols": ["BTC/USDT"]})
    instance.add_run(dg.DagsterRun("job", run_config=request.run_config, tags=request.tags, status=status))


def by_another(instance: DagsterInstance, status: DagsterRunStatus, *keys: dg.AssetKey, **tags: str) -> None:
    instance.add_run(dg.DagsterRun("job", tags=tags, status=status, asset_selection=frozenset(keys)))


@pytest.mark.parametrize(
    ("status", "in_flight", "failed"),
    [
        (DagsterRunStatus.NOT_STARTED, True, False),
        (DagsterRunStatus.STARTED, True, False),
        (DagsterRunStatus.SUCCESS, False, False),
        (DagsterRunStatus.FAILURE, False, True),
        (DagsterRunStatus.CANCELED, False, True),
    ],
)
def test_a_requested_run_is_remembered_as_an_attempt(
    instance: DagsterInstance, status: DagsterRunStatus, in_flight: bool, failed: bool
) -> None:
    requested(instance, REPAIR, status)
    requested(instance, AUTOPILOT, DagsterRunStatus.SUCCESS)
    (attempt,) = attempts_of(instance, REPAIR, ["binance", "okx"], NOW - timedelta(days=1))
    assert attempt == Attempt("binance", FIRST, LAST, frozenset(["BTC/USDT"]), NOW, in_flight, failed)
    forgotten = list(attempts_of(instance, REPAIR, ["binance"], NOW + timedelta(days=1)))
    assert bool(forgotten) is in_flight


def test_a_run_that_was_not_allowed_to_make_requests_is_no_attempt(instance: DagsterInstance) -> None:
    blocked = {BLOCKED: NOW.isoformat()}
    request = request_of_days(REPAIR, "binance", FIRST, LAST, NOW, config={"symbols": ["BTC/USDT"]}, tags=blocked)
    ended, running = (
        dg.DagsterRun("job", run_config=request.run_config, tags=request.tags, status=status)
        for status in (DagsterRunStatus.FAILURE, DagsterRunStatus.STARTED)
    )
    instance.add_run(ended)
    assert not list(attempts_of(instance, REPAIR, ["binance"], NOW))
    instance.add_run(running)
    assert [attempt.in_flight for attempt in attempts_of(instance, REPAIR, ["binance"], NOW)] == [True]


def test_many_runs_of_one_exchange_do_not_hide_the_runs_of_another(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MOST_REMEMBERED", 2)
    requested(instance, AUTOPILOT, DagsterRunStatus.FAILURE, "binance")
    for _ in range(3):
        requested(instance, AUTOPILOT, DagsterRunStatus.SUCCESS, "kraken")
    found = [attempt.exchange for attempt in attempts_of(instance, AUTOPILOT, ["binance", "kraken"], NOW)]
    assert found == ["binance", "kraken", "kraken"]


def test_the_key_of_a_run_names_the_attempt() -> None:
    keys = {
        request_of_days(tag, "binance", FIRST, LAST, NOW + n * timedelta(minutes=1), config={}).run_key
        for tag in (REPAIR, AUTOPILOT)
        for n in range(2)
    }
    assert len(keys) == 4


def test_an_exchange_is_busy_while_another_run_fetches_its_days(instance: DagsterInstance) -> None:
    by_another(instance, DagsterRunStatus.NOT_STARTED, *daily_keys("binance"))
    by_another(instance, DagsterRunStatus.SUCCESS, *daily_keys("okx"))
    by_another(instance, DagsterRunStatus.STARTED, dg.AssetKey(["kraken", "markets"]))
    by_another(instance, DagsterRunStatus.STARTED, *daily_keys("bybit"), **{AUTOPILOT: "bybit"})
    assert fetched_by_other_runs(instance, [AUTOPILOT]) == {"binance"}
    assert fetched_by_other_runs(instance, [REPAIR]) == {"binance", "bybit"}


def failed_backfill(instance: DagsterInstance, job: str, runs: int) -> set[date]:
    """Record failed runs of one day each; return their days."""
    days = {FIRST + timedelta(days=number) for number in range(runs)}
    for day in sorted(days):
        run = dg.DagsterRun(
            job,
            status=DagsterRunStatus.FAILURE,
            tags={"dagster/partition": str(day)},
            asset_selection=frozenset(daily_keys("binance")),
        )
        instance.add_run(run)
    return days


@pytest.mark.parametrize("job", sorted(set(JOBS_OF_DAYS) - {REPAIR_JOB}))
def test_no_day_of_a_failed_run_is_forgotten_however_many_runs_failed(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    monkeypatch.setattr(requests, "_BATCH", 50)
    days = failed_backfill(instance, job, requests.MOST_REMEMBERED + 60)
    found = {request.stretch.first for request in failed_requests(instance, ["binance"])}
    assert found == days
    assert not set(JOBS_OF_DAYS) & set(FREQUENT)  # housekeeping deletes only runs of these jobs


def test_of_failed_repairs_the_newest_count(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MOST_REMEMBERED", 3)
    days = failed_backfill(instance, REPAIR_JOB, 5)
    found = {request.stretch.first for request in failed_requests(instance, ["binance"])}
    assert found == set(sorted(days)[-3:])
