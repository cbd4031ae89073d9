"""One exchange as ccxt speaks to it, made strict.

ccxt turns an answer that it cannot read into an empty list of candles, which a backfill would take for "no
data"; it polls its throttle, sorts and filters what it parsed, and loads all markets before the first candle. The
classes made here are ccxt's own with those few methods replaced:

- `fetch` and `parse_json` raise BadResponse unless the answer is JSON with an object or a list in it
- `parse_json` and `parse_ohlcvs` take the candles of the exchanges with a `Venue.wire` from the text by `rows`; an
  empty list is believed only if it is one that the exchange sent, and rows that ccxt would filter are kept: what lies
  around a page is evidence
- `throttle` is `pacing.Pacer`
- `on_rest_response` keeps status and headers for `failures.classify`
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import certifi
import numpy as np
from ccxt import async_support
from ccxt.base.errors import BadResponse

from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series, to_ms
from titan10_dagster.errors import (
    Banned,
    FetchError,
    MalformedAnswer,
    Postponed,
    Refused,
    StoreError,
    Throttled,
    UnknownSymbol,
)
from titan10_dagster.exchanges.breaker import Breaker
from titan10_dagster.exchanges.failures import classify, safe_cause
from titan10_dagster.exchanges.pacing import SAFE_SHARE, Pacer, TooLate
from titan10_dagster.exchanges.rows import Rows, checked, decode, holds_no_candles, parse
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.exchanges.venues.venue import Venue, Wire
from titan10_dagster.planning.pace import Pace

TIMEOUT_MS = 20_000
_COUNT_EVERY = 60.0  # seconds between two times that the requests made are added to the count of all processes
_ROUND_TRIP = 0.5  # seconds; a far exchange on a bad day
_UNPACED_CONCURRENCY = 32
_MOST_CONCURRENT = 64
_CLOCK_SLACK = timedelta(minutes=5)
_DATE_SLACK = timedelta(seconds=2)  # a header's date has whole seconds, and is set a little before the answer leaves


def _always() -> None:
    """Who has no breaker may always ask."""


@dataclass
class _Answer:
    """What came back to the request of the present task; `of_candles`: that is what it asked for."""

    of_candles: bool = False
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    made: datetime | None = None  # by the exchange's clock
    age: timedelta = timedelta(0)  # the time since then that it lay in caches
    received: datetime | None = None  # by this machine's clock, whatever the client's says
    parsed: Any = None
    requested_at: datetime | None = None
    sent: float = 0.0  # time.monotonic
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return self.status is not None and self.status < 400

    @property
    def skew(self) -> timedelta:
        """By which this machine's clock is ahead of the exchange's; zero where the answer does not tell."""
        return self.received - self.made - self.age if self.made and self.received else timedelta(0)

    @property
    def staleness(self) -> timedelta:
        """How long before it was asked for it was made, as the two clocks have it; zero for a second or two.

        This machine's clock is ahead, or it comes from a cache.
        """
        if self.made is None or self.received is None:
            return timedelta(0)
        stale = self.received - timedelta(seconds=self.seconds) - self.made
        return stale if stale > _DATE_SLACK else timedelta(0)


# One task makes one request at a time, so what it keeps here is its own however many run side by side.
_answer: ContextVar[_Answer | None] = ContextVar("answer", default=None)


@dataclass(frozen=True, eq=False)
class Page:
    """The rows of one answer: (n, 6) float64 [ms, open, high, low, close, volume], by time, whole and unfiltered.

    Rows from before `since` and after the page may be among them, and the unfinished candle, which ends after
    `requested_at`: the time (aware, UTC) before the request was sent, by the exchange's clock where that is behind
    this machine's. `seconds`: how long the exchange took.
    """

    rows: Rows
    requested_at: datetime
    seconds: float


@dataclass
class Counters:
    """What a client did so far; seconds side by side are added up, but those of parsing are CPU time."""

    requests: int = 0
    rows: int = 0
    request_seconds: float = 0.0
    parse_seconds: float = 0.0


class ExchangeClient:
    """An exchange, inside `async with`.

    markets: those whose candles will be fetched; no request is made to learn them. base_url: replaces scheme and
    host of every address (a proxy, a sandbox). proxy: http:// or socks5:// URL. pace_share: the share of the
    allowed request rate to use. paced=False removes the pace (benchmarks). breaker: where pace and requests are kept
    for all clients of the exchange; without it they are this one's alone. now: the clock.
    """

    def __init__(
        self,
        exchange: str,
        markets: Iterable[Market] = (),
        *,
        base_url: str | None = None,
        proxy: str | None = None,
        paced: bool = True,
        pace_share: float = SAFE_SHARE,
        timeout_ms: int = TIMEOUT_MS,
        breaker: Breaker | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if not 0 < pace_share <= 1:
            raise ValueError(f"pace_share must be in (0, 1], not {pace_share}")
        self.exchange = exchange
        self.venue = venue_of(exchange)
        self.markets: Mapping[str, Market] = {market.symbol: market for market in markets}
        self.counters = Counters()
        self.now = now
        # Called before each request: how fast it may be asked, None for as before; it may raise a FetchError.
        self.confirm: Callable[[], Pace | None] = _always
        self._pace: Pace | None = None  # the last one that was told
        self._banned: Banned | None = None
        self._base_url = base_url
        self._proxy = proxy
        self._timeout_ms = timeout_ms
        self._breaker = breaker
        self._counted, self._counted_at = 0, time.monotonic()
        self._share = pace_share * self.venue.budget if paced else None
        self._session: aiohttp.ClientSession | None = None
        self._ccxt: Any = None
        self.pacer = Pacer(0)

    @property
    def requests(self) -> int:
        return self.counters.requests

    @property
    def ccxt(self) -> Any:
        """The ccxt instance, which belongs to the running event loop."""
        if self._ccxt is None:
            raise RuntimeError(f"the client of {self.exchange} is not open: use `async with`")
        return self._ccxt

    @property
    def concurrency(self) -> int:
        """How many requests must be under way for the pace, not the round trip, to set the speed."""
        if self._share is None:
            return _UNPACED_CONCURRENCY
        return min(2 + int(_ROUND_TRIP / self.pacer.spacing), _MOST_CONCURRENT)

    async def __aenter__(self) -> Self:
        exchange = strict_class(self.exchange)(self._config())
        self.pacer = Pacer(exchange.rateLimit / 1000 / self._share if self._share else 0)
        if self._breaker is not None:
            self._go_at(self._breaker.pace())
        exchange.turn, exchange.counters, exchange.clock = self._turn, self.counters, self.now
        if self._base_url:
            exchange.urls = {**exchange.urls, "api": _rebased(exchange.urls["api"], self._base_url)}
        connector = aiohttp.TCPConnector(ssl=_ssl_context(), limit=_MOST_CONCURRENT)
        self._session = aiohttp.ClientSession(connector=connector)
        exchange.session, exchange.own_session = self._session, False
        self._ccxt = exchange
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        exchange, session = self.ccxt, self._session
        self._ccxt = self._session = None
        # ccxt sleeps here for the sake of TLS connections that say goodbye.
        exchange.timeout_on_exit = 0 if (self._base_url or "").startswith("http:") else 250
        if session is not None:
            await session.close()
        await exchange.close()
        self._count_requests()

    async def fetch_page(self, series: Series, since: datetime, limit: int) -> Page:
        """One request for `limit` candles from `since`, not retried.

        Raises the FetchError that `failures.classify` makes of what went wrong, and Postponed where nothing was asked
        because the pacer's deadline came first.
        """
        if series.symbol not in self.markets:
            text = f"{self.exchange} {series.symbol}: not among the markets this client was given"
            raise UnknownSymbol(text, exchange=self.exchange, symbol=series.symbol)
        exchange, answer = self.ccxt, _Answer(of_candles=True)
        token = _answer.set(answer)
        try:
            rows = _as_rows(await exchange.fetch_ohlcv(series.symbol, series.timeframe.name, to_ms(since), limit))
        except TooLate:
            text = f"{self.exchange} {series.symbol}: no time was left to ask"
            raise Postponed(text, exchange=self.exchange, symbol=series.symbol) from None
        except FetchError:  # it was not asked
            raise
        except Exception as error:  # noqa: BLE001  it is raised again, as one of ours
            raise self._failure(error, answer, series.symbol) from safe_cause(error)
        finally:
            _answer.reset(token)
        self._check_clock(answer)
        if time.monotonic() > self._counted_at + _COUNT_EVERY:
            self._count_requests()
        self.counters.rows += len(rows)
        return Page(rows, (answer.requested_at or self.now()) - answer.staleness, answer.seconds)

    async def fetch_markets(self) -> list[Market]:
        """All spot markets, active or not, in as few requests as the exchange allows (mostly one)."""
        exchange, answer = self.ccxt, _Answer()
        token = _answer.set(answer)
        try:
            listed = await (self.venue.list_markets or _list_markets)(exchange)
            markets = _unique(_market(self.venue, one) for one in listed if one and one.get("spot"))
        except FetchError:  # it was not asked
            raise
        except Exception as error:  # noqa: BLE001  it is raised again, as one of ours
            raise self._failure(error, answer, None) from safe_cause(error)
        finally:
            _answer.reset(token)
        self._check_clock(answer)
        if not markets:
            raise MalformedAnswer(f"{self.exchange}: its list of markets has no spot market", exchange=self.exchange)
        return markets

    async def _turn(self, cost: float) -> None:
        """Returns when a request may be made; begins anew where another process was asked to rest meanwhile."""
        admitted = False
        while not admitted:
            await self.pacer.wait(cost)
            admitted = self._admit()

    def _admit(self) -> bool:
        """Whoever waited for the pace meanwhile, or asks in another process, learns of a ban before it asks.

        False: the pace has become another one.
        """
        if self._banned is not None:
            raise self._banned
        pace = self.confirm()
        if pace is None or pace == self._pace:
            return True
        self._go_at(pace)
        return False

    def _failure(self, error: Exception, answer: _Answer, symbol: str | None) -> FetchError:
        failure = classify(error, answer.status, answer.headers, exchange=self.exchange, symbol=symbol, now=self.now())
        if isinstance(failure, Throttled) and failure.retry_after is not None:
            self.pacer.rest(failure.retry_after.total_seconds(), answer.sent)
            self._remember(failure, answer.requested_at or self.now())
        if isinstance(failure, Banned):
            self._banned = failure
        return failure

    def _remember(self, failure: Throttled, requested_at: datetime) -> None:
        # Without the database this client has slowed down all the same, and what it fetches can still land.
        with suppress(StoreError):
            if self._breaker is not None:
                self._go_at(self._breaker.slowed(failure, requested_at))

    def _go_at(self, pace: Pace) -> None:
        self._pace, now = pace, self.now()
        self.pacer.go_at(pace.as_of(now), pace.rest(now).total_seconds())

    def _count_requests(self) -> None:
        made = self.requests - self._counted
        with suppress(StoreError):  # they are counted later, or by nobody
            if self._breaker is not None and made:
                self._breaker.made(made)
                self._counted += made
        self._counted_at = time.monotonic()

    def _check_clock(self, answer: _Answer) -> None:
        """A clock that is far ahead would call candles out of reach that are not, and write them off."""
        skew = answer.skew
        if abs(skew) <= _CLOCK_SLACK:
            return
        minutes, way = abs(skew) / timedelta(minutes=1), "ahead of" if skew > timedelta(0) else "behind"
        raise Refused(
            f"{self.exchange}: this machine's clock is off by {minutes:.0f} minutes ({way} the exchange's), so it"
            " would ask for other candles than are meant: correct it (NTP), then ask again.",
            exchange=self.exchange,
        )

    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "enableRateLimit": True,
            "timeout": self._timeout_ms,
            "ssl_context": _ssl_context(),
            "options": {"fetchMarkets": {"types": ["spot"]}, "maxRetriesOnFailure": 0},
            "has": {"fetchCurrencies": False},
            "enableLastHttpResponse": False,
            "enableLastResponseHeaders": False,
            "markets": {symbol: _ccxt_market(market) for symbol, market in self.markets.items()},
        }
        if self._proxy:
            config["socksProxy" if self._proxy.startswith("socks") else "aiohttp_proxy"] = self._proxy
        return config


@cache
def strict_class(exchange: str) -> type[Any]:
    """ccxt's asynchronous class of this exchange, with the methods that guess replaced by ones that tell."""
    base: type[Any] = getattr(async_support, exchange)
    wire = venue_of(exchange).wire

    class Strict(base):  # type: ignore[misc]
        turn: Callable[[float], Awaitable[None]]
        counters: Counters
        clock: Callable[[], datetime]

        def milliseconds(self) -> int:
            # okx's class chooses its endpoint by the age of the candles.
            return to_ms(self.clock())

        async def throttle(self, cost: float | None = None) -> None:
            await self.turn(1.0 if cost is None else cost)

        async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
            answer = _answer.get() or _Answer()
            self.counters.requests += 1
            answer.requested_at, answer.sent = self.clock(), time.monotonic()
            answer.status, answer.headers = None, {}
            try:
                answer.parsed = await super().fetch(url, method, headers, body)
            finally:
                answer.seconds = time.monotonic() - answer.sent
                self.counters.request_seconds += answer.seconds
            return _json(answer.parsed, answer.parsed)

        def on_rest_response(self, code: int, reason: str, url: str, method: str, *rest: Any) -> str:
            headers, body = rest[0], rest[1]
            answer = _answer.get()
            if answer is not None:
                answer.status, answer.headers, answer.received = code, headers, datetime.now(UTC)
                answer.made, answer.age = _made(headers)
            text: str = body.strip()
            return text

        def parse_json(self, http_response: str) -> Any:
            # Before ccxt's `handle_errors`, which calls some junk an error of the exchange's own.
            answer = _answer.get() or _Answer()
            parsed = _candles(http_response, wire, self.counters) if answer.of_candles and answer.good else None
            if parsed is None:
                parsed = super().parse_json(http_response)
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
            answer = _answer.get()
            if not ohlcvs and answer is not None and not holds_no_candles(answer.parsed, ohlcvs, wire):
                raise BadResponse("no list of candles in the answer")
            began = time.thread_time()
            rows = parse(ohlcvs, wire, lambda row: self.parse_ohlcv(row, market))
            self.counters.parse_seconds += time.thread_time() - began
            return rows if wire else rows.tolist()

    Strict.__name__ = Strict.__qualname__ = f"Strict{exchange.capitalize()}"
    return Strict


