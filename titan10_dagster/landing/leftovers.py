"""The files of the landing zone, by kind, for the nightly cleanup.

| file | is |
|-|-|
| `<symbol>.parquet` | a landed slice |
| `<symbol>.<time>.<digest>.parquet.old` | a replaced file with a candle that the current file lacks: evidence |
| `<symbol>.parquet.<digest>.corrupt` | a file that could not be read; its slice was fetched again |
| `.<token>.tmp` | a file whose process died while writing it |

Older versions wrote these names without a digest, and temporary names with the symbol.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

_UNUSED_FOR = 86_400  # seconds; no process is writing to a folder that has not changed for this long


class Kind(Enum):
    """The kinds of files. The value is the end of the file's name."""

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
        """Remove the file, unless it was replaced or removed since it was listed."""
        with suppress(FileNotFoundError):
            if _modified(self.path.stat()) == self.modified:
                self.path.unlink()


def folders(root: Path) -> Iterator[Path]:
    """Return the folders of single days, `<exchange>/<timeframe>/<day>`, in order."""
    return iter(sorted(path for path in root.glob("*/*/*") if path.is_dir()))


def files(folder: Path) -> Iterator[LandedFile]:
    """Yield the files in the folder of a day. Files of other programs are skipped."""
    with os.scandir(folder) as entries:
        for entry in entries:
            kind = next((kind for kind in Kind if entry.name.endswith(kind.value)), None)
            if kind is not None and entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                yield LandedFile(Path(entry.path), kind, status.st_size, _modified(status))


def remove_if_empty(folder: Path, now: datetime) -> None:
    """Remove the folder of a day if it has been empty for a day, so that no writer is about to use it."""
    if now.timestamp() - folder.stat().st_mtime > _UNUSED_FOR and not any(folder.iterdir()):
        folder.rmdir()


def _modified(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, UTC)
