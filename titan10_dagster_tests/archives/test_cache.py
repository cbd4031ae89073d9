"""The cache of archive files: what is kept, and what the nightly cleanup removes."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from titan10_dagster.archives.cache import (
    CachedFile,
    cached_files,
    forget_cached,
    is_cached,
    read_cached,
    superfluous,
    write_cached,
)
from titan10_dagster.candles.source_files import SourceFile

NOW = datetime(2025, 4, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
CONTENT = b"some candles"


def a_source(content: bytes = CONTENT) -> SourceFile:
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    return SourceFile("https://example.com/a.zip", len(content), digest, None, None, None, None, NOW, NOW, NOW + DAY)


def used(path: Path, at: datetime) -> None:
    os.utime(path, (at.timestamp(), at.timestamp()))


def test_a_file_is_read_back_with_its_origin(tmp_path: Path) -> None:
    path = tmp_path / "host" / "a.zip"
    assert read_cached(path) is None
    write_cached(path, CONTENT, a_source())
    assert is_cached(path)
    assert read_cached(path) == (CONTENT, a_source())
    assert sorted(file.name for file in path.parent.iterdir()) == ["a.zip", "a.zip.source.json"]


@pytest.mark.parametrize("damage", ["content", "origin", "no origin"])
def test_a_damaged_file_is_not_used(tmp_path: Path, damage: str) -> None:
    path, origin = tmp_path / "a.zip", tmp_path / "a.zip.source.json"
    write_cached(path, CONTENT, a_source())
    match damage:
        case "content":
            path.write_bytes(CONTENT[:-1])
        case "origin":
            origin.write_text(origin.read_text()[:-5])
        case _:
            origin.unlink()
    assert read_cached(path) is None


def test_a_forgotten_file_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    write_cached(path, CONTENT, a_source())
    forget_cached(path)
    forget_cached(path)
    assert list(tmp_path.iterdir()) == []


def test_reading_a_file_counts_as_its_use(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    write_cached(path, CONTENT, a_source())
    used(path, NOW - 100 * DAY)
    (before,) = cached_files(tmp_path)
    read_cached(path)
    (after,) = cached_files(tmp_path)
    assert before.used_at == NOW - 100 * DAY
    assert after.used_at > before.used_at
    assert before.bytes == len(CONTENT)


def names(files: list[CachedFile]) -> list[str]:
    return sorted(file.path.name for file in files)


def a_file(name: str, days: float, size: int = 10, *, unfinished: bool = False) -> CachedFile:
    return CachedFile(Path(name), size, NOW - days * DAY, unfinished)


FILES = [a_file("a", 40), a_file("b", 20), a_file("c", 10), a_file("d", 1)]


@pytest.mark.parametrize(
    ("keep_days", "most_bytes", "removed"),
    [
        (0, 0, []),
        (30, 0, ["a"]),
        (5, 0, ["a", "b", "c"]),
        (0, 25, ["a", "b"]),
        (0, 10, ["a", "b", "c"]),
        (0, 40, []),
        (15, 10, ["a", "b", "c"]),
    ],
)
def test_age_and_total_size_decide(keep_days: int, most_bytes: int, removed: list[str]) -> None:
    assert names(superfluous(FILES, NOW, keep_days=keep_days, most_bytes=most_bytes)) == removed


def test_an_unfinished_file_is_removed_after_a_day() -> None:
    files = [a_file(".a.part", 2, unfinished=True), a_file(".b.part", 0.1, unfinished=True)]
    assert names(superfluous(files, NOW, keep_days=0, most_bytes=0)) == [".a.part"]


def test_removing_the_last_file_of_a_folder_removes_the_folder(tmp_path: Path) -> None:
    first, second = tmp_path / "x" / "y" / "a.zip", tmp_path / "x" / "b.zip"
    for path in (first, second):
        write_cached(path, CONTENT, a_source())
    (file,) = [file for file in cached_files(tmp_path) if file.path == first]
    file.remove(tmp_path)
    assert not first.parent.exists()
    assert read_cached(second) is not None


def test_an_unfinished_write_is_recognized(tmp_path: Path) -> None:
    (tmp_path / ".a.zip.part").write_bytes(b"half")
    (tmp_path / ".a.zip.source.json.part").write_bytes(b"half")
    assert [file.unfinished for file in cached_files(tmp_path)] == [True, True]
    for file in cached_files(tmp_path):
        file.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []
