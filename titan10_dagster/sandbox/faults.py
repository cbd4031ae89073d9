"""Faults that tests can switch on: the table of all errors that a sandbox exchange can produce.

A fault is described by JSON or by keyword arguments. Only `kind` is required. All kinds accept these options:

- `count`: the number of requests that the fault affects (default: all requests until the fault is cleared)
- `probability`: the share of the matching requests that the fault affects; `seed`: the seed of this random choice
- `after`: the fault affects none of the first `after` matching requests (default: 0)
- `lasts`: seconds until the fault ends
- `symbol`: the unified symbol that the fault affects (default: all symbols)
- `path`: the requests that the fault affects: "candles" (the default of most kinds), "markets", "other", "any", or a
  text that begins with a slash. Such a text selects all requests with this text in their path

Many kinds have further options. A fault of stage `truth` is an event (`events.py`): it happens once, when the sandbox's
clock reaches the option `at` (default: now). Of the options above, an event uses only `symbol`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from titan10_dagster.sandbox.pages import Row
from titan10_dagster.sandbox.venues.wire import EMPTY, NULL

Stage = Literal["delay", "wire", "answer", "page", "rows", "markets", "truth"]


@dataclass(frozen=True)
class FaultKind:
    """A kind of fault. `stage`: which step of answering a request the fault changes. `sentence`: the description.

    `options`: the options of this kind besides the common options, with their defaults.
    `path`: the default of the option `path`.
    """

    name: str
    stage: Stage
    sentence: str
    options: Mapping[str, Any] = field(default_factory=dict)
    path: str = "candles"
    refusal: str | None = None  # only for the stage `answer`: the name of the venue's refusal that is sent
    body: str | None = None  # only for the stage `answer`: the text that is sent with status 200
    # only for the stage `rows`: a function that returns the changed rows
    change: Callable[[list[Row], Fault], list[Row]] | None = None


@dataclass
class Fault:
    """A fault that was set. `seen`: the number of matching requests. `struck`: the number of affected requests."""

    id: int
    kind: FaultKind
    options: Mapping[str, Any]
    at: Any = None  # only for the stage `truth`: the time of the event, by the sandbox's clock
    count: int | None = None
    probability: float = 1.0
    after: int = 0
    symbol: str | None = None
    path: str = "candles"
    expires: float | None = None  # the end of the fault, by time.monotonic
    seed: int = 0
    seen: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def strikes(self, path: str, kind: str | None, symbol: str | None) -> bool:
        """Return whether the fault affects this request. A matching request is counted if the fault has not ended."""
        if not self._concerns(path, kind, symbol) or self._spent():
            return False
        self.seen += 1
        if self.seen <= self.after or self.random.random() >= self.probability:
            return False
        self.struck += 1
        return True

    def described(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind.name,
            "sentence": self.kind.sentence,
            "options": dict(self.options),
            "count": self.count,
            "probability": self.probability,
            "after": self.after,
            "symbol": self.symbol,
            "path": self.path,
            "struck": self.struck,
        }

    def _spent(self) -> bool:
        used_up = self.count is not None and self.struck >= self.count
        return used_up or (self.expires is not None and time.monotonic() >= self.expires)

    def _concerns(self, path: str, kind: str | None, symbol: str | None) -> bool:
        if self.symbol is not None and self.symbol != symbol:
            return False
        return self.path == "any" or self.path == kind or (self.path.startswith("/") and self.path in path)


class Faults:
    """The faults set on one exchange."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._next = 1

    def add(self, kind: str, **options: Any) -> Fault:
        """Set a fault. Raises ValueError if the kind or an option is unknown; the message lists the allowed names."""
        known = FAULT_KINDS.get(kind)
        if known is None:
            raise ValueError(f"there is no fault {kind!r}; choose one of {', '.join(FAULT_KINDS)}")
        fault = _fault(self._next, known, options)
        self._next += 1
        self._faults.append(fault)
        return fault

    def striking(self, path: str, kind: str | None, symbol: str | None) -> list[Fault]:
        return [fault for fault in self._faults if fault.strikes(path, kind, symbol)]

    def listed(self) -> list[dict[str, Any]]:
        return [fault.described() for fault in self._faults]

    def clear(self) -> None:
        self._faults.clear()


_COMMON = ("count", "probability", "seed", "after", "lasts", "symbol", "path", "at")


