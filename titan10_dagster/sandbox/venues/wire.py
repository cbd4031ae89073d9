"""The format of an exchange's requests and answers: a table with a few formatting functions.

The documentation of some exchanges does not say exactly which rows are in the answer to a request. `Edges` selects one
interpretation, so that a test can try every interpretation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from titan10_dagster.sandbox.venues.instrument import Instrument

MINUTE, HOUR, DAY = 60, 3_600, 86_400
PathKind = Literal["candles", "markets", "other"]
Texts = Sequence[list[str]]  # five columns of decimal strings: open, high, low, close, volume
# Two impossible prices mark missing values. The first is sent as JSON's null, and the second as an empty text. If the
# format has no quotation marks around numbers, both are sent as null.
NULL, EMPTY = "1.5e-301", "2.5e-301"


class Candle(NamedTuple):
    """The input of a formatting function: a candle with its time in epoch ms, and its values as decimal strings.

    `seconds`: the length of the timeframe.
    """

    time: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    seconds: int = MINUTE
    closed: bool = True
    cut_ms: int | None = None  # the length in ms of a candle that ended early; None for a candle of full length

    @property
    def last_ms(self) -> int:
        """Return the last millisecond of the candle."""
        return self.time + (self.seconds * 1_000 if self.cut_ms is None else self.cut_ms) - 1

    def turnover(self, decimals: int = 8) -> str:
        """Return the volume times the close, in the quote currency."""
        return f"{float(self.volume) * float(self.close):.{decimals}f}"


def with_absent_values(rows: bytes) -> bytes:
    """Return the rows with JSON's null or an empty text in place of the numbers that mark missing values."""
    for sign, quoted in ((NULL, b"null"), (EMPTY, b'""')):
        rows = rows.replace(f'"{sign}"'.encode(), quoted).replace(sign.encode(), b"null")
    return rows


