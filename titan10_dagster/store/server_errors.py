"""Classifies PostgreSQL errors: whether a repetition of the statement may succeed, and what the user can do.

| SQLSTATE | meaning | result |
|-|-|-|
| 25006 | the server is read-only: a standby, or a former primary | repeated in a new session |
| 53100 | the server's disk is full | repeated, because space may be freed |
| 53000, 53200 | the server does not have enough memory or other resources | repeated |
| 22P05 | the database's encoding does not have a character, for example of a symbol | not repeated |
| 42501 | the role does not have the right to do this | not repeated |
| 53400, 57014 | a configured limit was reached, or a statement was cancelled or timed out | not repeated |
| 58P01 | a file is missing on the server, such as the library of an extension | not repeated |

After any other error of the connection, the statement is repeated. After any other error of a statement, the statement
is not repeated. There is one exception: if the library of TimescaleDB was upgraded while the session was open, the
statement is repeated in a new session.
"""

from __future__ import annotations

import psycopg2

from titan10_dagster.errors import DatabaseUnavailable, StoreError

_HEALED_BY_TIME = {
    "25006": "the database only allows reads: it is a standby, a failover is under way, or "
    "default_transaction_read_only is on for this role or database",
    "53000": "the database server does not have enough resources",
    "53100": "the disk of the database server is full: free some space there",
    "53200": "the database server does not have enough memory",
}
_LASTING = ("53400", "57014")
_MISSING_FILE, _NO_RIGHT, _NO_CHARACTER = "58P01", "42501", "22P05"
# TimescaleDB's message in a session that still uses the library of an older version.
_OTHER_LIBRARY = "already loaded with another version"

UPGRADE_TIMESCALEDB = (
    "TimescaleDB's library on the server was upgraded, but the extension in this database was not. Run this command as "
    "the owner of the extension: psql -X -d DATABASE -c 'ALTER EXTENSION timescaledb UPDATE'"
)

GRANT_TEMPORARY = (
    "this role cannot create temporary tables, but writes need them: the owner of the database must run "
    "`GRANT TEMPORARY ON DATABASE <database> TO <role>`"
)
USE_OWNER = (
    "the role in database.url does not have the necessary rights: set database.url to a URL with the role that owns "
    "the tables. Every command needs this role, because it also updates the tables"
)
USE_UTF8 = (
    "the encoding of this database cannot store a character of a symbol or a message: create a new database with "
    "`CREATE DATABASE <database> TEMPLATE template0 ENCODING 'UTF8'`, and set database.url to the new database"
)


def translated(error: psycopg2.Error) -> StoreError:
    """Return DatabaseUnavailable if a repetition may succeed after this error of psycopg2, and otherwise StoreError."""
    if error.pgcode in _HEALED_BY_TIME:
        return DatabaseUnavailable(f"{_HEALED_BY_TIME[error.pgcode]} ({sentence(error)})")
    if _OTHER_LIBRARY in str(error):
        return DatabaseUnavailable(f"the database session must be opened again: {sentence(error)}")
    if error.pgcode == _MISSING_FILE and "timescaledb" in str(error):
        return StoreError(f"{UPGRADE_TIMESCALEDB}. ({sentence(error)})")
    if error.pgcode in _LASTING:
        return StoreError(f"the database stopped the statement: {sentence(error)}")
    if error.pgcode == _NO_RIGHT and "temporary tables" in str(error):
        return StoreError(f"{GRANT_TEMPORARY}. ({sentence(error)})")
    if error.pgcode == _NO_RIGHT:
        return StoreError(f"{USE_OWNER}. ({sentence(error)})")
    if error.pgcode == _NO_CHARACTER:
        return StoreError(f"{USE_UTF8}. ({sentence(error)})")
    is_of_connection = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    # If the connection is lost during a COPY, psycopg2 raises the base class DatabaseError itself.
    if (is_of_connection and error.pgcode != _MISSING_FILE) or type(error) is psycopg2.DatabaseError:
        return DatabaseUnavailable(f"the database cannot be used now: {sentence(error)}")
    return StoreError(f"the database rejected the statement: {sentence(error)}")


def sentence(error: psycopg2.Error) -> str:
    """Return the error's message in one line."""
    return " ".join(str(error).split()) or type(error).__name__
