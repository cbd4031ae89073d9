from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster_tests.databases import passable_folder
from titan10_dagster_tests.instances import dagsters_url, instance  # noqa: F401


@pytest.fixture(scope="session")
def running() -> Iterator[EmbeddedPostgres]:
    """A server for tests that only read from it."""
    with passable_folder() as folder:
        server = EmbeddedPostgres(folder / "postgres")
        server.start()
        yield server
        server.stop()


@pytest.fixture
def server(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(open_folder / "postgres")
    server.start()
    yield server
    server.stop()
