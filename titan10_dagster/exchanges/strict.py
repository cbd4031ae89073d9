"""ccxt's exchange classes, made strict.

ccxt turns an answer that it cannot read into an empty list of candles, which a backfill would treat as "no data"; it
polls its throttle, sorts and filters parsed rows, and loads all markets before the first candle. The classes of this
module are ccxt's own, with these methods replaced:

- `fetch` and `parse_json` raise BadResponse unless the answer is JSON with an object or a list in it
- `parse_json` and `parse_ohlcvs` read the candles of exchanges with a `Wire` record with `rows`. An empty list counts
  only if the exchange sent it. Rows that ccxt would filter are kept, because the rows around a page are
  evidence
- `throttle` waits for `pacing.Pacer`
- `__dir__` makes the constructor faster
- `on_rest_response` keeps status and headers for `failures.classify`
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from types import MappingProxyType, MethodType
from typing import Any, ClassVar

import numpy as np
from ccxt import async_support
from ccxt.base.errors import BadResponse, ExchangeError

from titan10_dagster.candles.slices import to_ms
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.exchanges.containers import container_of
from titan10_dagster.exchanges.refusals import is_error
from titan10_dagster.exchanges.rows import ParsedRows, decode, holds_no_candles, parse, split
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.exchanges.venues.venue import Wire
from titan10_dagster.planning.quota import Release

MOST_RECORDS = 20_000  # in a market list; the longest known has about 4,000
_MILLISECONDS = re.compile(r"\d{13}")
_DATE_SLACK = timedelta(seconds=2)  # a Date header has whole seconds, and is set shortly before the answer is sent


@dataclass
class Answer:
    """The answer to the request of the current task. `of_candles`: the request was for candles."""

    of_candles: bool = False
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    made: datetime | None = None  # by the exchange's clock
    age: timedelta = timedelta(0)  # how long the answer was in caches
    received: datetime | None = None  # by this machine's clock, even if the client uses another one
    parsed: Any = None
    rows: ParsedRows | None = None  # the rows, as this class's `parse_ohlcvs` read them
    proxy: str | None = None  # the proxy of the request
    recorded: dict[str, Any] = field(default_factory=dict)  # answers of the task without candles, by request
    replayed: Mapping[str, Any] | None = None  # what to answer without a request
    under_way: int = 0  # requests without a good answer so far
    releases: list[Release] = field(default_factory=list)  # releases of requests that have not ended
    requested_at: datetime | None = None
    sent: float = 0.0  # time.monotonic
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def skew(self) -> timedelta:
        """Return how far this machine's clock is ahead of the exchange's; zero if the answer has no usable date."""
        return self.received - self.made - self.age if self.made and self.received else timedelta(0)

    @property
    def staleness(self) -> timedelta:
        """Return how much older the answer is than its request, by the two clocks; zero for up to two seconds.

        A value above zero means that this machine's clock is ahead, or that the answer comes from a cache.
        """
        if self.made is None or self.received is None:
            return timedelta(0)
        stale = self.received - timedelta(seconds=self.seconds) - self.made
        return stale if stale > _DATE_SLACK else timedelta(0)


# A task makes one request at a time, so each task has its own answer, even if many tasks run concurrently.
current_answer: ContextVar[Answer | None] = ContextVar("answer", default=None)


@dataclass
class Counters:
    """The work of a client so far. The seconds of parallel requests are added up; parsing is CPU time."""

    requests: int = 0
    rows: int = 0
    request_seconds: float = 0.0
    parse_seconds: float = 0.0


class _Clocked:
    """ccxt's clock methods, replaced by the client's clock.

    The classes of okx and bitget choose their endpoint by the age of the candles, and the class of gate ends a page at
    this time.
    """

    clock: Callable[[], datetime]

    def milliseconds(self) -> int:
        return to_ms(self.clock())

    def seconds(self) -> int:
        return self.milliseconds() // 1_000

    def microseconds(self) -> int:
        return self.milliseconds() * 1_000


class _Requests:
    """The methods of a strict class that make requests, or replay their answers."""

    turn: Callable[[float], Awaitable[None]]
    ended: Callable[[], None]  # called after each request that the throttle released
    counters: Counters
    clock: Callable[[], datetime]
    proxy_for: Callable[[str], str | None]

    async def throttle(self, cost: float | None = None) -> None:
        if _present_answer().replayed is None:
            await self.turn(1.0 if cost is None else cost)

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        answer, key = _present_answer(), _request_key(url, method, body)
        if answer.replayed is not None:
            return answer.replayed[key]
        self.counters.requests += 1
        answer.requested_at, answer.sent = self.clock(), time.monotonic()
        answer.status, answer.headers = None, {}
        answer.proxy = self.proxy_for(url)
        # A SOCKS proxy is configured in the session.
        self.aiohttp_proxy = None if (answer.proxy or "").startswith("socks") else answer.proxy
        answer.under_way += 1
        try:
            answer.parsed = await super().fetch(url, method, headers, body)  # type: ignore[misc]
        finally:
            answer.seconds = time.monotonic() - answer.sent
            self.counters.request_seconds += answer.seconds
            self.ended()
        parsed = _json(answer.parsed, answer.parsed)
        if not answer.good:  # ccxt does not know every status, and an empty list would count as "no candles"
            raise BadResponse(f"data with the status {answer.status}, which is not the status of an answer")
        if not answer.of_candles:
            _record(answer, key)
        answer.under_way -= 1
        return parsed

    def on_rest_response(self, code: int, reason: str, url: str, method: str, *rest: Any) -> str:
        headers, body = rest[0], rest[1]
        answer = current_answer.get()
        if answer is not None:
            answer.status, answer.headers, answer.received = code, headers, datetime.now(UTC)
            answer.made, answer.age = _made(headers)
        text: str = body.strip()
        return text


class _MadeQuickly:
    """ccxt's constructor, without the work that it repeats for each instance of a class.

    The constructor goes through all names of the new instance, 1,900 to 4,000, and gives a method such as
    `fetch_ohlcv` the second name `fetchOHLCV`. It puts that name in the class, so later instances have it already. This
    is two thirds of the 2 to 4 ms that an instance takes, and each poll of an exchange makes one.
    """

    _names_of_values: ClassVar[frozenset[str] | None] = None  # set by the first instance of a class

    def __init__(self, config: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__(config)  # type: ignore[call-arg]
        class_ = type(self)
        if class_._names_of_values is None:
            values = [name for name in dir(class_) if not isinstance(getattr(self, name), MethodType)]
            class_._names_of_values = frozenset(values)

    def __dir__(self) -> Iterable[str]:
        """Return all names. After the first instance, leave out methods, because ccxt's constructor calls this."""
        values = self._names_of_values
        return super().__dir__() if values is None else values | vars(self).keys()


