"""Database URLs, parsed in the same way for psycopg2, for SQLAlchemy and for messages.

A URL may name several hosts (`postgresql://db1,db2:5433/name?target_session_attrs=read-write`), as libpq allows.
SQLAlchemy cannot read that form; `sqlalchemy_url` moves the hosts into the query, which both can read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode

import psycopg2

from titan10_dagster.errors import SettingsError

DRIVER = "postgresql+psycopg2"

_UNREADABLE = (
    "the database URL cannot be read: it should look like postgresql://user:password@host:5432/database, "
    "with special characters in user and password percent-encoded (@ is %40, / is %2F)"
)


def connection_parameters(url: str) -> dict[str, Any]:
    """Return libpq's parameters for the URL; a percent-encoded password may contain any character.

    Raises SettingsError, without repeating the URL, if it is not a PostgreSQL URL.
    """
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    is_ours = scheme.partition("+")[0] in ("postgresql", "postgres") and separator
    # An @ after the first slash: the password contains a slash, and part of it would be read as the host.
    if not is_ours or (not at and "@" in path):
        raise SettingsError(_UNREADABLE)
    name, colon, password = user.partition(":")
    login = quote(unquote(name), safe="") + colon + quote(unquote(password), safe="") + at
    try:
        parameters = dict(psycopg2.extensions.parse_dsn(f"postgresql://{login}{hosts}{slash}{path}"))
    except psycopg2.Error:
        raise SettingsError(_UNREADABLE) from None
    # If the host was forgotten, the invalid port may be a password, so no message may contain it.
    if not all(map(_is_port, parameters.get("port", "").split(","))):
        raise SettingsError(_UNREADABLE)
    return parameters


def sqlalchemy_url(url: str) -> str:
    """Return the URL in SQLAlchemy's form.

    SQLAlchemy takes `postgresql://` for psycopg 3 and supports only one host. Raises SettingsError if the URL cannot be
    read, or if its numbers of ports and hosts differ.
    """
    parameters = connection_parameters(url)
    hosts = str(parameters.pop("host", "")).split(",")
    if len(hosts) == 1:
        return f"{DRIVER}://{url.partition('://')[2]}"
    ports = str(parameters.pop("port", "5432")).split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        raise SettingsError(f"the database URL lists {len(hosts)} hosts and {len(ports)} ports; write a port for each")
    login = ""
    if "user" in parameters:
        login = quote(parameters.pop("user"), safe="")
    if "password" in parameters:
        login += ":" + quote(parameters.pop("password"), safe="")
    name = quote(parameters.pop("dbname", ""), safe="")
    numbered = [port or "5432" for port in ports]
    query = {"host": ",".join(hosts), "port": ",".join(numbered), **parameters}
    return f"{DRIVER}://{login}@/{name}?{urlencode(query, quote_via=quote)}"


def shown(parameters: Mapping[str, Any]) -> str:
    """Return the server and database of a connection for messages, without the password."""
    host, port, name = (parameters.get(key) for key in ("host", "port", "dbname"))
    return f"the database {name or '(default)'} at {host or 'localhost'}:{port or 5432}"


def _is_port(text: str) -> bool:
    return not text or (text.isdecimal() and 0 < int(text) < 65536)
