"""Files that candles are read from, and what proves which file it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

_INSTANTS = ("read_at", "start", "end")


@dataclass(frozen=True)
class SourceFile:
    """A file that candles were read from.

    digest: of the content as it was read, "sha256:<hex>". published_digest: what the archive publishes, in its own
    algorithm; None where it publishes none. checked_against: which published digest the content was equal to; None
    where there was nothing to compare with. start, end: the stretch that the file covers. Instants are aware and UTC.
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
        """The file as plain JSON values; instants are ISO 8601."""
        return {**asdict(self), **{name: getattr(self, name).isoformat() for name in _INSTANTS}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SourceFile:
        """The file that `to_json` wrote; TypeError, KeyError or ValueError for anything else."""
        instants = {name: datetime.fromisoformat(values[name]) for name in _INSTANTS}
        return cls(**{**values, **instants})