@cache
def strict_class(exchange: str) -> type[Any]:
    """Return ccxt's asynchronous class of this exchange, with strict methods in place of methods that guess."""
    base: type[Any] = getattr(async_support, exchange)
    wire = venue_of(exchange).wire
    has_own_parser = base.parse_ohlcvs is not async_support.Exchange.parse_ohlcvs

    class Strict(_MadeQuickly, _Clocked, _Requests, base):  # type: ignore[misc]
        def parse_json(self, http_response: str) -> Any:
            # This runs before ccxt's `handle_errors`, which treats some invalid answers as errors of the exchange.
            answer = _present_answer()
            parsed = _candles(http_response, wire, self.counters) if answer.of_candles and answer.good else None
            if parsed is None:
                parsed = _parsed_leniently(http_response, super().parse_json(http_response))
            return _json(parsed, http_response) if answer.good else parsed

        def parse_ohlcvs(
            self,
            ohlcvs: Any,
            market: Any = None,
            timeframe: str = "1m",
            since: int | None = None,
            limit: int | None = None,
            tail: bool = False,
        ) -> Any:
            answer = _present_answer()
            step = Timeframe.parse(timeframe).ms
            began = time.thread_time()
            if has_own_parser:  # its answer is not a list of rows
                rows = super().parse_ohlcvs(ohlcvs, market, timeframe)
                _check_list(answer, rows, wire)
                answer.rows = split(rows, step)
            else:
                _check_list(answer, ohlcvs, wire)
                requested_at = None if answer.requested_at is None else to_ms(answer.requested_at)
                answer.rows = parse(ohlcvs, wire, lambda row: self.parse_ohlcv(row, market), step, requested_at)
            self.counters.parse_seconds += time.thread_time() - began
            return answer.rows.candles if wire else answer.rows.candles.tolist()

    Strict.__name__ = Strict.__qualname__ = f"Strict{exchange.capitalize()}"
    return Strict