def _candles(text: str, wire: Wire | None, counters: Counters) -> Any:
    began = time.thread_time()
    candles = decode(text, wire)
    counters.parse_seconds += time.thread_time() - began
    return candles


def _made(headers: Mapping[str, str]) -> tuple[datetime | None, timedelta]:
    """The answer's date, None where it has none that can be read, and how old it has grown in caches since."""
    named = {name.lower(): value for name, value in headers.items()}
    try:
        made, age = parsedate_to_datetime(named["date"]), timedelta(seconds=int(named.get("age", 0)))
    except (LookupError, ValueError, OverflowError):
        return None, timedelta(0)
    return made if made.tzinfo else made.replace(tzinfo=UTC), age


def _json(parsed: Any, text: Any) -> Any:
    if not isinstance(parsed, (dict, list)):
        raise BadResponse(f"not JSON, but {str(text)[:80]!r}")
    return parsed


def _as_rows(parsed: Any) -> Rows:
    return parsed if isinstance(parsed, np.ndarray) else checked(np.array(parsed, np.float64).reshape(-1, 6))


@cache
def _ssl_context() -> ssl.SSLContext:
    """One for all clients: making it takes 26 ms."""
    return ssl.create_default_context(cafile=certifi.where())


def _rebased(api: Any, base_url: str) -> Any:
    """ccxt's addresses, nested as they are, with another scheme and host."""
    if isinstance(api, Mapping):
        return {name: _rebased(one, base_url) for name, one in api.items()}
    return base_url.rstrip("/") + urlsplit(api).path if isinstance(api, str) else api


