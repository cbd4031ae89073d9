"""Lists and removes the files of the landing zone by kind, for the nightly cleanup.

| file | content |
|-|-|
| `<symbol>.parquet` | a landed slice |
| `<symbol>.<time>.<digest>.parquet.old` | evidence: a replaced file with a candle that the new file did not have |
| `<symbol>.parquet.<digest>.corrupt` | a file that could not be read, so its slice must be fetched again |
| `.<token>.tmp` | a temporary file. It is left over if the process that wrote it was killed |

In older versions, the names of the second and third kind had no digest, and the names of temporary files contained the
symbol.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

_UNUSED_FOR = 86_400  # seconds; if a folder has not changed for this long, no process is writing to it


class Kind(Enum):
    """The kinds of files. The value of a kind is the end of the file's name."""

    SUPERSEDED = ".parquet.old"
    UNREADABLE = ".corrupt"
    TEMPORARY = ".tmp"
    LANDED = ".parquet"


@dataclass(frozen=True)
class LandedFile:
    """A file in the landing zone. `modified`: the time of its last change (aware, UTC)."""

    path: Path
    kind: Kind
    bytes: int
    modified: datetime

    def remove(self) -> None:
        """Remove the file. If the file was changed, replaced or removed after it was listed, nothing happens."""
        with suppress(FileNotFoundError):
            if _modified(self.path.stat()) == self.modified:
                self.path.unlink()


def folders(root: Path) -> Iterator[Path]:
    """Return the folders `<exchange>/<timeframe>/<day>`, sorted by path."""
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
    """Remove the folder if it is empty and has not changed for a day.

    An empty folder that changed less than a day ago is kept, because a process is possibly about to write to it.
    """
    if now.timestamp() - folder.stat().st_mtime > _UNUSED_FOR and not any(folder.iterdir()):
        folder.rmdir()


def _modified(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, UTC)
