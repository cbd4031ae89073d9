"""`titan10 doctor` on a good installation, and on set-ups that are broken in one way each."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from click.testing import CliRunner

from titan10_dagster.dagster_internals.database import dagster_url, ensure_dagster_schema
from titan10_dagster.dagster_internals.storage import PooledPostgresStorage
from titan10_dagster.local import diagnosis
from titan10_dagster.local.cli import main
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.store.migrations import migrate
from titan10_dagster_tests.instances import ROOT

SETTINGS = """
data = "data"
[exchanges.binance]
symbols = [{symbols}]
start = 2024-01-01
base_url = "{url}"
"""
GOOD = '"BTC/USDT", "ETH/USDT"'

Findings = dict[str, list[tuple[str, str, str]]]


@dataclass
class Site:
    """A project folder, and `titan10 doctor` in it."""

    folder: Path
    environment: dict[str, str | None] = field(default_factory=dict)
    exit_code: int = 0

    def write(self, url: str, symbols: str = GOOD, more: str = "") -> None:
        (self.folder / "titan10.toml").write_text(SETTINGS.format(symbols=symbols, url=url) + more)

    def doctor(self, *arguments: str) -> str:
        variables = {
            name: None for name in os.environ if name.startswith(("TITAN10_", "SSL_CERT")) or "proxy" in name.lower()
        }
        done = CliRunner().invoke(
            main, ["doctor", *arguments], env={**variables, "TITAN10_HOME": str(self.folder), **self.environment}
        )
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        self.exit_code = done.exit_code
        return done.stdout

    def findings(self) -> Findings:
        """What was found, by check: level, finding and advice."""
        by_check: Findings = {}
        for finding in json.loads(self.doctor("--json")):
            found = (finding["level"], finding["found"], finding["advice"])
            by_check.setdefault(finding["check"], []).append(found)
        return by_check

    def problem(self, check: str) -> tuple[str, str]:
        """The finding and the advice of the one problem; the exit code says that there is one."""
        problems = [
            (name, found, advice)
            for name, entries in self.findings().items()
            for level, found, advice in entries
            if level == "problem"
        ]
        assert [name for name, _, _ in problems] == [check], problems
        assert self.exit_code == 1
        return problems[0][1:]


@pytest.fixture
def exchange() -> Iterator[str]:
    with Sandbox(["binance"], clock=datetime.now(UTC)) as sandbox:
        yield sandbox.url("binance")


@pytest.fixture
def site(tmp_path: Path, database_url: str, exchange: str) -> Site:
    """A good installation, but for what a test breaks."""
    migrate(database_url)
    site = Site(tmp_path, {"TITAN10_DATABASE__URL": database_url})
    site.write(exchange)
    (tmp_path / "dagster.yaml").symlink_to(ROOT / "dagster.yaml")
    return site


def execute(url: str, *statements: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def name_of(url: str) -> str:
    return url.rsplit("/", 1)[1]


def test_a_good_installation_has_no_problem_and_nothing_is_changed(site: Site, database_url: str) -> None:
    tables = "SELECT count(*) FROM pg_class"
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(tables)
        before = cursor.fetchone()
        findings = site.findings()
        cursor.execute(tables)
        assert cursor.fetchone() == before
    problems = [entry for entries in findings.values() for entry in entries if entry[0] == "problem"]
    assert problems == []
    assert site.exit_code == 0
    assert {
        "settings",
        "project",
        "disk",
        "database",
        "version",
        "rights",
        "session",
        "tables",
        "dagster",
        "binance",
    } <= (set(findings))
    assert sorted(path.name for path in site.folder.iterdir()) == ["dagster.yaml", "titan10.toml"]


def test_each_finding_is_one_line_with_what_to_do(site: Site) -> None:
    site.environment["HTTPS_PROXY"] = "proxy.example.com:3128"
    lines = site.doctor().splitlines()
    (line,) = [line for line in lines if line.startswith("PROBLEM")]
    assert line == "PROBLEM  proxy: HTTPS_PROXY is not a URL: proxy.example.com:3128. Write it as http://host:port."


def test_without_a_database_the_embedded_one_is_not_started(site: Site) -> None:
    del site.environment["TITAN10_DATABASE__URL"]
    assert site.findings()["database"] == [("ok", "The embedded PostgreSQL does not run; `titan10 up` starts it.", "")]
    assert not (site.folder / "data").exists()


# -- broken set-ups ---------------------------------------------------------------------------------------------------


def test_1_invalid_settings(site: Site, exchange: str) -> None:
    site.write(exchange, more="[retries]\nstep = 3\n")
    ((level, found, advice),) = site.findings()["settings"]
    assert site.exit_code == 2
    assert level == "problem"
    assert "retries.step" in found
    assert advice.startswith("Correct titan10.toml")


def test_2_no_configuration_of_dagster(site: Site) -> None:
    (site.folder / "dagster.yaml").unlink()
    found, advice = site.problem("project")
    assert found == f"There is no dagster.yaml in {site.folder}."
    assert advice.startswith("Copy dagster.yaml of the repository")


def test_3_no_database_server(site: Site, free_port: Callable[[], int]) -> None:
    site.environment["TITAN10_DATABASE__URL"] = f"postgresql://me:sesame@127.0.0.1:{free_port()}/x"
    found, advice = site.problem("database")
    assert "cannot connect" in found
    assert "sesame" not in found
    assert advice.startswith("Check that the server runs")


def test_4_a_standby(site: Site, database_url: str) -> None:
    execute(database_url, f"ALTER DATABASE {name_of(database_url)} SET default_transaction_read_only = on")
    found, advice = site.problem("rights")
    assert "read-only" in found
    assert "target_session_attrs=read-write" in advice


def test_5_a_role_without_rights(site: Site, database_url: str) -> None:
    role = f"{name_of(database_url)}_reader"
    granted = f"GRANT {role} TO CURRENT_USER"
    execute(
        database_url,
        f"CREATE ROLE {role} LOGIN PASSWORD 'secret'",
        granted,
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    )
    try:
        parts = urlsplit(database_url)
        netloc = f"{role}:secret@{parts.hostname}:{parts.port}"
        site.environment["TITAN10_DATABASE__URL"] = urlunsplit(parts._replace(netloc=netloc))
        problems = {entry[1]: entry[2] for entry in site.findings()["rights"]}
        assert problems == {
            f"The role {role} may not create tables.": "Let the owner of the database run "
            f"`GRANT CREATE ON SCHEMA public TO {role}`."
        }
        assert site.exit_code == 1
    finally:
        execute(database_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


@contextmanager
def pgbouncer(folder: Path, url: str, port: int) -> Iterator[str]:
    """Debian's PgBouncer in transaction mode, told to ignore what it does not know; yields the URL through it."""
    parts = urlsplit(url)
    folder.chmod(0o777)  # it may run as another account
    (folder / "users.txt").write_text(f'"{parts.username}" "{parts.password}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={parts.hostname} port={parts.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nauth_type = plain\nauth_file = {folder}/users.txt\npool_mode = transaction\n"
        f"ignore_startup_parameters = options,extra_float_digits\nlogfile = {folder}/log\nunix_socket_dir =\n"
    )
    program = which("pgbouncer") or "/usr/sbin/pgbouncer"
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    identity = {"user": account.pw_uid, "group": account.pw_gid} if account else {}
    for file in folder.iterdir():
        file.chmod(0o644)
    process = subprocess.Popen([program, str(folder / "pgbouncer.ini")], stderr=subprocess.DEVNULL, **identity)
    try:
        through = urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}"))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                psycopg2.connect(through).close()
                break
            except psycopg2.OperationalError:
                time.sleep(0.1)
        yield through
    finally:
        process.terminate()
        process.wait()


