"""The client of one exchange.

The client makes requests at the exchange's pace. It converts each error into an exception of `titan10_dagster.errors`.
ccxt builds the requests and parses the answers. `strict.py` adds checks to ccxt, so that invalid answers raise errors.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import ccxt

from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series, to_ms
from titan10_dagster.errors import (
    Blocked,
    FetchError,
    MalformedAnswer,
    Postponed,
    Refused,
    Stalled,
    StoreError,
    Throttled,
    TransientError,
    UnknownSymbol,
)
from titan10_dagster.exchanges.breaker import Breaker
from titan10_dagster.exchanges.failures import classify, safe_cause
from titan10_dagster.exchanges.market_lists import read_market_list
from titan10_dagster.exchanges.market_records import ccxt_market
from titan10_dagster.exchanges.network import network_failure
from titan10_dagster.exchanges.pacing import SAFE_SHARE, Pacer, TooLate, pacer_of
from titan10_dagster.exchanges.pages import Page
from titan10_dagster.exchanges.proxy_urls import normalized
from titan10_dagster.exchanges.stalls import LoopWatch
from titan10_dagster.exchanges.strict import Answer, Counters, content_of, current_answer, strict_class
from titan10_dagster.exchanges.transport import MOST_CONCURRENT, environment_proxy, open_session, ssl_context
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.planning.pace import Pace

TIMEOUT_MS = 20_000
_COUNT_EVERY = 60.0  # seconds between two updates of the request count that all processes share
# When the client is closed, it updates the request count for the last time. It waits at most this many seconds for an
# earlier update that is still in progress, and then at most this many seconds for the last update.
_COUNT_WITHIN = 2.0
_ROUND_TRIP = 0.5  # assumed seconds from a request to its answer; enough for a distant exchange with slow answers
UNPACED_CONCURRENCY = 32
_CLOCK_SLACK = timedelta(minutes=5)
_TIMEOUTS = (ccxt.RequestTimeout, TimeoutError)


async def _always() -> None:
    """Allow every request. This function is the default of `ExchangeClient.confirm`."""


def requests_in_flight(spacing: float) -> int:
    """Return how many requests must be in progress at the same time to start a request every `spacing` seconds.

    Answers are assumed to be slow (`_ROUND_TRIP`). The result is at most MOST_CONCURRENT.
    """
    return min(2 + int(_ROUND_TRIP / spacing), MOST_CONCURRENT)


class ExchangeClient:
    """A client of an exchange. Use it inside `async with`.

    markets: the markets from which candles are fetched. They must be given, because the client does not look for them
        in the exchange's market list.
    base_url: the scheme and host of a reverse proxy or sandbox. They replace the scheme and host of every URL.
    proxy: an http://, https://, socks4://, socks5:// or socks5h:// URL. With socks5h, the proxy resolves host names.
        If no proxy is given, the variables HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY of the environment are used.
    paced: False means that the client leaves no interval between two requests. This is only for benchmarks.
    pace_share: the share of the allowed request rate to use.
    breaker: keeps the pace and the request count that all clients of the exchange share, in all processes. Without a
        breaker, the client uses its own pace.
    now: a function that returns the current time (aware, UTC).
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
        # This function is awaited before each request. It returns the current pace, or None if the pace was not read
        # again. It raises a FetchError if the request is no longer allowed.
        self.confirm: Callable[[], Awaitable[Pace | None]] = _always
        self.pacer = Pacer(0)
        # The time by which this machine's clock was ahead of the exchange's clock when the market list was read.
        self.clock_skew = timedelta(0)
        self.skipped_records: tuple[str, ...] = ()  # a sentence for each unreadable record of the last market list
        self._pace: Pace | None = None  # the pace that the breaker returned last
        self._blocked: Blocked | None = None
        self._base_url = base_url
        self._proxy = None if proxy is None else normalized(proxy)
        self._proxies: dict[str, str | None] = {}  # the proxy for each server, as set in the environment
        self._timeout_ms = timeout_ms
        self._breaker = breaker
        self._share = pace_share if paced else None
        self._counting = _RequestCount(breaker)
        self._watch = LoopWatch()
        self._session: aiohttp.ClientSession | None = None
        self._ccxt: Any = None

    @property
    def requests(self) -> int:
        return self.counters.requests

    @property
    def ccxt(self) -> Any:
        """Return the ccxt instance, which belongs to the running event loop."""
        if self._ccxt is None:
            raise RuntimeError(f"the client of {self.exchange} is not open: use `async with`")
        return self._ccxt

    @property
    def concurrency(self) -> int:
        """Return how many requests must be in progress at the same time to reach the pace despite slow answers."""
        if self._share is None:
            return UNPACED_CONCURRENCY
        return requests_in_flight(self.pacer.spacing)

    async def __aenter__(self) -> Self:
        exchange = strict_class(self.exchange)(self._config())
        self.pacer = Pacer(0) if self._share is None else pacer_of(self.venue, self._share)
        if self._breaker is not None:
            self._go_at(await self._breaker.pace())
        exchange.turn, exchange.ended = self._turn, lambda: _end_request(self.pacer)
        exchange.counters, exchange.clock = self.counters, self.now
        exchange.proxy_for = self._proxy_for
        if self._base_url:
            exchange.urls = {**exchange.urls, "api": _rebased(exchange.urls["api"], self._base_url)}
        self._session = open_session(self._proxy_for(_an_address(exchange.urls["api"])))
        exchange.session, exchange.own_session = self._session, False
        self._ccxt = exchange
        self._watch.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        exchange, session = self.ccxt, self._session
        self._ccxt = self._session = None
        self._watch.stop()
        # ccxt sleeps for this many milliseconds, so that TLS connections can close.
        exchange.timeout_on_exit = 0 if (self._base_url or "").startswith("http:") else 250
        if session is not None:
            await session.close()
        await exchange.close()
        await self._counting.finish(self.requests)

    async def fetch_page(self, series: Series, since: datetime, limit: int, until: datetime | None = None) -> Page:
        """Make one request for `limit` candles from `since`, without retries.

        limit: if the exchange accepts only certain numbers, the next larger of them is requested.
        until: the end of the last requested candle. Most exchanges do not need `until`, so it is sent only if given.

        Raises:
            Postponed: no request was made, because the pace allows the request only after the pacer's deadline.
            FetchError: the request failed. The modules `network` and `failures` determine the class of the error.
        """
        if series.symbol not in self.markets:
            text = f"{self.exchange} {series.symbol}: this client was created without a market for the symbol"
            raise UnknownSymbol(text, exchange=self.exchange, symbol=series.symbol)
        exchange, answer = self.ccxt, Answer(of_candles=True)
        token = current_answer.set(answer)
        try:
            # Some exchanges also return the candle that begins exactly at the end of the requested time. One
            # millisecond is subtracted, so that these exchanges do not return this candle.
            end = {} if until is None else {"until": to_ms(until) - 1}
            limit = self.venue.accepted_limit(limit)
            returned = await exchange.fetch_ohlcv(series.symbol, series.timeframe.name, to_ms(since), limit, end)
            content = content_of(answer, returned, series.timeframe.ms)
        except TooLate:
            text = (
                f"{self.exchange} {series.symbol}: no time was left for this request; the next poll makes this request"
            )
            raise Postponed(text, exchange=self.exchange, symbol=series.symbol) from None
        except FetchError:  # this error was raised before a request was made
            raise
        except Exception as error:  # noqa: BLE001  the error is raised again as a FetchError
            raise await self._failure(error, answer, series.symbol) from safe_cause(error)
        finally:
            _end_open_requests(self.pacer, answer)
            current_answer.reset(token)
        _check_clock(self.exchange, answer)
        self._counting.note(self.requests)
        self.counters.rows += len(content.candles)
        return Page(
            content.candles,
            (answer.requested_at or self.now()) - answer.staleness,
            answer.seconds,
            empty=content.empty,
            cut_short=content.cut_short,
            dropped=content.dropped,
            untimed=content.untimed,
        )

    async def fetch_markets(self) -> list[Market]:
        """Return all spot markets, both active and inactive. Most exchanges need one request for this.

        A record that cannot be read is left out of the result. `skipped_records` has a sentence for each such record.
        """
        exchange, answer = self.ccxt, Answer()
        token = current_answer.set(answer)
        try:
            list_markets = self.venue.list_markets or _list_markets
            listed = await read_market_list(lambda: list_markets(exchange), self.venue, answer)
        except FetchError:  # this error was raised before a request was made
            raise
        except Exception as error:  # noqa: BLE001  the error is raised again as a FetchError
            raise await self._failure(error, answer, None) from safe_cause(error)
        finally:
            _end_open_requests(self.pacer, answer)
            current_answer.reset(token)
        self.clock_skew = answer.skew
        _check_clock(self.exchange, answer)
        self.skipped_records = listed.skipped
        if not listed.markets:
            text = f"{self.exchange}: the list of markets has no spot market. {listed.warning or ''}".rstrip()
            raise MalformedAnswer(text, exchange=self.exchange)
        return listed.markets

    async def _turn(self, cost: float) -> None:
        """Wait until a request of this cost is allowed."""
        release = await self.pacer.wait(cost, self._is_admitted)
        answer = current_answer.get()
        if answer is None:
            self.pacer.end(release)
        else:
            answer.releases.append(release)

    async def _is_admitted(self) -> bool:
        """Check just before a request whether the request is still allowed. Return False if the pace has changed.

        An error is raised if the exchange banned this client or asked for a long pause, or if the breaker opened, while
        the request waited.
        """
        if self._blocked is not None:
            raise self._blocked
        pace = await self.confirm()
        if pace is None or pace == self._pace:
            return True
        self._go_at(pace)
        return False

    async def _failure(self, error: Exception, answer: Answer, symbol: str | None) -> FetchError:
        exchange, status = self.exchange, answer.status
        failure = network_failure(error, status, exchange=exchange, symbol=symbol, proxy=answer.proxy) or classify(
            error, status, answer.headers, exchange=exchange, symbol=symbol, now=self.now()
        )
        timed_out = isinstance(error, _TIMEOUTS) and isinstance(failure, TransientError) and status is None
        if timed_out and self._watch.explains_timeout(answer.sent):
            return _stalled(exchange, symbol)
        if failure.retry_after is not None:
            if isinstance(failure, Throttled):
                self.pacer.rest(failure.retry_after.total_seconds(), answer.sent)
            else:
                self.pacer.pause(failure.retry_after.total_seconds())
            await self._record_pause(failure, answer.requested_at or self.now())
        if isinstance(failure, Blocked):
            self._blocked = failure
        return failure

    async def _record_pause(self, failure: FetchError, requested_at: datetime) -> None:
        # An error of the database is ignored here, because the client itself already pauses, and the fetch can write
        # candles to the landing zone without the database.
        with suppress(StoreError):
            pace = None if self._breaker is None else await self._breaker.paused(failure, requested_at)
            if pace is not None:
                self._go_at(pace)

    def _go_at(self, pace: Pace) -> None:
        self._pace, now = pace, self.now()
        self.pacer.go_at(pace.as_of(now), pace.rest(now).total_seconds())

    def _config(self) -> dict[str, Any]:
        return {
            "enableRateLimit": True,
            "timeout": self._timeout_ms,
            "ssl_context": ssl_context(),
            "options": {"fetchMarkets": {"types": ["spot"]}, "maxRetriesOnFailure": 0},
            "has": {"fetchCurrencies": False},
            "enableLastHttpResponse": False,
            "enableLastResponseHeaders": False,
            "markets": {symbol: ccxt_market(market) for symbol, market in self.markets.items()},
        }

    def _proxy_for(self, url: str) -> str | None:
        if self._proxy is not None:
            return self._proxy
        parts = urlsplit(url)
        server = f"{parts.scheme}://{parts.netloc}"
        if server not in self._proxies:  # results are kept, because reading the environment takes 0.2 ms
            self._proxies[server] = environment_proxy(server)
        return self._proxies[server]