def _present_answer() -> Answer:
    return current_answer.get() or Answer()


def _request_key(url: str, method: str, body: Any) -> str:
    """Return what distinguishes one request of a task from another. Some classes add the present time to it."""
    return f"{method} {_MILLISECONDS.sub('', url)} {body or ''}"


def _record(answer: Answer, key: str) -> None:
    """Keep an answer with markets, so that ccxt can parse it again in parts.

    Raises BadResponse if its list is far too long: ccxt would parse it for minutes.
    """
    answer.recorded[key] = answer.parsed
    container = container_of(answer.parsed)
    if container is not None and len(container.items) > MOST_RECORDS:
        raise BadResponse(f"a list of {len(container.items):,} records; up to {MOST_RECORDS:,} are accepted")


def _check_list(answer: Answer, rows: Any, wire: Wire | None) -> None:
    """Check an answer without rows.

    Raises ExchangeError if the answer is an error, and BadResponse if it contains no list of rows at all.
    """
    if len(rows or ()) or answer.parsed is None:
        return
    if is_error(answer.parsed):
        raise ExchangeError(f"an error with an empty list of candles: {json.dumps(answer.parsed, default=str)}")
    if not holds_no_candles(answer.parsed, rows, wire):
        raise BadResponse("no list of candles in the answer")


def _candles(text: str, wire: Wire | None, counters: Counters) -> Any:
    began = time.thread_time()
    candles = decode(text, wire)
    counters.parse_seconds += time.thread_time() - began
    return candles


def _made(headers: Mapping[str, str]) -> tuple[datetime | None, timedelta]:
    """Return the answer's date (None if it is absent or invalid) and how long the answer was in caches since then."""
    named = {name.lower(): value for name, value in headers.items()}
    try:
        made, age = parsedate_to_datetime(named["date"]), timedelta(seconds=max(0, int(named.get("age", 0))))
    except (LookupError, ValueError, OverflowError):
        return None, timedelta(0)
    return made if made.tzinfo else made.replace(tzinfo=UTC), age


def _parsed_leniently(text: str, parsed: Any) -> Any:
    """Return `parsed`, or what Python's own parser reads if ccxt's parser refuses the text.

    ccxt's parser refuses a whole market list if one name holds half of a surrogate pair, or if the text begins with a
    byte order mark.
    """
    if isinstance(parsed, (dict, list)):
        return parsed
    try:
        return json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return parsed


def _json(parsed: Any, text: Any) -> Any:
    if not isinstance(parsed, (dict, list)):
        raise BadResponse(f"not JSON, but {str(text)[:80]!r}")
    return parsed


def content_of(answer: Answer, returned: Any, step: int) -> ParsedRows:
    """Return the content of an answer to a request for candles.

    `rows` is ccxt's result for it. If ccxt's class processed the rows after `parse_ohlcvs`, or did not call it, its
    result replaces the candles.
    """
    if isinstance(returned, np.ndarray) and answer.rows is not None:
        return answer.rows
    if answer.rows is None:
        return split(returned, step)
    return replace(answer.rows, candles=split(returned, step, checked=True).candles)
