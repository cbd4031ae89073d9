"""Strict versions of ccxt's exchange classes.

ccxt returns an empty list of candles if it cannot read an answer. A backfill would treat this list as "no data". ccxt
also sorts and filters rows, and polls in its rate limiter. The classes in this module are subclasses of ccxt's classes
and replace these methods:

- `fetch` and `parse_json` raise BadResponse if the answer is not JSON with an object or a list.
- `parse_json` and `parse_ohlcvs` use the modules `decoding` and `rows` to read candles. An empty list of candles is
  accepted only if the exchange sent this list. Rows outside of the requested page are kept, because they are evidence
  for absent candles.
- `throttle` waits for `pacing.Pacer`.
- `milliseconds`, `seconds` and `microseconds` use the client's clock.
- `__dir__` returns fewer names, which makes the constructor faster.
- `on_rest_response` keeps the HTTP status and headers for `failures.classify`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache, lru_cache
from types import MappingProxyType, MethodType
from typing import Any, ClassVar

import numpy as np
from ccxt import async_support
from ccxt.base.errors import BadResponse, ExchangeError

from titan10_dagster.candles.slices import to_ms
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.exchanges.containers import container_of
from titan10_dagster.exchanges.decoding import decode, last_finished
from titan10_dagster.exchanges.refusals import is_error, is_sent_empty_list, without_warnings
from titan10_dagster.exchanges.rows import ParsedRows, parse, split
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.exchanges.venues.venue import EACH, Venue, Wire
from titan10_dagster.planning.quota import Release

MOST_RECORDS = 20_000  # the maximum number of records in a market list; the longest known list has about 4,000 records
_QUOTED_CHARACTERS = 80
_MOST_DECIMALS = 100  # a market's precision cannot have more decimals
_MILLISECONDS = re.compile(r"\d{13}")
# A Date header is often a little earlier than the request. A difference of at most this length shows neither a wrong
# clock nor a cache: the header has only whole seconds, and servers do not set it exactly when they send the answer.
_DATE_SLACK = timedelta(seconds=2)
# An answer cannot be older. A cache that cannot compute the age of an answer sends 68 years.
_OLDEST = timedelta(days=365)


@dataclass
class Answer:
    """The answer to the request of the current task, and facts about the request.

    of_candles: whether the request was for candles.
    dated: the date of the answer according to the exchange's clock.
    age: how long the answer was in caches.
    received: the time of the answer according to this machine's clock. `requested_at` comes from the client's clock,
        which can be another clock.
    parsed: the decoded body of the answer.
    rows: the rows that `parse_ohlcvs` has read.
    proxy: the proxy of the request.
    recorded: the answers to requests of this task that are not for candles, each with the key of its request.
    replayed: answers that `fetch` returns without making a request, each with the key of its request; None if requests
        are made.
    under_way: the number of requests that have not been answered successfully.
    releases: the pacer's records of the requests that were allowed and have not ended (see `Pacer.wait`).
    sent: the time of the request by time.monotonic.
    seconds: how long the exchange took to answer.
    """

    of_candles: bool = False
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    dated: datetime | None = None
    age: timedelta = timedelta(0)
    received: datetime | None = None
    parsed: Any = None
    rows: ParsedRows | None = None
    proxy: str | None = None
    recorded: dict[str, Any] = field(default_factory=dict)
    replayed: Mapping[str, Any] | None = None
    under_way: int = 0
    releases: list[Release] = field(default_factory=list)
    requested_at: datetime | None = None
    sent: float = 0.0
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def skew(self) -> timedelta:
        """Return how far this machine's clock is ahead of the exchange's clock; zero if the answer has no date.

        A cache should not change the date of an answer. But some caches send the current date together with the age.
        Therefore the date is read in both ways, and the smaller difference of the clocks is returned.
        """
        if self.dated is None or self.received is None:
            return timedelta(0)
        ahead = self.received - self.dated
        return min(ahead, ahead - self.age, key=abs)

    @property
    def staleness(self) -> timedelta:
        """Return how long before the request the answer was made; zero if this time is at most two seconds.

        It is the time since the date of the answer, or the age of the answer, if the age is larger. A value above zero
        means that this machine's clock is ahead, or that the answer comes from a cache.
        """
        if self.dated is None or self.received is None:
            return timedelta(0)
        stale = max(self.received - timedelta(seconds=self.seconds) - self.dated, self.age)
        return stale if stale > _DATE_SLACK else timedelta(0)


# The answer to the current request of the running task. Each task has its own answer. Therefore many tasks can run at
# the same time.
current_answer: ContextVar[Answer | None] = ContextVar("answer", default=None)


@dataclass
class Counters:
    """The counts and times of a client's work so far.

    request_seconds: the sum of the durations of all requests, even if some of them overlap.
    parse_seconds: the CPU time for parsing.
    """

    requests: int = 0
    rows: int = 0
    request_seconds: float = 0.0
    parse_seconds: float = 0.0


class _Clocked:
    """Replacements of ccxt's clock methods that use the client's clock.

    Some ccxt classes use the clock. The classes `okx` and `bitget` choose their endpoint by the age of the candles. The
    class `gate` ends a page at the current time.
    """

    clock: Callable[[], datetime]

    def milliseconds(self) -> int:
        return to_ms(self.clock())

    def seconds(self) -> int:
        return self.milliseconds() // 1_000

    def microseconds(self) -> int:
        return self.milliseconds() * 1_000


class _Requests:
    """The methods of a strict class that make requests, or return recorded answers without a request.

    turn: a function that waits until a request of the given cost is allowed.
    ended: a function that is called after each request.
    """

    turn: Callable[[float], Awaitable[None]]
    ended: Callable[[], None]
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
        # A SOCKS proxy is set for the whole session, other proxies for each request.
        self.aiohttp_proxy = None if (answer.proxy or "").startswith("socks") else answer.proxy
        answer.under_way += 1
        try:
            answer.parsed = await super().fetch(url, method, headers, body)  # type: ignore[misc]
        finally:
            answer.seconds = time.monotonic() - answer.sent
            self.counters.request_seconds += answer.seconds
            self.ended()
        parsed = _json(answer.parsed, answer.parsed)
        # ccxt does not raise an error for every unusual HTTP status. Without this check, an empty list with such a
        # status would count as "no candles".
        if not answer.good:
            raise BadResponse(f"an answer with the HTTP status {answer.status}, which does not mean success")
        if not answer.of_candles:
            _record(answer, key)
        answer.under_way -= 1
        return parsed

    def on_rest_response(self, code: int, reason: str, url: str, method: str, *rest: Any) -> str:
        headers, body = rest[0], rest[1]
        answer = current_answer.get()
        if answer is not None:
            answer.status, answer.headers, answer.received = code, headers, datetime.now(UTC)
            answer.dated, answer.age = _date_and_age(headers)
        text: str = body.strip()
        return text


class _BoundedPrecision:
    """Replacements of ccxt's parsers of a market's precision, which is a number of decimals.

    ccxt builds a text with this number of zeros. With a huge number, this would fill the memory and never end. Such a
    precision is ignored, because Titan-10 does not use precisions.
    """

    def parse_precision(self, precision: Any) -> Any:
        return None if _is_huge(precision) else super().parse_precision(precision)  # type: ignore[misc]

    def integer_precision_to_amount(self, precision: Any) -> Any:
        return None if _is_huge(precision) else super().integer_precision_to_amount(precision)  # type: ignore[misc]


class _FastConstructor:
    """A faster constructor for ccxt's classes. It leaves out work that only the first instance of a class needs.

    ccxt's constructor reads all names of the new instance (1,900 to 4,000 names). If a name belongs to a method such as
    `fetch_ohlcv`, the constructor adds a second name such as `fetchOHLCV` to the class. Later instances do not need
    this work, because the class already has the second names. Without this class, an instance would be created in 2 to
    4 ms, and the work would take two thirds of this time. Each poll of an exchange creates an instance.
    """

    # The names of the attributes that are not methods. The value is None until the first instance of the class is
    # complete. Then this instance sets it for the whole class.
    _names_of_values: ClassVar[frozenset[str] | None] = None

    def __init__(self, config: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__(config)  # type: ignore[call-arg]
        class_ = type(self)
        if class_._names_of_values is None:
            values = [name for name in dir(class_) if not isinstance(getattr(self, name), MethodType)]
            class_._names_of_values = frozenset(values)

    def __dir__(self) -> Iterable[str]:
        """Return the names that ccxt's constructor reads.

        For the first instance of a class, these are all names. For later instances, the names of methods are left out.
        """
        values = self._names_of_values
        return super().__dir__() if values is None else values | vars(self).keys()


@cache
def strict_class(exchange: str) -> type[Any]:
    """Return a subclass of ccxt's asynchronous class of this exchange, with the strict methods of this module."""
    base: type[Any] = getattr(async_support, exchange)
    venue = venue_of(exchange)
    wire = venue.wire
    has_own_parser = base.parse_ohlcvs is not async_support.Exchange.parse_ohlcvs

    class Strict(_FastConstructor, _BoundedPrecision, _Clocked, _Requests, base):  # type: ignore[misc]
        def parse_json(self, http_response: str) -> Any:
            # This runs before ccxt's `handle_errors`, which treats some invalid answers as errors of the exchange.
            answer = _present_answer()
            parsed = _candles(http_response, wire, self.counters) if answer.of_candles and answer.good else None
            if parsed is None:
                parsed = _parsed_leniently(http_response, super().parse_json(http_response))
            parsed = without_warnings(parsed, venue.exchange, venue.warning)
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
            _check_market(answer.parsed, venue, market)
            began = time.thread_time()
            if has_own_parser:  # the answer of this exchange is not a list of rows
                rows = super().parse_ohlcvs(ohlcvs, market, timeframe)
                _check_list(answer, rows, wire)
                answer.rows = split(rows, step)
            else:
                _check_list(answer, ohlcvs, wire)
                requested_at = None if answer.requested_at is None else to_ms(answer.requested_at)
                try:
                    parsed = parse(ohlcvs, wire, lambda row: self.parse_ohlcv(row, market), step, requested_at)
                except BadResponse as error:  # possibly the list is an error of the exchange, which explains itself
                    raise BadResponse(f"{error}: {str(answer.parsed)[:_QUOTED_CHARACTERS]}") from None
                answer.rows = parsed
                if wire is not None:
                    answer.rows = parsed.without_unfinished(last_finished(answer.parsed, wire))
            self.counters.parse_seconds += time.thread_time() - began
            return answer.rows.candles if wire else answer.rows.candles.tolist()

    Strict.__name__ = Strict.__qualname__ = f"Strict{exchange.capitalize()}"
    return Strict


