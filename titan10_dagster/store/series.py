"""Functions that list, rename and drop whole series.

These functions change every table that has the columns exchange and symbol, with the exceptions below. They look up the
tables in the database's catalogue, so that tables of later migrations are included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2 import sql

from titan10_dagster.errors import StoreError
from titan10_dagster.store.database import Cursor, Database, all_rows, single_row
from titan10_dagster.store.identities import EventKind, record_event
from titan10_dagster.store.locks import lock_exchange
from titan10_dagster.store.statements import statement

# Tables that have a column `symbol` but do not belong to a series: the market list belongs to the exchange, and
# preferences belong to the user.
_NOT_OF_SERIES = ("markets", "preferences")
# Tables that keep their rows when a series is dropped. The table series_events is one of them, so that the record of
# past events stays complete.
_KEPT = ("series_events", *_NOT_OF_SERIES)
# Tables without a column `symbol` that contain the history of an exchange. If an exchange is renamed, their rows get
# the new id. In the other tables without this column (for example health and request counts) and in the market list,
# the rows of the old id are deleted, because the new id has rows of its own there.
_HISTORIES = ("exchange_probes", "outage_evidence", "source_files")
# The rows of this table are locks. A rename does not change the table, because the rename itself holds such locks.
_LOCKS = "write_locks"
# In these tables, renamed rows cannot conflict with existing rows of the new name, so a rename deletes no rows. The
# tables candles and series have no rows of the new name, because a rename is rejected if the new name has candles. The
# table series_events can have rows of both names, and keeps all of them.
_WITHOUT_CONFLICT = ("candles", "series", "series_events")


@dataclass(frozen=True)
class StoredSeries:
    """A stored series. All instants are aware and UTC.

    `market_id`: the id of the current market. `first_candle`, `last_candle`: the starts of the first and the last
    stored candle. `former_markets`: the ids of earlier markets, the oldest first. `breaks`: the times at which the unit
    of the prices changes, in order of time.
    """

    exchange: str
    symbol: str
    timeframe: str
    market_id: str | None
    first_candle: datetime
    last_candle: datetime
    former_markets: tuple[str, ...]
    breaks: tuple[datetime, ...]


def stored_series(db: Database, exchange: str | None = None) -> list[StoredSeries]:
    """Return the stored series of an exchange, or of all exchanges if `exchange` is None."""
    rows = db.query(statement("list_series"), {"exchange": exchange})
    found = []
    for row in rows:
        ends = (row.market_id, row.first_candle, row.last_candle)
        history = (tuple(row.former_markets), tuple(row.breaks))
        found.append(StoredSeries(row.exchange, row.symbol, row.timeframe, *ends, *history))
    return found


def count_rows(db: Database, exchange: str, symbol: str) -> dict[str, int]:
    """Return, by table, the number of rows of the symbol's series. Tables without such rows are left out."""
    with db.transaction() as cursor:
        return _count(cursor, exchange, symbol)


def drop_series(db: Database, exchange: str, symbol: str, now: datetime) -> Mapping[str, int]:
    """Delete all series of a symbol, and record an event. Return the number of deleted rows by table.

    Raises:
        StoreError: the symbol has no stored series.
    """
    # The pool may have only one connection. Therefore this query runs before the transaction.
    has_timescaledb = db.has_timescaledb()
    with db.transaction() as cursor:
        lock_exchange(cursor, exchange)
        _allow_large_changes(cursor, has_timescaledb)
        counts = _count(cursor, exchange, symbol)
        if not counts:
            raise StoreError(f"No series of {exchange} {symbol} is stored.")
        for table in counts:
            cursor.execute(
                sql.SQL("DELETE FROM {} WHERE exchange = %s AND symbol = %s").format(sql.Identifier(table)),
                (exchange, symbol),
            )
        cursor.execute(statement("delete_unused_files"), {"exchange": exchange})
        rows = ", ".join(f"{count:,} of {table}" for table, count in sorted(counts.items()))
        detail = f"`titan10 series drop` deleted {exchange} {symbol} on {now:%Y-%m-%d %H:%M} UTC: {rows}."
        record_event(cursor, (exchange, symbol, ""), EventKind.DROPPED, detail, at=None, seen_at=now)
    return counts


def rename_symbol(db: Database, exchange: str, symbol: str, new_symbol: str, now: datetime) -> Mapping[str, int]:
    """Rename the series of a symbol. Return the number of changed rows by table.

    Raises:
        StoreError: the symbol has no stored series, or the new symbol has candles already.
    """
    return _rename(db, (exchange, symbol), (exchange, new_symbol), now)


def rename_exchange(db: Database, exchange: str, new_exchange: str, now: datetime) -> Mapping[str, int]:
    """Change the exchange id of all series of an exchange. Return the number of changed rows by table.

    Raises:
        StoreError: the exchange has no stored series, or one of its symbols already has candles under the new id.
    """
    return _rename(db, (exchange, None), (new_exchange, None), now)


