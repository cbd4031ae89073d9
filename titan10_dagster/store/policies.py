"""Applies the settings for TimescaleDB's chunk length and compression.

Each start of Titan-10 compares the settings with the database, and changes only the values that differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from psycopg2.sql import SQL, Identifier

from titan10_dagster.store import locks
from titan10_dagster.store.database import Cursor, Database, single_row

# The largest number of candles in a batch, the unit that TimescaleDB compresses. TimescaleDB's default is 1000. A week
# of 1m candles has eleven batches with 1000 (the last batch has only 80 candles), and also with 930. So 930 does not
# cause more batches. After compression, 930 prices with 7 digits take 1,860 bytes, and fit into one chunk of
# PostgreSQL's TOAST (1,996 bytes). 1000 prices do not fit. Measured on 100 real series: a candle takes 13.95 bytes with
# 930 and 15.00 bytes with 1000.
BATCH = 930

# PostgreSQL's estimate of the cost of starting parallel workers. The default is 1,000. PostgreSQL estimates the same
# cost for a query that reads compressed candles for 3 ms. In fact, workers cost more, because they start with empty
# caches and open every chunk again. A query for the average of 90 days of a series took 33 ms with two workers and 9 ms
# without workers. With ten times the default, only queries that take more than 30 ms use workers.
PARALLEL_SETUP_COST = 10_000

_SESSIONS = (
    ("timescaledb.compression_batch_size_limit", BATCH, f"at most {BATCH} candles are compressed together"),
    ("parallel_setup_cost", PARALLEL_SETUP_COST, "short queries run without parallel workers"),
)


@dataclass(frozen=True)
class Policies:
    """The length of a chunk, and the age at which TimescaleDB compresses chunks."""

    chunk: timedelta
    compress_after: timedelta

    @classmethod
    def in_days(cls, *, chunk: int, compress_after: int) -> Policies:
        return cls(timedelta(days=chunk), timedelta(days=compress_after))


def apply(db: Database, wanted: Policies) -> list[str]:
    """Apply the policies, and return a text for each change. On plain PostgreSQL, nothing happens.

    Existing chunks keep their length. A job of TimescaleDB compresses the chunks later. If a repair adds rows to a
    compressed chunk, the job also compresses these rows.
    """
    with db.transaction() as cursor:
        if not is_hypertable(cursor):
            return []
        # Without the lock, two processes that start at the same time would both add a policy.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [locks.POLICIES])
        return [*_chunk_length(cursor, wanted.chunk), *_compression(cursor, wanted.compress_after), *_sessions(cursor)]


def is_hypertable(cursor: Cursor) -> bool:
    """Return whether the table candles is a hypertable of TimescaleDB."""
    cursor.execute("SELECT to_regclass('timescaledb_information.hypertables') IS NOT NULL AS present")
    if not single_row(cursor).present:
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
    cursor.execute("SELECT current_setting('timescaledb.license') = 'timescale' AS compresses")
    if not single_row(cursor).compresses:  # the edition of TimescaleDB under the Apache licence cannot compress
        return []
    cursor.execute(
        "SELECT FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression'"
        " AND hypertable_schema = current_schema() AND hypertable_name = 'candles'"
        " AND (config ->> 'compress_after')::interval = %s",
        [wanted],
    )
    if cursor.rowcount:
        return []
    cursor.execute("CALL remove_columnstore_policy('candles', if_exists => true)")
    cursor.execute("CALL add_columnstore_policy('candles', after => %s)", [wanted])
    cursor.connection.notices.clear()
    return [f"chunks are compressed after {wanted.days} days"]


def _sessions(cursor: Cursor) -> list[str]:
    """Change PostgreSQL settings for this role in this database, and return a text for each change.

    The settings also apply to the compression job, because the job runs as this role. Every role may change its own
    settings.
    """
    changed = []
    for name, value, words in _SESSIONS:
        cursor.execute("SELECT current_setting(%s, true) AS value, current_database() AS database", [name])
        setting = single_row(cursor)
        if setting.value not in (None, str(value)):
            alter = SQL("ALTER ROLE CURRENT_USER IN DATABASE {} SET {} = %s")
            cursor.execute(alter.format(Identifier(setting.database), SQL(name)), [value])
            changed.append(words)
    return changed
