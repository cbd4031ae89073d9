"""Files from which candles are read, with digests that identify them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

_INSTANTS = ("read_at", "start", "end")


@dataclass(frozen=True)
class FileHeaders:
    """The properties of a file in an archive's answer; None if the answer lacks a property. `size`: bytes."""

    size: int | None
    etag: str | None
    last_modified: str | None


def is_replaced(known: FileHeaders, found: FileHeaders) -> bool:
    """Return whether an archive now has a different file at an address.

    Sizes are compared, then ETags, and dates only if an ETag is missing, because a file that is copied to another
    server gets a new date.
    """
    if known.size is not None and found.size is not None and known.size != found.size:
        return True
    if known.etag and found.etag:
        return known.etag.removeprefix("W/") != found.etag.removeprefix("W/")
    if known.last_modified and found.last_modified:
        return known.last_modified != found.last_modified
    return False


@dataclass(frozen=True)
class SourceFile:
    """A file from which candles were read.

    digest: the digest of the content as it was read, "sha256:<hex>". published_digest: the digest that the archive
        publishes, in its own algorithm; None if it publishes none. checked_against: the kind of published digest that
        matched the content; None if there was no digest to compare with. start, end: the stretch that the file covers.
        Instants are aware and UTC.
    """

    url: str
    size: int
    digest: str
    published_digest: str | None
    checked_against: str | None
    etag: str | None
    last_modified: str | None
    read_at: datetime
    start: datetime
    end: datetime

    def to_json(self) -> dict[str, Any]:
        """Return the file as plain JSON values; instants are ISO 8601."""
        return {**asdict(self), **{name: getattr(self, name).isoformat() for name in _INSTANTS}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SourceFile:
        """Return the file from the output of `to_json`. Raises TypeError, KeyError or ValueError for other input."""
        instants = {name: datetime.fromisoformat(values[name]) for name in _INSTANTS}
        return cls(**{**values, **instants})
