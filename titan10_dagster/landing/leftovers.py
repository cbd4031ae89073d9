"""What lies in the landing zone, file by file, for whoever clears it up.

| file | is |
|-|-|
| `<symbol>.parquet` | a landed slice |
| `<symbol>.<time>.parquet.old` | a former one that had a candle which the present one lacks: evidence |
| `<symbol>.parquet.corrupt` | one that could not be read: it was fetched again |
| `.<symbol>.parquet.<token>.tmp` | one whose process died while it wrote it |
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

_NEVER_TEMPORARY_FOR = 86_400  # seconds: a folder that nothing touched for so long is not being written to


class Kind(Enum):
    """The value is how the file's name ends."""

    SUPERSEDED = ".parquet.old"
    UNREADABLE = ".corrupt"
    TEMPORARY = ".tmp"
    LANDED = ".parquet"


@dataclass(frozen=True)
class LandedFile:
    """A file of the landing zone; `modified` is aware, UTC."""

    path: Path
    kind: Kind
    bytes: int
    modified: datetime

    def remove(self) -> None:
        """Removes it, unless somebody has put another one in its place or removed it before."""
        with suppress(FileNotFoundError):
            if _modified(self.path.stat()) == self.modified:
                self.path.unlink()


def folders(root: Path) -> Iterator[Path]:
    """The folders of single days, `<exchange>/<timeframe>/<day>`, in order."""
    return iter(sorted(path for path in root.glob("*/*/*") if path.is_dir()))


def files(folder: Path) -> Iterator[LandedFile]:
    """What lies in the folder of a day; what is none of ours is passed over."""
    with os.scandir(folder) as entries:
        for entry in entries:
            kind = next((kind for kind in Kind if entry.name.endswith(kind.value)), None)
            if kind is not None and entry.is_file(follow_symlinks=False):
                facts = entry.stat(follow_symlinks=False)
                yield LandedFile(Path(entry.path), kind, facts.st_size, _modified(facts))


def remove_if_empty(folder: Path, now: datetime) -> None:
    """Removes the folder of a day if nothing is in it and, for a day, nothing was: nobody is about to write there."""
    if now.timestamp() - folder.stat().st_mtime > _NEVER_TEMPORARY_FOR and not any(folder.iterdir()):
        folder.rmdir()


def _modified(facts: os.stat_result) -> datetime:
    return datetime.fromtimestamp(facts.st_mtime, UTC)
