"""Decode the text of an answer with candles.

The exchange's record can have a `Wire` (a description of the row format) with an `envelope` (the path from the answer
to its list of rows). In this case, msgspec reads the needed values directly into doubles, with the same rounding as
`float`, and skips all other fields. To read all fields and then convert the needed fields would take twice as long. An
answer with another structure (an error, a missing value) is left to ccxt.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, reduce
from operator import getitem
from typing import Any, TypedDict

import msgspec
import numpy as np

from titan10_dagster.exchanges.venues.venue import Wire

# If an answer has no list of candles, ccxt's classes look for an error in these fields. The field `symbol` names the
# market of the candles (see `Venue.market_name`). Therefore these fields are decoded too.
_OTHER_FIELDS = dict.fromkeys(("code", "msg", "retCode", "retMsg", "error", "message", "success", "symbol"), Any)


class Row(msgspec.Struct):
    """The base class of the structs into which msgspec decodes rows."""


def decode(text: str, wire: Wire | None) -> Any:
    """Return the decoded answer. Its rows are input for `rows.parse`.

    The result is None if `wire` is None or has no envelope, or if the text does not have the format of `wire`.
    """
    if wire is None or wire.envelope is None:
        return None
    try:
        answer = _decoder(wire).decode(text)
        reduce(getitem, wire.envelope, answer)
    except (msgspec.DecodeError, KeyError):
        return None
    return answer


def last_finished(answer: Any, wire: Wire) -> int | None:
    """Return the start of the last finished candle (ms), which some exchanges send in a separate field.

    The result is None if the exchange does not send this field, or if its value is not a finite number.
    """
    if wire.last_finished is None:
        return None
    try:
        stated = float(reduce(getitem, wire.last_finished, answer))
    except (LookupError, TypeError, ValueError):
        return None
    return int(stated * wire.unit) if np.isfinite(stated) else None


def evidence_keys(wire: Wire) -> tuple[int | str, ...]:
    """Return the keys of the fields that describe the end of a candle (`close_time` and `confirm`)."""
    return tuple(key for key in (wire.close_time, wire.confirm) if key is not None)


@cache
def _decoder(wire: Wire) -> msgspec.json.Decoder[Any]:
    row = msgspec.defstruct("Row", _fields(wire), bases=(Row,), array_like=isinstance(wire.keys[0], int), gc=False)
    shape: Any = list.__class_getitem__(row)
    for name in reversed(wire.envelope or ()):
        shape = TypedDict("Answer", {name: shape, **_OTHER_FIELDS}, total=False)  # type: ignore[misc,no-redef]
    return msgspec.json.Decoder(shape, strict=False)


def _fields(wire: Wire) -> list[tuple[str, Any] | tuple[str, Any, Any]]:
    """Return msgspec's definitions of a row's fields, in the order in which the fields are in the row.

    The six values of the candle are required. The other fields are optional.
    """
    evidence = evidence_keys(wire)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    keys: Sequence[int | str] = wire.keys
    if isinstance(keys[0], int):
        last = max(key for key in (*wire.keys, *evidence) if isinstance(key, int))
        keys = range(last + 1)
    else:
        keys = (*wire.keys, *evidence)
    for key in keys:
        if key in wire.keys:
            fields.append((name_of(key), float))
        elif key in evidence:
            fields.append((name_of(key), float, np.nan))
        else:
            fields.append((name_of(key), msgspec.Raw, msgspec.Raw()))  # not needed: msgspec skips a raw field
    return fields


def name_of(key: int | str) -> str:
    return key if isinstance(key, str) else f"field{key}"
