"""The decision whether more files of an archive are requested, from its answers in this run.

One file that is refused or damaged is a fault of that file. An archive that serves nothing would cost a backfill of
years thousands of useless requests, so it is left alone after a few of them, and the next source is used.
"""

from __future__ import annotations

from dataclasses import dataclass

from titan10_dagster.errors import ArchiveError

_MOST_REFUSED = 3  # refusals in a row, of an archive that served other files in this run
_MOST_REFUSED_AT_FIRST = 2  # refusals if it served none
_MOST_FAILED = 8  # files in a row that could not be downloaded or read


class ArchiveBlocked(ArchiveError):
    """The archive serves nothing useful to this address; nothing more is requested in this run."""


class FileRefused(ArchiveError):
    """The archive refuses to serve this file (HTTP 401, 403 or 451)."""


@dataclass
class Standing:
    """The answers of an archive in this run.

    blocked: why nothing more is requested; None as long as files are requested.
    has_served: whether it served anything in this run.
    """

    blocked: ArchiveBlocked | None = None
    has_served: bool = False
    _refused: int = 0
    _refused_digests: int = 0
    _failed: int = 0

    def served(self) -> None:
        """Count an answer that shows a working archive: a file, or the statement that there is none."""
        self.has_served = True
        self._refused = 0

    def served_digest(self) -> None:
        """Count a digest file, or the statement that there is none."""
        self.served()
        self._refused_digests = 0

    def usable(self) -> None:
        """Count a file with usable content, or the statement that there is no such file."""
        self._failed = 0

    def refused(self, error: FileRefused) -> None:
        """Count a refused data file. Several in a row block the archive."""
        self._refused += 1
        if self._refused >= (_MOST_REFUSED if self.has_served else _MOST_REFUSED_AT_FIRST):
            self._block(f"{error}. The archive refuses this address")

    def refused_digest(self, error: ArchiveError) -> None:
        """Count a digest file that could not be read although its data file is there."""
        self._refused_digests += 1
        if self._refused_digests >= _MOST_REFUSED:
            self._block(f"{error}. The archive serves no digest files, so its files could not be verified")

    def failed(self, error: ArchiveError) -> None:
        """Count a file that could not be downloaded or read."""
        self._failed += 1
        if self._failed >= _MOST_FAILED:
            self._block(f"{error}. {self._failed} files in a row could not be downloaded or read")

    def _block(self, reason: str) -> None:
        self.blocked = self.blocked or ArchiveBlocked(f"{reason}; nothing more of it is requested in this run")
