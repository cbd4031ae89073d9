"""A whole `titan10 up` in real time with a backfill, repairs and live polling, while each process is killed in turn.

Daemon, a run, code server and PostgreSQL are killed with SIGKILL at random moments while requests are under way, and
one exchange bans the address in the middle. No step is manual. The exchanges of the sandbox enforce their limits.

`TITAN10_TEST_STRIKES`: how often each of the four is killed; without it the tests are skipped. With 1 the tests take
some minutes and three exchanges; with more they take five exchanges, and the ban hits the backfill.
`TITAN10_TEST_STRIKE_DAYS`: the days of the backfill (`make campaign`: 3 and 90). The seed is printed.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dagster import AssetKey, DagsterEventType, DagsterInstance

from titan10_dagster import settings as titan10_settings
from titan10_dagster.candles.slices import Series, days, midnight
from titan10_dagster.ingest.backlog import open_slices
from titan10_dagster.ingest.context import IngestContext, utc_now
from titan10_dagster.ingest.days import read_days
from titan10_dagster.ingest.fetch import fetch_and_land
from titan10_dagster.ingest.live import poll_exchanges
from titan10_dagster.ingest.store import store_slices
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.local.graphql import GraphQLError, backfill_of, launch_backfill, run_query
from titan10_dagster.local.instance import migrate_all, open_database, prepare
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.local.stack import Stack
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.settings import Settings
from titan10_dagster.store import reader
from titan10_dagster.store.audit import unaccounted
from titan10_dagster.store.database import Database, single_row
from titan10_dagster_tests.processes import processes_of, wait_until
from titan10_dagster_tests.tables import as_table

ROOT = Path(__file__).parents[2]
STRIKES = int(os.environ.get("TITAN10_TEST_STRIKES", "0"))
DAYS = int(os.environ.get("TITAN10_TEST_STRIKE_DAYS", "30"))
LONG = STRIKES > 1
pytestmark = [
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc"),
    pytest.mark.skipif(not STRIKES, reason="TITAN10_TEST_STRIKES says no strike, so this was NOT tested"),
    pytest.mark.timeout(7200 if LONG else 1800),
]
SYMBOLS = {
    "binance": ("BTC/USDT", "ETH/USDT"),
    "bybit": ("BTC/USDT", "ETH/USDT"),
    "coinbase": ("BTC/USD", "ETH/USD"),
    # two cores are enough for only three exchanges
    **({"kraken": ("BTC/USD", "ETH/USD"), "okx": ("BTC/USDT", "SOL/USDT")} if LONG else {}),
}
BACKFILLED = ("binance", "coinbase", *(("bybit", "okx") if LONG else ()))
REPAIRED = ("binance", "bybit")
# With more strikes, the ban comes in the middle of the backfill. Within ten minutes, the gap sensor then fetches the
# days that the ban has stopped.
BANNED, BANNED_AFTER = ("binance", 40) if LONG else ("bybit", 0)
BAN_SECONDS = 70  # longer than the time between two live polls
LAST = datetime.now(UTC).date() - timedelta(days=2)
WANTED = days(LAST - timedelta(days=DAYS - 1), LAST)
PLANTED = days(WANTED[0] - timedelta(days=6), WANTED[0] - timedelta(days=1))
RUNS = "{ runsOrError(limit: 500) { ... on Runs { results { runId status parentRunId jobName startTime endTime } } } }"
HEALTH = "{ instance { daemonHealth { allDaemonStatuses { healthy lastHeartbeatTime } } } }"
HOLE = 20  # candles
PATIENCE = 1800.0 if LONG else 600.0  # seconds; a run that was killed while it started is noticed after 180
CLOSED = [name for name in REPAIRED if name != BANNED or LONG]
UNDER_WAY = 1.0  # seconds; a request may have been sent before the answer with the ban was read
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Strike:
    """A kill of a part of the stack during runs.

    `back`: the seconds until the part ran again and requests arrived again.
    """

    what: str
    at: float  # epoch seconds
    under_way: Sequence[str]
    back: float


@dataclass
class Site:
    """The project, its stack, and the exchanges."""

    home: Path
    settings: Settings
    sandbox: Sandbox
    stack: Stack
    chance: random.Random
    backfill: str = ""
    strikes: list[Strike] = field(default_factory=list)
    began: datetime = field(default_factory=utc_now)
    over: datetime | None = None  # the last strike was overcome

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs, the newest first; an empty list while the UI does not answer."""
        return self._ask(lambda: list(run_query(self.stack.url, RUNS)["runsOrError"]["results"])) or []

    def status(self) -> str:
        """Return the status of the backfill."""
        return self._ask(lambda: str(backfill_of(self.stack.url, self.backfill)["status"])) or "unknown"

    def heartbeat(self) -> float:
        """Return the oldest heartbeat of the daemons, epoch seconds; 0 if a daemon is unhealthy."""

        def read() -> float:
            found = run_query(self.stack.url, HEALTH)["instance"]["daemonHealth"]["allDaemonStatuses"]
            return min(float(daemon["lastHeartbeatTime"] or 0) if daemon["healthy"] else 0.0 for daemon in found)

        return self._ask(read) or 0.0

    def asked_since(self, instant: float) -> bool:
        """Return whether a request was received since `instant`, epoch seconds."""
        return any(entry["wall"] >= instant for name in SYMBOLS for entry in self.sandbox.requests(name)[-1:])

    @staticmethod
    def _ask(what: Callable[[], Any]) -> Any:
        try:
            return what()
        except (GraphQLError, TypeError, KeyError):
            return None


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("chaos")
    for folder in (home, home.parent):
        folder.chmod(0o711)
    seed = int(os.environ.get("TITAN10_TEST_SEED", time.time_ns() % 1_000_000))
    print(f"\nseed {seed}")  # noqa: T201
    before = dict(os.environ)
    with Sandbox(list(SYMBOLS)) as sandbox:
        settings = project(home, sandbox)
        plant(settings, sandbox)
        stack = Stack(settings, home, announce)
        keeper = threading.Thread(target=stack.watch)
        try:
            stack.start()
            keeper.start()
            os.environ.update(prepare(settings, home, stack.database_url))
            site = Site(home, settings, sandbox, stack, random.Random(seed))
            go_through_it(site)
            yield site
        finally:
            stack.ask_to_stop()
            if keeper.is_alive():
                keeper.join()
            stack.stop()
            os.environ.clear()
            os.environ.update(before)


