"""Measure the number of candles per second from request to committed row, in one process and without a rate limit.

    python -m benchmarks.backfill [--days 30 60 90] [--symbols 20] [--exchange binance]

The sandbox and PostgreSQL have their own processes on this machine, and a new process fetches each window. So the
measured CPU time and memory are used by the client alone. The stages are the stages of a run: request, parse, land,
check, write. Then Dagster runs the same window again, with all other steps of a run.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import results
from titan10_dagster.candles.slices import Slice, days
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import read_days
from titan10_dagster.ingest.fetch import fetch_and_land, plan_days
from titan10_dagster.ingest.inspection import inspect_slices
from titan10_dagster.ingest.markets import refresh_markets
from titan10_dagster.ingest.store import store_slices
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.settings import CheckSettings, DatabaseSettings, ExchangeSettings, RetrySettings, Settings
from titan10_dagster.store.database import Database
from titan10_dagster.store.migrations import migrate

LAST = date(2024, 3, 31)
NOW = datetime(2024, 4, 10, tzinfo=UTC)
TITLE = "From request to committed row"
ABOUT = """\
Candles of 20 symbols of the sandbox's {exchange}, in one process, without a rate limit. Sandbox and PostgreSQL have
their own processes on the same cores. CPU time is the CPU time of the client. Each window is measured once.
"""


@dataclass
class Stopwatch:
    """The CPU seconds and elapsed seconds of this process, by stage."""

    cpu: dict[str, float] = field(default_factory=dict)
    wall: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu[name] = time.process_time() - cpu
        self.wall[name] = time.perf_counter() - wall


def main() -> None:
    arguments = _arguments()
    if arguments.child:
        print(json.dumps(_measure(arguments.exchange, arguments.days[0], *arguments.child)))  # noqa: T201
        return
    # All children share a folder that is removed at the end. In the half minute after many files were removed, ext4
    # takes up to a millisecond to create a file.
    with tempfile.TemporaryDirectory() as folder, servers(arguments.exchange) as addresses:
        # The sandbox computes its candles once, before the measurement.
        _run_child(arguments.exchange, max(arguments.days), *addresses, folder)
        results_of_days = [_run_child(arguments.exchange, wanted, *addresses, folder) for wanted in arguments.days]
    lines = "\n".join(map(_report, arguments.days, results_of_days))
    print(lines)  # noqa: T201
    about = ABOUT.format(exchange=arguments.exchange)
    results.write(TITLE, f"{about}\n```\n{lines}\n```", beside="embedded PostgreSQL 18")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exchange", default="binance")
    parser.add_argument("--days", type=int, nargs="+", default=[30, 60, 90])
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


@contextmanager
def servers(exchange: str, *options: str, now: datetime = NOW) -> Iterator[tuple[str, str]]:
    """Yield the addresses of a sandbox exchange with its clock at `now`, and of an empty database.

    `options`: options of the sandbox; by default it enforces no limits.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        command = [sys.executable, "-m", "titan10_dagster.sandbox", "--exchange", exchange, "--port", "0"]
        command += options or ["--no-limits"]
        database = postgres.start()
        sandbox = subprocess.Popen([*command, "--now", now.isoformat()], stdout=subprocess.PIPE, text=True)
        try:
            assert sandbox.stdout is not None
            address = re.search(r"http://\S+", sandbox.stdout.readline())
            assert address is not None
            yield address[0], database
        finally:
            sandbox.terminate()
            sandbox.wait()
            postgres.stop()


