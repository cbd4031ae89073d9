from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster import DagsterInstance, DagsterRunStatus

from titan10_dagster.defs.live import JOB, complaints, live_job, live_request, live_schedule, observation
from titan10_dagster.defs.requests import is_under_way
from titan10_dagster.ingest.live import LiveReport

TICK = datetime(2024, 3, 10, 12, 0, tzinfo=UTC)
SOON, LATE = TICK + timedelta(seconds=2), TICK + timedelta(seconds=61)


def test_each_minute_has_its_poll() -> None:
    first = live_request(TICK, SOON, under_way=False)
    second = live_request(TICK + timedelta(minutes=1), SOON + timedelta(minutes=1), under_way=False)
    assert isinstance(first, dg.RunRequest)
    assert isinstance(second, dg.RunRequest)
    assert first.run_key != second.run_key


def test_ticks_that_are_caught_up_after_a_pause_collapse_into_the_newest() -> None:
    ticks = [TICK + timedelta(minutes=n) for n in range(5)]
    now = ticks[-1] + timedelta(seconds=5)
    asked = [isinstance(live_request(tick, now, under_way=False), dg.RunRequest) for tick in ticks]
    assert asked == [False, False, False, False, True]


def test_no_poll_starts_while_the_last_one_is_under_way() -> None:
    assert isinstance(live_request(TICK, SOON, under_way=True), dg.SkipReason)


@pytest.mark.parametrize(
    ("status", "under_way"),
    [
        (DagsterRunStatus.NOT_STARTED, True),
        (DagsterRunStatus.STARTING, True),
        (DagsterRunStatus.STARTED, True),
        (DagsterRunStatus.SUCCESS, False),
        (DagsterRunStatus.FAILURE, False),
    ],
)
def test_a_poll_is_under_way_from_the_queue_to_its_end(status: DagsterRunStatus, under_way: bool) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        created(instance, status)
        assert is_under_way(instance, JOB) is under_way


def created(instance: DagsterInstance, status: DagsterRunStatus) -> None:
    instance.create_run_for_job(live_job(("binance",)), status=status)


@pytest.mark.parametrize("enabled", [True, False])
def test_polling_is_off_unless_the_settings_say_otherwise(enabled: bool) -> None:
    status = live_schedule(("binance",), enabled=enabled).default_status
    assert (status is dg.DefaultScheduleStatus.RUNNING) is enabled


def test_problems_of_a_poll_are_logged_and_shown() -> None:
    report = LiveReport("okx", failed={"BTC/USDT": "gone"}, postponed=("ETH/USDT",), error="a ban")
    assert complaints(report) == [
        "okx: a ban",
        "okx: there was no time to poll ETH/USDT; the next poll begins with these symbols",
        "okx BTC/USDT: gone",
    ]
    shown = observation(report)
    assert shown.asset_key == dg.AssetKey(["okx", "ohlcv"])
    assert {"failed_symbols", "postponed", "error"} <= set(shown.metadata)
    assert "lag_seconds" not in shown.metadata
