"""The candles of an answer: from its text to an array of numbers.

Where the exchange's `Venue.wire` names the way to its rows, msgspec reads their values straight into doubles,
rounded as `float` rounds, and passes over all other fields: half the time of reading all and converting some. What does
not look as expected (an error, a missing value) is left to ccxt's own way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, reduce
from itertools import chain
from operator import attrgetter, getitem, itemgetter
from typing import Any, TypedDict

import msgspec
import numpy as np
from ccxt.base.errors import BadResponse

from titan10_dagster.candles.columns import END_OF_TIME_MS, Floats
from titan10_dagster.exchanges.venues.venue import Wire

Rows = Floats  # (n, 6): ms since 1970, open, high, low, close, volume

# By these ccxt's classes tell an error; where something else is to be looked at, there are no candles either.
_SAID = dict.fromkeys(("code", "msg", "retCode", "retMsg"), Any)


class _Row(msgspec.Struct):
    """What the rows of all exchanges are made from."""


def decode(text: str, wire: Wire | None) -> Any:
    """An answer with candles, its rows as numbers for `parse`; None where it does not look like one."""
    if wire is None or wire.envelope is None:
        return None
    try:
        answer = _decoder(wire).decode(text)
        reduce(getitem, wire.envelope, answer)
    except (msgspec.DecodeError, KeyError):
        return None
    return answer


def parse(raw: Sequence[Any], wire: Wire | None, parse_row: Callable[[Any], list[Any]]) -> Rows:
    """The rows by time, as ccxt would parse them; `parse_row` does so. BadResponse if one has no time."""
    rows = _values(raw, wire) if wire else None
    if rows is None:
        rows = np.array([parse_row(row) for row in raw], dtype=np.float64).reshape(-1, 6)
    return _by_time(checked(rows))


def checked(rows: Rows) -> Rows:
    """The rows, their times whole milliseconds; BadResponse if one has no time."""
    times = rows[:, 0]
    np.trunc(times, out=times)
    if not ((times >= 0) & (times < END_OF_TIME_MS)).all():
        raise BadResponse("a candle without a time")
    return rows


def holds_no_candles(parsed: Any, empty: Any, wire: Wire | None) -> bool:
    """Whether the exchange itself sent this empty list.

    ccxt makes one up where the list should be. The exchanges of `Wire` hand on the very list that was in the answer; of
    the others, which may copy it, any empty list will do that is not one of errors.
    """
    if parsed is empty or (wire is None and parsed == []):
        return True
    if isinstance(parsed, list):
        return any(holds_no_candles(one, empty, wire) for one in parsed[:10])
    if isinstance(parsed, dict):
        return any(
            holds_no_candles(one, empty, wire)
            for key, one in parsed.items()
            if wire or not str(key).lower().startswith("err")
        )
    return False


def _values(raw: Sequence[Any], wire: Wire) -> Rows | None:
    """None where a value is missing or no number, which ccxt's own parsing knows how to take."""
    if raw and isinstance(raw[0], _Row):
        values: Iterable[float] = chain.from_iterable(map(attrgetter(*map(_name, wire.keys)), raw))
    else:
        values = map(float, chain.from_iterable(map(itemgetter(*wire.keys), raw)))
    try:
        rows = np.fromiter(values, np.float64, 6 * len(raw)).reshape(-1, 6)
    except (LookupError, TypeError, ValueError):
        return None
    rows[:, 0] *= wire.unit
    return rows


def _by_time(rows: Rows) -> Rows:
    steps = np.diff(rows[:, 0])
    if (steps >= 0).all():
        return rows
    order = slice(None, None, -1) if (steps < 0).all() else np.argsort(rows[:, 0], kind="stable")
    return np.ascontiguousarray(rows[order])


@cache
def _decoder(wire: Wire) -> msgspec.json.Decoder[Any]:
    listed = isinstance(wire.keys[0], int)
    row = msgspec.defstruct(
        "Row", [(_name(key), float) for key in wire.keys], bases=(_Row,), array_like=listed, gc=False
    )
    shape: Any = list.__class_getitem__(row)
    for name in reversed(wire.envelope or ()):
        shape = TypedDict("Answer", {name: shape, **_SAID}, total=False)  # type: ignore[misc,no-redef]
    return msgspec.json.Decoder(shape, strict=False)


def _name(key: int | str) -> str:
    return key if isinstance(key, str) else f"field{key}"