async def _list_markets(exchange: Any) -> list[Any]:
    return list(await exchange.fetch_markets())


def _market(venue: Venue, one: Mapping[str, Any]) -> Market:
    return Market(
        exchange=venue.exchange,
        symbol=one["symbol"],
        market_id=one["id"],
        base=one["base"],
        quote=one["quote"],
        base_id=one["baseId"],
        quote_id=one["quoteId"],
        active=one.get("active") is not False,
        type=one["type"],
        extra={name: one[name] for name in venue.all_market_fields if one.get(name) is not None},
    )


def _unique(markets: Iterable[Market]) -> list[Market]:
    """One market a symbol, by symbol: some exchanges list a market again under a former name, inactive."""
    by_symbol: dict[str, Market] = {}
    for market in markets:
        known = by_symbol.get(market.symbol)
        if known is None or (market.active and not known.active):
            by_symbol[market.symbol] = market
    return [by_symbol[symbol] for symbol in sorted(by_symbol)]


def _ccxt_market(market: Market) -> dict[str, Any]:
    """As little as `fetch_ohlcv` needs. Kraken's id is the key of its result, or no candle is found there."""
    return {
        "id": market.market_id,
        "lowercaseId": market.market_id.lower(),
        "symbol": market.symbol,
        "base": market.base,
        "quote": market.quote,
        "baseId": market.base_id,
        "quoteId": market.quote_id,
        "type": market.type,
        market.type: True,
        "active": market.active,
        **market.extra,
    }
