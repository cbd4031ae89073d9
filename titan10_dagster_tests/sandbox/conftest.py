"""The sandbox served from this process, and the unmodified ccxt classes pointed at it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster_tests.sandbox.clients import NOW, NOW_MS, Clients, Run


@pytest.fixture(scope="session")
def run() -> Iterator[Run[Any]]:
    """Run a coroutine in the loop to which all ccxt instances of the session belong."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(scope="session")
def served() -> Iterator[Sandbox]:
    """All exchanges at a fixed time, without limits."""
    with Sandbox(clock=NOW, enforce_limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(served: Sandbox) -> Iterator[Sandbox]:
    """The same exchanges, without faults of an earlier test."""
    yield served
    served.clear_faults()
    served.clock.stop_at(NOW_MS)


@pytest.fixture(scope="session")
def clients(run: Run[Any], served: Sandbox) -> Iterator[Clients]:
    found = Clients(run, served)
    yield found
    found.close()
