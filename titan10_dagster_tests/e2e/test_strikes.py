"""Each strike hits the middle of a backfill, which is complete afterwards, with no candle lost, doubled or invented.

`TITAN10_TEST_STRIKES`: how often each strike is made (`make campaign`: 3). Without it a run is killed once, and the
other strikes are skipped. The cost of every strike is printed. The seed of the moments is `TITAN10_TEST_SEED`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from titan10_dagster.local.ports import free_port
from titan10_dagster_tests.databases import passable_folder
from titan10_dagster_tests.disks import small_disk
from titan10_dagster_tests.e2e.strikes import (
    ON_EMBEDDED_SERVER,
    Cost,
    Installation,
    fail_over,
    fill_disk_twice,
    installed,
)
from titan10_dagster_tests.store.test_servers import Node, hand_over

ROUNDS = int(os.environ.get("TITAN10_TEST_STRIKES", "0"))
SEED = int(os.environ.get("TITAN10_TEST_SEED", time.time_ns() % 1_000_000))
SHORT = ("run",)
TMPFS_SIZE = "160m"
pytestmark = [
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc"),
    pytest.mark.timeout(1800),
]


def strikes() -> list[object]:
    """Return every strike on the embedded server, for every round.

    Without rounds, all strikes except the short strikes are skipped.
    """
    skipped = pytest.mark.skip(reason="TITAN10_TEST_STRIKES says no strike, so this was NOT tested")
    cases: list[object] = []
    for number in range(max(ROUNDS, 1)):
        for name in ON_EMBEDDED_SERVER:
            marks = () if ROUNDS or name in SHORT else (skipped,)
            cases.append(pytest.param(name, id=f"{name}-{number + 1}", marks=marks))
    return cases


def report(cost: Cost) -> None:
    print(f"\n{cost}", flush=True)  # noqa: T201
    assert cost.is_harmless, str(cost)


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """One installation. All strikes hit its embedded server, one after the other."""
    print(f"\nseed {SEED}")  # noqa: T201
    with passable_folder() as home, installed(home, SEED) as installation:
        yield installation


@pytest.mark.parametrize("name", strikes())
def test_after_a_strike_the_backfill_is_complete(installation: Installation, name: str) -> None:
    report(installation.suffer(name, ON_EMBEDDED_SERVER[name]))


@pytest.mark.skipif(not ROUNDS, reason="TITAN10_TEST_STRIKES says no strike, so this was NOT tested")
@pytest.mark.parametrize("number", range(ROUNDS))
def test_after_a_failover_the_backfill_is_complete(number: int) -> None:
    with passable_folder() as folder:
        hand_over(folder)
        primary, standby = Node(folder / "primary", free_port()), Node(folder / "standby", free_port())
        started: list[Node] = []
        try:
            primary.initialise()
            with (primary.folder / "postgresql.conf").open("a") as file:
                file.write("max_connections = 200\n")
            primary.start()
            started.append(primary)
            standby.copy_from(primary)
            standby.start()
            started.append(standby)
            # A commit is confirmed when both nodes have it, so that the failover loses no commit.
            primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
            with passable_folder() as home, installed(home, SEED + number, (primary, standby)) as installation:
                report(installation.suffer("failover", fail_over))
        finally:
            for node in started:
                with suppress(AssertionError):  # the strike has stopped this node
                    node.stop()


@pytest.mark.skipif(not ROUNDS, reason="TITAN10_TEST_STRIKES says no strike, so this was NOT tested")
@pytest.mark.parametrize("number", range(ROUNDS))
def test_after_a_full_disk_the_backfill_is_complete(number: int) -> None:
    with passable_folder() as home:
        data = home / "data"
        data.mkdir(mode=0o711)
        with small_disk(data, TMPFS_SIZE), installed(home, SEED + number) as installation:
            report(installation.suffer("disk full twice", fill_disk_twice))