def _run_child(exchange: str, wanted: int, sandbox: str, database: str, folder: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.backfill", "--exchange", exchange, "--days", str(wanted)]
    done = subprocess.run(
        [*command, "--child", sandbox, database, folder], stdout=subprocess.PIPE, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _measure(exchange: str, wanted: int, sandbox: str, database: str, parent: str) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(dir=parent))
    titan10 = open_context(exchange, symbols_of(sandbox)[:20], sandbox, database, folder)
    refresh_markets(titan10, exchange)
    slices = titan10.slices(exchange, days(LAST - timedelta(days=wanted - 1), LAST))
    watch = Stopwatch()
    candles = _stages(titan10, exchange, slices, watch)
    return {
        "candles": candles,
        "cpu": watch.cpu,
        "wall": watch.wall,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "dagster": _as_a_run(titan10, exchange, wanted, folder),
    }


def _stages(titan10: IngestContext, exchange: str, slices: list[Slice], watch: Stopwatch) -> int:
    _empty_tables(titan10)
    with watch.stage("fetch"):
        fetch = fetch_and_land(titan10, exchange, plan_days(titan10, read_days(titan10, slices)).fetch)
    assert fetch.report is not None
    for part, seconds in (("parse", fetch.report.parse_seconds), ("land", fetch.report.land_seconds)):
        watch.cpu[part] = watch.wall[part] = seconds
    watch.cpu["request"] = watch.cpu.pop("fetch") - watch.cpu["parse"] - watch.cpu["land"]
    watch.wall["request"] = watch.wall.pop("fetch") - watch.wall["parse"] - watch.wall["land"]
    with watch.stage("check"):
        list(inspect_slices(titan10, slices))
    with watch.stage("write"):
        report = store_slices(titan10, read_days(titan10, slices).unstored())
    return report.inserted


def _as_a_run(titan10: IngestContext, exchange: str, wanted: int, folder: Path) -> dict[str, float]:
    import dagster as dg

    from titan10_dagster.defs.launch import backfill

    _empty_tables(titan10)
    fresh = IngestContext(titan10.settings, titan10.database, LandingZone(folder / "again"), now=titan10.now)
    with dg.DagsterInstance.ephemeral(tempdir=str(folder)) as instance:
        watch = Stopwatch()
        with watch.stage("run"):
            done = backfill(fresh, exchange, LAST - timedelta(days=wanted - 1), LAST, instance=instance)
        assert not done.failed, done.messages
    return {"cpu": watch.cpu["run"], "wall": watch.wall["run"], "runs": len(done.runs)}


def symbols_of(sandbox: str) -> tuple[str, ...]:
    """Return the symbols that the sandbox exchange lists."""
    with urllib.request.urlopen(f"{sandbox}/_sandbox/venue") as answer:
        return tuple(json.load(answer)["symbols"])


def open_context(
    exchange: str, symbols: Sequence[str], sandbox: str, database: str, folder: Path, *, paced: bool = False
) -> IngestContext:
    """Return the context of a sandbox exchange with a migrated database. `paced`: obey the exchange's rate limit."""
    settings = Settings.model_construct(
        data=folder,
        database=DatabaseSettings(),
        checks=CheckSettings(),
        retries=RetrySettings(),
        exchanges={
            exchange: ExchangeSettings(symbols=tuple(symbols), start=date(2023, 1, 1), base_url=sandbox, paced=paced)
        },
    )
    migrate(database)
    return IngestContext(settings, Database(database), LandingZone(settings.landing), now=lambda: NOW)


def _empty_tables(titan10: IngestContext) -> None:
    with titan10.database.transaction() as cursor:
        cursor.execute("TRUNCATE candles, slice_ledger, gaps, series")


def _report(wanted: int, result: dict[str, Any]) -> str:
    candles, cpu, wall = result["candles"], result["cpu"], result["wall"]
    total_cpu, total_wall = sum(cpu.values()), sum(wall.values())
    shares = ", ".join(f"{name} {seconds / total_cpu:.0%}" for name, seconds in cpu.items())
    run = result["dagster"]
    lines = (
        f"{wanted} days, {candles:,} candles",
        f"  per second of client CPU  {candles / total_cpu:>10,.0f}   ({shares})",
        f"  per second of the clock   {candles / total_wall:>10,.0f}",
        f"  as {run['runs']} Dagster run(s)       {candles / run['cpu']:>10,.0f} per CPU second,"
        f" {candles / run['wall']:,.0f} per second",
        f"  highest memory            {result['peak_mb']:>10,.0f} MB",
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
