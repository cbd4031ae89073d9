"""Measure planning and reports on a long ledger: 5 years of 20 exchanges with 20 symbols each, 730,000 slices.

    python -m benchmarks.ledger [--rounds 5]

INSERT ... SELECT creates the ledger in the embedded PostgreSQL, which also has Dagster's own tables. 14,400 slices have
a gap without a reason and thirty minutes without trades. The first measurement uses the complete ledger. In the second
measurement 10,000 partitions are missing (20 exchanges x 500 days): half of them as after a time in which Titan-10 was
down, and half as old history. There are also 1,220 queued runs of a backfill of half of the exchanges. The result has
the median and the range of the elapsed seconds. It also has the median CPU seconds of this process, without PostgreSQL.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from ccxt import exchanges as known_to_ccxt

from benchmarks import results
from titan10_dagster.dagster_internals.storage import PooledPostgresStorage
from titan10_dagster.defs import autopilot, repairs
from titan10_dagster.defs.partitions import daily_keys
from titan10_dagster.defs.requests import repairable
from titan10_dagster.ingest.backlog import days_without_row, open_slices
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.operate.status import health_report
from titan10_dagster.planning.repairs import plan_repairs
from titan10_dagster.settings import DatabaseSettings, ExchangeSettings, Settings
from titan10_dagster.store import ledger
from titan10_dagster.store.database import Database
from titan10_dagster.store.migrations import migrate

EXCHANGES, SYMBOLS, DAYS = tuple(known_to_ccxt[:20]), tuple(f"S{n}/USDT" for n in range(20)), 1825
NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
FIRST = NOW.date() - timedelta(days=DAYS)
QUEUED = 1220
FILL = """
INSERT INTO slice_ledger
SELECT exchange, symbol, '1m', %(first)s::date + day, 'settled', 1440, 1440 - 11 * open, open, 10 * open,
    0, 0, 0, 0, 0, 0,
    (%(first)s::date + day + 1)::timestamp AT TIME ZONE 'UTC' + interval '2 hours', 'rest', 2, 0, 1.0, NULL
FROM unnest(%(exchanges)s) AS exchange, unnest(%(symbols)s) AS symbol, generate_series(0, %(days)s - 1) AS day,
    LATERAL (SELECT 3 * ((day + length(symbol)) %% 50 = 0)::int) AS mark (open)
"""
GAPS = """
INSERT INTO gaps
SELECT exchange, symbol, timeframe, day + interval '1 hour', day + interval '63 min', 3, 'unknown', 1,
    fetched_at, fetched_at
FROM slice_ledger
WHERE unknown > 0
UNION ALL
SELECT exchange, symbol, timeframe, day + n * interval '2 min' + interval '2 hours', day + n * interval '2 min'
    + interval '121 min', 1, 'no_trades', 2, fetched_at, fetched_at
FROM slice_ledger, generate_series(1, no_trades) AS n
"""
OUTAGES = "DELETE FROM slice_ledger WHERE day < %(last)s AND (day - %(first)s) %% 2 = 0 AND day >= %(last)s - 500"
HISTORY = "DELETE FROM slice_ledger WHERE day < %(first)s::date + 250"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with _world() as (titan10, instance):
        lines = ["whole", *_measure(titan10, instance, rounds)]
        _run(titan10, OUTAGES, HISTORY)
        _queue(instance)
        lines += ["", f"10,000 partitions missing, {QUEUED:,} runs queued", *_measure(titan10, instance, rounds)]
    text = "\n".join(lines)
    print(text)  # noqa: T201
    results.write(
        f"A ledger of {len(EXCHANGES) * len(SYMBOLS) * DAYS:,} slices",
        f"Median seconds of {rounds} rounds (lowest to highest), and the median CPU seconds of our process."
        f"\n\n```\n{text}\n```",
        beside="embedded PostgreSQL 18",
    )


def _measure(titan10: IngestContext, instance: dg.DagsterInstance, rounds: int) -> list[str]:
    exchanges = repairable(titan10, ())

    def plan_gaps() -> object:
        return plan_repairs(open_slices(titan10), holes=days_without_row(titan10).holes, exchanges=exchanges, now=NOW)

    works: dict[str, Callable[[], object]] = {
        "which days are missing": lambda: days_without_row(titan10),
        "gap planning": plan_gaps,
        "titan10 status": lambda: health_report(titan10, NOW),
        "titan10 coverage": lambda: ledger.coverage(titan10.database),
        "a tick of repair_gaps": lambda: repairs.plan_of(titan10, instance),
        "a tick of autopilot": lambda: autopilot.plan_of(titan10, instance),
    }
    return [_line(name, _seconds(work, rounds)) for name, work in works.items()]


def _seconds(work: Callable[[], object], rounds: int) -> list[tuple[float, float]]:
    """Return the elapsed seconds and the CPU seconds of each round."""
    seconds = []
    for _ in range(rounds):
        began, busy = time.perf_counter(), time.process_time()
        work()
        seconds.append((time.perf_counter() - began, time.process_time() - busy))
    return seconds


def _line(name: str, seconds: list[tuple[float, float]]) -> str:
    clock, busy = zip(*seconds, strict=True)
    return (
        f"  {name:<24}{statistics.median(clock):>6.2f}   ({min(clock):.2f} to {max(clock):.2f})"
        f"{statistics.median(busy):>8.2f}"
    )


@contextmanager
def _world() -> Iterator[tuple[IngestContext, dg.DagsterInstance]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        server = EmbeddedPostgres(folder / "postgres")
        url = server.start()
        try:
            migrate(url)
            titan10 = IngestContext(_settings(folder), Database(url), LandingZone(folder / "landing"), now=lambda: NOW)
            _run(titan10, FILL, GAPS)
            with _instance(folder, url) as instance:
                yield titan10, instance
            titan10.database.close()
        finally:
            server.stop()


@contextmanager
def _instance(folder: Path, url: str) -> Iterator[dg.DagsterInstance]:
    storage = {
        "module": PooledPostgresStorage.__module__,
        "class": PooledPostgresStorage.__name__,
        "config": {"postgres_url": url.replace("postgresql://", "postgresql+psycopg2://")},
    }
    with dg.DagsterInstance.local_temp(str(folder), overrides={"storage": {"custom": storage}}) as instance:
        yield instance


def _settings(folder: Path) -> Settings:
    return Settings.model_construct(
        data=folder,
        database=DatabaseSettings(),
        exchanges={name: ExchangeSettings(symbols=SYMBOLS, start=FIRST) for name in EXCHANGES},
    )


def _run(titan10: IngestContext, *statements: str) -> None:
    parameters = {
        "exchanges": list(EXCHANGES),
        "symbols": list(SYMBOLS),
        "days": DAYS,
        "first": FIRST,
        "last": NOW.date(),
    }
    with titan10.database.transaction() as cursor:
        for statement in statements:
            cursor.execute(statement, parameters)
        cursor.execute("ANALYZE slice_ledger; ANALYZE gaps")


def _queue(instance: dg.DagsterInstance) -> None:
    """Add queued runs of a backfill, for every second exchange."""
    half = EXCHANGES[::2]
    for n in range(QUEUED):
        keys = frozenset(daily_keys(half[n % len(half)]))
        tags = {"dagster/backfill": "abcdefgh"}
        instance.add_run(
            dg.DagsterRun("__ASSET_JOB", tags=tags, status=dg.DagsterRunStatus.NOT_STARTED, asset_selection=keys)
        )


if __name__ == "__main__":
    main()
