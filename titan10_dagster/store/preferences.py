"""The order of the exchanges that the view `preferred` chooses by: the settings', kept in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg2.extras import execute_values

from titan10_dagster.store.database import Cursor, Database

EVERY_SYMBOL = "*"  # those that have no order of their own

Preferences = Mapping[str, Sequence[str]]


def keep(db: Database, preferences: Preferences) -> bool:
    """Makes the database say what `preferences` says: exchanges by symbol, the first choice first.

    False if it did already, and then nothing is written. Safe to run twice at once; readers wait for nobody.
    """
    wanted = {
        (symbol, place, exchange)
        for symbol, exchanges in preferences.items()
        for place, exchange in enumerate(exchanges, 1)
    }
    with db.transaction() as cursor:
        cursor.execute("LOCK TABLE preferences IN SHARE ROW EXCLUSIVE MODE")
        if _kept(cursor) == wanted:
            return False
        cursor.execute("DELETE FROM preferences")
        execute_values(cursor, "INSERT INTO preferences (symbol, place, exchange) VALUES %s", sorted(wanted))
    return True


def _kept(cursor: Cursor) -> set[tuple[str, int, str]]:
    cursor.execute("SELECT symbol, place, exchange FROM preferences")
    return set(cursor.fetchall())
