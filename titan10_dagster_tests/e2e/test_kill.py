"""`titan10 backfill` killed at random moments, or without PostgreSQL: no candle is lost, doubled or fetched twice.

`TITAN10_TEST_KILLS` and `TITAN10_TEST_KILL_DAYS` make it longer (`make campaign`: 10 and 30); the seed is printed.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg2
import pytest

from titan10_dagster.candles.slices import Series, Slice, Window, days, from_ms, midnight, slices_of
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.store import reader
from titan10_dagster.store.database import Database
from titan10_dagster_tests.e2e.backfills import start_backfill
from titan10_dagster_tests.tables import as_table

KILLS = int(os.environ.get("TITAN10_TEST_KILLS", "2"))
DAYS = int(os.environ.get("TITAN10_TEST_KILL_DAYS", "10"))
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "PEPE/USDT")
LAST = date(2024, 3, 30)
FIRST = LAST - timedelta(days=DAYS - 1)
MINUTE = TIMEFRAMES["1m"]
ROOT = Path(__file__).parents[2]


@dataclass
class Site:
    """A folder with settings, a PostgreSQL of its own and a sandbox."""

    home: Path
    postgres: EmbeddedPostgres
    sandbox: Sandbox

    def launch(self) -> subprocess.Popen[str]:
        variables = {
            "TITAN10_DATABASE__URL": self.postgres.url(),
            "TITAN10_EXCHANGES__BINANCE__BASE_URL": self.sandbox.url("binance"),
        }
        return start_backfill(self.home, FIRST, LAST, variables)

    def finished(self) -> set[Slice]:
        """The slices that have landed."""
        slices = [Slice(Series("binance", symbol, MINUTE), day) for symbol in SYMBOLS for day in days(FIRST, LAST)]
        return set(LandingZone(self.home / "data" / "landing").records(slices))

    def asked_again(self, finished: set[Slice], since: int) -> list[Window]:
        """Return the requests from the given number on for candles that had landed before.

        The overlaps of pages do not count.
        """
        overlap = venue_of("binance").overlap * MINUTE.delta
        again = []
        for entry in self.sandbox.requests("binance", since):
            if entry["timeframe"]:
                start, end = from_ms(entry["since"]) + overlap, from_ms(entry["since"]) + entry["limit"] * MINUTE.delta
                window = Window(Series("binance", entry["symbol"], MINUTE), start, end - overlap)
                if set(slices_of(window)) <= finished:
                    again.append(window)
        return again

    def stored(self, symbol: str) -> np.ndarray:
        with closing(Database(self.postgres.url())) as database:
            series = Series("binance", symbol, MINUTE)
            return as_table(reader.candles(database, series, midnight(FIRST), midnight(LAST + timedelta(days=1))))


@pytest.fixture
def site(open_folder: Path) -> Iterator[Site]:
    postgres = EmbeddedPostgres(open_folder / "postgres")
    postgres.start()
    (open_folder / "titan10.toml").write_text(
        f'data = "data"\n[retries]\nsteps = 0\n[exchanges.binance]\nsymbols = {list(SYMBOLS)}\n'
        f"start = {FIRST}\npaced = false\ndays_per_run = 366\n"
    )
    (open_folder / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    now = datetime(2024, 4, 2, tzinfo=UTC)
    with Sandbox(["binance"], clock=now, enforce_limits=False, latency=0.3) as sandbox:
        yield Site(open_folder, postgres, sandbox)
    postgres.stop()


def disturb(site: Site, strike: Callable[[subprocess.Popen[str]], None]) -> None:
    """Launch, kill and launch again. Each launch requests only candles that had not landed."""
    seed = int(os.environ.get("TITAN10_TEST_SEED", time.time_ns() % 1_000_000))
    chance = random.Random(seed)
    print(f"seed {seed}")  # noqa: T201
    struck = 0
    for _ in range(KILLS):
        finished, since = site.finished(), len(site.sandbox.requests("binance")) + 1
        process = site.launch()
        # The first kill always hits a running backfill. At a later kill, the backfill may be complete.
        moment = chance.uniform(0, 3 if struck else 1)
        if lives_until(process, moment, lambda: len(site.sandbox.requests("binance")) >= since):  # noqa: B023
            landed, struck = len(site.finished()), struck + 1
            print(f"strike {struck}: {landed} of {len(SYMBOLS) * DAYS} slices have landed")  # noqa: T201
            strike(process)
        process.communicate(timeout=300)
        assert not site.asked_again(finished, since)
    assert struck
    finished, since = site.finished(), len(site.sandbox.requests("binance")) + 1
    process = site.launch()
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert not site.asked_again(finished, since)


def lives_until(process: subprocess.Popen[str], moment: float, asks: Callable[[], bool]) -> bool:
    """Wait for the first request, and then a moment longer. A run with nothing to fetch never makes a request."""
    patience = time.monotonic() + 6
    while process.poll() is None and time.monotonic() < patience and not asks():
        time.sleep(0.02)
    time.sleep(moment)
    return process.poll() is None


def assert_whole(site: Site) -> None:
    end = midnight(LAST + timedelta(days=1))
    for symbol in SYMBOLS:
        assert np.array_equal(site.stored(symbol), site.sandbox.truth("binance", symbol, midnight(FIRST), end))
    with closing(psycopg2.connect(site.postgres.url())) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT (symbol, time)) FROM candles")
        rows, distinct = cursor.fetchone() or (0, -1)
        assert rows == distinct
        cursor.execute("SELECT count(*) FROM slice_ledger WHERE state = 'settled'")
        assert cursor.fetchone() == (len(SYMBOLS) * DAYS,)


@pytest.mark.timeout(900)
def test_a_backfill_killed_at_random_moments_is_whole_in_the_end(site: Site) -> None:
    disturb(site, lambda process: os.killpg(process.pid, signal.SIGKILL))
    assert_whole(site)


@pytest.mark.timeout(900)
def test_a_database_that_stops_in_the_middle_loses_nothing(site: Site) -> None:
    def stop_and_start(_: subprocess.Popen[str]) -> None:
        site.postgres.stop()
        time.sleep(2)
        site.postgres.start()

    disturb(site, stop_and_start)
    assert_whole(site)
