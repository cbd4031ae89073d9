"""How TimescaleDB keeps the candles, as the settings have it: applied at every start, changing only what differs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from psycopg2.sql import SQL, Identifier

from titan10_dagster.store import locks
from titan10_dagster.store.database import Cursor, Database

# Candles that are compressed together, at most (TimescaleDB's own limit is 1000). A week is eleven batches either way,
# but with 1000 the last holds 80 candles; and of prices with 7 digits, 930 are 1,860 bytes a column, which is one piece
# of PostgreSQL's TOAST (1,996 bytes), where 1000 are a piece and a crumb. Measured on 100 real series: 13.95 bytes a
# candle against 15.00.
BATCH = 930

# PostgreSQL reckons 1,000 for workers that help with a query, as much as 3 ms of reading compressed candles. But they
# begin with empty caches and open every chunk anew: the average of 90 days of a series took 33 ms with two of them, and
# 9 ms without. What takes longer than 30 ms gets them still.
PARALLEL_SETUP_COST = 10_000

_SESSIONS = (
    ("timescaledb.compression_batch_size_limit", BATCH, f"{BATCH} candles are compressed together"),
    ("parallel_setup_cost", PARALLEL_SETUP_COST, "short queries are left to one process"),
)


@dataclass(frozen=True)
class Policies:
    """What of the settings TimescaleDB keeps."""

    chunk: timedelta
    compress_after: timedelta

    @classmethod
    def in_days(cls, *, chunk: int, compress_after: int) -> Policies:
        return cls(timedelta(days=chunk), timedelta(days=compress_after))


def apply(db: Database, wanted: Policies) -> list[str]:
    """Makes the database keep the candles like that; what had to be changed, in words. Nothing on plain PostgreSQL.

    Chunks that are there already keep their length. What compresses chunks also compresses those again that repairs
    left partly uncompressed: that is how TimescaleDB's own policy works.
    """
    with db.transaction() as cursor:
        if not is_hypertable(cursor):
            return []
        # Two that start at once would both find the old policy, and both add one.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [locks.POLICIES])
        return [*_chunk_length(cursor, wanted.chunk), *_compression(cursor, wanted.compress_after), *_sessions(cursor)]


def is_hypertable(cursor: Cursor) -> bool:
    """Whether TimescaleDB keeps the candles."""
    cursor.execute("SELECT to_regclass('timescaledb_information.hypertables') IS NOT NULL")
    if cursor.fetchone() != (True,):
        return False
    cursor.execute(
        "SELECT FROM timescaledb_information.hypertables"
        " WHERE hypertable_schema = current_schema() AND hypertable_name = 'candles'"
    )
    return cursor.rowcount == 1


def _chunk_length(cursor: Cursor, wanted: timedelta) -> list[str]:
    cursor.execute(
        "SELECT FROM timescaledb_information.dimensions"
        " WHERE hypertable_schema = current_schema() AND hypertable_name = 'candles' AND time_interval = %s",
        [wanted],
    )
    if cursor.rowcount:
        return []
    cursor.execute("SELECT set_chunk_time_interval('candles', %s)", [wanted])
    return [f"new chunks are {wanted.days} days long"]


def _compression(cursor: Cursor, wanted: timedelta) -> list[str]:
    cursor.execute("SELECT current_setting('timescaledb.license') = 'timescale'")
    if cursor.fetchone() != (True,):  # the Apache licence has no compression
        return []
    cursor.execute(
        "SELECT FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression'"
        " AND hypertable_schema = current_schema() AND hypertable_name = 'candles'"
        " AND (config ->> 'compress_after')::interval = %s",
        [wanted],
    )
    if cursor.rowcount:
        return []
    cursor.execute("SELECT remove_compression_policy('candles', if_exists => true)")
    cursor.execute("SELECT add_compression_policy('candles', compress_after => %s)", [wanted])
    cursor.connection.notices.clear()
    return [f"chunks are compressed after {wanted.days} days"]


def _sessions(cursor: Cursor) -> list[str]:
    """For this role and database: that is what the policy's job runs as, and every role may set its own."""
    changed = []
    for name, value, words in _SESSIONS:
        cursor.execute("SELECT current_setting(%s, true), current_database()", [name])
        setting, database = cursor.fetchone() or (None, "")
        if setting not in (None, str(value)):
            alter = SQL("ALTER ROLE CURRENT_USER IN DATABASE {} SET {} = %s")
            cursor.execute(alter.format(Identifier(database), SQL(name)), [value])
            changed.append(words)
    return changed