class Refused(Exception):
    """A request that the exchange refuses. `name`: the key of the answer in the venue's refusals."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class CandleRequest:
    """A candle request as the exchange understands it: candles in [start, end), in epoch milliseconds."""

    market_id: str
    seconds: int  # the length of the timeframe
    limit: int
    start: int | None = None
    end: int | None = None
    keep: Literal["oldest", "newest"] = "oldest"  # the rows to return if more than `limit` rows are in range
    unfinished: bool = True  # whether the answer includes the unfinished candle


@dataclass(frozen=True)
class Edges:
    """The rules that select the rows of an answer to a request from `start` to `end`.

    start, end: whether a row at exactly this time is in the answer.
    keep: which rows are returned if a request has a start, and more rows than the limit are in range. A request without
    a start returns the newest rows.
    start_ignored: when the start has no effect: `never`, `always`, or `with end` (if the request has an end).
    """

    start: Literal["inclusive", "exclusive"] = "inclusive"
    end: Literal["inclusive", "exclusive"] = "inclusive"
    keep: Literal["oldest", "newest"] = "oldest"
    start_ignored: Literal["never", "with end", "always"] = "never"

    def without_useless_start(self, start: int | None, end: int | None) -> int | None:
        ignored = self.start_ignored == "always" or (self.start_ignored == "with end" and end is not None)
        return None if ignored else start


@dataclass(frozen=True)
class PageContext:
    """The values that a page can contain in addition to its rows."""

    request: CandleRequest
    instrument: Instrument
    now_ms: int

    @property
    def last_closed_ms(self) -> int:
        """Return the start of the last finished candle."""
        step = self.request.seconds * 1_000
        return self.now_ms // step * step - step


Adjust = Callable[[CandleRequest, str, Mapping[str, str], int], CandleRequest]


def as_it_is(request: CandleRequest, path: str, query: Mapping[str, str], now_ms: int) -> CandleRequest:
    return request


def enclosed(before: bytes, after: bytes) -> Callable[[bytes, PageContext], bytes]:
    """Return a page format: the rows between two fixed texts."""

    def page(rows: bytes, context: PageContext) -> bytes:
        return before + rows + after

    return page


@dataclass(frozen=True, kw_only=True)
class WireFormat:
    """The format of one exchange. It has no state and no clock.

    candles: a regular expression of the paths that serve candles. A named group gives the parameter with the same name.
    markets: a regular expression of the paths that serve the list of markets.
    others: further paths. The key is the ending of the path. The value is a function that returns the answer at
        `now_ms`.
    symbol, timeframe, limit, start, end: the names of the parameters.
    unit: the length of one unit of start and end in milliseconds; None: the times are ISO 8601 texts.
    selector: a parameter that selects the endpoint; None if the path alone selects it. The value of the parameter
        is added to the path ("/info" with {"type": "x"} is "/info/x").
    adjust: a function that changes the parsed request by rules that this table cannot express. It may raise Refused.
    row: formats a candle as JSON.
    page: formats the body of an answer with the given rows.
    record: formats a market of the list.
    listing: formats the body of an answer with the given records.
    null_page: a well-formed answer in which the candles are null.
    """

    candles: str
    markets: str
    timeframes: Mapping[str, int]  # the key is the exchange's name of a timeframe, the value is its length in seconds
    default_limit: int
    row: Callable[[Candle], str]
    page: Callable[[bytes, PageContext], bytes]
    record: Callable[[Instrument, int], Any]
    listing: Callable[[list[Any], str, Mapping[str, str]], Any]
    null_page: bytes
    others: Mapping[str, Callable[[int], Any]] = field(default_factory=dict)
    symbol: str = "symbol"
    timeframe: str = "interval"
    limit: str = "limit"
    start: str = "startTime"
    end: str = "endTime"
    unit: int | None = 1
    selector: str | None = None
    edges: Edges = Edges()
    adjust: Adjust = as_it_is

    def route(self, path: str, query: Mapping[str, str]) -> str:
        """Return the path. If a parameter selects the endpoint, add the value of the parameter."""
        return f"{path}/{query.get(self.selector, '')}" if self.selector else path

    def kind(self, path: str) -> PathKind | None:
        """Return the kind of a path, or None if the exchange does not have the path."""
        if re.fullmatch(self.candles, path):
            return "candles"
        if re.fullmatch(self.markets, path):
            return "markets"
        return "other" if self._other(path) else None

    def request(self, path: str, query: Mapping[str, str], now_ms: int, page_limit: int) -> CandleRequest:
        """Parse the candle request in `path` and `query`. Raises Refused."""
        found = re.fullmatch(self.candles, path)
        given = {**query, **({} if found is None else found.groupdict())}
        if self.symbol not in given:
            raise Refused("bad_request")
        seconds = self.timeframes.get(given.get(self.timeframe, ""))
        if seconds is None:
            raise Refused("bad_interval")
        start, end = self._time(given, self.start), self._time(given, self.end)
        start = self.edges.without_useless_start(start, end)
        if start is not None and self.edges.start == "exclusive":
            start += 1
        if end is not None and self.edges.end == "inclusive":
            end += 1
        request = CandleRequest(
            market_id=given[self.symbol],
            seconds=seconds,
            limit=min(whole(given, self.limit) or self.default_limit, page_limit),
            start=start,
            end=end,
            keep="newest" if start is None else self.edges.keep,
        )
        return self.adjust(request, path, given, now_ms)

    def rows(self, times: Sequence[int], texts: Texts, seconds: int, closed: bool) -> list[str]:
        """Return the JSON text of each candle, in the given order."""
        columns = zip(times, *texts, strict=True)
        return [self.row(Candle(t, o, h, low, c, v, seconds, closed)) for t, o, h, low, c, v in columns]

    def other(self, path: str, now_ms: int) -> Any:
        """Return the answer of a path that serves neither candles nor markets, ready for JSON."""
        answer = self._other(path)
        return {} if answer is None else answer(now_ms)

    def _other(self, path: str) -> Callable[[int], Any] | None:
        return next((answer for suffix, answer in self.others.items() if path.endswith(suffix)), None)

    def _time(self, query: Mapping[str, str], name: str) -> int | None:
        if self.unit is not None:
            number = whole(query, name)
            return None if number is None else number * self.unit
        text = query.get(name)
        if not text:
            return None
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            raise Refused("bad_request") from None
        return round((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp() * 1_000)


def whole(query: Mapping[str, str], key: str, refusal: str = "bad_request") -> int | None:
    """Return the integer parameter `key`, or None if it is absent. Raises Refused if it is not an integer."""
    text = query.get(key)
    if text is None or text == "":
        return None
    try:
        return int(text)
    except ValueError:
        raise Refused(refusal) from None


def step_text(decimals: int) -> str:
    """Return the smallest step of a number with this many decimals, such as 0.001."""
    return f"{10.0**-decimals:.{decimals}f}"
