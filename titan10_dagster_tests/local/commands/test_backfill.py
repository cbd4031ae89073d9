"""The output and the results of `titan10 backfill` after errors."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import psycopg2
import pytest

from titan10_dagster.dagster_internals.database import dagster_url, ensure_dagster_schema
from titan10_dagster.dagster_internals.storage import PooledPostgresStorage
from titan10_dagster.errors import without_promises
from titan10_dagster.exchanges.fetching import LAUNCH_AGAIN
from titan10_dagster.local.commands.backfill import _sentences
from titan10_dagster.local.exit_codes import FAILED, INTERRUPTED
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster_tests.disks import small_disk
from titan10_dagster_tests.e2e.strikes import fill
from titan10_dagster_tests.json_fields import documented_fields
from titan10_dagster_tests.local.test_cli import NOW, SETTINGS, Project, exchange, project, working
from titan10_dagster_tests.processes import wait_until

__all__ = ["exchange", "project", "working"]

FIRST = date(2024, 3, 1)
DAY = ("backfill", "binance", "--from", "2024-03-01", "--to", "2024-03-01")


def status_of_runs(url: str) -> list[str]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT status FROM dagster.runs")
        return [status for (status,) in cursor.fetchall()]


def test_a_misspelled_symbol_is_named_and_leaves_nothing_behind(working: Project) -> None:
    settings = working.folder / "titan10.toml"
    settings.write_text(settings.read_text().replace('"ETH/USDT"', '"BCT/USDT"'))
    done = working.titan10(*DAY)
    assert done.returncode == 1, done.stderr
    assert "1,440 of 2,880 candles stored" in done.stdout
    assert "Incomplete: 2024-03-01." in done.stdout
    assert "binance BCT/USDT: the exchange does not list it; did you mean BTC/USDT" in done.stdout
    series = json.loads(working.titan10("coverage", "--json").stdout)
    assert [row["symbol"] for row in series] == ["BTC/USDT"]
    written = working.titan10(
        "export", "binance", "--from", "2024-03-01", "--to", "2024-03-01", "--out", str(working.folder / "files")
    )
    assert written.returncode == 0, written.stderr
    assert [path.name for path in (working.folder / "files").iterdir()] == ["binance-BTC-USDT-1m.parquet"]


@pytest.mark.alone
def test_an_interrupted_backfill_is_shown_as_cancelled_and_ends_at_once_in_a_pause(
    working: Project, exchange: Sandbox, database_url: str
) -> None:
    exchange.fault("binance", "http_502")
    working.environment |= {"TITAN10_RETRIES__STEPS": "3", "TITAN10_RETRIES__SECONDS": "600"}
    process = working.started(*DAY)
    log = working.folder / ".titan10/logs/backfill.log"
    try:
        deadline = time.monotonic() + 200
        while not (log.exists() and "the step is tried again in 600 s" in log.read_text()):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.1)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, shown = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert "Interrupted" in shown
    seconds = time.monotonic() - began
    print(f"ended {seconds:.1f} s after Ctrl-C")  # noqa: T201
    assert seconds < 2  # the pause of the retry would take ten minutes
    assert status_of_runs(database_url) == ["CANCELED"]


def test_an_interrupted_backfill_does_not_wait_for_another_writer(working: Project, database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as writer, closing(psycopg2.connect(database_url)) as observer:
        observer.autocommit = True
        with writer.cursor() as writing:
            # holds the lock until the end of the transaction
            writing.execute("INSERT INTO write_locks VALUES ('binance')")
            process = working.started(*DAY)
            try:
                wait_until(lambda: waits_for_a_lock(observer), 200)
                process.send_signal(signal.SIGINT)
                # without a cancellation, the statement would wait for the other writer
                _, shown = process.communicate(timeout=30)
            finally:
                process.kill()
                process.communicate()
    assert process.returncode == 130
    assert "Interrupted. Completed work is kept" in shown
    assert "Traceback" not in shown
    assert status_of_runs(database_url) == ["CANCELED"]


@pytest.fixture
def small_data(project: Project, open_folder: Path) -> Iterator[Path]:
    """A data folder on a separate disk. The embedded PostgreSQL fills half of this disk."""
    data = open_folder / "data"
    data.mkdir(mode=0o711)
    project.environment |= {"TITAN10_DATA": str(data), "TITAN10_SERVER__POSTGRES_PORT": "0"}
    with small_disk(data, "160m"):
        yield data


def test_a_full_disk_is_named_within_seconds_and_the_same_command_goes_on(small_data: Path, project: Project) -> None:
    command = ("backfill", "binance", "--from", "2024-02-01", "--to", "2024-02-10")
    ballast, output = small_data / "ballast", project.folder / "output"
    with Sandbox(["binance"], clock=NOW, latency=0.5) as exchange:
        (project.folder / "titan10.toml").write_text(SETTINGS.format(url=exchange.url("binance")))
        with output.open("wb") as file:
            process = project.started(*command, output=file)
        try:
            wait_until(lambda: exchange.requests("binance"), 200)
            began = time.monotonic()

            def is_named() -> bool:
                fill(ballast)
                assert process.poll() is None, output.read_text()
                return "disk" in output.read_text()

            wait_until(is_named, 60)
            print(f"named after {time.monotonic() - began:.1f} s")  # noqa: T201
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == INTERRUPTED
        finally:
            process.kill()
            process.communicate()
        shown = output.read_text()
        assert "Waiting: " in shown
        assert "Interrupted. Completed work is kept." in shown
        assert "Traceback" not in shown
        ballast.unlink()
        done = project.titan10(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "28,800 of 28,800 candles stored" in done.stdout


def waits_for_a_lock(connection: psycopg2.extensions.connection) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%write_locks%')"
        )
        return bool(cursor.fetchone()[0])  # type: ignore[index]


CONTINUE = "Run the same command again to continue where it stopped."
LATER = "Run the same command again later."
WHEN_SERVED = "Run the same command again when the exchange serves this machine again, to continue where it stopped."
REJECTED = "correct the settings or update ccxt, then launch the day again."
IN_GAPS = "gaps without a final reason are fetched again automatically."
NO_ADVICE_FOR_A_TERMINAL = ("The request is repeated", "Launch the same partitions")


def assert_only_advice(shown: str, advice: str) -> None:
    others = {CONTINUE, LATER, WHEN_SERVED, REJECTED, IN_GAPS, *NO_ADVICE_FOR_A_TERMINAL} - {advice}
    assert advice in shown
    assert [words for words in others if words in shown] == []


@pytest.mark.parametrize(("fault", "advice", "code"), [("http_400", REJECTED, FAILED), ("http_403", WHEN_SERVED, 4)])
def test_the_output_has_one_piece_of_advice(
    working: Project, exchange: Sandbox, fault: str, advice: str, code: int
) -> None:
    exchange.fault("binance", fault)
    done = working.titan10(*DAY)
    assert done.returncode == code, done.stdout
    assert_only_advice(done.stdout, advice)
    assert re.search(r"Fetched 0 rows with [1-9]\d* requests", done.stdout)  # requests that failed count too


DOWN = "binance A/B: the exchange could not answer (HTTP 502). The request is repeated."
ALL_DOWN = (
    "binance: every symbol failed (2 of 2), so the exchange or the network is at fault, and not the symbols. "
    f"{without_promises(DOWN)} The slices that landed are kept. {LAUNCH_AGAIN}"
)


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"failed_days": [FIRST], "messages": [ALL_DOWN]}, CONTINUE),
        ({"failed_days": [FIRST], "messages": [DOWN], "exit_code": 4}, WHEN_SERVED),
        ({"incomplete_days": [FIRST], "symbols": {"A/B": DOWN}}, LATER),
        ({"incomplete_days": [FIRST]}, IN_GAPS),
        ({}, IN_GAPS),
    ],
)
def test_each_outcome_has_one_piece_of_advice(changes: dict[str, object], advice: str) -> None:
    report: dict[str, object] = {
        "exchange": "binance", "from": FIRST, "to": FIRST, "stored": 0, "expected": 2880, "missing": {},
        "fetched": {"rows": 0, "requests": 10}, "runs": ["run"], "messages": [], "failed_days": [],
        "incomplete_days": [], "symbols": {}, "permanent": False, "whole": False, "exit_code": FAILED,
    }  # fmt: skip
    assert_only_advice(_sentences({**report, **changes}), advice)


def test_unknown_minutes_mean_the_same_for_a_backfill_and_an_export(working: Project, exchange: Sandbox) -> None:
    # test_cli.py has both commands on complete days, where both end with 0.
    exchange.fault("binance", "lost_rows", symbol="ETH/USDT", rows=10)
    stored = working.titan10(*DAY)
    written = working.titan10("export", *DAY[1:], "--out", str(working.folder / "files"))
    assert (stored.returncode, written.returncode) == (FAILED, FAILED)
    assert "missing: 20 unknown" in stored.stdout
    assert "20 unknown" in written.stdout
    assert_only_advice(stored.stdout, IN_GAPS)


def test_the_reason_of_a_failure_outside_of_the_steps_is_printed(working: Project, database_url: str) -> None:
    ensure_dagster_schema(database_url)
    PooledPostgresStorage(dagster_url(database_url))
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        # Before a step starts, Dagster reads this table because of the exchange's pool.
        cursor.execute("DROP TABLE dagster.pending_steps")
    done = working.titan10(*DAY)
    assert done.returncode == FAILED
    assert 'relation "pending_steps" does not exist' in done.stdout
    assert f"Failed: 2024-03-01. {CONTINUE}" in done.stdout
    assert status_of_runs(database_url).count("FAILURE") == 1


def test_a_dry_run_shows_the_cost_and_requests_nothing(working: Project, exchange: Sandbox) -> None:
    done = working.titan10(*DAY, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Forecast for 2 slices in 1 run(s): 4 requests, ")
    assert "at the present pace" in done.stdout
    assert "MB in the database; done at 20" in done.stdout
    document = json.loads(working.titan10(*DAY, "--dry-run", "--json").stdout)
    assert set(document) == documented_fields("`titan10 backfill --dry-run --json`")
    forecast = document["forecast"]
    assert (forecast["slices"], forecast["candles"], forecast["runs"]) == (2, 2_880, 1)
    assert forecast["sources"]["rest"]["requests"] == 4
    assert exchange.requests("binance") == []
    assert json.loads(working.titan10("coverage", "--json").stdout) == []


def test_forecast_and_result_stand_side_by_side_in_the_end(working: Project, exchange: Sandbox) -> None:
    done = working.titan10(*DAY)
    assert done.returncode == 0, done.stderr
    assert "Forecast for 2 slices in 1 run(s): 4 requests, " in done.stderr
    shown = {line.split("  ")[0]: line.split()[-2:] for line in done.stdout.splitlines()[-7:]}
    assert shown["requests"] == ["4", "4"]
    assert shown["files"] == ["0", "0"]
    assert shown["candles"] == ["2,880", "2,880"]
    again = json.loads(working.titan10(*DAY, "--refresh", "--json").stdout)
    assert again["forecast"]["sources"]["rest"]["requests"] == 4
    assert again["result"]["sources"]["rest"]["requests"] == 4
    log = (working.folder / ".titan10/logs/backfill.log").read_text()
    assert "2 slices to fetch" in log
    assert "before the exchange's start. Forecast for 2 slices in 1 run(s): 4 requests, " in log


def test_a_terminal_sees_the_files_of_an_archive_and_their_speed(working: Project) -> None:
    working.environment["TITAN10_EXCHANGES__BINANCE__SOURCES"] = '["archive", "rest"]'
    working.environment["COLUMNS"] = "160"
    code, shown = working.titan10_in_terminal(*DAY, "--symbol", "BTC/USDT")
    assert code == 0, shown
    assert re.search(r"1 of 1 files, \d+\.\d MB/s", shown)
