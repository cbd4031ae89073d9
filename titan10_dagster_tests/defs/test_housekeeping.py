from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from titan10_dagster.dagster_internals.database import dagster_url, ensure_dagster_schema
from titan10_dagster.dagster_internals.storage import PooledPostgresStorage
from titan10_dagster.defs.compose import compose
from titan10_dagster.defs.housekeeping import FREQUENT, Deleted, delete_runs, delete_step_logs
from titan10_dagster_tests.world import MakeWorld, World

DAY = date(2024, 3, 8)
TABLES = ("event_logs", "runs", "run_tags", "asset_event_tags", "asset_check_executions", "pending_steps")


@pytest.fixture
def instance(database_url: str, tmp_path: Path) -> Iterator[DagsterInstance]:
    """An instance that keeps its tables in PostgreSQL, as in production."""
    ensure_dagster_schema(database_url)
    storage = {
        "custom": {
            "module": PooledPostgresStorage.__module__,
            "class": PooledPostgresStorage.__name__,
            "config": {"postgres_url": dagster_url(database_url)},
        }
    }
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides={"storage": storage}) as made:
        yield made


@pytest.fixture
def world(make_world: MakeWorld, instance: DagsterInstance) -> World:
    world = make_world({"binance": ["BTC/USDT"]})
    world.instance = instance
    return world


def run(world: World, job: str) -> str:
    return compose(world.titan10).resolve_job_def(job).execute_in_process(instance=world.instance).run_id


def rows(instance: DagsterInstance, table: str) -> int:
    with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        return int(connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one())


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


def live_runs(instance: DagsterInstance) -> int:
    return instance.get_runs_count(RunsFilter(job_name="live"))


def test_the_jobs_with_deleted_runs_exist_and_make_no_partition(world: World) -> None:
    jobs = {job.name: job for job in compose(world.titan10).resolve_all_job_defs()}
    assert len(set(FREQUENT)) == len(FREQUENT)
    assert set(FREQUENT) <= set(jobs)
    assert [name for name in FREQUENT if jobs[name].partitions_def is not None] == []


def test_old_polls_go_with_every_row_of_theirs_and_the_last_one_stays(world: World) -> None:
    run(world, "live")
    before = {table: rows(world.instance, table) for table in TABLES}
    polls = [run(world, "live") for _ in range(3)]
    deleted = delete_runs(world.instance, soon())
    assert deleted.runs == 3
    assert deleted.events > 3
    assert deleted.bytes > 1000
    assert [run.run_id for run in world.instance.get_runs()] == [polls[-1]]
    assert {table: rows(world.instance, table) for table in TABLES} == before


def test_nothing_is_deleted_before_its_time_or_while_it_runs(world: World, instance: DagsterInstance) -> None:
    for _ in range(2):
        run(world, "live")
    assert delete_runs(instance, datetime.now(UTC) - timedelta(minutes=10)) == Deleted()
    job = compose(world.titan10).resolve_job_def("live")
    instance.create_run_for_job(job, status=DagsterRunStatus.STARTED)
    # the first run; the second run is kept, because it is the last successful run
    assert delete_runs(instance, soon()).runs == 1
    assert live_runs(instance) == 2


def test_partitions_stay_green_and_checks_passed_after_housekeeping(world: World, instance: DagsterInstance) -> None:
    assert not world.backfill("binance", DAY, DAY + timedelta(days=1)).failed
    for _ in range(3):
        run(world, "live")
    keys = [dg.AssetKey(["binance", name]) for name in ("candles", "ohlcv")]
    green = [instance.get_materialized_partitions(key) for key in keys]
    checks = rows(instance, "asset_check_executions")
    assert delete_runs(instance, soon()).runs > 0
    assert [instance.get_materialized_partitions(key) for key in keys] == green
    assert green == [{"2024-03-08", "2024-03-09"}] * 2
    assert rows(instance, "asset_check_executions") == checks > 0


def test_a_house_keeper_killed_between_events_and_run_is_followed_by_one_that_ends_it(
    world: World, instance: DagsterInstance
) -> None:
    first, last = run(world, "live"), run(world, "live")
    instance.event_log_storage.delete_events(first)  # as if the process had been killed before it deleted the run
    assert delete_runs(instance, soon()).runs == 1
    assert [run.run_id for run in instance.get_runs()] == [last]


def test_a_night_has_an_end_and_the_next_one_goes_on(
    world: World, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("titan10_dagster.defs.housekeeping.BATCH", 3)
    for _ in range(6):
        run(world, "live")
    assert delete_runs(instance, soon(), longest=timedelta(0)).runs == 3
    assert delete_runs(instance, soon()).runs == 2


def test_the_asset_reports_the_space_that_it_freed(world: World, instance: DagsterInstance) -> None:
    for _ in range(3):
        run(world, "live")
    object.__setattr__(world.titan10, "now", lambda: datetime.now(UTC) + timedelta(days=4))
    run(world, "housekeeping")
    event = instance.get_latest_materialization_event(dg.AssetKey(["system", "housekeeping"]))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["runs"].value == 2
    assert int(str(event.asset_materialization.metadata["event_bytes"].value)) > 1000


def test_what_steps_printed_goes_when_it_is_old(tmp_path: Path) -> None:
    def folder(name: str, age: timedelta) -> Path:
        made = tmp_path / name
        (made / "compute_logs").mkdir(parents=True)
        instant = (datetime.now(UTC) - age).timestamp()
        os.utime(made, (instant, instant))
        return made

    old, new = folder(str(uuid4()), timedelta(days=31)), folder(str(uuid4()), timedelta(days=1))
    other = folder("assets", timedelta(days=31))
    ticks = [other / "compute_logs" / name for name in ("1.err", "2.err")]
    for tick, age in zip(ticks, (31, 29), strict=True):
        tick.touch()
        instant = (datetime.now(UTC) - timedelta(days=age)).timestamp()
        os.utime(tick, (instant, instant))
    assert delete_step_logs(tmp_path, datetime.now(UTC) - timedelta(days=30)) == 1
    assert (old.exists(), new.exists(), other.exists()) == (False, True, True)
    assert [tick.exists() for tick in ticks] == [False, True]


def test_there_is_nothing_to_clear_where_nothing_was_printed(tmp_path: Path) -> None:
    assert delete_step_logs(tmp_path / "absent", datetime.now(UTC)) == 0


def test_the_housekeeping_runs_every_night(make_world: Callable[..., World]) -> None:
    definitions = compose(make_world({"binance": ["BTC/USDT"]}).titan10)
    schedule = definitions.resolve_schedule_def("keep_house")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.cron_schedule == "30 3 * * *"
