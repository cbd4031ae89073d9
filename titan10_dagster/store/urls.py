"""Parses database URLs, so that psycopg2 and SQLAlchemy connect to the same server with the same password.

libpq allows several hosts in a URL (`postgresql://db1,db2:5433/name?target_session_attrs=read-write`), and the folder
of a Unix socket (`postgresql://%2Frun%2Fpostgresql/name`). SQLAlchemy cannot read these two forms, and it reads some
passwords differently from libpq. Therefore `sqlalchemy_url` parses a URL like libpq, and writes it in a form that
SQLAlchemy and libpq understand in the same way.
"""

from __future__ import annotations

import re
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
# A host name or an IP address. In SQLAlchemy's URL, such a host is written before the slash. Other hosts, such as the
# folder of a Unix socket, are written as parameters after the question mark.
_PLAIN_HOST = re.compile(r"[\w.:-]+")
# libpq's message for an unknown parameter after the question mark.
_UNKNOWN_PARAMETER = re.compile(r'invalid URI query parameter: "(\w+)"')


def connection_parameters(url: str) -> dict[str, Any]:
    """Return libpq's parameters for the URL. A percent-encoded password can contain any character.

    Raises SettingsError if the URL is not a PostgreSQL URL. The error message does not contain the URL.
    """
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if not slash:  # the URL has no database name; then a "?" and the parameters can follow the host directly
        authority, mark, query = rest.partition("?")
        path = mark + query
    name, question, query = path.partition("?")
    user, at, hosts = authority.rpartition("@")
    is_ours = scheme.partition("+")[0] in ("postgresql", "postgres") and separator
    # If the only @ is after the first slash, the password contains a slash that is not encoded. Then libpq would read a
    # part of the password as the host.
    if not is_ours or (not at and "@" in name):
        raise SettingsError(_UNREADABLE)
    login = ":".join(_encoded(part) for part in user.split(":", 1)) + at
    try:
        parameters = dict(
            psycopg2.extensions.parse_dsn(f"postgresql://{login}{hosts}{slash}{name}{question}{_encoded_query(query)}")
        )
    except psycopg2.Error as error:
        raise SettingsError(_reason(error, query)) from None
    # The message must not contain the invalid port. If the user forgot the host, the port may be the password.
    if not all(map(_is_port, parameters.get("port", "").split(","))):
        raise SettingsError(_UNREADABLE)
    return parameters


def sqlalchemy_url(url: str, *, options: str = "") -> str:
    """Return the URL in SQLAlchemy's form. `options`: options of PostgreSQL to add to the options in the URL.

    The result contains the name of the driver psycopg2, because SQLAlchemy uses psycopg 3 for `postgresql://`. Raises
    SettingsError if the URL cannot be read, or if it has several ports and their number is not the number of hosts.
    """
    parameters = connection_parameters(url)
    if options:
        parameters["options"] = f"{parameters.pop('options', '')} {options}".strip()
    login = quote(parameters.pop("user", ""), safe="")
    if "password" in parameters:
        login += ":" + quote(parameters.pop("password"), safe="")
    name = quote(parameters.pop("dbname", ""), safe="")
    host, port = parameters.pop("host", ""), parameters.pop("port", "")
    server = ""
    if "," in host:
        parameters = {"host": host, "port": ",".join(_ports(host, port)), **parameters}
    # There is no host, or the host is the folder of a Unix socket or an IPv6 address with a zone.
    elif not _PLAIN_HOST.fullmatch(host):
        parameters = {"host": host, "port": port, **parameters}
    else:
        server = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    query = urlencode({key: value for key, value in parameters.items() if value}, quote_via=quote)
    at = "" if server and not login else "@"
    return f"{DRIVER}://{login}{at}{server}/{name}{'?' if query else ''}{query}"


def _ports(host: str, port: str) -> list[str]:
    """Return one port for each host. `host` and `port` contain several values with commas between them."""
    hosts, ports = host.split(","), (port or "5432").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        raise SettingsError(
            f"the database URL lists {len(hosts)} hosts and {len(ports)} ports; write one port for each host"
        )
    return [port or "5432" for port in ports]


def _encoded(text: str) -> str:
    return quote(unquote(text), safe="")


def _encoded_query(query: str) -> str:
    """Return the parameters after the question mark with encoded values.

    libpq rejects a value that contains a plain `=`, as in `options=-csearch_path=x`.
    """
    pairs = (pair.partition("=") for pair in query.split("&"))
    return "&".join(f"{key}{equals}{_encoded(value)}" for key, equals, value in pairs)


def _reason(error: psycopg2.Error, query: str) -> str:
    unknown = _UNKNOWN_PARAMETER.search(str(error))
    if unknown is None or "@" in query:  # if there is an @, libpq's message possibly contains a part of a password
        return _UNREADABLE
    return f"the database URL has the parameter {unknown[1]}, which does not exist in PostgreSQL: correct or remove it"


def shown(parameters: Mapping[str, Any]) -> str:
    """Return a text for messages that describes the server and the database of a connection, but not the password."""
    host, port, name = (parameters.get(key) for key in ("host", "port", "dbname"))
    return f"the database {name or '(default)'} at {host or 'localhost'}:{port or 5432}"


def _is_port(text: str) -> bool:
    return not text or (text.isdecimal() and 0 < int(text) < 65536)
