"""An installation with a backfill, the strikes (faults and kills) that hit it, and the cost of each strike.

`titan10 up` runs as a process of its own, live polling is on, and the exchanges of the sandbox keep their limits. Each
round launches a backfill of days that are older than all others, because days at the old end of a series are the
hardest to distinguish from history that was never requested.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2

from titan10_dagster.candles.slices import Series, days, midnight
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.dagster_internals.code_server import NAME as RUN_PROCESS
from titan10_dagster.errors import Titan10Error
from titan10_dagster.local.graphql import GraphQLError, launch_backfill, run_query
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.local.stack_lock import running_stack
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.store import reader
from titan10_dagster.store.database import Database
from titan10_dagster_tests.processes import processes_of, wait_until
from titan10_dagster_tests.store.test_servers import Node
from titan10_dagster_tests.tables import as_table

ROOT = Path(__file__).parents[2]
SYMBOLS = {
    "binance": ("BTC/USDT", "ETH/USDT", "SOL/USDT"),
    "coinbase": ("BTC/USD", "ETH/USD", "SOL/USD"),
}
DAYS = 4  # of a backfill
DAYS_PER_RUN = 2  # small, so that every exchange has several runs
LATENCY = 1.0  # seconds per answer, so that a round takes half a minute and a strike hits requests under way
START = datetime.now(UTC).date() - timedelta(days=400)
NEWEST = datetime.now(UTC).date() - timedelta(days=30)
UP_SECONDS = 300.0  # the longest start of the installation
COMPLETE_SECONDS = 600.0  # the longest recovery of the installation
RUN_SECONDS = 30.0  # the longest time from the end of a run to the start of the next run
FREED_SECONDS = 60.0  # the longest time until the pools of killed runs are free
FROZEN_SECONDS = 40.0
FULL_SECONDS = 30.0
PROMOTED_AFTER = 5.0  # seconds in which both nodes are read-only
STATES = {"QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"}
RUNS = "{ runsOrError(limit: 200) { ... on Runs { results { runId status jobName } } } }"
POOLS = "{ instance { concurrencyLimits { concurrencyKey claimedSlots { runId } } } }"
RUN_STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Cost:
    """The cost of a strike. The last four numbers must be 0.

    Attributes:
        seconds: from the strike until every day of the backfill was settled.
        wrong: the number of candles that were stored with another value.
        alerts: the messages about problems that were sent. claimed: the pool slots that ended runs still hold after a
        minute.
    """

    strike: str
    seconds: float
    lost: int
    doubled: int
    invented: int
    wrong: int
    alerts: int
    claimed: int

    def __str__(self) -> str:
        return (
            f"{self.strike:<18} {self.seconds:6.1f} s {self.lost:6} lost {self.doubled:3} doubled "
            f"{self.invented:3} invented {self.wrong:3} wrong {self.alerts:2} alerts {self.claimed:2} pools claimed"
        )

    @property
    def is_harmless(self) -> bool:
        return not any((self.lost, self.doubled, self.invented, self.wrong, self.alerts, self.claimed))


@dataclass
class Installation:
    """A project folder, its exchanges, and `titan10 up` in this folder.

    `nodes`: the servers of the database; None if the database is embedded.
    """

    home: Path
    sandbox: Sandbox
    chance: random.Random
    nodes: tuple[Node, Node] | None = None
    rounds: int = 0
    process: subprocess.Popen[bytes] | None = None
    url: str = ""
    struck: list[float] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def alerts(self) -> Path:
        return self.home / "alerts.jsonl"

    @property
    def server(self) -> EmbeddedPostgres:
        return EmbeddedPostgres(self.data / "postgres")

    @property
    def database_url(self) -> str:
        return self.server.url() if self.nodes is None else url_of(self.nodes)

    def configure(self) -> None:
        lines = ['data = "data"', "[live]", "enabled = true", "[server]", "port = 0", "postgres_port = 0"]
        lines += ["[alerts]", f'urls = ["file://{self.alerts}"]']
        if self.nodes is not None:
            lines += ["[database]", f'url = "{url_of(self.nodes)}"']
        for exchange, symbols in SYMBOLS.items():
            lines += [f"[exchanges.{exchange}]", f"symbols = {list(symbols)}", f"start = {START}"]
            lines += [f"days_per_run = {DAYS_PER_RUN}", f'base_url = "{self.sandbox.url(exchange)}"']
        (self.home / "titan10.toml").write_text("\n".join(lines))
        (self.home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())

    def start(self) -> None:
        """Run `titan10 up` and wait for its UI."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TITAN10_", "DAGSTER_"))}
        with (self.home / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from titan10_dagster.local.cli import main; main()", "up"],
                cwd=self.home,
                env={**kept, "TITAN10_HOME": str(self.home), "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._answers, UP_SECONDS, f"did the UI answer: {(self.home / 'up.log').read_text()[-2000:]}")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.home / "up.log").read_text()[-2000:]
        running = running_stack(self.data)
        self.url = running.url if running is not None else ""
        return bool(self.url) and self.daemon() is not None and self.runs() is not None

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=120)

    def runs(self) -> list[dict[str, Any]] | None:
        """Return the newest runs; None while the UI does not answer."""
        try:
            return list(run_query(self.url, RUNS)["runsOrError"]["results"])
        except (GraphQLError, KeyError, TypeError):
            return None

    def pid_of(self, words: str) -> int | None:
        return next((pid for pid, line in processes_of(self.home).items() if words in line), None)

    def daemon(self) -> int | None:
        return self.pid_of("dagster._daemon")

    def backfills(self) -> list[str]:
        """The ids of the started runs of backfills."""
        return [
            run["runId"] for run in self.runs() or () if (run["jobName"], run["status"]) == ("__ASSET_JOB", "STARTED")
        ]

    def is_busy(self) -> bool:
        """Return whether runs of a backfill are sending requests."""
        since = time.time() - 1
        return bool(self.backfills()) and any(
            entry["wall"] >= since for exchange in SYMBOLS for entry in self.sandbox.requests(exchange)[-1:]
        )

    # -- a round ------------------------------------------------------------------------------------------------

    def suffer(self, name: str, hit: Callable[[Installation], None]) -> Cost:
        """Launch a backfill, strike in the middle of it, wait until it is complete, and return the cost."""
        self.rounds += 1
        wanted = window(self.rounds)
        alerts = len(self.sent_alerts())
        launch_backfill(self.url, [(exchange, kind) for exchange in SYMBOLS for kind in ("candles", "ohlcv")], wanted)
        wait_until(self.is_busy, COMPLETE_SECONDS, "did the backfill send requests")
        time.sleep(self.chance.uniform(0, 3))
        struck = time.monotonic()
        hit(self)
        deadline = struck + COMPLETE_SECONDS
        while time.monotonic() < deadline and not self.is_settled(wanted):
            time.sleep(0.5)
        seconds = time.monotonic() - struck
        lost, invented, wrong = self.differences(wanted)
        return Cost(
            name, seconds, lost, self.doubled(), invented, wrong, len(self.sent_alerts()) - alerts, self.claimed_slots()
        )

    def is_settled(self, wanted: list[date]) -> bool:
        """Return whether all slices of the days are settled in the ledger; False while the database is unavailable."""
        slices = len(wanted) * sum(map(len, SYMBOLS.values()))
        query = "SELECT count(*) FROM slice_ledger WHERE state = 'settled' AND day BETWEEN %s AND %s"
        try:
            return bool(self.ask(query, wanted[0], wanted[-1]) == slices)
        except (psycopg2.Error, Titan10Error):
            return False

    def ask(self, query: str, *values: object) -> object:
        connection = psycopg2.connect(self.database_url, connect_timeout=5)
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(query, values or None)
            row: tuple[object, ...] = cursor.fetchone()
            return row[0]

    def differences(self, wanted: list[date]) -> tuple[int, int, int]:
        """Return how many candles of the exchanges are lost, invented, or stored with another value."""
        lost = invented = wrong = 0
        start, end = midnight(wanted[0]), midnight(wanted[-1] + DAY)
        with closing(Database(self.database_url)) as database:
            for exchange, symbols in SYMBOLS.items():
                for symbol in symbols:
                    series = Series(exchange, symbol, TIMEFRAMES["1m"])
                    stored = as_table(reader.candles(database, series, start, end))
                    true = self.sandbox.truth(exchange, symbol, start, end)
                    lost += len(np.setdiff1d(true[:, 0], stored[:, 0]))
                    invented += len(np.setdiff1d(stored[:, 0], true[:, 0]))
                    _, of_true, of_stored = np.intersect1d(true[:, 0], stored[:, 0], return_indices=True)
                    wrong += int((true[of_true] != stored[of_stored]).any(axis=1).sum())
        return lost, invented, wrong

    def doubled(self) -> int:
        return int(str(self.ask("SELECT count(*) - count(DISTINCT (exchange, symbol, time)) FROM candles")))

    def sent_alerts(self) -> list[dict[str, Any]]:
        lines = self.alerts.read_text().splitlines() if self.alerts.exists() else []
        return [json.loads(line) for line in lines]

    def claimed_slots(self) -> int:
        """Return how many pool slots ended runs still hold after up to a minute."""
        deadline = time.monotonic() + FREED_SECONDS
        while (held := self._held_by_ended_runs()) and time.monotonic() < deadline:
            time.sleep(1)
        return held

    def _held_by_ended_runs(self) -> int:
        held = 0
        for pool in run_query(self.url, POOLS)["instance"]["concurrencyLimits"]:
            for slot in pool["claimedSlots"]:
                run = run_query(self.url, RUN_STATUS, id=slot["runId"])["runOrError"]
                held += run.get("status") not in STATES
        return held


def window(number: int) -> list[date]:
    """Return the days of a round, which are older than the days of all earlier rounds."""
    last = NEWEST - (number - 1) * DAYS * DAY
    return list(days(last - (DAYS - 1) * DAY, last))


def url_of(nodes: tuple[Node, Node]) -> str:
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"


@contextmanager
def installed(home: Path, seed: int, nodes: tuple[Node, Node] | None = None) -> Iterator[Installation]:
    """Install in this folder and start; stop everything at the end."""
    with Sandbox(list(SYMBOLS), latency=LATENCY) as sandbox:
        installation = Installation(home, sandbox, random.Random(seed), nodes)
        installation.configure()
        try:
            installation.start()
            yield installation
        finally:
            installation.stop()


# -- the strikes --------------------------------------------------------------------------------------------------


def nothing(_: Installation) -> None:
    """Do nothing. This shows the cost of a backfill without a strike."""


def kill_run(there: Installation) -> None:
    # For a moment between the end of a run and the start of the next run, no run exists.
    wait_until(lambda: there.pid_of(RUN_PROCESS) is not None, RUN_SECONDS, "is there a run to kill")
    kill(there.pid_of(RUN_PROCESS))


def kill_code_server(there: Installation) -> None:
    kill(there.pid_of("dagster_internals.code_server"))


def kill_daemon(there: Installation) -> None:
    kill(there.daemon())


def kill_webserver(there: Installation) -> None:
    kill(there.pid_of("dagster_internals.webserver"))


def kill_backend(there: Installation) -> None:
    """Kill a session of the database that is in use; PostgreSQL then ends all of them and recovers."""
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    kill(int(str(there.ask(f"{query} ORDER BY state_change DESC LIMIT 1"))))


def kill_postmaster(there: Installation) -> None:
    kill(postmaster_of(there))


def kill_postmaster_three_times(there: Installation) -> None:
    for number in range(3):
        if number:
            wait_until(there.server.running, COMPLETE_SECONDS, "did PostgreSQL run again")
            time.sleep(there.chance.uniform(2, 6))
        kill_postmaster(there)


def kill_everything(there: Installation) -> None:
    """Kill all processes of the installation at once, and start it again, as a service manager does."""
    for pid in processes_of(there.home):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    assert there.process is not None
    there.process.kill()
    there.process.wait()
    there.start()


def freeze_postgres(there: Installation) -> None:
    postmaster = postmaster_of(there)
    frozen = [postmaster, *children_of(postmaster)]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(FROZEN_SECONDS)
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)


