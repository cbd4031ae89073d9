"""A FetchRecord as JSON, the way it travels in a landed file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, date, datetime
from typing import Any

from titan10_dagster.candles.fetched import FetchRecord, Source
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.candles.timeframes import Timeframe

_INSTANTS = ("fetched_at", "horizon", "listed", "delisted", "covered_until")
_ADDED = {"covered_until": None}  # what files do not have that were written before there was such a field
_PLAIN = tuple(field.name for field in fields(FetchRecord) if field.name not in _INSTANTS and field.name != "slice")


def to_json(record: FetchRecord) -> bytes:
    """One flat object: the slice's exchange, symbol, timeframe and day, then the record's own fields.

    Days and instants are ISO 8601, in UTC. An instant that is not aware raises ValueError.
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
        }
    ).encode()


def from_json(text: bytes) -> FetchRecord:
    """The record; ValueError, TypeError or KeyError where the text is none."""
    told = {**_ADDED, **json.loads(text)}
    instants: dict[str, Any] = {name: _read(told[name]) for name in _INSTANTS}
    plain = {name: told[name] for name in _PLAIN}
    return FetchRecord(slice=_slice(told), **instants, **{**plain, "source": Source(told["source"])})


def _slice(told: Mapping[str, Any]) -> Slice:
    series = Series(told["exchange"], told["symbol"], Timeframe.parse(told["timeframe"]))
    return Slice(series, date.fromisoformat(told["day"]))


def _written(instant: datetime | None) -> str | None:
    if instant is None:
        return None
    if instant.tzinfo is None:
        raise ValueError(f"an instant without a time zone: {instant}")
    return instant.astimezone(UTC).isoformat()


def _read(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
