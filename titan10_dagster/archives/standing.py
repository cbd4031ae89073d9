"""Decide whether more files of an archive are requested, based on the archive's answers in this run.

A single refused or damaged file shows only a fault of that file. If an archive serves no files at all, a backfill of
years would make thousands of useless requests. Therefore no more files are requested after a few consecutive failures,
and the next source is used.
"""

from __future__ import annotations

from dataclasses import dataclass

from titan10_dagster.errors import ArchiveError

# The archive is blocked after one of the following numbers of consecutive failures.
# Unreadable digest files. Also refused files, if an answer in this run has shown that the archive works.
_MOST_REFUSED = 3
_MOST_REFUSED_AT_FIRST = 2  # refused files, if no answer in this run has shown yet that the archive works
_MOST_FAILED = 8  # files that could not be downloaded or read


class ArchiveBlocked(ArchiveError):
    """The archive serves nothing useful to this IP address. No more files are requested in this run."""


class FileRefused(ArchiveError):
    """The archive refuses to serve this file (HTTP 401, 403 or 451)."""


@dataclass
class Standing:
    """A record of an archive's answers in this run.

    blocked: the reason why no more files are requested; None as long as files are requested.
    has_served: whether at least one answer has shown that the archive works.
    """

    blocked: ArchiveBlocked | None = None
    has_served: bool = False
    _refused: int = 0
    _refused_digests: int = 0
    _failed: int = 0

    def served(self) -> None:
        """Record that the archive sent a file, or answered that a file does not exist. So the archive works."""
        self.has_served = True
        self._refused = 0

    def served_digest(self) -> None:
        """Record that the archive sent a digest file, or answered that the digest file does not exist."""
        self.served()
        self._refused_digests = 0

    def usable(self) -> None:
        """Record that a file was usable, or does not exist. The count of files that could not be read begins again."""
        self._failed = 0

    def refused(self, error: FileRefused) -> None:
        """Count a refused data file. After several consecutive refusals, no more files are requested."""
        self._refused += 1
        if self._refused >= (_MOST_REFUSED if self.has_served else _MOST_REFUSED_AT_FIRST):
            self._block(f"{error}. The archive refuses this address (the IP address of the machine)")

    def refused_digest(self, error: ArchiveError) -> None:
        """Count a digest file that could not be read, although its data file was downloaded."""
        self._refused_digests += 1
        if self._refused_digests >= _MOST_REFUSED:
            self._block(f"{error}. The archive serves no digest files, so its files could not be verified")

    def failed(self, error: ArchiveError) -> None:
        """Count a file that could not be downloaded or read."""
        self._failed += 1
        if self._failed >= _MOST_FAILED:
            self._block(f"{error}. {self._failed} files in a row could not be downloaded or read")

    def _block(self, reason: str) -> None:
        self.blocked = self.blocked or ArchiveBlocked(
            f"{reason}. No more files of the archive are requested in this run"
        )