def fill_disk_twice(there: Installation) -> None:
    for number in range(2):
        if number:
            time.sleep(there.chance.uniform(3, 8))
        ballast = there.data / "ballast"
        fill(ballast)
        end = time.monotonic() + FULL_SECONDS
        while time.monotonic() < end:
            time.sleep(1)
            fill(ballast)
        ballast.unlink()


def fail_over(there: Installation) -> None:
    """Make the primary read-only, promote the other node later, and stop the former primary."""
    assert there.nodes is not None
    primary, standby = there.nodes
    primary.execute("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    time.sleep(PROMOTED_AFTER)
    standby.promote()
    primary.stop()


def fill(ballast: Path) -> None:
    """Write until the disk is completely full."""
    for size in (1 << 20, 4096, 1):
        try:
            with ballast.open("ab", buffering=0) as file:
                while file.write(bytes(size)):
                    pass
        except OSError:
            continue


def postmaster_of(there: Installation) -> int:
    return int((there.server.files.cluster / "postmaster.pid").read_text().split()[0])


def children_of(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found


def kill(pid: int | None) -> None:
    assert pid is not None, "there is no such process to kill"
    os.kill(pid, signal.SIGKILL)


ON_EMBEDDED_SERVER: dict[str, Callable[[Installation], None]] = {
    "nothing": nothing,
    "run": kill_run,
    "code server": kill_code_server,
    "daemon": kill_daemon,
    "webserver": kill_webserver,
    "backend": kill_backend,
    "postmaster": kill_postmaster,
    "postmaster 3 times": kill_postmaster_three_times,
    "SIGSTOP 40 s": freeze_postgres,
    "everything": kill_everything,
}
