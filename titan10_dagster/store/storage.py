"""What the candles' chunks look like, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from titan10_dagster.store.database import Database, one
from titan10_dagster.store.policies import is_hypertable
from titan10_dagster.store.statements import statement

# With 262 chunks a query over all of them is planned in 0.05 to 0.16 s, with 1,827 in 6 to 9 s.
MANY = 500
# Bytes before compression, of 50,000 candles. Smaller chunks are no harm as long as they are few.
SMALL, FEW = 10 << 20, 50
# The policy runs every 12 hours.
LATE = timedelta(days=2)


@dataclass(frozen=True)
class Chunk:
    """A chunk of the candles: [start, end), `bytes` now and `bytes_before` it was compressed (the same if it is not).

    `partial`: compressed, but for rows that were written since.
    """

    start: datetime
    end: datetime
    compressed: bool
    partial: bool
    bytes: int
    bytes_before: int


@dataclass(frozen=True)
class Storage:
    """All chunks, by time, and when the compression policy last succeeded; None: never, or there is none.

    `compress_after`: the age at which it compresses; None where nothing does.
    """

    chunks: tuple[Chunk, ...]
    compress_after: timedelta | None = None
    compressed_at: datetime | None = None

    @property
    def bytes(self) -> int:
        return sum(chunk.bytes for chunk in self.chunks)


def look(db: Database) -> Storage | None:
    """The chunks of the candles as they are now; None on plain PostgreSQL, which has none."""
    with db.transaction() as cursor:
        if not is_hypertable(cursor):
            return None
        cursor.execute(statement("chunks"))
        chunks = tuple(Chunk(*row) for row in cursor.fetchall())
        cursor.execute(statement("compression_policy"))
        compress_after, compressed_at = one(cursor)
    return Storage(chunks, compress_after, compressed_at)


def complaints(storage: Storage, now: datetime) -> list[str]:
    """What is wrong with the chunks, a sentence each, with what to do; nothing if all is well."""
    return [*_too_many(storage.chunks), *_too_small(storage.chunks), *_not_compressed(storage, now)]


def _too_many(chunks: Sequence[Chunk]) -> list[str]:
    if len(chunks) <= MANY:
        return []
    return [
        f"{len(chunks)} chunks are more than {MANY}: queries over long stretches are planned slowly. Raise"
        " timescaledb.chunk_days; chunks that are there keep their length."
    ]


def _too_small(chunks: Sequence[Chunk]) -> list[str]:
    sizes = sorted(chunk.bytes_before for chunk in chunks)
    if len(sizes) <= FEW or sizes[len(sizes) // 2] >= SMALL:
        return []
    return [
        f"Half of the {len(chunks)} chunks hold less than {sizes[len(sizes) // 2] / (1 << 20):.1f} MB before"
        f" compression: they are too small. Raise timescaledb.chunk_days."
    ]


def _not_compressed(storage: Storage, now: datetime) -> list[str]:
    """Chunks that should have been compressed days ago; those that are merely due are left to the policy."""
    if storage.compress_after is None:
        return []
    due = now - storage.compress_after - LATE
    late = [chunk for chunk in storage.chunks if not chunk.compressed and chunk.end < due]
    partial = [chunk for chunk in storage.chunks if chunk.partial and chunk.end < due]
    if not late and not partial:
        return []
    if storage.compressed_at is not None and now - storage.compressed_at < LATE:
        return []  # a backfill or repair wrote them since, and the policy goes on every 12 hours
    last = f"last succeeded at {storage.compressed_at:%F %R} UTC" if storage.compressed_at else "never succeeded"
    return [
        f"{len(late)} chunks are not compressed and {len(partial)} only partly, though older than"
        f" {storage.compress_after.days} days; the policy {last}. See timescaledb_information.job_errors; by hand:"
        " CALL run_job(job_id) with the job_id of policy_compression."
    ]
