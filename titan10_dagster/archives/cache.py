"""The cache of verified archive files. After a backfill was killed, the next run does not download these files again.

Each file in the cache is complete, because it is written under a temporary name and then renamed. Next to each file is
a small JSON file with the origin of the file. A file's modification time is the time of its last use. The nightly
cleanup removes files by age and by total size.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from titan10_dagster.candles.source_files import SourceFile

_ORIGIN, _UNFINISHED = ".source.json", ".part"
_ABANDONED_AFTER = timedelta(days=1)  # an unfinished file of this age is removed; a normal write takes milliseconds


@dataclass(frozen=True)
class CachedFile:
    """A file of the cache, together with its JSON file.

    used_at: the time of the last use (aware, UTC).
    unfinished: whether the file still has its temporary name, usually because the process that wrote it was killed.
    """

    path: Path
    bytes: int
    used_at: datetime
    unfinished: bool = False

    def remove(self, cache: Path) -> None:
        """Remove the file and its JSON file. Then remove the folders of the cache that have become empty."""
        self.path.unlink(missing_ok=True)
        if not self.unfinished:
            _origin(self.path).unlink(missing_ok=True)
        for folder in self.path.parents:
            if folder == cache or not _remove_if_empty(folder):
                break


def read_cached(path: Path) -> tuple[bytes, SourceFile] | None:
    """Return the content and the origin of a cached file; None if the file is absent or damaged."""
    try:
        content, origin = path.read_bytes(), json.loads(_origin(path).read_text())
        source = SourceFile.from_json(origin)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if source.digest != "sha256:" + hashlib.sha256(content).hexdigest():
        return None
    with suppress(OSError):
        os.utime(path)
    return content, source


def write_cached(path: Path, content: bytes, source: SourceFile) -> None:
    """Write a file and its origin into the cache."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The JSON file is written first, because a file without its JSON file is not used.
    for target, data in ((_origin(path), json.dumps(source.to_json()).encode()), (path, content)):
        temporary = target.with_name(f".{target.name}{_UNFINISHED}")
        temporary.write_bytes(data)
        temporary.replace(target)


def is_cached(path: Path) -> bool:
    """Return whether the file is in the cache. Its content is not checked, so the file is possibly damaged."""
    return path.exists() and _origin(path).exists()


def forget_cached(path: Path) -> None:
    """Remove a file from the cache if the cache contains this file."""
    for kept in (path, _origin(path)):
        kept.unlink(missing_ok=True)


def cached_files(cache: Path) -> Iterator[CachedFile]:
    """Yield the files of the cache, except files that another process removes at the same time."""
    for path in sorted(cache.rglob("*")):
        if path.name.endswith(_ORIGIN):
            continue
        try:
            about = path.stat()
        except OSError:
            continue
        if path.is_file():
            used_at = datetime.fromtimestamp(about.st_mtime, UTC)
            yield CachedFile(path, about.st_size, used_at, path.name.endswith(_UNFINISHED))


def superfluous(files: Iterable[CachedFile], now: datetime, *, keep_days: int, most_bytes: int) -> list[CachedFile]:
    """Return the files that the cleanup must remove.

    A file must be removed if it was not used for `keep_days` days. An unfinished file must be removed after a day. Then
    the sizes are added up, beginning with the most recently used file. A file that would make the sum larger than
    `most_bytes` must be removed too. For `keep_days` and `most_bytes`, 0 means no limit.
    """
    removed: list[CachedFile] = []
    total = 0
    for file in sorted(files, key=lambda file: (file.used_at, file.path), reverse=True):
        age = now - file.used_at
        is_old = bool(keep_days) and age > timedelta(days=keep_days)
        is_abandoned = file.unfinished and age > _ABANDONED_AFTER
        is_too_much = bool(most_bytes) and total + file.bytes > most_bytes
        if is_old or is_abandoned or is_too_much:
            removed.append(file)
        else:
            total += file.bytes
    return removed


def _origin(path: Path) -> Path:
    return path.with_name(path.name + _ORIGIN)


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True
