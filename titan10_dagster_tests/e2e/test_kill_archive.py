"""A backfill from monthly archive files, killed again and again: only files in progress are downloaded twice.

`TITAN10_TEST_KILLS` and `TITAN10_TEST_KILL_MONTHS` make it longer (`make campaign`: 10 and 12). The seed is printed.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg2
import pytest

from titan10_dagster.candles.slices import Series, midnight
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.store import reader
from titan10_dagster.store.database import Database
from titan10_dagster_tests.e2e.backfills import start_backfill
from titan10_dagster_tests.tables import as_table

KILLS = int(os.environ.get("TITAN10_TEST_KILLS", "2"))
MONTHS = int(os.environ.get("TITAN10_TEST_KILL_MONTHS", "2"))
SYMBOLS = ("BTC/USDT", "ETH/USDT")
LAST = date(2024, 3, 31)
FIRST = date(2024 - (MONTHS - 1 + 9) // 12, (2 - (MONTHS - 1)) % 12 + 1, 1)
DAYS = (LAST - FIRST).days + 1
ROOT = Path(__file__).parents[2]


@dataclass
class Site:
    """A folder with settings, a PostgreSQL of its own and a sandbox with an archive."""

    home: Path
    postgres: EmbeddedPostgres
    sandbox: Sandbox

    def launch(self) -> subprocess.Popen[str]:
        return start_backfill(self.home, FIRST, LAST, {"TITAN10_DATABASE__URL": self.postgres.url()})

    @property
    def served(self) -> list[str]:
        """The paths of the data files that were requested, in order; digests are left out."""
        return [path for path in self.sandbox.files["binance"].served if not path.endswith(".CHECKSUM")]

    def cached(self) -> set[str]:
        """Return the names of the complete files in the cache."""
        folder = self.home / "data" / "archives"
        return {path.name for path in folder.rglob("*.zip") if path.with_name(f"{path.name}.source.json").exists()}


@pytest.fixture
def site(open_folder: Path) -> Iterator[Site]:
    postgres = EmbeddedPostgres(open_folder / "postgres")
    postgres.start()
    (open_folder / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    now = datetime(2024, 4, 20, tzinfo=UTC)
    with Sandbox(["binance"], clock=now, enforce_limits=False) as sandbox:
        (open_folder / "titan10.toml").write_text(
            f'data = "data"\n[retries]\nsteps = 0\n[exchanges.binance]\nsymbols = {list(SYMBOLS)}\nstart = {FIRST}\n'
            f'paced = false\ndays_per_run = 31\nsources = ["archive", "rest"]\nbase_url = "{sandbox.url("binance")}"\n'
        )
        yield Site(open_folder, postgres, sandbox)
    postgres.stop()


@pytest.mark.timeout(1800)
def test_a_backfill_from_files_downloads_none_twice_however_often_it_is_killed(site: Site) -> None:
    seed = int(os.environ.get("TITAN10_TEST_SEED", time.time_ns() % 1_000_000))
    chance = random.Random(seed)
    print(f"seed {seed}")  # noqa: T201
    struck = 0
    for _ in range(KILLS):
        before, requested = site.cached(), len(site.served)
        process = site.launch()
        wait_for_files(site, process, len(before) + chance.randint(0, 2), requested)
        time.sleep(chance.uniform(0, 0.3))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            struck += 1
        process.communicate(timeout=300)
        site.sandbox.wait_for_silence()
        print(f"strike {struck}: {len(site.cached())} files are in the cache")  # noqa: T201
        assert_not_again(site, before, requested)
    assert struck
    before, requested = site.cached(), len(site.served)
    process = site.launch()
    output, _ = process.communicate(timeout=900)
    # Exit code 1: the exchange had outages, so minutes are missing that no source has.
    assert process.returncode in (0, 1), output
    assert "Failed: " not in output, output
    assert_not_again(site, before, requested)
    assert len(set(site.served)) >= len(SYMBOLS) * MONTHS
    assert_whole(site)


def wait_for_files(site: Site, process: subprocess.Popen[str], files: int, requested: int) -> None:
    """Wait until the process has requested a file and the cache has this many files, or until the process has ended."""
    patience = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < patience:
        if len(site.served) > requested and len(site.cached()) >= files:
            return
        time.sleep(0.02)


def assert_not_again(site: Site, before: set[str], requested: int) -> None:
    """Check that no file was downloaded again.

    Files in the cache at the start count, and files that the process has downloaded itself.
    """
    names = [path.rpartition("/")[2] for path in site.served[requested:]]
    assert not before & set(names)
    assert len(names) == len(set(names))


def assert_whole(site: Site) -> None:
    end = midnight(LAST + timedelta(days=1))
    with closing(Database(site.postgres.url())) as database:
        for symbol in SYMBOLS:
            series = Series("binance", symbol, TIMEFRAMES["1m"])
            stored = as_table(reader.candles(database, series, midnight(FIRST), end))
            assert np.array_equal(stored, site.sandbox.truth("binance", symbol, midnight(FIRST), end))
    with closing(psycopg2.connect(site.postgres.url())) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT (symbol, time)) FROM candles")
        rows, distinct = cursor.fetchone() or (0, -1)
        assert rows == distinct
        cursor.execute("SELECT count(*) FROM slice_ledger WHERE state = 'settled'")
        assert cursor.fetchone() == (len(SYMBOLS) * DAYS,)
