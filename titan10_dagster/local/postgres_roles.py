"""The roles of the embedded PostgreSQL, and the rights of each role.

| role | login | rights |
|-|-|-|
| postgres | with a password that only the server's account and root can read | superuser; used only to set up roles |
| titan10 | with the password in the file `password` | owns its database; creates databases and roles; no superuser |
| titan10_reader | none; the roles of readers are members of this role | can read; cannot take advisory locks |

Only titan10 and the superuser can use the reserved connections, so that readers cannot block Titan-10.

A superuser could run programs on this machine (`COPY ... FROM PROGRAM`), so its password differs from titan10's.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from psycopg2 import sql

from titan10_dagster.errors import DatabaseUnavailable
from titan10_dagster.store.database import Cursor, Database

SUPERUSER = "postgres"
# Selects the functions for advisory locks that every role may call. With these functions, any role could hold a lock
# for which Titan-10 waits.
_ADVISORY = """
SELECT oid::regprocedure::text FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^pg_(try_)?advisory_'
    AND has_function_privilege('public', oid, 'EXECUTE')
"""


def create_owner(cursor: Cursor, owner: str, password: str) -> None:
    """Create the role and its database if they do not exist.

    `cursor` belongs to a superuser and is outside a transaction.
    """
    role = sql.Identifier(owner)
    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (owner,))
    if not cursor.rowcount:
        rights = sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE PASSWORD {}")
        cursor.execute(rights.format(role, sql.Literal(password)))
    cursor.execute(sql.SQL("GRANT pg_use_reserved_connections TO {}").format(role))
    cursor.execute("SELECT FROM pg_database WHERE datname = %s", (owner,))
    if not cursor.rowcount:
        cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))


def keep_locks_for_owner(cursor: Cursor, owner: str) -> None:
    """Let only the owner of the current database take advisory locks. `cursor` belongs to a superuser."""
    cursor.execute(_ADVISORY)
    for (function,) in cursor.fetchall():
        cursor.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
        cursor.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(sql.SQL(function), sql.Identifier(owner)))


def separate_superuser_password(
    file: Path, url_with: Callable[[str], str], shared: str, write: Callable[..., None]
) -> str:
    """Return the superuser's password. If the superuser still has the owner's password, set a new password first.

    Servers created by version 0.1.0 have one password for both roles. `shared`: the password of both roles.
    `url_with` takes a password, and returns the superuser's URL with this password. `write` writes a file that only
    the server's account can read.
    """
    if file.exists():
        return file.read_text()
    # The password is first written to a file and then set in the server. So the password is not lost if the process is
    # killed between these two steps.
    unfinished = file.with_name(f"{file.name}.new")
    if not unfinished.exists():
        write(unfinished, secrets.token_urlsafe(24))
    password = unfinished.read_text()
    try:
        with Database(url_with(shared)).session() as cursor:
            change = sql.SQL("ALTER ROLE {} PASSWORD {}")
            cursor.execute(change.format(sql.Identifier(SUPERUSER), sql.Literal(password)))
    except DatabaseUnavailable:
        with Database(url_with(password)).session():  # an earlier process set the password and was then killed
            pass
    unfinished.rename(file)
    return password