@pytest.mark.skipif(not Path("/usr/sbin/pgbouncer").exists(), reason="needs Debian's pgbouncer")
def test_6_a_connection_pooler(site: Site, database_url: str, free_port: Callable[[], int]) -> None:
    with TemporaryDirectory() as folder, pgbouncer(Path(folder), database_url, free_port()) as through:
        site.environment["TITAN10_DATABASE__URL"] = through
        site.environment["TITAN10_DATABASE__DAGSTER_URL"] = database_url
        findings = site.findings()
    problems = [entry for entries in findings.values() for entry in entries if entry[0] == "problem"]
    assert site.exit_code == 1
    assert any("pool" in found.lower() for _, found, _ in problems), problems


def test_7_a_database_of_an_older_titan10(site: Site, database_url: str) -> None:
    execute(
        database_url, "DELETE FROM _yoyo_migration WHERE migration_id = (SELECT max(migration_id) FROM _yoyo_migration)"
    )
    ((level, found, advice),) = site.findings()["tables"]
    assert level == "warning"
    assert found.startswith("1 migrations are not applied yet, from 00")
    assert advice.startswith("Run `titan10 migrate`")


def test_8_tables_of_another_version_of_dagster(site: Site, database_url: str) -> None:
    ensure_dagster_schema(database_url)
    PooledPostgresStorage(dagster_url(database_url))
    assert site.findings()["dagster"] == [("ok", "Dagster's tables are up to date.", "")]
    execute(database_url, "UPDATE dagster.alembic_version SET version_num = 'older'")
    found, advice = site.problem("dagster")
    assert found == "Dagster's tables are of another version of Dagster."
    assert "titan10 migrate" in advice


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_9_certificates_that_cannot_be_read(site: Site, content: str | None) -> None:
    file = site.folder / "ca.pem"
    if content is not None:
        file.write_text(content)
    site.environment["SSL_CERT_FILE"] = str(file)
    problems = [entry for entry in site.findings()["certificates"] if entry[0] == "problem"]
    assert site.exit_code == 1
    ((_, found, advice),) = problems
    assert f"SSL_CERT_FILE names {file}" in found
    assert advice


