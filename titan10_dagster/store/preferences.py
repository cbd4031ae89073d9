"""Copies the preferred order of exchanges from the settings into the database, where the view `preferred` uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg2.extras import execute_values

from titan10_dagster.store.database import Cursor, Database, all_rows

EVERY_SYMBOL = "*"  # stands for all symbols for which the settings have no separate order of exchanges

Preferences = Mapping[str, Sequence[str]]


def keep(db: Database, preferences: Preferences) -> bool:
    """Store the preferred exchanges of each symbol. Return whether the database was changed.

    `preferences`: the exchanges of each symbol, the first choice first.

    If the database already contains the same order, nothing is written. Two processes can call this function at the
    same time. Queries that read the order do not wait.
    """
    wanted = set()
    for symbol, exchanges in preferences.items():
        for place, exchange in enumerate(exchanges, 1):
            wanted.add((symbol, place, exchange))
    with db.transaction() as cursor:
        cursor.execute("LOCK TABLE preferences IN SHARE ROW EXCLUSIVE MODE")
        if _stored(cursor) == wanted:
            return False
        cursor.execute("DELETE FROM preferences")
        execute_values(cursor, "INSERT INTO preferences (symbol, place, exchange) VALUES %s", sorted(wanted))
    return True


def _stored(cursor: Cursor) -> set[tuple[str, int, str]]:
    cursor.execute("SELECT symbol, place, exchange FROM preferences")
    return {(row.symbol, row.place, row.exchange) for row in all_rows(cursor)}
