"""Converts FetchRecords to and from JSON. A landed file contains the record of its fetch in this form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, date, datetime
from typing import Any

from titan10_dagster.candles.fetched import FetchRecord, Source
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.candles.source_files import SourceFile
from titan10_dagster.candles.timeframes import Timeframe

_INSTANTS = ("fetched_at", "horizon", "listed", "delisted", "covered_until")
# Fields that were added later, each with the value that is used for older files without this field.
_ADDED: Mapping[str, Any] = {"covered_until": None, "files": ()}
_PLAIN = tuple(field.name for field in fields(FetchRecord) if field.name not in {*_INSTANTS, "slice", "files"})


def to_json(record: FetchRecord) -> bytes:
    """Return a JSON object with the slice's exchange, symbol, timeframe and day, and with the fields of the record.

    Days and instants are in ISO 8601 and UTC. Raises ValueError for an instant without a time zone.
    """
    series = record.slice.series
    return json.dumps(
        {
            "exchange": series.exchange,
            "symbol": series.symbol,
            "timeframe": series.timeframe.name,
            "day": record.slice.day.isoformat(),
            **{name: _written(getattr(record, name)) for name in _INSTANTS},
            **{name: getattr(record, name) for name in _PLAIN},
            "files": [file.to_json() for file in record.files],
        }
    ).encode()


def from_json(text: bytes) -> FetchRecord:
    """Return the record in the text. Raises ValueError, TypeError or KeyError if the text is not a record."""
    values = {**_ADDED, **json.loads(text)}
    instants: dict[str, Any] = {name: _read(values[name]) for name in _INSTANTS}
    files = tuple(SourceFile.from_json(file) for file in values["files"])
    plain = {name: values[name] for name in _PLAIN}
    return FetchRecord(slice=_slice(values), files=files, **instants, **{**plain, "source": Source(values["source"])})


def _slice(values: Mapping[str, Any]) -> Slice:
    series = Series(values["exchange"], values["symbol"], Timeframe.parse(values["timeframe"]))
    return Slice(series, date.fromisoformat(values["day"]))


def _written(instant: datetime | None) -> str | None:
    if instant is None:
        return None
    if instant.tzinfo is None:
        raise ValueError(f"an instant without a time zone: {instant}")
    return instant.astimezone(UTC).isoformat()


def _read(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