def _fault(number: int, kind: FaultKind, given: Mapping[str, Any]) -> Fault:
    known = {*_COMMON, *kind.options}
    unknown = [name for name in given if name not in known]
    if unknown:
        allowed = ", ".join((*_COMMON, *kind.options))
        raise ValueError(f"fault {kind.name!r} has no option {', '.join(unknown)}; it has {allowed}")
    lasts = given.get("lasts")
    return Fault(
        id=number,
        kind=kind,
        options={name: given.get(name, default) for name, default in kind.options.items()},
        at=given.get("at"),
        count=given.get("count"),
        probability=given.get("probability", 1.0),
        after=given.get("after", 0),
        symbol=given.get("symbol"),
        path=given.get("path", kind.path),
        expires=None if lasts is None else time.monotonic() + lasts,
        seed=given.get("seed", number),
    )


def _at(rows: list[Row], fault: Fault) -> Row | None:
    """Return the row at the position in the option `index` (default: the middle row); None if there is no such row."""
    index = fault.options.get("index")
    if not rows or (index is not None and not -len(rows) <= index < len(rows)):
        return None
    return rows[len(rows) // 2 if index is None else index]


def _with_text(column: int, text: str) -> Callable[[list[Row], Fault], list[Row]]:
    def change(rows: list[Row], fault: Fault) -> list[Row]:
        row = _at(rows, fault)
        if row is not None:
            row.texts[column] = text
        return rows

    return change


def _duplicated(rows: list[Row], fault: Fault) -> list[Row]:
    first = max(0, len(rows) // 2 - fault.options["rows"] // 2)
    return rows[: first + fault.options["rows"]] + rows[first:]


def _disordered(rows: list[Row], fault: Fault) -> list[Row]:
    fault.random.shuffle(rows)
    return rows


def _unfinished(rows: list[Row], fault: Fault) -> list[Row]:
    if rows:
        last = rows[-1]
        last.texts = [last.texts[0], last.texts[0], last.texts[0], last.texts[0], "0.00000001"]
        last.closed = False
    return rows


def _high_below_low(rows: list[Row], fault: Fault) -> list[Row]:
    row = _at(rows, fault)
    if row is not None:
        high, low = row.texts[1], row.texts[2]
        row.texts[1], row.texts[2] = low, (high if high != low else high + "1")
    return rows


def _negative_volume(rows: list[Row], fault: Fault) -> list[Row]:
    row = _at(rows, fault)
    if row is not None:
        row.texts[4] = "-1.5"
    return rows


def _lost(rows: list[Row], fault: Fault) -> list[Row]:
    first = max(0, len(rows) // 2 - fault.options["rows"] // 2)
    return rows[:first] + rows[first + fault.options["rows"] :]


def _emptied(rows: list[Row], fault: Fault) -> list[Row]:
    return []


def _off_grid(rows: list[Row], fault: Fault) -> list[Row]:
    """Shift the time of one row. With the option `rows`, shift the times of this many rows in the middle."""
    count = fault.options["rows"]
    if count is None:
        row = _at(rows, fault)
        shifted = [] if row is None else [row]
    else:
        first = max(0, len(rows) // 2 - count // 2)
        shifted = rows[first : first + count]
    for row in shifted:
        row.time += fault.options["ms"]
    return rows


def _junk(text: str) -> Callable[[list[Row], Fault], list[Row]]:
    """Return a function that replaces one row of an answer by `text`."""

    def change(rows: list[Row], fault: Fault) -> list[Row]:
        row = _at(rows, fault)
        if row is not None:
            row.json = text
        return rows

    return change


def _negative_time(rows: list[Row], fault: Fault) -> list[Row]:
    row = _at(rows, fault)
    if row is not None:
        row.time = -1_000  # in ms; a whole second, so that times in seconds are negative too
    return rows


def _cut_short(rows: list[Row], fault: Fault) -> list[Row]:
    row = _at(rows, fault)
    if row is not None:
        row.cut_ms = fault.options["ms"]
    return rows


_SPELLINGS = {"zero": "0", "null": NULL, "empty": EMPTY}


def _empty_spelling(rows: list[Row], fault: Fault) -> list[Row]:
    """Write minutes without a trade as zeros, nulls or empty texts."""
    text = _SPELLINGS[fault.options["spelling"]]
    for row in rows:
        if float(row.texts[4]) == 0:
            row.texts = [text] * 5
    return rows


def _empty_dropped(rows: list[Row], fault: Fault) -> list[Row]:
    return [row for row in rows if float(row.texts[4]) > 0]


def _empty_filled(rows: list[Row], fault: Fault) -> list[Row]:
    """Insert a flat row for each missing minute between two rows."""
    filled: list[Row] = []
    for row in rows:
        while filled and filled[-1].time + 60_000 < row.time:
            close = filled[-1].texts[3]
            filled.append(Row(filled[-1].time + 60_000, [close, close, close, close, "0"]))
        filled.append(row)
    return filled


def _reversed(rows: list[Row], fault: Fault) -> list[Row]:
    return rows[::-1]


def _conflicting(rows: list[Row], fault: Fault) -> list[Row]:
    row = _at(rows, fault)
    if row is None:
        return rows
    index = rows.index(row)
    twin = Row(row.time, [row.texts[0], row.texts[1], row.texts[2], row.texts[0], row.texts[4] + "1"], row.closed)
    return [*rows[: index + 1], twin, *rows[index + 1 :]]


_INDEX = {"index": None}

FAULT_KINDS: Mapping[str, FaultKind] = {
    kind.name: kind
    for kind in (
        FaultKind("latency", "delay", "Each answer is delayed by `ms` milliseconds.", {"ms": 100}, path="any"),
        FaultKind("reset", "wire", "The connection is reset (RST) instead of an answer."),
        FaultKind(
            "stall", "wire", "Half of the answer is sent. After `seconds` of silence, the connection is reset.",
            {"seconds": 30.0},
        ),
        FaultKind(
            "short_body", "wire", "The connection closes after half of the body. Content-Length announces the whole."
        ),
        FaultKind("outage", "wire", "The connections of all kinds of requests are reset.", path="any"),
        FaultKind(
            "http_429", "answer", "Status 429 (too many requests) with the header Retry-After.", {"retry_after": 1},
            refusal="throttled",
        ),
        FaultKind(
            "http_418", "answer", "The answer announces a ban of `retry_after` seconds, which is not enforced.",
            {"retry_after": 120}, refusal="banned",
        ),
        FaultKind(
            "http_403", "answer", "The exchange, or a server in front of it, forbids the request.", refusal="forbidden"
        ),
        FaultKind("http_451", "answer", "The exchange does not serve the client's location.", refusal="restricted"),
        FaultKind("http_400", "answer", "The exchange answers that the request is malformed.", refusal="bad_request"),
        FaultKind("http_404", "answer", "Not found.", refusal="not_found"),
        FaultKind("http_500", "answer", "An internal error.", refusal="internal"),
        FaultKind("http_502", "answer", "Bad gateway, with an HTML page.", refusal="bad_gateway"),
        FaultKind("http_504", "answer", "Gateway time-out, with an HTML page.", refusal="gateway_timeout"),
        FaultKind("maintenance", "answer", "The exchange's own answer during maintenance.", refusal="maintenance"),
        FaultKind("unknown_symbol", "answer", "The exchange does not know the symbol.", refusal="unknown_symbol"),
        FaultKind(
            "closed_market", "answer", "The exchange refuses candles of a closed market.", refusal="closed_market"
        ),
        FaultKind(
            "refusal", "answer", "The refusal `name` from the exchange's record, with its text and status.",
            {"name": "throttled"},
        ),
        FaultKind(
            "html_200", "answer", "Status 200 with an HTML page.",
            body="<html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>",
        ),
        FaultKind("empty_body", "answer", "Status 200 with an empty body.", body=""),
        FaultKind("empty_object", "answer", "Status 200 with `{}`.", body="{}"),
        FaultKind("null_data", "answer", "A well-formed answer whose candles are null."),
        FaultKind("truncated", "wire", "A body cut in the middle; Content-Length fits the cut body."),
        FaultKind("page_third", "page", "The page limit is silently lowered to a third."),
        FaultKind(
            "horizon", "page", "Every answer has the last `rows` rows; start, end and limit are ignored.",
            {"rows": 720},
        ),
        FaultKind("forgets", "page", "The exchange serves only the last `rows` candles.", {"rows": 720}),
        FaultKind("since_exclusive", "page", "A candle at exactly the requested start is not in the answer."),
        FaultKind("end_inclusive", "page", "A candle at exactly the requested end is in the answer."),
        FaultKind("stale", "page", "The answer shows the candles as they were `minutes` minutes ago.", {"minutes": 60}),
        FaultKind(
            "other_symbol", "page", "The candles belong to the symbol `other` (default: the next symbol of the list).",
            {"other": None},
        ),
        FaultKind("duplicates", "rows", "`rows` rows in the middle are sent twice.", {"rows": 5}, change=_duplicated),
        FaultKind("disorder", "rows", "The rows are in random order.", change=_disordered),
        FaultKind("unfinished", "rows", "The last row looks like a candle that has just begun.", change=_unfinished),
        FaultKind("high_below_low", "rows", "The high and low of a row are exchanged.", _INDEX, change=_high_below_low),
        FaultKind("null_value", "rows", "One row's close is null.", _INDEX, change=_with_text(3, NULL)),
        FaultKind("nan_value", "rows", "One row's close is NaN.", _INDEX, change=_with_text(3, "NaN")),
        FaultKind("negative_volume", "rows", "One row's volume is negative.", _INDEX, change=_negative_volume),
        FaultKind("zero_price", "rows", "One row's low is zero.", _INDEX, change=_with_text(2, "0")),
        FaultKind("lost_rows", "rows", "`rows` rows in the middle are left out.", {"rows": 10}, change=_lost),
        FaultKind("empty_page", "rows", "A well-formed answer without any row.", change=_emptied),
        FaultKind(
            "off_grid", "rows", "The time of one row, or of `rows` rows in the middle, is `ms` milliseconds too late.",
            {"index": None, "rows": None, "ms": 7_000}, change=_off_grid,
        ),
        FaultKind("null_row", "rows", "One row is `null`.", _INDEX, change=_junk("null")),
        FaultKind("empty_row", "rows", "One row is `[]`.", _INDEX, change=_junk("[]")),
        FaultKind("negative_time", "rows", "One row's time is one second before 1970.", _INDEX, change=_negative_time),
        FaultKind(
            "cut_short", "rows", "One row's close time shows that its candle is only `ms` milliseconds long.",
            {"index": None, "ms": 14_000}, change=_cut_short,
        ),
        FaultKind(
            "empty_spelling", "rows",
            "Minutes without a trade are rows of zeros, nulls or empty texts (`spelling`: zero, null or empty).",
            {"spelling": "zero"}, change=_empty_spelling,
        ),
        FaultKind("empty_dropped", "rows", "Minutes without a trade are left out.", change=_empty_dropped),
        FaultKind("empty_filled", "rows", "Flat rows of volume 0 replace missing minutes.", change=_empty_filled),
        FaultKind("reversed", "rows", "The rows are in the opposite order.", change=_reversed),
        FaultKind(
            "conflicting_duplicate", "rows", "One row is sent twice, the second time with other values.",
            _INDEX, change=_conflicting,
        ),
        FaultKind(
            "half_markets", "markets", "Only the first part (`share`) of the list of markets is sent, with status 200.",
            {"share": 0.5}, path="markets",
        ),
        FaultKind(
            "bad_markets", "markets", "The list of markets also contains these invalid `records`.",
            {"records": (None, {}, "", [])}, path="markets",
        ),
        FaultKind(
            "restate", "truth",
            "From the event on, the candle of `symbol` at `time` has the `values` (open to volume). Without `values`, "
            "its close becomes its high, and its volume doubles. With `gone`, the candle is absent.",
            {"time": None, "values": None, "gone": False},
        ),
        FaultKind(
            "absent", "truth",
            "From the event on, no candle of `symbol` (None: of any symbol) starts in [`time`, `until`), as in a halt. "
            "With `back`, the event restores the candles that an earlier event with the same bounds removed. With "
            "`back_at`, the candles are removed at the event, and restored at the time `back_at`.",
            {"time": None, "until": None, "back": False, "back_at": None},
        ),
        FaultKind(
            "revise", "truth",
            "From the event on, the prices and volumes of all candles of `symbol` (None: of any symbol) in [`time`, "
            "`until`) are multiplied by `prices` and `volumes`.",
            {"time": None, "until": None, "prices": 1.0, "volumes": 1.0},
        ),
        FaultKind(
            "redenominate", "truth",
            "The prices of all candles of `symbol` from `time` (default: the time of the event) on are multiplied by "
            "`factor`, and their volumes are divided by `factor`.",
            {"time": None, "factor": 1_000.0},
        ),
        FaultKind(
            "shift", "truth",
            "From the event on, candles of `symbol` (None: of any symbol) in [`time`, `until`) start `ms` milliseconds "
            "late.",
            {"time": None, "until": None, "ms": 14_789},
        ),
        FaultKind(
            "delist", "truth",
            "`symbol` stops trading at `time` (default: the time of the event). The option `candles` selects the "
            "answer to later requests for its candles: candles, closed_market or unknown_symbol (default: as in the "
            "venue's record).",
            {"time": None, "candles": None},
        ),
        FaultKind(
            "relist", "truth",
            "The delisted `symbol` trades again from `time` (default: the time of the event) on. From then on, its "
            "prices are multiplied by `prices`.",
            {"time": None, "prices": 1.0},
        ),
        FaultKind(
            "new_id", "truth",
            "From the event on, the market of `symbol` has the id `market_id`. The prices of its candles from `time` "
            "(default: the time of the event) on are multiplied by `prices`. The market of the symbol `heir` gets "
            "the old id of `symbol`.",
            {"market_id": None, "time": None, "prices": 1.0, "heir": None},
        ),
    )
}  # fmt: skip
