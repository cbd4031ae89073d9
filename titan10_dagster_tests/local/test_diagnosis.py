"""The findings of the diagnosis in set-ups with one fault each."""

from __future__ import annotations

import os
import pwd
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest

from titan10_dagster.dagster_internals.database import dagster_url, ensure_dagster_schema
from titan10_dagster.dagster_internals.storage import PooledPostgresStorage
from titan10_dagster.local import diagnosis
from titan10_dagster.store.migrations import migrate
from titan10_dagster_tests.dagster_internals.test_schema import older_revision
from titan10_dagster_tests.databases import new_name
from titan10_dagster_tests.instances import ROOT
from titan10_dagster_tests.local.sites import Site, exchange, execute, name_of, site
from titan10_dagster_tests.processes import wait_until
from titan10_dagster_tests.store.test_servers import Node, nodes, url_of

__all__ = ["exchange", "nodes", "site"]


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
    assert advice.startswith("Copy dagster.yaml from the repository")


def test_another_installation_in_the_same_database_is_named(site: Site, database_url: str) -> None:
    ensure_dagster_schema(database_url)
    execute(database_url, "CREATE SCHEMA second")
    second = f"{database_url}?options=-csearch_path%3Dsecond"
    migrate(second)
    site.environment["TITAN10_DATABASE__URL"] = second
    found, advice = site.problem("dagster")
    assert found == "Dagster's tables belong to another Titan-10, which stores its candles in the schema public."
    assert "CREATE SCHEMA dagster_2" in advice
    execute(database_url, "CREATE SCHEMA dagster_2")
    site.environment["TITAN10_DATABASE__DAGSTER_URL"] = f"{database_url}?options=-csearch_path%3Ddagster_2"
    assert [level for level, *_ in site.findings()["dagster"]] == ["ok"]


def test_files_of_dagster_that_it_cannot_use_are_named(site: Site) -> None:
    instance, workspace = site.folder / "dagster.yaml", site.folder / "workspace.yaml"
    text = instance.read_text()
    instance.unlink()
    instance.write_text(f"{text}\nbogus: 1\n")
    found, advice = site.problem("project")
    assert found == f'Dagster cannot use {instance}: there is no key "bogus" at the root.'
    assert "copy it from the repository" in advice
    instance.write_text(text)
    workspace.write_text("load_from: [\n")
    (_, (level, found, _)) = site.findings()["project"]
    assert (level, site.exit_code) == ("warning", 0)
    assert f"Dagster cannot use {workspace}: it is not valid YAML" in found


def test_3_no_database_server(site: Site, free_port: Callable[[], int]) -> None:
    site.environment["TITAN10_DATABASE__URL"] = f"postgresql://me:sesame@127.0.0.1:{free_port()}/x"
    found, advice = site.problem("database")
    assert "cannot connect" in found
    assert "sesame" not in found
    assert advice.startswith("Check that the server runs")


def test_4_a_standby_is_named_and_several_hosts_lead_to_its_primary(
    site: Site,
    nodes: tuple[Node, Node],
) -> None:
    primary, standby = nodes
    migrate(primary.url)
    ((position,),) = primary.rows("SELECT pg_current_wal_lsn()")
    wait_until(lambda: standby.rows(f"SELECT pg_last_wal_replay_lsn() >= '{position}'") == [(True,)], 120)
    site.environment["TITAN10_DATABASE__URL"] = standby.url
    found, advice = site.problem("rights")
    assert found == "The server is read-only: it is a standby."
    assert advice == (
        "Set database.url to the primary server, or to several hosts with target_session_attrs=read-write."
    )
    site.environment["TITAN10_DATABASE__URL"] = url_of((standby, primary))
    ((level, found, _),) = site.findings()["rights"]
    assert (level, found) == ("warning", "The role postgres is a superuser.")
    assert site.exit_code == 0


