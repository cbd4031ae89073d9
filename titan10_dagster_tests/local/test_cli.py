"""The command line with real processes, a real database, and a real HTTP server as the exchange."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import psycopg2
import pytest
from click.testing import CliRunner, Result

from titan10_dagster.dagster_internals.database import dagster_url
from titan10_dagster.local.cli import main
from titan10_dagster.operate.run_processes import PROCESS_TAG
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.settings_values import DATABASE_SCHEMES
from titan10_dagster.store import presence
from titan10_dagster_tests.json_fields import documented_fields

PROJECT = Path(__file__).parents[2]
NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
SETTINGS = """
[exchanges.binance]
symbols = ["BTC/USDT", "ETH/USDT"]
start = 2024-01-01
base_url = "{url}"

[exchanges.kraken]
symbols = ["BTC/USD"]
start = 2024-02-01
enabled = false
"""


@dataclass
class Project:
    """A folder with settings. Its methods run the command line in the folder."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def titan10(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "titan10_dagster.local.cli", *arguments]
        return subprocess.run(
            command, cwd=PROJECT, env=self._environment(), capture_output=True, text=True, check=False, timeout=240
        )

    def started(self, *arguments: str, output: IO[bytes] | None = None) -> subprocess.Popen[str]:
        """Start the command. Both of its outputs go to pipes, or to the file `output`."""
        return subprocess.Popen(
            [sys.executable, "-m", "titan10_dagster.local.cli", *arguments],
            cwd=PROJECT,
            env=self._environment(),
            stdout=output or subprocess.PIPE,
            stderr=subprocess.STDOUT if output else subprocess.PIPE,
            text=True,
        )

    def titan10_in_terminal(self, *arguments: str) -> tuple[int, str]:
        """Run `titan10` with a terminal as standard error. Return the exit code and the text on the terminal."""
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "titan10_dagster.local.cli", *arguments]
        with subprocess.Popen(
            command, cwd=PROJECT, env=self._environment(), stdout=subprocess.DEVNULL, stderr=theirs
        ) as process:
            os.close(theirs)
            shown = b""
            with suppress(OSError):  # on Linux this means that the other end is closed
                while read := os.read(ours, 65536):
                    shown += read
        os.close(ours)
        return process.returncode, shown.decode()

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TITAN10_")}
        return {**inherited, "TITAN10_HOME": str(self.folder), **self.environment}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project without a database. No exchange answers."""
    (tmp_path / "titan10.toml").write_text(SETTINGS.format(url="http://127.0.0.1:9"))
    (tmp_path / "dagster.yaml").symlink_to(PROJECT / "dagster.yaml")
    return Project(tmp_path)


@pytest.fixture
def exchange() -> Iterator[Sandbox]:
    with Sandbox(["binance"], clock=NOW) as sandbox:
        yield sandbox


@pytest.fixture
def working(project: Project, exchange: Sandbox, database_url: str) -> Project:
    (project.folder / "titan10.toml").write_text(SETTINGS.format(url=exchange.url("binance")))
    project.environment["TITAN10_DATABASE__URL"] = database_url
    return project


@pytest.fixture
def run(project: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command in this process. This is used for commands that end before heavy imports."""
    for variable in [name for name in os.environ if name.startswith("TITAN10_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("TITAN10_HOME", str(project.folder))

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments)

    return invoke


def test_help_answers_at_once_and_documents_the_exit_codes() -> None:
    command = [sys.executable, "-m", "titan10_dagster.local.cli", "--help"]
    busy = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        shown = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
        busy.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
    assert min(busy) < 0.3  # CPU seconds, because elapsed time is longer on a busy machine
    assert "the exchange is blocked" in shown
    for name in ("up", "demo", "sandbox", "migrate", "backfill", "export", "status", "coverage"):
        assert re.search(rf"^  {name} ", shown, re.MULTILINE)


FUTURE = f"{datetime.now(UTC).date() + timedelta(days=9)}"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("backfill binance --from 2024-13-01 --to 2024-01-02", "'2024-13-01' is not a date (YYYY-MM-DD"),
        ("backfill binance --from 20240201 --to 2024-02-02", "'20240201' is not a date (YYYY-MM-DD"),
        ("backfill binance --from 2024-W06-1 --to 2024-02-09", "'2024-W06-1' is not a date (YYYY-MM-DD"),
        ("backfill binance --from 2024-01-09 --to 2024-01-02", "--from 2024-01-09 is after --to 2024-01-02."),
        ("backfill binance --to 2024-01-02", "Missing option '--from'"),
        (
            f"backfill binance --from 2024-01-09 --to {FUTURE}",
            "only finished UTC days can be fetched; the latest is 20",
        ),
        ("backfill binance --from 2023-12-31 --to 2024-01-02", "exchanges.binance.start is 2024-01-01"),
        (
            "backfill binanse --from 2024-01-01 --to 2024-01-02",
            "exchange in titan10.toml; did you mean binance?",
        ),
        (
            "backfill okx --from 2024-01-01 --to 2024-01-02",
            "exchange in titan10.toml; allowed are binance, kraken.",
        ),
        ("backfill kraken --from 2024-02-01 --to 2024-02-02", "exchanges.kraken.enabled is false"),
        (
            "backfill binance --from 2024-01-01 --to 2024-01-02 --symbol BTC/USD",
            "BTC/USD: not in exchanges.binance.symbols of titan10.toml; did you mean BTC/USDT",
        ),
        ("coverage binanse", "did you mean binance?"),
        ("coverage --from 2024-01-09 --to 2024-01-02", "--from 2024-01-09 is after --to 2024-01-02."),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(run: Callable[..., Result], arguments: str, sentence: str) -> None:
    result = run(*arguments.split())
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", ["status", "coverage", "migrate", "up"])
def test_without_settings_the_error_says_what_to_do(run: Callable[..., Result], project: Project, command: str) -> None:
    (project.folder / "titan10.toml").unlink()
    result = run(command)
    assert result.exit_code == 2
    assert "There is no titan10.toml in" in result.stderr


@pytest.mark.parametrize("command", ["status", "coverage --json", "migrate", "up"])
def test_a_database_that_is_not_there_has_an_exit_code_and_keeps_its_password(
    run: Callable[..., Result], free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("TITAN10_DATABASE__URL", f"postgresql://me:sesame@127.0.0.1:{free_port()}/x")
    monkeypatch.setenv("TITAN10_SERVER__PORT", "0")
    result = run(*command.split())
    assert result.exit_code == 3
    assert "127.0.0.1" in result.stderr
    assert "sesame" not in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("key", ["URL", "DAGSTER_URL"])
@pytest.mark.parametrize("url", ["postgresql://me:sesame/open@127.0.0.1/x", "postgresql://me:sesame/x"])
def test_an_unreadable_database_url_is_an_invalid_setting(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, key: str, url: str
) -> None:
    monkeypatch.setenv(f"TITAN10_DATABASE__{key}", url)
    result = run("status")
    assert result.exit_code == 2
    assert f"database.{key.lower()} (set by TITAN10_DATABASE__{key}): the database URL cannot be read" in result.stderr
    assert "sesame" not in result.output


@pytest.mark.parametrize("option", ["sslmode=wrong", "connect_timeout=soon", "target_session_attrs=best"])
def test_an_option_of_the_database_url_that_cannot_be_is_a_setting_too(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setenv("TITAN10_DATABASE__URL", f"postgresql://me:sesame@127.0.0.1:1/x?{option}")
    result = run("status")
    assert result.exit_code == 2
    assert f'"{option.partition("=")[2]}"' in result.stderr
    assert "sesame" not in result.output


BACKFILL = "backfill binance --from 2024-01-01 --to 2024-01-01"


@pytest.mark.parametrize("command", ["up", "status", BACKFILL])
@pytest.mark.parametrize("data", ["/dev/null/x", "/proc/x", "/proc", "titan10.toml"])
def test_an_impossible_data_folder_is_an_invalid_setting(
    run: Callable[..., Result], project: Project, monkeypatch: pytest.MonkeyPatch, data: str, command: str
) -> None:
    monkeypatch.setenv("TITAN10_DATA", data)
    monkeypatch.setenv("TITAN10_SERVER__PORT", "0")
    result = run(*command.split())
    assert result.exit_code == 2, result.output
    assert f"data: {project.folder / data}" in result.stderr
    assert "set `data`" in result.stderr


def test_a_folder_for_the_data_is_needed_beside_a_database_too(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setenv("TITAN10_DATA", "/dev/null/x")
    monkeypatch.setenv("TITAN10_DATABASE__URL", database_url)
    result = run(*BACKFILL.split())
    assert result.exit_code == 2, result.output
    assert "data: /dev/null/x" in result.stderr


def test_migrate_names_what_it_applied_and_then_nothing(project: Project, empty_database_url: str) -> None:
    project.environment["TITAN10_DATABASE__URL"] = empty_database_url
    first, second = project.titan10("migrate"), project.titan10("migrate")
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout.startswith("applied 0001")
    assert second.stdout == "The tables are up to date.\n"


@pytest.mark.parametrize("scheme", DATABASE_SCHEMES)
def test_migrate_makes_the_schema_of_dagster_also_where_its_url_is_spelt_out(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, empty_database_url: str, scheme: str
) -> None:
    monkeypatch.setenv("TITAN10_DATABASE__URL", empty_database_url)
    spelt_out = scheme + dagster_url(empty_database_url).partition("://")[2]
    monkeypatch.setenv("TITAN10_DATABASE__DAGSTER_URL", spelt_out)
    assert run("migrate").exit_code == 0
    with closing(psycopg2.connect(empty_database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'dagster'")
        assert cursor.fetchone() == (1,)


def test_a_database_of_dagsters_own_that_is_not_there_has_the_same_exit_code(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, database_url: str, free_port: Callable[[], int]
) -> None:
    monkeypatch.setenv("TITAN10_DATABASE__URL", database_url)
    monkeypatch.setenv("TITAN10_DATABASE__DAGSTER_URL", f"postgresql://me:sesame@127.0.0.1:{free_port()}/theirs")
    result = run("migrate")
    assert result.exit_code == 3
    assert "cannot connect to the database theirs at 127.0.0.1" in result.stderr
    assert "sesame" not in result.output


def test_a_backfill_with_a_database_of_dagsters_own_named_as_everywhere_else(
    working: Project, empty_database_url: str
) -> None:
    working.environment["TITAN10_DATABASE__DAGSTER_URL"] = empty_database_url
    done = working.titan10("backfill", "binance", "--from", "2024-03-01", "--to", "2024-03-01", "--symbol", "BTC/USDT")
    assert done.returncode == 0, done.stderr
    assert "1,440 of 1,440 candles" in done.stdout


def test_a_backfill_stores_the_days_and_fetches_them_once(working: Project, exchange: Sandbox) -> None:
    command = ("backfill", "binance", "--from", "2024-03-01", "--to", "2024-03-03", "--json")
    first = working.titan10(*command)
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert set(report) == documented_fields("`titan10 backfill --json`")
    assert (report["stored"], report["expected"], report["missing"]) == (8640, 8640, {})
    assert report["fetched"]["rows"] == 8640
    assert len(report["runs"]) == 1

    exchange.clear_requests("binance")
    again = json.loads(working.titan10(*command).stdout)
    assert (again["stored"], again["fetched"]["requests"]) == (8640, 0)
    assert exchange.requests("binance") == []

    status = working.titan10("status")
    assert status.returncode == 0
    assert "No `titan10 up` runs in this folder." in status.stdout
    assert re.search(r"binance +yes +2 +2024-03-01 to 2024-03-03 +8,640 +8,640", status.stdout)

    series = json.loads(working.titan10("coverage", "binance", "--from", "2024-03-02", "--json").stdout)
    assert [(row["symbol"], row["slices"], row["stored"]) for row in series] == [
        ("BTC/USDT", 2, 2880),
        ("ETH/USDT", 2, 2880),
    ]

    export = ("export", "binance", "--symbol", "BTC/USDT", "--from", "2024-03-01", "--to", "2024-03-03")
    more = ("--format", "freqtrade", "--timeframe", "1h", "--out", str(working.folder / "files"))
    written = working.titan10(*export, *more)
    assert written.returncode == 0, written.stderr
    assert re.search(r"BTC/USDT +72 +2024-03-01 00:00 +2024-03-04 00:00", written.stdout)
    assert [path.name for path in (working.folder / "files").iterdir()] == ["BTC_USDT-1h.feather"]
    refused = working.titan10(*export, *more)
    assert (refused.returncode, "the file exists" in refused.stderr) == (2, True)


def test_an_exchange_that_bans_us_has_an_exit_code_and_a_message(working: Project, exchange: Sandbox) -> None:
    exchange.fault("binance", "http_418", retry_after=120)
    result = working.titan10("backfill", "binance", "--from", "2024-03-01", "--to", "2024-03-01")
    assert result.returncode == 4, result.stdout + result.stderr
    assert "Failed: 2024-03-01" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_a_terminal_sees_the_progress_in_rows_and_time_left(working: Project) -> None:
    code, shown = working.titan10_in_terminal(
        "backfill", "binance", "--from", "2024-03-01", "--to", "2024-03-02", "--symbol", "BTC/USDT"
    )
    assert code == 0, shown
    assert "of 2,880 candles" in shown
    assert re.search(r"[1-9][\d,]* rows/s", shown)


def test_an_interrupted_backfill_ends_soon_with_its_own_exit_code(
    working: Project, exchange: Sandbox, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange.fault("binance", "latency", ms=600_000)
    log = working.folder / ".titan10/logs/backfill.log"
    process = working.started("backfill", "binance", "--from", "2024-01-01", "--to", "2024-03-09")
    try:
        deadline = time.monotonic() + 120
        while not (log.exists() and "slices to fetch" in log.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        tag = tag_of_the_run(database_url)
        assert presence.is_present(database_url, tag), "other machines see that it lives"
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert "Interrupted" in messages
    monkeypatch.setattr(presence, "PATIENCE", 1)
    assert not presence.is_present(database_url, tag)


def test_an_interrupted_command_does_not_wait_for_a_thread_that_never_ends() -> None:
    program = """
import threading
from titan10_dagster.local.cli import main

@main.command()
def stuck():
    threading.Thread(target=threading.Event().wait).start()
    print("printed")
    raise KeyboardInterrupt

main(["stuck"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (130, "printed\n")
    assert "Interrupted" in done.stderr


def tag_of_the_run(url: str) -> str:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT value FROM dagster.run_tags WHERE key = %s", [PROCESS_TAG])
        ((tag,),) = cursor.fetchall()
        return str(tag)


def test_a_test_alert_is_sent_to_every_service_and_failures_are_named(project: Project, tmp_path: Path) -> None:
    letters, token = tmp_path / "letters", "s3cretT0ken"
    project.environment["TITAN10_ALERTS__URLS"] = f"file://{letters}, nosuchservice://{token}/12"
    done = project.titan10("alerts", "--test")
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["1. file: accepted", "2. nosuchservice: NOT accepted"]
    assert json.loads(letters.read_text())["title"] == "Titan-10: a test"
    assert token not in done.stdout + done.stderr
    report = json.loads(project.titan10("alerts", "--test", "--json").stdout)
    assert report == [{"service": "file", "taken": True}, {"service": "nosuchservice", "taken": False}]


def test_without_an_address_a_test_alert_says_how_to_set_one(project: Project) -> None:
    done = project.titan10("alerts", "--test")
    assert done.returncode == 2
    assert "TITAN10_ALERTS__URLS" in done.stderr


def test_where_nothing_is_wrong_there_are_no_alerts(working: Project) -> None:
    assert working.titan10("alerts").stdout == "There are no alerts.\n"
    assert json.loads(working.titan10("alerts", "--json").stdout) == []
