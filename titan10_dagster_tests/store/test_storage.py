from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from titan10_dagster.store.database import Database
from titan10_dagster.store.storage import FEW, LATE, MANY, SMALL, Chunk, Storage, complaints, read_storage
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import DAY, Sql, a_slice, candles, judged, without

NOW = datetime(2024, 3, 10, tzinfo=UTC)
WEEK = timedelta(days=7)
BIG = Chunk(NOW - 6 * WEEK, NOW - 5 * WEEK, compressed=True, partial=False, bytes=SMALL, bytes_before=10 * SMALL)
SOUND = Storage((BIG,) * 30, WEEK, NOW - timedelta(hours=5))


def test_few_big_compressed_chunks_are_sound() -> None:
    assert complaints(SOUND, NOW) == []
    assert complaints(Storage(()), NOW) == []


def test_too_many_chunks_are_reported() -> None:
    (sentence,) = complaints(replace(SOUND, chunks=(BIG,) * (MANY + 1)), NOW)
    assert "501 chunks" in sentence
    assert "timescaledb.chunk_days" in sentence


def test_small_chunks_are_reported_unless_they_are_few() -> None:
    small = replace(BIG, bytes_before=SMALL - 1)
    assert complaints(replace(SOUND, chunks=(small,) * FEW), NOW) == []
    (sentence,) = complaints(replace(SOUND, chunks=(small,) * (FEW + 1)), NOW)
    assert "too small" in sentence


@pytest.mark.parametrize("last", [None, NOW - timedelta(days=3)])
@pytest.mark.parametrize("state", [{"compressed": False}, {"partial": True}])
def test_old_chunks_that_the_policy_skipped_are_reported(last: datetime | None, state: dict[str, bool]) -> None:
    storage = Storage((BIG, replace(BIG, **state)), WEEK, last)
    (sentence,) = complaints(storage, NOW)
    assert "policy_compression" in sentence
    assert ("never succeeded" in sentence) == (last is None)


def test_chunks_that_the_policy_has_yet_to_reach_are_not_reported() -> None:
    repaired = replace(BIG, partial=True)
    fresh = replace(BIG, end=NOW - WEEK - LATE + timedelta(hours=1), compressed=False)
    assert complaints(replace(SOUND, chunks=(repaired,)), NOW) == []
    assert complaints(Storage((fresh,), WEEK, None), NOW) == []


def test_where_nothing_compresses_nothing_is_late() -> None:
    assert complaints(Storage((replace(BIG, compressed=False),)), NOW) == []


def test_chunks_are_seen_as_they_are(timescaledb: Database) -> None:
    slice_, later = a_slice(), a_slice(day=DAY + WEEK)
    sql = Sql(timescaledb)
    write_slices(timescaledb, [judged(slice_, without(candles(slice_), 5)), judged(later)])
    sql("SELECT compress_chunk(chunk) FROM show_chunks('candles') AS chunk LIMIT 1")
    write_slices(timescaledb, [judged(slice_)])
    seen = read_storage(timescaledb)
    assert seen is not None
    assert [(chunk.compressed, chunk.partial) for chunk in seen.chunks] == [(True, True), (False, False)]
    assert [chunk.end - chunk.start for chunk in seen.chunks] == [WEEK, WEEK]
    first, second = seen.chunks
    assert first.bytes_before > 0
    assert second.bytes == second.bytes_before > 0
    assert seen.bytes == sql.one("SELECT sum(total_bytes) FROM chunks_detailed_size('candles')")
    assert (seen.compress_after, seen.compressed_at) == (None, None)


def test_the_policy_is_seen(timescaledb_database_url: str) -> None:
    db = Database(timescaledb_database_url)
    seen = read_storage(db)
    assert seen is not None
    assert (seen.chunks, seen.compress_after) == ((), WEEK)
    db.close()


def test_plain_postgresql_has_no_chunks(database_url: str) -> None:
    db = Database(database_url)
    assert read_storage(db) is None
    db.close()