@pytest.mark.parametrize(
    ("statement", "found", "advice"),
    [
        (
            "ALTER ROLE {role} SET default_transaction_read_only = on",
            "Sessions are read-only: default_transaction_read_only is on for this role.",
            "SET default_transaction_read_only = off",
        ),
        (
            "REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC, {role}",
            "The role {role} has no right to create temporary tables.",
            "GRANT TEMPORARY ON DATABASE {name} TO {role}",
        ),
    ],
)
def test_4_a_database_that_refuses_writes(
    site: Site, database_url: str, statement: str, found: str, advice: str
) -> None:
    name = name_of(database_url)
    role = f"{name}_writer"
    execute(database_url, f"CREATE ROLE {role} LOGIN PASSWORD 'secret'", f"GRANT {role} TO CURRENT_USER")
    try:
        execute(
            database_url,
            f"GRANT CREATE, TEMPORARY ON DATABASE {name} TO {role}",
            f"GRANT CREATE ON SCHEMA public TO {role}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
            statement.format(name=name, role=role),
        )
        parts = urlsplit(database_url)
        netloc = f"{role}:secret@{parts.hostname}:{parts.port}"
        site.environment["TITAN10_DATABASE__URL"] = urlunsplit(parts._replace(netloc=netloc))
        written = site.problem("rights")
    finally:
        execute(database_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
    assert written[0] == found.format(role=role)
    assert advice.format(name=name, role=role) in written[1]


def test_4_a_database_of_another_encoding(site: Site, postgres_url: str) -> None:
    options = "TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
    name = new_name("latin1")
    execute(postgres_url, f"CREATE DATABASE {name} {options}")
    try:
        site.environment["TITAN10_DATABASE__URL"] = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
        ((level, found, advice),) = site.findings()["encoding"]
    finally:
        execute(postgres_url, f"DROP DATABASE {name}")
    assert (level, found) == (
        "warning",
        "The encoding of the database is LATIN1: symbols with characters outside LATIN1 cannot be stored.",
    )
    assert "ENCODING 'UTF8'" in advice


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
            f"The role {role} has no right to create tables.": "Let the owner of the database run "
            f"`GRANT CREATE ON SCHEMA public TO {role}`."
        }
        assert site.exit_code == 1
    finally:
        execute(database_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


@contextmanager
def pgbouncer(folder: Path, url: str, port: int) -> Iterator[str]:
    """Run Debian's PgBouncer in transaction mode.

    It ignores unknown parameters. Yield the URL that leads through it.
    """
    parts = urlsplit(url)
    folder.chmod(0o777)  # PgBouncer may run as another account
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
    assert found.startswith("Migrations that are not applied yet: 1. The first of them is 00")
    assert advice.startswith("Run `titan10 migrate`")


def test_8_tables_of_another_version_of_dagster(site: Site, database_url: str) -> None:
    ensure_dagster_schema(database_url)
    PooledPostgresStorage(dagster_url(database_url))
    assert site.findings()["dagster"] == [("ok", "Dagster's tables are up to date.", "")]
    execute(database_url, "UPDATE dagster.alembic_version SET version_num = 'newer'")
    found, advice = site.problem("dagster")
    assert found == "Dagster's tables belong to a newer version of Dagster than the installed version."
    assert "Install the newer version again" in advice
    execute(database_url, f"UPDATE dagster.alembic_version SET version_num = '{older_revision()}'")
    found, advice = site.problem("dagster")
    assert found == "Dagster's tables belong to another version of Dagster."
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
    assert advice == f"Check that {url} answers, or remove base_url to use the exchange itself."


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
    """Serve the exchange with a Date header that is behind the real time."""
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
            """Discard the message, so that it does not appear on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Late) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("data", ["file", "file/below", "link"])
def test_13_a_data_folder_that_is_none(site: Site, data: str) -> None:
    (site.folder / "file").touch()
    (site.folder / "link").symlink_to("/nowhere/at/all")
    site.environment["TITAN10_DATA"] = data
    found, advice = site.problem("disk")
    place = site.folder / data.removesuffix("/below")
    assert found == f"{place} is a file or a broken link, but must be a folder."
    assert advice == "Remove this file or link, or set `data` to a folder."


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
    assert found == "The server does not have the TimescaleDB library 2.20.0 that the extension needs."
    assert "ALTER EXTENSION timescaledb UPDATE" in advice


def test_a_project_without_exchanges_gets_a_warning(site: Site) -> None:
    (site.folder / "titan10.toml").write_text('data = "data"\n')
    warnings = [finding for finding in site.findings()["settings"] if finding[0] == "warning"]
    ((_, found, advice),) = warnings
    assert found == "No exchange is enabled, so nothing is fetched."
    assert advice.startswith("Add a section such as [exchanges.binance]")