def _rename(db: Database, old: tuple[str, str | None], new: tuple[str, str | None], now: datetime) -> Mapping[str, int]:
    has_timescaledb = db.has_timescaledb()
    with db.transaction() as cursor:
        # all renames take the locks in the same order (sorted by id), so that two renames cannot deadlock
        for exchange in sorted({old[0], new[0]}):
            lock_exchange(cursor, exchange)
        _allow_large_changes(cursor, has_timescaledb)
        cursor.execute(statement("rename_conflicts"), _names(old, new))
        conflicts = single_row(cursor)
        if not conflicts.stored:
            raise StoreError(f"No series of {_words(old)} is stored.")
        if conflicts.both:
            raise StoreError(
                f"{_words(new)} already has candles ({', '.join(conflicts.both)}), and the candles of two series "
                "cannot be combined into one series. Drop one of the two series first: `titan10 series drop`."
            )
        changed: dict[str, int] = {}
        for table, columns in _tables(cursor).items():
            count = _rename_in(cursor, table, columns, old, new)
            if count:
                changed[table] = count
        _record_rename(cursor, old, new, now)
    return changed


def _rename_in(
    cursor: Cursor, table: str, columns: Sequence[str], old: tuple[str, str | None], new: tuple[str, str | None]
) -> int:
    """Rename the series in one table, and return the number of changed rows.

    Rows that already have the new name are deleted first, except in tables where they cannot conflict with the renamed
    rows. The new name has no candles: the caller has checked this.
    """
    name = sql.Identifier(table)
    if old[1] is None:
        return _rename_exchange_in(cursor, table, columns, old[0], new[0])
    if "symbol" not in columns or table in _NOT_OF_SERIES:
        return 0
    if table not in _WITHOUT_CONFLICT:
        cursor.execute(sql.SQL("DELETE FROM {} WHERE exchange = %s AND symbol = %s").format(name), new)
    cursor.execute(
        sql.SQL("UPDATE {} SET exchange = %s, symbol = %s WHERE exchange = %s AND symbol = %s").format(name),
        [*new, *old],
    )
    return cursor.rowcount


def _rename_exchange_in(cursor: Cursor, table: str, columns: Sequence[str], old: str, new: str) -> int:
    name = sql.Identifier(table)
    if table == _LOCKS:
        return 0
    if table not in _HISTORIES and ("symbol" not in columns or table == "markets"):
        cursor.execute(sql.SQL("DELETE FROM {} WHERE exchange = %s").format(name), [old])
        return 0
    if "symbol" in columns and table not in _WITHOUT_CONFLICT:
        symbols = sql.SQL("SELECT DISTINCT symbol FROM {} WHERE exchange = %s").format(name)
        cursor.execute(
            sql.SQL("DELETE FROM {} WHERE exchange = %s AND symbol IN ({})").format(name, symbols), [new, old]
        )
    cursor.execute(sql.SQL("UPDATE {} SET exchange = %s WHERE exchange = %s").format(name), [new, old])
    return cursor.rowcount


def _record_rename(cursor: Cursor, old: tuple[str, str | None], new: tuple[str, str | None], now: datetime) -> None:
    detail = f"`titan10 series rename` renamed {_words(old)} to {_words(new)} at {now:%Y-%m-%d %H:%M} UTC."
    series = (new[0], new[1] or "*", "")
    record_event(cursor, series, EventKind.RENAMED, detail, at=None, seen_at=now)


def _count(cursor: Cursor, exchange: str, symbol: str) -> dict[str, int]:
    counts = {}
    for table, columns in _tables(cursor).items():
        if "symbol" not in columns or table in _KEPT:
            continue
        query = sql.SQL("SELECT count(*) AS rows FROM {} WHERE exchange = %s AND symbol = %s")
        cursor.execute(query.format(sql.Identifier(table)), [exchange, symbol])
        count = single_row(cursor).rows
        if count:
            counts[table] = count
    return counts


def _tables(cursor: Cursor) -> dict[str, list[str]]:
    """Return the names of the tables with a column `exchange`, each with the names of its columns."""
    cursor.execute(statement("tables_of_exchanges"))
    return {row.table_name: list(row.columns) for row in all_rows(cursor)}


def _allow_large_changes(cursor: Cursor, has_timescaledb: bool) -> None:
    """Remove TimescaleDB's limit on the number of compressed rows that one statement can change."""
    if has_timescaledb:
        cursor.execute("SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0")


def _names(old: tuple[str, str | None], new: tuple[str, str | None]) -> dict[str, Any]:
    return {"exchange": old[0], "symbol": old[1], "new_exchange": new[0], "new_symbol": new[1]}


def _words(name: tuple[str, str | None]) -> str:
    return name[0] if name[1] is None else f"{name[0]} {name[1]}"
