"""The checks of `titan10 doctor`. The checks create no file and no table, and they start no server.

Each check returns findings: what was found, and what to do about a problem. `quick_findings` runs the fast checks that
make no request to an exchange. `titan10 up` shows the problems and warnings that these fast checks find, except those
about alerts.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg2

from titan10_dagster.dagster_internals import configuration, schema
from titan10_dagster.dagster_internals.database import SEPARATE, dagster_url, other_installation
from titan10_dagster.errors import FetchError, SettingsError, StoreError, Titan10Error
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.markets import resolve
from titan10_dagster.exchanges.proxy_urls import fault_of, normalized
from titan10_dagster.ingest.event_loop import run_in_event_loop
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.logs import redacted
from titan10_dagster.settings import ExchangeSettings, Settings
from titan10_dagster.store import migrations
from titan10_dagster.store.database import SESSION, Connection, connect
from titan10_dagster.store.server_errors import UPGRADE_TIMESCALEDB
from titan10_dagster.store.urls import connection_parameters, shown

OLDEST_POSTGRESQL = 15
# If less space than FEW_BYTES is free, this is a problem; if less than SCARCE_BYTES is free, this is a warning.
FEW_BYTES, SCARCE_BYTES = 1_000_000_000, 10_000_000_000
CLOCK_WARNING = timedelta(seconds=5)
TIMEOUT_MS = 15_000  # time-out for an exchange's market list
# Values of the column `source` in PostgreSQL's view pg_settings, each with the words that messages use for the value.
_SCOPES = {"user": "this role", "database": "this database", "database user": "this role in this database"}
PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


class Level(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """The result of a check. `advice` says what to do; it is empty if there is nothing to do."""

    check: str
    level: Level
    found: str
    advice: str = ""


def all_findings(settings: Settings, home: Path) -> Iterator[Finding]:
    """Yield the findings of all checks."""
    yield from quick_findings(settings, home, _database_url(settings))
    yield from _exchanges(settings)


def quick_findings(settings: Settings, home: Path, url: str | None) -> Iterator[Finding]:
    """Yield the findings about this machine and the database at `url`.

    `url` is None if the embedded server does not run.
    """
    yield from _project(home)
    if not settings.enabled:
        advice = "Add a section such as [exchanges.binance] to titan10.toml, then start again."
        yield Finding("settings", Level.WARNING, "No exchange is enabled, so nothing is fetched.", advice)
    yield _disk(settings.data)
    yield from _certificates(os.environ)
    yield from _proxies(os.environ)
    yield _alerts(settings)
    if url is None:
        yield Finding("database", Level.OK, "The embedded PostgreSQL does not run; `titan10 up` starts it.")
    else:
        yield from _database(settings, url)


# -- this machine ---------------------------------------------------------------------------------------------------


def _project(home: Path) -> Iterator[Finding]:
    instance, workspace = home / "dagster.yaml", home / "workspace.yaml"
    if not instance.is_file():
        advice = "Copy dagster.yaml from the repository to this folder, or set TITAN10_HOME to a folder that has it."
        yield Finding("project", Level.PROBLEM, f"There is no dagster.yaml in {home}.", advice)
        return
    advice = "Correct the file, or copy it from the repository again."
    fault = configuration.fault_of_instance(instance)
    if fault:
        yield Finding("project", Level.PROBLEM, f"Dagster cannot use {instance}: {fault}.", advice)
    else:
        yield Finding("project", Level.OK, f"The project folder is {home}.")
    fault = configuration.fault_of_workspace(workspace) if workspace.is_file() else ""
    if fault:  # only a warning, because only Dagster's own programs, such as `dagster dev`, read this file
        yield Finding("project", Level.WARNING, f"Dagster cannot use {workspace}: {fault}.", advice)


def _disk(data: Path) -> Finding:
    folder = data
    while not folder.exists() and not folder.is_symlink():
        folder = folder.parent
    if not folder.is_dir():
        advice = "Remove this file or link, or set `data` to a folder."
        return Finding("disk", Level.PROBLEM, f"{folder} is a file or a broken link, but must be a folder.", advice)
    if not os.access(folder, os.W_OK):
        advice = "Set `data` to a folder that this account may write to."
        return Finding("disk", Level.PROBLEM, f"This account cannot write to {folder}.", advice)
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:,.1f} GB are free for {data}."
    advice = "Free disk space, or set `data` to a folder on another disk."
    if free < FEW_BYTES:
        return Finding("disk", Level.PROBLEM, found, advice)
    return Finding("disk", Level.WARNING, found, advice) if free < SCARCE_BYTES else Finding("disk", Level.OK, found)


def _certificates(environment: Mapping[str, str]) -> Iterator[Finding]:
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        named = environment.get(variable)
        if named is None:
            continue
        found = f"{variable} names {named}"
        if not Path(named).exists():
            advice = f"Correct {variable}, or remove the variable to use the certificates of the package certifi."
            yield Finding("certificates", Level.PROBLEM, f"{found}, which does not exist.", advice)
        elif variable == "SSL_CERT_FILE" and (reason := _unreadable(named)):
            advice = "Write the certificates of your certificate authority to this file in PEM format."
            yield Finding("certificates", Level.PROBLEM, f"{found}, which contains no certificates: {reason}.", advice)
        else:
            yield Finding("certificates", Level.OK, f"{found}.")


def _unreadable(file: str) -> str:
    try:
        ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as error:
        return str(error)
    return ""


def _proxies(environment: Mapping[str, str]) -> Iterator[Finding]:
    for variable in PROXY_VARIABLES:
        if named := environment.get(variable):
            fault = fault_of(normalized(named))
            if fault:
                advice = "Correct the variable or remove it; until then no request is made."
                yield Finding("proxy", Level.PROBLEM, f"{variable} {fault}.", advice)
            else:
                yield Finding("proxy", Level.OK, f"{variable} is {redacted(normalized(named))}.")


def _alerts(settings: Settings) -> Finding:
    if settings.alerts.urls:
        return Finding("alerts", Level.OK, f"{len(settings.alerts.urls)} recipients are configured.")
    advice = "Set alerts.urls, then run `titan10 alerts --test`."
    return Finding("alerts", Level.WARNING, "No alert recipients are configured.", advice)


# -- the database ---------------------------------------------------------------------------------------------------


def _database_url(settings: Settings) -> str | None:
    """Return the URL of the database. Return None if the embedded server is configured and does not run."""
    if settings.database.url is not None:
        return settings.database.url.get_secret_value()
    folder = settings.data / "postgres"
    if not folder.exists():
        return None
    server = EmbeddedPostgres(folder)
    return server.url() if server.running() else None


def _database(settings: Settings, url: str) -> Iterator[Finding]:
    try:
        connection = connect(url)
    except Titan10Error as error:
        missing = re.search(r"timescaledb-(\d+\.\d+\.\d+)", str(error))
        if missing is not None and UPGRADE_TIMESCALEDB in str(error):
            # Without this library, PostgreSQL runs no statement in this database. So the other checks are skipped.
            found = f"The server does not have the TimescaleDB library {missing[1]} that the extension needs."
            yield Finding("timescaledb", Level.PROBLEM, found, f"{UPGRADE_TIMESCALEDB}.")
            return
        advice = "Check that the server runs. Check the host, port, user, password and database in database.url."
        yield Finding("database", Level.PROBLEM, f"{error}", advice)
        return
    with closing(connection):
        connection.autocommit = True
        yield Finding("database", Level.OK, f"Connected to {shown(connection_parameters(url))}.")
        for check in (_version, _encoding, _rights, _session, _timescaledb, _tables):
            try:
                yield check(connection)
            except (psycopg2.Error, StoreError) as error:
                yield _failed(error)
        configured = settings.database.dagster_url
        if configured is None:
            yield from _shared_schema(connection)
    yield _dagster_tables(configured.get_secret_value() if configured else dagster_url(url))


def _failed(error: psycopg2.Error | StoreError) -> Finding:
    found = f"A query failed: {' '.join(str(error).split())}"
    advice = "See the log of the server."
    if isinstance(error, psycopg2.errors.InsufficientPrivilege):
        advice = "Set database.url to a URL with the role that owns the tables."
    return Finding("database", Level.PROBLEM, found, advice)


def _version(connection: Connection) -> Finding:
    major = connection.server_version // 10_000
    if major >= OLDEST_POSTGRESQL:
        return Finding("version", Level.OK, f"The server is PostgreSQL {major}.")
    advice = f"Upgrade to PostgreSQL {OLDEST_POSTGRESQL} or newer."
    return Finding("version", Level.PROBLEM, f"The server is PostgreSQL {major}.", advice)


def _encoding(connection: Connection) -> Finding:
    (encoding,) = _row(connection, "SHOW server_encoding")
    if encoding in ("UTF8", "SQL_ASCII"):  # with SQL_ASCII the server keeps all bytes, and Titan-10 sends UTF-8
        return Finding("encoding", Level.OK, f"The encoding of the database is {encoding}.")
    advice = "Create a database with TEMPLATE template0 ENCODING 'UTF8', and set database.url to this database."
    found = f"The encoding of the database is {encoding}: symbols with characters outside {encoding} cannot be stored."
    return Finding("encoding", Level.WARNING, found, advice)


def _rights(connection: Connection) -> Finding:
    query = """
        SELECT pg_is_in_recovery(), current_schema(),
            current_schema() IS NOT NULL AND has_schema_privilege(current_schema(), 'CREATE'),
            has_database_privilege(current_database(), 'CREATE') OR to_regnamespace('dagster') IS NOT NULL,
            has_database_privilege(current_database(), 'TEMPORARY'), current_database(), current_user,
            (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
            (SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only' AND setting = 'on')
    """
    is_standby, schema_name, may_create, has_dagster, may_use_temporary, name, role, is_superuser, read_only_by = _row(
        connection, query
    )
    scope = _SCOPES.get(read_only_by, "the server")
    problems = (
        (
            is_standby,
            "The server is read-only: it is a standby.",
            "Set database.url to the primary server, or to several hosts with target_session_attrs=read-write.",
        ),
        (
            read_only_by is not None,
            f"Sessions are read-only: default_transaction_read_only is on for {scope}.",
            "In a session that begins with `SET default_transaction_read_only = off`, run "
            f"`ALTER ROLE {role} IN DATABASE {name} SET default_transaction_read_only = off`. Or set database.url to "
            "another server.",
        ),
        (
            not may_create,
            f"The role {role} has no right to create tables.",
            f"Let the owner of the database run `GRANT CREATE ON SCHEMA {schema_name or 'public'} TO {role}`.",
        ),
        (
            not has_dagster,
            f"The role {role} has no right to create the schema `dagster`.",
            f"Let the owner of the database run `CREATE SCHEMA dagster AUTHORIZATION {role}`, or set "
            "database.dagster_url.",
        ),
        (
            not may_use_temporary,
            f"The role {role} has no right to create temporary tables.",
            f"Let the owner of the database run `GRANT TEMPORARY ON DATABASE {name} TO {role}`.",
        ),
    )
    for is_found, found, advice in problems:
        if is_found:
            return Finding("rights", Level.PROBLEM, found, advice)
    if is_superuser:
        advice = "Create a role without superuser rights that owns the database, and use this role in database.url."
        return Finding("rights", Level.WARNING, f"The role {role} is a superuser.", advice)
    return Finding("rights", Level.OK, f"The role {role} can create tables in the schema {schema_name}.")


def _session(connection: Connection) -> Finding:
    """Check that a session keeps a setting. A connection pooler may discard the settings and the locks of a session."""
    (limit,) = _row(connection, "SELECT setting FROM pg_settings WHERE name = 'lock_timeout'")
    if limit == SESSION["lock_timeout"]:
        return Finding("session", Level.OK, "A session keeps its settings: no connection pooler discards them.")
    advice = "Set database.url to the server itself, without a connection pooler in between."
    return Finding("session", Level.PROBLEM, "A connection pooler discards the settings of a session.", advice)


def _timescaledb(connection: Connection) -> Finding:
    query = "SELECT installed_version, default_version FROM pg_available_extensions WHERE name = 'timescaledb'"
    installed, available = _row(connection, query) or (None, None)
    if available is None:
        return Finding("timescaledb", Level.OK, "The server has no TimescaleDB: candles are stored uncompressed.")
    if installed is None:
        return Finding("timescaledb", Level.OK, f"TimescaleDB {available} is available and not installed yet.")
    if installed != available:
        advice = "Run `psql -X -c 'ALTER EXTENSION timescaledb UPDATE'` in this database."
        found = f"The TimescaleDB library has version {available}, but the extension has version {installed}."
        return Finding("timescaledb", Level.PROBLEM, found, advice)
    return Finding("timescaledb", Level.OK, f"TimescaleDB {installed} is installed.")


def _tables(connection: Connection) -> Finding:
    pending = migrations.pending(connection)
    if not pending:
        return Finding("tables", Level.OK, "The tables are up to date.")
    found = f"Migrations that are not applied yet: {len(pending)}. The first of them is {pending[0]}."
    advice = "Run `titan10 migrate`. Commands such as `titan10 status` also apply the migrations."
    return Finding("tables", Level.WARNING, found, advice)


def _shared_schema(connection: Connection) -> Iterator[Finding]:
    """Yield a finding if another installation in this database uses the same tables of Dagster."""
    with connection.cursor(cursor_factory=psycopg2.extensions.cursor) as cursor:
        other = other_installation(cursor)
    if other is not None:
        found = f"Dagster's tables belong to another Titan-10, which stores its candles in the schema {other}."
        yield Finding("dagster", Level.PROBLEM, found, SEPARATE)


def _dagster_tables(url: str) -> Finding:
    try:
        found, newest = schema.revisions(url)
    except Titan10Error as error:
        return Finding("dagster", Level.PROBLEM, f"{error}", "Check database.dagster_url.")
    if found is None:
        return Finding("dagster", Level.OK, "Dagster has no tables yet; the first start creates them.")
    if found == newest:
        return Finding("dagster", Level.OK, "Dagster's tables are up to date.")
    if not schema.is_known(found):
        return Finding("dagster", Level.PROBLEM, schema.NEWER, "Install the newer version again.")
    advice = "Stop `titan10 up` and run `titan10 migrate`."
    return Finding("dagster", Level.PROBLEM, "Dagster's tables belong to another version of Dagster.", advice)


def _row(connection: Connection, query: str) -> tuple[Any, ...]:
    # this cursor returns plain tuples; the default cursor returns rows with column names
    with connection.cursor(cursor_factory=psycopg2.extensions.cursor) as cursor:
        cursor.execute(query)
        return cursor.fetchone() or ()


# -- the exchanges --------------------------------------------------------------------------------------------------


def _exchanges(settings: Settings) -> list[Finding]:
    """Request the market list of each exchange once, without retries. All requests run at the same time."""

    async def check_all() -> list[list[Finding]]:
        checks = [_exchange(name, configured) for name, configured in settings.enabled.items()]
        return await asyncio.gather(*checks)

    return list(chain.from_iterable(run_in_event_loop(check_all())))


async def _exchange(name: str, configured: ExchangeSettings) -> list[Finding]:
    proxy = configured.proxy.get_secret_value() if configured.proxy else None
    client = ExchangeClient(name, base_url=configured.base_url, proxy=proxy, paced=False, timeout_ms=TIMEOUT_MS)
    try:
        async with client:
            markets = await client.fetch_markets()
    except SettingsError as error:
        return [Finding(name, Level.PROBLEM, f"No request was made. {error}")]
    except FetchError as error:
        return [Finding(name, Level.PROBLEM, _without(name, error), _advice(error, configured))]
    findings = [_clock(name, client.clock_skew), Finding(name, Level.OK, f"Lists {len(markets):,} spot markets.")]
    resolution = resolve(name, configured.symbols, markets)
    advice = f"Correct exchanges.{name}.symbols in titan10.toml."
    findings += [
        Finding(name, Level.PROBLEM, _without(name, unknown), advice) for unknown in resolution.unknown.values()
    ]
    inactive = [market.symbol for market in resolution.markets if not market.active]
    if inactive:
        found = f"{', '.join(inactive)}: listed, but not traded now."
        advice = f"If the trading of a symbol has ended, remove the symbol from exchanges.{name}.symbols."
        findings.append(Finding(name, Level.WARNING, found, advice))
    return findings


def _without(name: str, error: FetchError) -> str:
    """Return the error's text without secrets, and without the exchange's name at its start.

    The line of a finding already begins with this name.
    """
    return redacted(f"{error}").removeprefix(f"{name}:").removeprefix(name).strip()


def _advice(error: FetchError, configured: ExchangeSettings) -> str:
    text = f"{error}".lower()
    if "certificate" in text:
        return "Set SSL_CERT_FILE to a file with the certificates of your certificate authority."
    if configured.base_url:
        return f"Check that {configured.base_url} answers, or remove base_url to use the exchange itself."
    if configured.proxy:
        return "Check the proxy of this exchange."
    return "Check the network; if the exchange blocks this address, set a proxy or `enabled = false`."


def _clock(name: str, skew: timedelta) -> Finding:
    seconds = abs(skew).total_seconds()
    if abs(skew) <= CLOCK_WARNING:
        return Finding(name, Level.OK, "This machine's clock agrees with the exchange's.")
    way = "ahead of" if skew > timedelta(0) else "behind"
    found = f"This machine's clock is {seconds:,.0f} s {way} the exchange's."
    return Finding(name, Level.WARNING, found, "Synchronize the clock (NTP).")
