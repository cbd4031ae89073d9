"""Reads the state of the candle chunks, and finds problems with the chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from titan10_dagster.store.database import Database, all_rows, single_row
from titan10_dagster.store.policies import is_hypertable
from titan10_dagster.store.statements import statement

# If the table has more chunks than this, the number is reported. The planning of a query over all chunks takes 0.05 to
# 0.16 s with 262 chunks, and 6 to 9 s with 1,827 chunks.
MANY = 500
# In bytes, before compression. If more than half of the chunks are smaller than this, a problem is reported. 50,000
# candles have this size.
SMALL = 10 << 20
# Small chunks are not reported if there are at most this many chunks.
FEW = 50
# The compression policy runs every 12 hours. A chunk is reported if the policy should have compressed it at least this
# long ago.
LATE = timedelta(days=2)


@dataclass(frozen=True)
class Chunk:
    """A chunk of the candles in the range [start, end).

    `bytes`: the current size. `bytes_before`: the size before compression, or the current size if the chunk is not
    compressed. `partial`: whether the chunk is compressed, but also has uncompressed rows that were written later.
    """

    start: datetime
    end: datetime
    compressed: bool
    partial: bool
    bytes: int
    bytes_before: int


@dataclass(frozen=True)
class Storage:
    """All chunks in order of time, and the state of the compression policy.

    `compress_after`: the age at which chunks are compressed, or None if there is no policy. `compressed_at`: the time
    at which the policy last succeeded, or None if the policy never succeeded or does not exist.
    """

    chunks: tuple[Chunk, ...]
    compress_after: timedelta | None = None
    compressed_at: datetime | None = None

    @property
    def bytes(self) -> int:
        return sum(chunk.bytes for chunk in self.chunks)


def read_storage(db: Database) -> Storage | None:
    """Return the current state of the chunks. Return None on plain PostgreSQL, which does not have chunks."""
    with db.transaction() as cursor:
        if not is_hypertable(cursor):
            return None
        cursor.execute(statement("chunks"))
        chunks = tuple(Chunk(**row._asdict()) for row in all_rows(cursor))
        cursor.execute(statement("compression_policy"))
        policy = single_row(cursor)
    return Storage(chunks, policy.compress_after, policy.compressed_at)


def complaints(storage: Storage, now: datetime) -> list[str]:
    """Return a sentence for each problem with the chunks. Each sentence also says what to do."""
    return [*_too_many(storage.chunks), *_too_small(storage.chunks), *_not_compressed(storage, now)]


def _too_many(chunks: Sequence[Chunk]) -> list[str]:
    if len(chunks) <= MANY:
        return []
    return [
        f"The table candles has {len(chunks)} chunks, more than {MANY}. This makes the planning of queries over long"
        " periods slow. Raise timescaledb.chunk_days. Existing chunks keep their length."
    ]


def _too_small(chunks: Sequence[Chunk]) -> list[str]:
    sizes = sorted(chunk.bytes_before for chunk in chunks)
    if len(sizes) <= FEW or sizes[len(sizes) // 2] >= SMALL:
        return []
    return [
        f"Half of the {len(chunks)} chunks contain less than {sizes[len(sizes) // 2] / (1 << 20):.1f} MB before"
        f" compression. These chunks are too small: raise timescaledb.chunk_days."
    ]


def _not_compressed(storage: Storage, now: datetime) -> list[str]:
    """Report chunks that the policy should have compressed at least LATE ago.

    If the policy should have compressed a chunk more recently, the next run of the policy will probably compress it.
    """
    if storage.compress_after is None:
        return []
    due = now - storage.compress_after - LATE
    overdue = [chunk for chunk in storage.chunks if chunk.end < due]
    late = sum(not chunk.compressed for chunk in overdue)
    partial = sum(chunk.partial for chunk in overdue)
    if not late and not partial:
        return []
    if storage.compressed_at is not None and now - storage.compressed_at < LATE:
        # The policy succeeded recently, so it works. A backfill or a repair has written to these chunks since then.
        return []
    last = "never succeeded"
    if storage.compressed_at is not None:
        last = f"last succeeded at {storage.compressed_at:%F %R} UTC"
    return [
        f"{late} chunks are not compressed, and {partial} are only partly compressed, although they are older than"
        f" {storage.compress_after.days} days. The compression policy {last}. See"
        " timescaledb_information.job_errors. To compress the chunks now, run CALL run_job(job_id) with the job_id of"
        " policy_compression."
    ]
