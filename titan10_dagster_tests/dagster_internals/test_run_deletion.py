"""Many runs are deleted with all of their rows and step logs, and no others."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from titan10_dagster.dagster_internals.run_deletion import delete_runs, size_of_events


@dg.op
def nothing() -> None:
    """Do nothing, with the usual events."""


@dg.job(tags={"kind": "test"})
def job() -> None:
    nothing()


def run(instance: dg.DagsterInstance) -> str:
    return job.execute_in_process(instance=instance).run_id


def step_logs(instance: dg.DagsterInstance, run_id: str) -> Path:
    folder = Path(instance.storage_directory()) / run_id / "compute_logs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "1.err").write_text("a line")
    return folder.parent


def delete_and_compare(instance: dg.DagsterInstance) -> None:
    gone, kept = [run(instance), run(instance)], run(instance)
    folders = [step_logs(instance, run_id) for run_id in (*gone, kept)]
    events = len(instance.all_logs(kept))
    delete_runs(instance, gone)
    assert [found.run_id for found in instance.get_runs()] == [kept]
    assert [len(instance.all_logs(run_id)) for run_id in (*gone, kept)] == [0, 0, events]
    assert [folder.exists() for folder in folders] == [False, False, True]
    assert instance.get_run_tags(["kind"]) == [("kind", {"test"})]


def test_runs_on_postgresql_are_deleted_with_everything_of_theirs(instance: dg.DagsterInstance) -> None:
    delete_and_compare(instance)


def test_runs_on_another_storage_are_deleted_too(tmp_path: Path) -> None:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as sqlite:
        delete_and_compare(sqlite)


def test_the_size_of_events_counts_those_of_the_given_runs(instance: dg.DagsterInstance) -> None:
    first, second = run(instance), run(instance)
    events, size = size_of_events(instance, [first])
    assert events == len(instance.all_logs(first)) > 3
    assert size > 100 * events
    assert size_of_events(instance, [first, second])[0] == 2 * events
    assert size_of_events(instance, []) == (0, 0)


@pytest.mark.parametrize("runs", [0, 1])
def test_deletion_of_deleted_runs_changes_nothing(instance: dg.DagsterInstance, runs: int) -> None:
    deleted, kept = [run(instance) for _ in range(runs)], run(instance)
    for _ in range(2):
        delete_runs(instance, deleted)
    assert [found.run_id for found in instance.get_runs()] == [kept]