def announce(words: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {words}")  # noqa: T201


def project(folder: Path, sandbox: Sandbox) -> Settings:
    lines = ['data = "data"', "[live]", "enabled = true", "[server]", "port = 0", "postgres_port = 0"]
    for exchange, symbols in SYMBOLS.items():
        lines += [f"[exchanges.{exchange}]", f"symbols = {list(symbols)}", f"start = {PLANTED[0]}", "days_per_run = 10"]
        lines += [f'base_url = "{sandbox.url(exchange)}"']
    (folder / "titan10.toml").write_text("\n".join(lines))
    (folder / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    return titan10_settings.load(folder)


def plant(settings: Settings, sandbox: Sandbox) -> None:
    """Store some days with holes, fetched eight hours ago and due for repair, and today's candles until now.

    This runs without a pace, and resets the counts of the exchanges' limits afterwards.
    """
    for exchange in SYMBOLS:
        sandbox.set_limits(exchange, enforce=False)
    unpaced = {
        name: exchange_settings.model_copy(update={"paced": False})
        for name, exchange_settings in settings.exchanges.items()
    }
    with open_database(settings, announce) as url:
        migrate_all(settings, url)
        with closing(Database(url)) as database:
            now = IngestContext(
                settings.model_copy(update={"exchanges": unpaced}), database, LandingZone(settings.landing)
            )
            leave_gaps(replace(now, now=lambda: utc_now() - timedelta(hours=8)), sandbox)
            while any(report.inserted for report in poll_exchanges(now, list(SYMBOLS))):
                pass
    for exchange in SYMBOLS:
        sandbox.set_limits(exchange)
        sandbox.clear_requests(exchange)


def leave_gaps(then: IngestContext, sandbox: Sandbox) -> None:
    """Fetch these days so that one symbol loses candles of each page, and the other symbol fails."""
    for exchange in REPAIRED:
        lossy, failing = SYMBOLS[exchange]
        sandbox.fault(exchange, "lost_rows", symbol=lossy, rows=HOLE)
        sandbox.fault(exchange, "http_400", symbol=failing)
        slices = then.slices(exchange, PLANTED)
        fetch_and_land(then, exchange, slices)
        store_slices(then, read_days(then, slices).unstored())
        sandbox.clear_faults(exchange)
        assert open_slices(then)


# -- waiting and killing -----------------------------------------------------------------------------------


def go_through_it(site: Site) -> None:
    began = time.monotonic()
    site.sandbox.fault(BANNED, "http_418", count=1, after=BANNED_AFTER, retry_after=BAN_SECONDS, path="any")
    site.backfill = launch_backfill(
        site.stack.url, [(name, kind) for name in BACKFILLED for kind in ("candles", "ohlcv")], WANTED
    )
    for _ in range(STRIKES):
        for what in site.chance.sample(list(KILLS), len(KILLS)):
            strike_at(site, what)
    site.over = utc_now()
    announce(f"{len(site.strikes)} strikes in {time.monotonic() - began:.0f} s")
    wait_until(lambda: not open_partitions(), PATIENCE, "until every partition was green")
    announce(f"every partition is green after {time.monotonic() - began:.0f} s; the backfill is {site.status()}")
    wait_until(lambda: all(is_repaired(site, name) for name in CLOSED), PATIENCE, "until the gaps were closed")
    announce(f"the gaps are closed after {time.monotonic() - began:.0f} s")
    wait_until(lambda: all(lives(site, name) for name in SYMBOLS), PATIENCE, "until live polling had caught up")
    announce(f"live polling has caught up after {time.monotonic() - began:.0f} s")


def open_partitions() -> list[tuple[str, str]]:
    """Return the partitions of the backfill that are not materialized, with the exchange of the asset."""
    wanted = {str(day) for day in WANTED}
    with DagsterInstance.get() as instance:
        return [
            (name, day)
            for name in BACKFILLED
            for kind in ("candles", "ohlcv")
            for day in wanted - instance.get_materialized_partitions(AssetKey([name, kind]))
        ]


def lives(site: Site, exchange: str) -> bool:
    """Return whether every candle from some hours before the start to the last strike is stored and correct."""
    assert site.over is not None
    start = max(midnight(site.began.date()), site.began - timedelta(hours=6))
    return all(is_true(site, exchange, symbol, start, site.over) for symbol in SYMBOLS[exchange])


def is_repaired(site: Site, exchange: str) -> bool:
    start, end = midnight(PLANTED[0]), midnight(PLANTED[-1] + DAY)
    return all(is_true(site, exchange, symbol, start, end) for symbol in SYMBOLS[exchange])


def is_true(site: Site, exchange: str, symbol: str, start: datetime, end: datetime) -> bool:
    series = Series(exchange, symbol, site.settings.exchanges[exchange].timeframe)
    with closing(Database(site.stack.database_url)) as database:
        stored = as_table(reader.candles(database, series, start, end))
    return np.array_equal(stored, site.sandbox.truth(exchange, symbol, start, end))


def strike_at(site: Site, what: str) -> None:
    """Kill a part while requests arrive, and wait until the part is back and requests arrive again."""
    wait_until(lambda: is_busy(site), PATIENCE, f"was there work to kill the {what} in")
    time.sleep(site.chance.uniform(0, 2))
    under_way = [run["runId"] for run in site.runs() if run["status"] == "STARTED"]
    at = time.time()
    KILLS[what](site)
    wait_until(lambda: is_back(site, what, at), PATIENCE, f"after the {what} was killed")
    site.strikes.append(Strike(what, at, under_way, time.time() - at))
    announce(f"killed the {what} under {len(under_way)} runs; it was back after {site.strikes[-1].back:.1f} s")


def is_busy(site: Site) -> bool:
    started = any(run["status"] == "STARTED" for run in site.runs())
    return started and site.asked_since(time.time() - 1)


def is_back(site: Site, what: str, struck: float) -> bool:
    """Return whether the killed part runs again and requests have arrived since.

    For the daemon, all of its parts must have a heartbeat.
    """
    if what == "daemon" and site.heartbeat() <= struck:
        return False
    code_server = "dagster_internals.code_server"
    if what == "code server" and not any(code_server in line for line in processes_of(site.home).values()):
        return False
    return bool(site.runs()) and site.asked_since(struck + 1)


def pid_of_run(run_id: str) -> int | None:
    """Return the id of the process of a run, from the first events of the run's log."""
    with DagsterInstance.get() as instance:
        for entry in instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT):
            metadata = entry.get_dagster_event().engine_event_data.metadata
            if "pid" in metadata:
                return int(str(metadata["pid"].value))
    return None


def kill_daemon(site: Site) -> None:
    kill_one(site, "dagster._daemon")


def kill_code_server(site: Site) -> None:
    kill_one(site, "dagster_internals.code_server")


def kill_one(site: Site, words: str) -> None:
    os.kill(next(pid for pid, line in processes_of(site.home).items() if words in line), signal.SIGKILL)


def kill_postgres(site: Site) -> None:
    cluster = EmbeddedPostgres(site.settings.data / "postgres").files.cluster
    os.kill(int((cluster / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)


def kill_run(site: Site) -> None:
    """Kill a random run that has begun and not ended."""
    running = [run["runId"] for run in site.runs() if run["status"] == "STARTED"]
    pid = pid_of_run(site.chance.choice(running))
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


KILLS: dict[str, Callable[[Site], None]] = {
    "daemon": kill_daemon,
    "run": kill_run,
    "code server": kill_code_server,
    "PostgreSQL": kill_postgres,
}


# -- the result --------------------------------------------------------------------------------------------


def test_all_killed_processes_were_restarted_automatically(site: Site) -> None:
    assert sorted(strike.what for strike in site.strikes) == sorted(list(KILLS) * STRIKES)
    runs = {run["runId"]: run for run in site.runs()}
    after = {run["parentRunId"]: run for run in runs.values()}
    for strike in site.strikes:
        lost = [run for run in strike.under_way if runs[run]["status"] == "FAILURE"]
        again = [after[run]["startTime"] - strike.at for run in lost if run in after and after[run]["startTime"]]
        announce(
            f"the {strike.what}: back after {strike.back:.1f} s; of {len(strike.under_way)} runs {len(lost)} were lost,"
            f" and begun again after {', '.join(f'{seconds:.1f} s' for seconds in sorted(again)) or 'none'}"
        )


def test_backfill_repairs_and_live_polling_were_under_way_at_once(site: Site) -> None:
    spans = [
        (run["jobName"], run["startTime"], run["endTime"] or time.time()) for run in site.runs() if run["startTime"]
    ]
    together = [{job for job, start, end in spans if start <= at <= end} for _, at, _ in spans]
    most = max(together, key=len)
    announce(f"{len(spans)} runs; at once: {', '.join(sorted(most))}")
    assert {"live", "__ASSET_JOB"} <= most


@pytest.mark.parametrize("exchange", BACKFILLED)
def test_every_day_of_the_backfill_equals_the_truth(site: Site, exchange: str) -> None:
    for symbol in SYMBOLS[exchange]:
        assert is_true(site, exchange, symbol, midnight(WANTED[0]), midnight(LAST + DAY))


@pytest.mark.parametrize("exchange", CLOSED)
def test_the_gaps_closed_themselves(site: Site, exchange: str) -> None:
    assert is_repaired(site, exchange)


@pytest.mark.parametrize("exchange", SYMBOLS)
def test_live_candles_equal_the_truth(site: Site, exchange: str) -> None:
    assert lives(site, exchange)


@pytest.mark.parametrize("exchange", SYMBOLS)
def test_no_row_is_there_twice_and_every_slice_adds_up(site: Site, exchange: str) -> None:
    with closing(Database(site.stack.database_url)) as database:
        with database.transaction() as cursor:
            counts = "count(*) AS stored, count(DISTINCT (symbol, time)) AS differing"
            cursor.execute(f"SELECT {counts} FROM candles WHERE exchange = %s", [exchange])
            rows, distinct = single_row(cursor)
        timeframe = site.settings.exchanges[exchange].timeframe
        assert not unaccounted(database, exchange, timeframe, PLANTED[0], utc_now().date())
    announce(f"{exchange}: {rows} rows")
    assert rows == distinct > 0


@pytest.mark.parametrize("exchange", SYMBOLS)
def test_no_request_was_above_the_exchanges_limit(site: Site, exchange: str) -> None:
    requests = site.sandbox.requests(exchange)
    limits = site.sandbox.limits(exchange)["limits"]
    peaks = ", ".join(
        f"{limit['peak']:g} of {limit['allowed']:g} {limit['name']}" for limit in limits if limit["requests"]
    )
    announce(f"{exchange}: {len(requests)} requests; at most {peaks}")
    assert not [entry for entry in requests if entry["throttled"] or entry["banned"]]
    assert not any(limit["violations"] for limit in limits)


def test_nothing_was_asked_during_the_ban_and_then_it_went_on(site: Site) -> None:
    requests = site.sandbox.requests(BANNED)
    (banned,) = (entry for entry in requests if "http_418" in entry["faults"])
    start, end = banned["wall"] + banned["seconds"], banned["wall"] + BAN_SECONDS
    late = [entry["wall"] - start for entry in requests if start < entry["wall"] <= end]
    after = [entry["wall"] - end for entry in requests if entry["wall"] > end]
    announce(
        f"{BANNED} banned us from {datetime.fromtimestamp(start, UTC):%H:%M:%S} for {BAN_SECONDS} s: {len(late)}"
        f" requests came in it ({', '.join(f'{seconds:.3f} s' for seconds in late) or 'none'}); the next one"
        f" {min(after, default=-1):.1f} s after its end"
    )
    assert not [seconds for seconds in late if seconds > UNDER_WAY]
    assert after