def _end_open_requests(pacer: Pacer, answer: Answer) -> None:
    """End the requests that the pacer still counts as in progress.

    These requests were not sent, or their end was not reported.
    """
    for release in answer.releases:
        pacer.end(release)


class _RequestCount:
    """A counter that adds the requests of this client to the count of all processes.

    The requests are added at most once a minute, and when the client is closed.
    """

    def __init__(self, breaker: Breaker | None) -> None:
        self._breaker = breaker
        self._counted, self._counted_at = 0, time.monotonic()
        self._task: asyncio.Task[None] | None = None

    def note(self, requests: int) -> None:
        """Start an update in the background if the last update was more than a minute ago.

        `requests`: the number of all requests of the client so far.
        """
        is_due = time.monotonic() > self._counted_at + _COUNT_EVERY
        if is_due and (self._task is None or self._task.done()):
            self._start(requests)

    async def finish(self, requests: int) -> None:
        """Add the last requests to the count. Wait at most four seconds for the database (see _COUNT_WITHIN)."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_COUNT_WITHIN)
        if self._task is None or self._task.done():
            self._start(requests)
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_COUNT_WITHIN)

    def _start(self, requests: int) -> None:
        self._counted_at = time.monotonic()
        if self._breaker is not None and requests > self._counted:
            self._task = asyncio.create_task(self._count(self._breaker, requests))

    async def _count(self, breaker: Breaker, requests: int) -> None:
        with suppress(StoreError):  # after an error, the next update also adds these requests
            await breaker.count(requests - self._counted)
            self._counted = requests


def _end_request(pacer: Pacer) -> None:
    """Report to the pacer that a request of the current task has ended.

    For a list of markets, ccxt sometimes makes several requests at the same time. It is not known which of these
    requests has ended. Therefore the request that the pacer released first is reported as ended.
    """
    answer = current_answer.get()
    if answer is not None and answer.releases:
        pacer.end(answer.releases.pop(0))


def _check_clock(exchange: str, answer: Answer) -> None:
    """Raise Refused if this machine's clock is wrong by more than five minutes.

    With a wrong clock, the wrong candles would be requested.
    """
    skew = answer.skew
    if abs(skew) <= _CLOCK_SLACK:
        return
    minutes, way = abs(skew) / timedelta(minutes=1), "ahead of" if skew > timedelta(0) else "behind"
    raise Refused(
        f"{exchange}: this machine's clock is off by {minutes:.0f} minutes ({way} the exchange's clock), so the wrong"
        " candles would be requested. Correct the clock (NTP), then start the run again.",
        exchange=exchange,
    )


def _stalled(exchange: str, symbol: str | None) -> Stalled:
    which = f"{exchange} {symbol}" if symbol else exchange
    return Stalled(
        f"{which}: this process stood still while it waited for the answer, until the request timed out. The request"
        " is made again. If this happens often, the machine has too little CPU or memory.",
        exchange=exchange,
        symbol=symbol,
    )


def _an_address(api: Any) -> str:
    """Return one of the exchange's URLs in ccxt. `api`: a URL, or a nested mapping of URLs."""
    while isinstance(api, Mapping):
        api = next(iter(api.values()))
    return str(api)


def _rebased(api: Any, base_url: str) -> Any:
    """Return the exchange's URLs in ccxt with another scheme and host. `api`: a URL, or a nested mapping of URLs."""
    if isinstance(api, Mapping):
        return {name: _rebased(address, base_url) for name, address in api.items()}
    return base_url.rstrip("/") + urlsplit(api).path if isinstance(api, str) else api


async def _list_markets(exchange: Any) -> list[Any]:
    return list(await exchange.fetch_markets())
