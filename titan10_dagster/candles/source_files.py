"""The files from which candles are read, with the digests that identify their contents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_INSTANTS = ("read_at", "start", "end")


@dataclass(frozen=True)
class FileHeaders:
    """The properties of a file according to the headers of an archive's answer.

    A property is None if its header is absent. `size` is in bytes.
    """

    size: int | None
    etag: str | None
    last_modified: str | None


def is_replaced(known: FileHeaders, found: FileHeaders) -> bool:
    """Return whether an archive now has a different file at the same address.

    The sizes are compared first, then the ETags. The dates are compared only if an ETag is missing, because a file that
    is copied to another server gets a new date.
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

    digest: the SHA-256 digest of the content that was read, as "sha256:<hex>".
    published_digest: the digest that the archive publishes for the file, with the archive's algorithm; None if the
        archive publishes no digest.
    checked_against: the kind of published digest that matched the content; None if there was no digest to compare with.
    read_at: the time at which the file was read (aware, UTC).
    start, end: the stretch that the file covers (aware, UTC).
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
        """Return the properties of the file as plain JSON values, with instants in ISO 8601."""
        return {**vars(self), **{name: getattr(self, name).isoformat() for name in _INSTANTS}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SourceFile:
        """Return the file that is described by `values`, an output of `to_json`.

        Raises:
            TypeError, KeyError, ValueError: `values` is not an output of `to_json`.
        """
        instants = {name: datetime.fromisoformat(values[name]) for name in _INSTANTS}
        return cls(**{**values, **instants})