def _is_huge(precision: Any) -> bool:
    try:
        return abs(int(precision)) > _MOST_DECIMALS
    except (TypeError, ValueError, OverflowError):
        return False


def _present_answer() -> Answer:
    return current_answer.get() or Answer()


def _request_key(url: str, method: str, body: Any) -> str:
    """Return a key that is the same if a task makes the same request again.

    Some of ccxt's classes add the current time to a request. Therefore times are removed from the key.
    """
    return f"{method} {_MILLISECONDS.sub('', url)} {body or ''}"


def _record(answer: Answer, key: str) -> None:
    """Keep the answer to a request that is not for candles. Later, ccxt can parse a market list in the answer in parts.

    Raises:
        BadResponse: the answer contains a list that is much too long. ccxt would need minutes to parse this list.
    """
    answer.recorded[key] = answer.parsed
    container = container_of(answer.parsed)
    if container is not None and len(container.items) > MOST_RECORDS:
        raise BadResponse(f"a list of {len(container.items):,} records; up to {MOST_RECORDS:,} are accepted")


def _check_list(answer: Answer, rows: Any, wire: Wire | None) -> None:
    """Check whether an answer without rows really contains an empty list of rows. If there are rows, do nothing.

    Raises:
        ExchangeError: the answer reports an error.
        BadResponse: the answer contains no list of rows.
    """
    if len(rows or ()) or answer.parsed is None:
        return
    if is_error(answer.parsed):
        raise ExchangeError(f"an error with an empty list of candles: {json.dumps(answer.parsed, default=str)}")
    if not is_sent_empty_list(answer.parsed, rows, wire):
        raise BadResponse("no list of candles in the answer")


def _check_market(parsed: Any, venue: Venue, market: Any) -> None:
    """Check that the candles belong to the requested market. Do nothing if the answer does not name a market.

    Raises:
        BadResponse: the answer names another market.
    """
    for name in _market_names(parsed, venue.market_name) if venue.market_name else ():
        match = re.fullmatch(venue.market_pattern, name)
        if match is not None and _without_separators(match[1]) != _without_separators(str(market["id"])):
            raise BadResponse(f"candles of the market {match[1][:40]!r} instead of {market['id']!r}")


def _market_names(parsed: Any, path: Sequence[str]) -> set[str]:
    """Return the names of markets in an answer. `path`: see `Venue.market_name`."""
    nodes = [parsed]
    for key in path:
        if key == EACH:
            nodes = [item for node in nodes if isinstance(node, list) for item in node]
        else:
            nodes = [node.get(key) for node in nodes if isinstance(node, Mapping)]
    return {node for node in nodes if isinstance(node, str)}


def _without_separators(name: str) -> str:
    return re.sub(r"[-_/]", "", name).lower()


def _candles(text: str, wire: Wire | None, counters: Counters) -> Any:
    began = time.thread_time()
    candles = decode(text, wire)
    counters.parse_seconds += time.thread_time() - began
    return candles


def _date_and_age(headers: Mapping[str, str]) -> tuple[datetime | None, timedelta]:
    """Return the date of the answer, and how long the answer has been in caches since this date.

    If one of the two headers is invalid, or if the date is absent, the result is None and zero.
    """
    named = {name.lower(): value for name, value in headers.items()}
    try:
        dated, age = _date(named["date"]), timedelta(seconds=max(0, int(named.get("age", 0))))
    except (LookupError, ValueError, OverflowError):
        return None, timedelta(0)
    return (dated, age) if age < _OLDEST else (None, timedelta(0))


@lru_cache(64)  # the answers of one second have the same date
def _date(text: str) -> datetime:
    dated = parsedate_to_datetime(text)
    return dated if dated.tzinfo else dated.replace(tzinfo=UTC)


def _parsed_leniently(text: str, parsed: Any) -> Any:
    """Return the text of an answer as parsed JSON. If ccxt's parser failed, use Python's parser.

    ccxt's parser fails if a name in a market list contains half of a surrogate pair, or if the text begins with a byte
    order mark.

    `parsed`: the result of ccxt's parser.
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

    Some ccxt classes change the rows after they called `parse_ohlcvs`, or do not call `parse_ohlcvs` at all. For these
    classes, the result contains the rows that ccxt returned.

    `returned`: the result of ccxt's `fetch_ohlcv`.
    """
    if isinstance(returned, np.ndarray) and answer.rows is not None:
        return answer.rows
    if answer.rows is None:
        return split(returned, step)
    return replace(answer.rows, candles=split(returned, step, checked=True).candles)
