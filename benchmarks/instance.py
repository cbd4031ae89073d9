"""Measure the size of Dagster's own tables after a year, with and without housekeeping.

    python -m benchmarks.instance [--minutes 4] [--days 30] [--year 365]

A complete stack (daemon, code server, PostgreSQL) polls five sandbox exchanges each minute, and settles a day of each
exchange. So all events come from real runs. SQL then copies the rows of these runs, with new ids and older dates, until
the tables have the settlements and repairs of `--year` days and the polls of `--days` days. Then housekeeping deletes
the old polls. Sizes that were not measured are computed from the bytes per run, including indexes. They are marked as
computed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from benchmarks import results
from titan10_dagster import settings as titan10_settings
from titan10_dagster.defs.housekeeping import delete_runs
from titan10_dagster.local.graphql import launch_backfill
from titan10_dagster.local.instance import prepare
from titan10_dagster.local.stack import Stack
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.settings import Settings

ROOT = Path(__file__).parents[1]
EXCHANGES = {
    "binance": ("BTC/USDT", "ETH/USDT"),
    "bybit": ("BTC/USDT", "ETH/USDT"),
    "coinbase": ("BTC/USD", "ETH/USD"),
    "kraken": ("BTC/USD", "ETH/USD"),
    "okx": ("BTC/USDT", "ETH/USDT"),
}
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
# KEPT_DAYS: as housekeeping.live_runs_days. REPAIRS: repair runs per day and exchange, each as large as a settlement
KEPT_DAYS, REPAIRS = 3, 2
LIVE, WHOLE = 1440, 1 + REPAIRS  # LIVE: polls per day. WHOLE: settlements and repairs per day of one exchange
MB, GB = 2**20, 2**30

TABLES = ("event_logs", "runs", "run_tags", "asset_check_executions")
COPIES = """
CREATE TEMPORARY TABLE copies AS
SELECT run_id AS old, gen_random_uuid()::text AS new, create_timestamp - n * %(step)s AS at
FROM (SELECT run_id, create_timestamp FROM runs WHERE run_id = %(run)s) AS one, generate_series(1, %(count)s) AS n
"""
COPY = (
    """INSERT INTO runs (run_id, snapshot_id, pipeline_name, mode, status, run_body, partition, partition_set,
        create_timestamp, update_timestamp, start_time, end_time, backfill_id)
    SELECT new, snapshot_id, pipeline_name, mode, status, replace(run_body, old, new), partition, partition_set,
        at, at, start_time, end_time, backfill_id
    FROM copies JOIN runs ON run_id = old""",
    """INSERT INTO run_tags (run_id, key, value) SELECT new, key, value FROM copies JOIN run_tags ON run_id = old""",
    """INSERT INTO event_logs (run_id, event, dagster_event_type, "timestamp", step_key, asset_key, partition)
    SELECT new, replace(event, old, new), dagster_event_type, at, step_key, asset_key, partition
    FROM copies JOIN event_logs ON run_id = old""",
    """INSERT INTO asset_check_executions (asset_key, check_name, partition, run_id, execution_status,
        evaluation_event, evaluation_event_timestamp, evaluation_event_storage_id)
    SELECT asset_key, check_name, partition, new, execution_status,
        evaluation_event, evaluation_event_timestamp, evaluation_event_storage_id
    FROM copies JOIN asset_check_executions ON run_id = old""",
    "DROP TABLE copies",
)


@dataclass(frozen=True)
class Kind:
    """A finished run that is copied: its id, and the number and the bytes of its events."""

    run: str
    events: int
    bytes: int
    observations: int


class Tables:
    """Dagster's tables, read and filled with SQL."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url, options="-c search_path=dagster")
        self._connection.autocommit = True

    def run_query(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def size(self) -> int:
        """Remove dead rows. Then return the bytes of all tables with their indexes."""
        for table in TABLES:
            self.run_query(f"VACUUM (FULL, ANALYZE) {table}")
        query = "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c WHERE relkind = 'r' AND relnamespace = %(s)s"
        return int(self.run_query(query + "::regnamespace", s="dagster")[0][0])

    def copy(self, run: str, count: int, step: timedelta) -> None:
        """Insert `count` copies of the run. Each copy is older by `step` than the previous copy."""
        self.run_query(COPIES, run=run, count=count, step=step)
        for statement in COPY:
            self.run_query(statement)

    def kind(self, run: str) -> Kind:
        query = """SELECT count(*), sum(length(event)),
            coalesce(sum(length(event)) FILTER (WHERE dagster_event_type = 'ASSET_OBSERVATION'), 0)
            FROM event_logs WHERE run_id = %(run)s"""
        return Kind(run, *map(int, self.run_query(query, run=run)[0]))

    def tick_bytes(self) -> int:
        """Return the bytes of a tick of a schedule or sensor. Its indexes are too small to measure."""
        return int(self.run_query("SELECT avg(pg_column_size(job_ticks.*)) FROM job_ticks")[0][0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=4, help="longest wait for the end of two polls")
    parser.add_argument("--days", type=int, default=30, help="days of live polling that are inserted")
    parser.add_argument("--year", type=int, default=365, help="days of settlements and repairs that are inserted")
    arguments = parser.parse_args()
    with _stack() as (instance, tables, polled):
        _wait(polled, arguments.minutes)
        text = _measured(instance, tables, arguments.days, arguments.year)
    print(text)  # noqa: T201
    results.write("A year of Dagster's own tables", text, beside="embedded PostgreSQL 18")


@contextmanager
def _stack() -> Iterator[tuple[DagsterInstance, Tables, Callable[[], bool]]]:
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder_name, Sandbox(list(EXCHANGES)) as sandbox:
        folder = Path(folder_name)
        folder.chmod(0o711)
        settings = _project(folder, sandbox)
        stack = Stack(settings, folder, print)
        try:
            stack.start()
            os.environ.update(prepare(settings, folder, stack.database_url))
            launch_backfill(
                stack.url, [(name, kind) for name in EXCHANGES for kind in ("candles", "ohlcv")], [YESTERDAY]
            )
            with DagsterInstance.get() as instance:
                tables = Tables(stack.database_url)

                def polled() -> bool:
                    stack.tend()
                    return _finished(instance, "live") >= 2 and _finished(instance, "__ASSET_JOB") >= len(EXCHANGES)

                yield instance, tables, polled
        finally:
            stack.stop()
            os.environ.clear()
            os.environ.update(before)


def _project(folder: Path, sandbox: Sandbox) -> Settings:
    lines = ['data = "data"', "[server]", "port = 0", "postgres_port = 0", "[live]", "enabled = true"]
    for exchange, symbols in EXCHANGES.items():
        lines += [f"[exchanges.{exchange}]", f"symbols = {list(symbols)}", f"start = {YESTERDAY - timedelta(days=1)}"]
        lines += [f'base_url = "{sandbox.url(exchange)}"']
    (folder / "titan10.toml").write_text("\n".join(lines))
    (folder / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    return titan10_settings.load(folder)


def _wait(polled: Callable[[], bool], minutes: int) -> None:
    deadline = time.monotonic() + 60 * minutes
    while not polled():
        if time.monotonic() > deadline:
            raise SystemExit("The runs to measure did not end in time: use --minutes 10.")
        time.sleep(2)


def _finished(instance: DagsterInstance, job: str) -> int:
    return instance.get_runs_count(RunsFilter(job_name=job, statuses=[DagsterRunStatus.SUCCESS]))


def _run(instance: DagsterInstance, job: str) -> str:
    """Return the newest successful run of a job. A poll must follow another poll, as almost all polls do."""
    filters = RunsFilter(job_name=job, statuses=[DagsterRunStatus.SUCCESS])
    return instance.get_runs(filters, limit=1)[0].run_id


def _measured(instance: DagsterInstance, tables: Tables, days: int, year_days: int) -> str:
    live, whole = tables.kind(_run(instance, "live")), tables.kind(_run(instance, "__ASSET_JOB"))
    empty, tick = tables.size(), tables.tick_bytes()
    snapshots = tables.run_query("SELECT count(*) FROM snapshots")[0][0]
    year = year_days * len(EXCHANGES) * WHOLE
    tables.copy(whole.run, year, timedelta(days=year_days) / year)
    with_year = tables.size()
    tables.copy(live.run, KEPT_DAYS * LIVE, timedelta(minutes=1))
    kept = tables.size()
    tables.copy(live.run, (days - KEPT_DAYS) * LIVE, timedelta(minutes=1))
    _shift(tables, live.run, days)
    full = tables.size()
    began = time.perf_counter()
    deleted = delete_runs(instance, datetime.now(UTC) - timedelta(days=KEPT_DAYS), longest=timedelta(hours=1))
    seconds = time.perf_counter() - began
    return _report(
        live,
        whole,
        {
            "whole": (with_year - empty) / year,
            "live": (full - with_year) / (days * LIVE),
            "empty": empty,
            "kept": kept,
            "full": full,
            "after": tables.size(),
            "deleted": deleted.runs,
            "events": deleted.events,
            "seconds": seconds,
            "tick": tick,
            "snapshots": snapshots,
            "days": days,
            "year": year_days,
        },
    )


def _shift(tables: Tables, run: str, days: int) -> None:
    """Move the second batch of copied polls before the first batch, so that each minute of `days` days has a poll."""
    tables.run_query(
        """UPDATE runs SET create_timestamp = create_timestamp - %(kept)s
        WHERE run_id IN (
            SELECT run_id FROM runs WHERE pipeline_name = 'live' AND run_id <> %(run)s ORDER BY id DESC LIMIT %(n)s
        )""",
        kept=timedelta(days=KEPT_DAYS),
        run=run,
        n=(days - KEPT_DAYS) * LIVE,
    )


def _report(live: Kind, whole: Kind, seen: Mapping[str, Any]) -> str:
    lines = [
        f"One poll of {len(EXCHANGES)} exchanges: {live.events} events, {live.bytes / 1024:.1f} KiB of them, "
        f"{seen['live'] / 1024:.1f} KiB in the tables, indexes included.",
        f"One run that settles or repairs a day of one exchange: {whole.events} events, {whole.bytes / 1024:.1f} KiB, "
        f"{seen['whole'] / 1024:.1f} KiB in the tables. Job snapshots: {seen['snapshots']}, for any number of runs.",
        "",
        f"Inserted for {len(EXCHANGES)} exchanges: {seen['year']} days of settlements with {REPAIRS} repairs a day and "
        f"exchange ({seen['year'] * len(EXCHANGES) * WHOLE:,} runs), and {seen['days']} days of polls "
        f"({seen['days'] * LIVE:,} runs).",
        "",
        "```",
        f"empty installation                                  {seen['empty'] / MB:>9,.0f} MB",
        f"with settlements, repairs and 3 days of polls       {seen['kept'] / MB:>9,.0f} MB   what housekeeping keeps",
        f"with all polls                                      {seen['full'] / MB:>9,.0f} MB",
        f"after one night of housekeeping                     {seen['after'] / MB:>9,.0f} MB",
        f"deleted {seen['deleted']:,} runs, {seen['events']:,} events in {seen['seconds']:,.0f} s: "
        f"{1000 * seen['seconds'] / max(seen['deleted'], 1):.1f} ms a run, "
        f"{LIVE * seen['seconds'] / max(seen['deleted'], 1):,.0f} s a night",
        "```",
        "",
        "A year, computed from these figures (ticks: those that `retention` in dagster.yaml keeps):",
        "",
        "| exchanges | settle, repair | polls, 3 days | ticks | with housekeeping | polls, a year | without |",
        "|-|-|-|-|-|-|-|",
        *(_year(live, seen, exchanges) for exchanges in (5, 20)),
    ]
    return "\n".join(lines)


def _year(live: Kind, seen: Mapping[str, Any], exchanges: int) -> str:
    # A poll has one observation per exchange; all other events occur once.
    growth = live.observations / live.bytes / len(EXCHANGES) * (exchanges - len(EXCHANGES))
    poll, whole = seen["live"] * (1 + growth), 365 * exchanges * WHOLE * seen["whole"]
    ticks = seen["tick"] * (7 * LIVE + 3 * 288)
    parts = (whole, KEPT_DAYS * LIVE * poll, ticks, whole + KEPT_DAYS * LIVE * poll + ticks)
    year = 365 * LIVE * poll
    sizes = (*parts, year, whole + year + seen["tick"] * 365 * (LIVE + 3 * 288))
    return f"| {exchanges} | {' | '.join(f'{size / GB:,.2f} GB' for size in sizes)} |"


if __name__ == "__main__":
    main()
