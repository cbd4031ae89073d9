"""A Dagster instance on a real PostgreSQL, with the storage of dagster.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance

from titan10_dagster.dagster_internals.database import dagster_url, ensure_dagster_schema
from titan10_dagster_tests import stock_dagster

ROOT = Path(__file__).parents[1]


@pytest.fixture
def dagsters_url(database_url: str) -> str:
    """Return the URL of the database with the tables of `instance`."""
    ensure_dagster_schema(database_url)
    return dagster_url(database_url)


@pytest.fixture
def instance(dagsters_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    """An instance with the storage of dagster.yaml."""
    monkeypatch.setenv("TITAN10_DATABASE__DAGSTER_URL", dagsters_url)
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides={"storage": stock_dagster.storage()}) as made:
        yield made