def test_10_an_exchange_that_cannot_be_reached(site: Site, free_port: Callable[[], int]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    site.write(url)
    found, advice = site.problem("binance")
    assert found
    assert advice == f"Check that {url} answers; remove base_url to use the exchange itself."


def test_11_a_misspelled_symbol(site: Site, exchange: str) -> None:
    site.write(exchange, symbols='"BCT/USDT", "BTC/USDT"')
    found, advice = site.problem("binance")
    assert found.startswith("BCT/USDT: the exchange does not list it; did you mean BTC/USDT")
    assert advice == "Correct exchanges.binance.symbols in titan10.toml."


@pytest.mark.parametrize(("skew", "level"), [(timedelta(seconds=40), "warning"), (timedelta(minutes=30), "problem")])
def test_12_a_wrong_clock(site: Site, exchange: str, skew: timedelta, level: str) -> None:
    with late_by(skew, exchange) as url:
        site.write(url)
        entries = [entry for entry in site.findings()["binance"] if "clock" in entry[1]]
    ((found_level, _, advice),) = entries
    assert found_level == level
    assert advice


@contextmanager
def late_by(skew: timedelta, exchange: str) -> Iterator[str]:
    """The exchange, but with a Date header that is behind."""
    import urllib.request

    class Late(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with urllib.request.urlopen(exchange + self.path) as answer:
                body = answer.read()
            self.send_response_only(200)
            self.send_header("Date", format_datetime(datetime.now(UTC) - skew, usegmt=True))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Not to the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Late) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_13_a_full_disk(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "FEW_BYTES", 10**18)
    found, advice = site.problem("disk")
    assert found.endswith(f"GB are free for {site.folder / 'data'}.")
    assert advice.startswith("Free disk space")


def test_14_timescaledb_upgraded_without_its_extension(
    tmp_path: Path, timescaledb_database_url: str, exchange: str
) -> None:
    site = Site(tmp_path, {"TITAN10_DATABASE__URL": timescaledb_database_url})
    site.write(exchange)
    (tmp_path / "dagster.yaml").symlink_to(ROOT / "dagster.yaml")
    execute(timescaledb_database_url, "UPDATE pg_extension SET extversion = '2.20.0' WHERE extname = 'timescaledb'")
    problems = [entry for entry in site.findings()["timescaledb"] if entry[0] == "problem"]
    ((_, found, advice),) = problems
    assert found.endswith("the extension 2.20.0.")
    assert "ALTER EXTENSION timescaledb UPDATE" in advice
