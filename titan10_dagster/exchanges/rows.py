"""Convert the rows of an answer to an array of candles.

If the format of the rows is known (see `Wire`) and all values can be read as numbers, the values are copied into the
array directly. Otherwise (for example, if a value is missing), ccxt parses the rows one by one.

A damaged row does not affect other rows. A row without a usable time is dropped. A row with a time but without usable
values is kept. It breaks a candle rule later and is then written to quarantine. Only a row that shows a minute without
trades counts as an absent candle. A damaged row proves that the exchange has a candle for its minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any

import msgspec
import numpy as np
from ccxt.base.errors import BadResponse
from numpy.typing import NDArray

from titan10_dagster.candles.columns import Floats, Mask
from titan10_dagster.exchanges.decoding import Row, evidence_keys, name_of
from titan10_dagster.exchanges.venues.venue import Wire

Rows = Floats  # an array of shape (n, 6): time in ms since 1970, open, high, low, close, volume
Instants = NDArray[np.int64]  # ms since 1970

# A candle was closed early if its close time is more than about a second before the regular end of the candle. Usually
# the close time is 1 ms before the regular end.
_CUT_SLACK_MS = 1000

# A candle cannot have a time outside of these years. Such a time is damaged, for example because its unit is seconds
# instead of milliseconds.
_EARLIEST_MS = 1_230_768_000_000  # the year 2009; the first Bitcoin was created in January 2009
_LATEST_MS = 4_102_444_800_000  # 2100

# OKX never confirmed some old candles. An unconfirmed candle that ended longer ago than this counts as finished.
_CONFIRMED_WITHIN_MS = 3_600_000
# The newest row of an answer is an exception. If a server is some hours behind, its newest row really is unfinished.
_NEWEST_CONFIRMED_WITHIN_MS = 86_400_000

_FEWEST_BLANK = 4  # a row with at least this many empty values (its four prices) shows a minute without trades

_PACKER = msgspec.msgpack.Encoder()
_PACKED_DOUBLE = 9  # bytes of an encoded double

# ccxt's parser raises these exceptions if a row has an unexpected structure.
_PARSING_ERRORS = (LookupError, AttributeError, TypeError, ValueError, ArithmeticError)


def no_instants() -> Instants:
    return np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class ParsedRows:
    """The content of one answer.

    candles: the rows with candles, sorted by time.
    empty: the starts of minutes without trades. For these minutes the exchange sent a row without prices.
    cut_short: the candles that the exchange closed early, according to the close time in their rows. An array of shape
        (m, 2) with the starts and the ends of these candles.
    dropped: the number of dropped rows. A row is dropped if its time is not usable and cannot be derived from the
        neighbouring rows.
    untimed: the most likely minutes (ms) of those dropped rows that are at the start or the end of the answer.
    """

    candles: Rows
    empty: Instants = field(default_factory=no_instants)
    cut_short: Instants = field(default_factory=lambda: no_instants().reshape(0, 2))
    dropped: int = 0
    untimed: Instants = field(default_factory=no_instants)

    def without_unfinished(self, last_finished: int | None) -> ParsedRows:
        """Return the content without the newest candle, if this candle starts after `last_finished` (ms).

        Only the newest candle of an answer can be unfinished. So if more candles start after `last_finished`, this time
        is wrong, and the other candles are kept.

        `last_finished`: the start of the last finished candle according to the exchange; None if it is not known.
        """
        if last_finished is None or not len(self.candles) or self.candles[-1, 0] <= last_finished:
            return self
        return replace(self, candles=self.candles[self.candles[:, 0] < self.candles[-1, 0]])


def parse(
    raw: Sequence[Any],
    wire: Wire | None,
    parse_row: Callable[[Any], list[Any]],
    step: int,
    requested_at: int | None = None,
) -> ParsedRows:
    """Return the content of an answer. The values are the same as if ccxt (`parse_row`) had parsed every row.

    `raw`: the rows of the answer, decoded or as Python objects.
    `step`: the length of a candle in ms.
    `requested_at`: the time of the request in ms; None if it is not known. If it is None, every unconfirmed candle
        counts as unfinished (see `Wire.confirm`).

    Raises:
        BadResponse: there are rows, but no row has a usable time.
    """
    table = _fast_table(raw, wire) if wire else None
    if table is None:
        table = _slow_table(raw, wire, parse_row)
    return _content(table, step, requested_at)


def split(rows: Sequence[Any], step: int, *, checked: bool = False) -> ParsedRows:
    """Return the content of rows that ccxt has parsed. `rows`: lists with six values, which are numbers or None.

    `checked`: whether rows for minutes without trades are already removed. If so, a row without values is a damaged
        candle.

    Raises:
        BadResponse: there are rows, but no row has a usable time.
    """
    table = np.array(rows, dtype=np.float64).reshape(-1, 6)
    return _content(_Table(table, np.ones(len(table), np.bool_) if checked else None), step)


@dataclass(frozen=True, eq=False)
class _Table:
    """The rows of an answer, in the order in which the exchange sent them.

    rows: the candles. A value that is missing or not usable is NaN.
    broken: a mask of the damaged rows, which never count as minutes without trades; None if no damaged row is known.
    close_times: the time at which each candle ended; None if the `Wire` of the exchange does not name this field.
    confirmed: 0 for each candle that is not finished; None if the `Wire` of the exchange does not name this field.
    """

    rows: Rows
    broken: Mask | None = None
    close_times: Floats | None = None
    confirmed: Floats | None = None


def _content(table: _Table, step: int, requested_at: int | None = None) -> ParsedRows:
    rows = table.rows
    empty = _is_empty(rows)
    if table.broken is not None:
        empty &= ~table.broken
    timed = _check_times(rows[:, 0])
    timed &= ~_misplaced(rows[:, 0], timed, step)
    if len(rows) and not timed.any():
        raise BadResponse("no candle in the answer has a usable time")
    untimed = no_instants()
    if not timed.all():
        untimed = _beyond_the_ends(rows[:, 0], timed, step)
        placed = _place_between_neighbours(rows, timed, step)
        timed |= placed
        empty &= ~placed
    kept = timed & ~empty
    if table.confirmed is not None:
        kept &= ~_unfinished(rows[:, 0], timed, table.confirmed, step, requested_at)
    return ParsedRows(
        _by_time(rows if kept.all() else rows[kept]),
        empty=np.unique(rows[timed & empty, 0].astype(np.int64)) if empty.any() else no_instants(),
        cut_short=_cut_short(rows, kept, table.close_times, step),
        dropped=int(len(rows) - np.count_nonzero(timed)),
        untimed=untimed,
    )


def _check_times(times: Floats) -> Mask:
    """Round the times down to whole milliseconds in place, and return a mask of the usable times."""
    np.trunc(times, out=times)
    usable: Mask = (times >= _EARLIEST_MS) & (times < _LATEST_MS)
    return usable


def _misplaced(times: Floats, timed: Mask, step: int) -> Mask:
    """Return a mask of the rows with a time that does not fit the position of the row in the answer.

    A row is misplaced if two conditions hold. First, exactly one candle fits between the two neighbours of the row.
    Second, the distance from the time of the row to its neighbours is larger than the length of the whole answer.

    The two conditions are evidence only if all other rows with a time are sorted. Otherwise no row counts as misplaced,
    because in an unsorted answer a row can have such neighbours by chance.

    `timed`: a mask of the rows with a usable time.
    """
    misplaced = np.zeros(len(times), np.bool_)
    if len(times) < 3:
        return misplaced
    before, own, after = times[:-2], times[1:-1], times[2:]
    length = len(times) * step
    misplaced[1:-1] = (np.abs(after - before) == 2 * step) & (np.abs(own - before) > length)
    if misplaced.any():
        steps = np.diff(times[timed & ~misplaced])
        if not ((steps >= 0).all() or (steps <= 0).all()):
            misplaced[:] = False
    return misplaced


def _unfinished(times: Floats, timed: Mask, confirmed: Floats, step: int, requested_at: int | None) -> Mask:
    """Return a mask of the rows that are not confirmed and do not count as finished; see `_CONFIRMED_WITHIN_MS`.

    `timed`: a mask of the rows with a usable time.
    """
    unfinished: Mask = confirmed == 0
    if requested_at is not None and unfinished.any():
        newest = times.max(where=timed, initial=0)
        within = np.where(times == newest, _NEWEST_CONFIRMED_WITHIN_MS, _CONFIRMED_WITHIN_MS)
        unfinished &= times + step > requested_at - within
    return unfinished


def _place_between_neighbours(rows: Rows, timed: Mask, step: int) -> Mask:
    """Give rows without a usable time the times between their neighbours, and return a mask of these rows.

    The rows get times only if they exactly fill the minutes between the neighbours. Each of these rows proves that the
    exchange has a candle for its minute. The values of the rows are removed, because they possibly belong to other
    minutes. Later the rows break a candle rule and are written to quarantine.
    """
    placed = np.zeros(len(rows), np.bool_)
    times, known = rows[:, 0], np.flatnonzero(timed)
    for before, after in zip(known[:-1].tolist(), known[1:].tolist(), strict=True):
        count = after - before
        distance = times[after] - times[before]
        if count > 1 and abs(distance) == count * step:
            rows[before + 1 : after, 1:] = np.nan
            times[before + 1 : after] = times[before] + np.sign(distance) * step * np.arange(1, count)
            placed[before + 1 : after] = True
    return placed


def _beyond_the_ends(times: Floats, timed: Mask, step: int) -> Instants:
    """Return the most likely minutes (ms) of the rows without a time at the start and the end of an answer.

    Each end of the answer is considered separately. If its two nearest rows with a time are in consecutive minutes, it
    is assumed that the rows without a time continue the series minute by minute. Otherwise the minutes of the rows
    without a time are unknown and not in the result.
    """
    known = np.flatnonzero(timed)
    if len(known) < 2:
        return no_instants()
    first, last, direction = known[0], known[-1], np.sign(times[known[-1]] - times[known[0]])
    minutes: list[float] = []
    if times[known[1]] - times[first] == direction * step:
        minutes += [times[first] - direction * step * place for place in range(1, first + 1)]
    if times[last] - times[known[-2]] == direction * step:
        minutes += [times[last] + direction * step * place for place in range(1, len(times) - last)]
    return np.array(minutes, np.int64)


def _is_empty(rows: Rows) -> Mask:
    """Return a mask of the empty rows: all five values (prices and volume) are zero or missing.

    Some exchanges send the last price with a volume of 0 for a minute without trades. Such a row is a candle.
    """
    nothing: Mask = ~(np.abs(rows[:, 5]) > 0)  # a NaN is not above zero either, so it counts as empty
    if nothing.any():
        prices = rows[:, 1:5]
        nothing &= ((prices == 0) | np.isnan(prices)).all(axis=1)
    return nothing


def _cut_short(rows: Rows, kept: Mask, close_times: Floats | None, step: int) -> Instants:
    none = no_instants().reshape(0, 2)
    if close_times is None:
        return none
    lasted = close_times + 1 - rows[:, 0]
    cut = lasted < step - _CUT_SLACK_MS
    if not cut.any():
        return none
    cut &= kept & (lasted > 0)
    return np.column_stack([rows[cut, 0], close_times[cut] + 1]).astype(np.int64)


def _by_time(rows: Rows) -> Rows:
    steps = np.diff(rows[:, 0])
    if (steps >= 0).all():
        return rows
    order = slice(None, None, -1) if (steps < 0).all() else np.argsort(rows[:, 0], kind="stable")
    return np.ascontiguousarray(rows[order])


def _fast_table(raw: Sequence[Any], wire: Wire) -> _Table | None:
    """Return the rows, parsed without ccxt. If a value is missing or is not a number, return None."""
    keys = (*wire.keys, *evidence_keys(wire))
    names = list(map(name_of, keys))
    try:
        if not raw or not isinstance(raw[0], Row):
            values = list(chain.from_iterable(map(itemgetter(*keys), raw)))
            if bool in set(map(type, values)):  # float(True) is 1.0, but no exchange sends a price as true
                return None
            table = _numbers(map(float, values), len(raw), len(keys))
        elif msgspec.Raw in type(raw[0]).__annotations__.values():
            table = _numbers(chain.from_iterable(map(attrgetter(*names), raw)), len(raw), len(keys))
        else:
            table = _unpacked(raw, names)
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
    rows = np.ascontiguousarray(table[:, :6])
    rows[:, 0] *= wire.unit
    return _Table(rows, None, *_evidence(table, wire))


def _numbers(values: Iterable[float], rows: int, columns: int) -> Floats:
    return np.fromiter(values, np.float64, rows * columns).reshape(-1, columns)


def _unpacked(rows: Sequence[Row], names: Sequence[str]) -> Floats:
    """Return the given fields of decoded rows as the columns of an array. `names`: the names of the fields.

    The rows have only doubles. They are encoded as MessagePack. In this format all rows have the same length, and a
    double has a marker byte and eight bytes. numpy reads these bytes. For 1,000 rows with seven fields, this takes
    0.05 ms. Converting the 7,000 Python numbers one by one would take 0.35 ms.
    """
    encoded = _PACKER.encode(rows)
    length = len(_PACKER.encode(rows[0]))
    table = np.empty((len(rows), len(names)))
    for column, place in enumerate(_places(type(rows[0]), tuple(names))):
        start = len(encoded) - len(rows) * length + place
        table[:, column] = np.ndarray(len(rows), ">f8", encoded, start, (length,))
    return table


@cache
def _places(row: type[Row], names: tuple[str, ...]) -> list[int]:
    """Return the byte offsets of the given fields in an encoded row."""
    places: dict[str, int] = {}
    end = 1  # the marker byte of the row
    for name in row.__struct_fields__:
        if not row.__struct_config__.array_like:
            end += 1 + len(name)
        places[name] = end + 1
        end += _PACKED_DOUBLE
    return [places[name] for name in names]


def _slow_table(raw: Sequence[Any], wire: Wire | None, parse_row: Callable[[Any], list[Any]]) -> _Table:
    """Return the rows, each parsed separately by ccxt. A value that cannot be parsed is NaN."""
    rows = np.full((len(raw), 6), np.nan)
    broken = np.zeros(len(raw), np.bool_)
    for place, row in enumerate(raw):
        try:
            values = list(parse_row(row))[:6]  # ccxt's general parser returns a row that is not a list unchanged
        except _PARSING_ERRORS:
            continue
        for column, value in enumerate(values):
            rows[place, column] = _number(value)
        if wire is not None:
            _drop_booleans(rows[place], row, wire)
            broken[place] = any(_is_garbage(_field(row, key)) for key in wire.keys[1:])
    for place in np.flatnonzero(_is_empty(rows)).tolist():
        broken[place] |= not _says_nothing(raw[place])
    if wire is None:
        return _Table(rows, broken)
    evidence = np.array([[_number(_field(row, key)) for key in evidence_keys(wire)] for row in raw], np.float64)
    return _Table(rows, broken, *_evidence(np.column_stack([rows, evidence]), wire))


def _evidence(table: Floats, wire: Wire) -> tuple[Floats | None, Floats | None]:
    """Return two arrays: the close times and the confirmation flags.

    An array is None if `wire` does not name its field. The first six columns of `table` have the values of the candles.
    After them comes one column for each of the two fields that `wire` names.
    """
    columns = iter(table[:, 6:].T)
    close_times = None if wire.close_time is None else next(columns)
    return close_times, None if wire.confirm is None else next(columns)


def _field(row: Any, key: int | str) -> Any:
    try:
        return row[key]
    except (LookupError, TypeError):
        return None


def _number(value: Any) -> float:
    """Return the value as a double. The result is NaN if the value is not a number, and infinity if it is too large."""
    if isinstance(value, bool):
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan
    except OverflowError:
        return np.inf


def _drop_booleans(parsed: Floats, row: Any, wire: Wire) -> None:
    """If ccxt has converted true or false to a number, replace this number by NaN."""
    for column, key in enumerate(wire.keys):
        if isinstance(_field(row, key), bool):
            parsed[column] = np.nan


def _is_garbage(value: Any) -> bool:
    """Return whether a value is present but not a number."""
    return not _is_blank(value) and bool(np.isnan(_number(value)))


def _says_nothing(row: Any) -> bool:
    """Return whether the row shows a minute without trades. The prices of such a row are present but empty.

    A row that is cut off, or that has text instead of numbers, is no evidence for a minute without trades.
    """
    values: Iterable[Any] = row.values() if isinstance(row, Mapping) else row if isinstance(row, (list, tuple)) else ()
    return sum(map(_is_blank, values)) >= _FEWEST_BLANK


def _is_blank(value: Any) -> bool:
    """Return whether a value is empty: null, an empty text, zero, or the text "NaN"."""
    if isinstance(value, str):
        value = value.strip() or None
    return value is None or (isinstance(value, str) and value.lower() == "nan") or _number(value) == 0
