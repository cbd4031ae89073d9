"""Measure how an exchange behaves, with at most ten requests. Such a measurement is called a probe.

Each request measures one or more properties:

| request | properties |
|-|-|
| the list of markets | the number of active markets |
| a page of a busy series | the page size, the order of the rows, and whether the values equal the stored values |
| a range of ten stored candles | whether the answer has the first candle of the range, and the candle after the range |
| a page of a quiet series | whether a minute without a trade has a row |
| a page as far back as the exchange serves candles | the depth |
| a hundred candles up to now | the freshness |

Other properties need no request of their own: the costs in ccxt's rate limiter, whether the exchange throttled the
probe, and whether the exchange answered with errors.

One answer alone does not prove a change. If a request shows an unexpected value, the request is repeated once. An
unexpected value is reported only if both answers show this value.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from titan10_dagster.candles.slices import Series, from_ms, to_ms
from titan10_dagster.errors import Blocked, FetchError, MalformedAnswer, Refused, Throttled, TransientError
from titan10_dagster.exchanges import ccxt_facts
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.rows import Rows
from titan10_dagster.exchanges.venues.venue import EmptyMinutes, Venue
from titan10_dagster.planning.probe import Property

MOST_REQUESTS = 10

_SMALL = 10  # the number of candles in a small request
_YEAR = timedelta(days=365)
# The depth still counts as unchanged if at most this many of the oldest candles are absent, for example because of an
# outage. For an exchange that serves candles of any age, up to a day of candles can be absent.
_TOLERATED = 60
_RECENT = 100  # the number of newest candles to request
# The answers still count as fresh if at most this many of the newest candles are absent, for example in an outage.
_STALE = 45
# The answer shows how the exchange reports minutes without trades if it has at least this many rows without volume, or
# at least this many gaps.
_FEW = 3
_SAME = 0.5  # the values count as unchanged if at least this share of the compared candles has the stored values

Measured = dict[Property, str | None]
_NO_ROWS: NDArray[np.float64] = np.empty((0, 6))


@dataclass(frozen=True, eq=False)
class Sample:
    """The data that a probe uses.

    busy, quiet: a series with many trades, and a series with few trades.
    since: the start (aware, UTC) of a page of settled candles.
    known: the stored candles of `busy` from `since` on, as rows of time in ms, open, high, low, close, volume. For a
        new exchange, there are no rows.
    oldest: the start of an old day with stored candles of `busy`; None if there is no such day. The measurement of the
        depth requests candles from this time on.
    """

    busy: Series
    quiet: Series
    since: datetime
    known: NDArray[np.float64] = field(default_factory=lambda: _NO_ROWS)
    oldest: datetime | None = None


def recorded(record: Venue) -> dict[Property, str]:
    """Return the expected values of the properties, according to the exchange's record."""
    expected = {
        Property.PAGE_SIZE: str(record.page_size),
        Property.DEPTH: "all" if record.depth is None else str(record.depth),
        Property.VALUES: "as stored",
        Property.FRESHNESS: "fresh",
        Property.LIMITS: "not exceeded",
        Property.ANSWERS: "candles",
        Property.CHARGE: f"{record.cost:g}",
    }
    if not record.no_since:
        expected[Property.START] = "inclusive"
    if record.empty_minutes is not EmptyMinutes.UNKNOWN:
        expected[Property.EMPTY_MINUTES] = record.empty_minutes.value
    return expected


async def measure(
    client: ExchangeClient,
    sample: Sample,
    expected: Mapping[Property, str],
    *,
    charge: float | None = None,
    rate_ms: float | None = None,
) -> Measured:
    """Return the measured values. If the answers do not show a property, the value is None, or the property is absent.

    `client`: a client that is already open. The client's markets must include the series of the sample.
    `expected`: the expected values. A request that shows another value is repeated.
    `charge`: the cost of a page in ccxt's rate limiter; None to read it from ccxt.
    `rate_ms`: the milliseconds between two requests of cost 1 in ccxt's rate limiter; None to read them from ccxt.

    Raises:
        Refused, Blocked: the exchange refuses all requests, so the measurement ends without a result.
    """
    return await _Probe(client, sample, expected).run(charge, rate_ms)


class _Requests:
    """The requests of one probe, and facts about the answers.

    newest_first: whether the last answer with several rows began with the newest row. The order is recorded before the
        client sorts the rows.
    throttled: whether the exchange throttled a request.
    """

    def __init__(self, client: ExchangeClient) -> None:
        self._client = client
        self._before = client.requests
        self._errors: list[str] = []
        self._answered = False
        self.throttled = False
        self.newest_first: bool | None = None
        self._watch_order()

    def kind_of_answers(self) -> str | None:
        """Return "candles" if at least one answer contained candles, else the names of the errors.

        A malformed answer counts as an error. Throttled requests and other transient errors do not count. If there are
        neither candles nor errors that count, the result is None.
        """
        if self._answered:
            return "candles"
        return ", ".join(sorted(set(self._errors))) or None

    async def rows(self, series: Series, since: datetime, limit: int) -> Rows | None:
        """Return the rows of one page.

        Return None if the request failed, or if the probe has already made MOST_REQUESTS requests.
        """
        if self._client.requests - self._before >= MOST_REQUESTS:
            return None
        try:
            page = await self._client.fetch_page(series, since, limit)
        except (Refused, Blocked):
            raise
        except Throttled:
            self.throttled = True
            return None
        except FetchError as error:
            if isinstance(error, MalformedAnswer) or not isinstance(error, TransientError):
                self._errors.append(type(error).__name__)
            return None
        self._answered = self._answered or len(page.rows) > 0
        return page.rows

    async def markets(self) -> Measured:
        try:
            markets = await self._client.fetch_markets()
        except (Refused, Blocked):
            raise
        except Throttled:
            self.throttled = True
            return {}
        except FetchError:
            return {}
        return {Property.MARKETS: str(sum(market.active for market in markets))}

    def _watch_order(self) -> None:
        exchange = self._client.ccxt
        parse = exchange.parse_ohlcvs

        def watching(ohlcvs: Any, market: Any = None, *rest: Any, **named: Any) -> Any:
            if len(ohlcvs or ()) > 1:
                self.newest_first = _time(exchange, ohlcvs[0], market) > _time(exchange, ohlcvs[-1], market)
            return parse(ohlcvs, market, *rest, **named)

        exchange.parse_ohlcvs = watching


class _Probe:
    """A probe of an exchange. `run` makes the requests and returns the results."""

    def __init__(self, client: ExchangeClient, sample: Sample, expected: Mapping[Property, str]) -> None:
        self._client = client
        self._record = client.venue
        self._sample = sample
        self._expected = expected
        self._step = sample.busy.timeframe.ms
        self._requests = _Requests(client)

    async def run(self, charge: float | None, rate_ms: float | None) -> Measured:
        measured = await self._requests.markets()
        measured |= await self._confirmed(self._page)
        if not self._record.no_since:
            measured |= await self._confirmed(self._edges)
        measured |= await self._confirmed(self._empty_minutes)
        measured |= await self._confirmed(self._depth)
        measured |= await self._confirmed(self._freshness)
        exchange = self._record.exchange
        charge = ccxt_facts.page_cost(exchange, self._record.page_size) if charge is None else charge
        rate_ms = ccxt_facts.rate_limit_ms(exchange) if rate_ms is None else rate_ms
        measured[Property.CHARGE], measured[Property.RATE] = f"{charge:g}", f"{rate_ms:g}"
        measured[Property.LIMITS] = "exceeded" if self._requests.throttled else "not exceeded"
        measured[Property.ANSWERS] = self._requests.kind_of_answers()
        return measured

    async def _confirmed(self, measurement: Callable[[], Awaitable[Measured]]) -> Measured:
        """Return the result of a measurement. If a value is not the expected value, repeat the measurement once.

        If the two measurements of a property differ, the value of this property is None.
        """
        first = await measurement()
        if not any(self._differs(property_, value) for property_, value in first.items()):
            return first
        second = await measurement()
        agreed: dict[Property, str | None] = dict.fromkeys(first)
        for property_, value in first.items():
            if second.get(property_) == value:
                agreed[property_] = value
        return agreed

    def _differs(self, property_: Property, value: str | None) -> bool:
        expected = self._expected.get(property_)
        return value is not None and expected is not None and value != expected

    async def _page(self) -> Measured:
        limit = self._record.page_size
        since = self._start_of_page(self._sample.busy)
        rows = await self._requests.rows(self._sample.busy, since, limit)
        if rows is None or len(rows) == 0:
            return {}
        order = None
        if self._requests.newest_first is not None:
            order = "newest first" if self._requests.newest_first else "oldest first"
        return {
            Property.PAGE_SIZE: self._page_size(rows, limit),
            Property.ORDER: order,
            Property.VALUES: self._values(rows),
        }

    def _start_of_page(self, series: Series) -> datetime:
        """Return the start of the page to request.

        If the exchange has no start parameter, the page is the newest page.
        """
        if self._record.no_since:
            return self._client.now() - self._record.page_size * series.timeframe.delta
        return self._sample.since

    def _page_size(self, rows: Rows, limit: int) -> str | None:
        """Return the requested size if the page is complete, else the number of received candles.

        If the exchange has no start parameter, a page is complete if it has nearly `limit` rows. Otherwise a page is
        complete if it has nearly all candles that the sample has in the requested range (`Sample.known`). If the sample
        has no candles there, a page is complete if its rows reach nearly from the requested start to the requested end
        (or to now).
        """
        start = to_ms(self._sample.since)
        known = self._known[(self._known >= start) & (self._known < start + limit * self._step)]
        if self._record.no_since:
            wanted, came = limit, len(rows)
        elif len(known):
            wanted, came = len(known), int(np.isin(known, rows[:, 0]).sum())
        else:
            wanted = min(limit, (to_ms(self._client.now()) - start) // self._step)
            came = int(rows[-1][0] - max(rows[0][0], start)) // self._step + 1
        return str(limit) if came >= wanted - max(2, wanted // 50) else str(len(rows))

    @property
    def _known(self) -> NDArray[np.float64]:
        return self._sample.known[:, 0]

    def _values(self, rows: Rows) -> str | None:
        """Return "as stored" if enough of the received candles have the stored values, else "others".

        If too few candles can be compared, return None.
        """
        times, here, there = np.intersect1d(rows[:, 0], self._known, return_indices=True)
        if len(times) < _SMALL:
            return None
        same = (rows[here] == self._sample.known[there]).all(axis=1).mean()
        return "as stored" if same >= _SAME else "others"

    async def _edges(self) -> Measured:
        start = self._dense_start()
        if start is None:
            return {}
        rows = await self._requests.rows(self._sample.busy, from_ms(start), _SMALL)
        if rows is None:
            return {}
        times = set(rows[:, 0].astype(np.int64).tolist())
        after = start + _SMALL * self._step
        first = None
        if start in times or start + self._step in times:
            first = "inclusive" if start in times else "exclusive"
        end = None
        if max(times, default=0) > after:
            end = "open"
        elif after in times:
            end = "inclusive"
        elif after - self._step in times:
            end = "exclusive"
        return {Property.START: first, Property.END: end}

    def _dense_start(self) -> int | None:
        """Return the start of ten consecutive stored candles that have stored neighbours on both sides.

        Return None if there are no such candles. If the sample has no stored candles at all, return `Sample.since`.
        """
        known = self._known.astype(np.int64)
        length = _SMALL + 4
        for position in range(len(known) // 4, len(known) - length):
            if known[position + length] - known[position] == length * self._step:
                return int(known[position + 2])
        return None if len(known) else to_ms(self._sample.since)

    async def _empty_minutes(self) -> Measured:
        limit = self._record.page_size
        since = self._start_of_page(self._sample.quiet)
        rows = await self._requests.rows(self._sample.quiet, since, limit)
        if rows is None or len(rows) < 2:
            return {}
        zeros = np.count_nonzero(rows[:, 5] == 0)
        holes = np.count_nonzero(np.diff(rows[:, 0]) > self._step)
        if zeros >= _FEW:
            return {Property.EMPTY_MINUTES: EmptyMinutes.FILLED.value}
        return {Property.EMPTY_MINUTES: EmptyMinutes.MISSING.value if holes >= _FEW else None}

    async def _depth(self) -> Measured:
        depth, now = self._record.depth, self._client.now()
        if depth is not None:
            since, limit = now - (depth - 5) * self._sample.busy.timeframe.delta, self._record.page_size
        else:
            since, limit = self._sample.oldest or now - _YEAR, _SMALL
        rows = await self._requests.rows(self._sample.busy, since, limit)
        if rows is None:
            return {}
        served = _served_back_to(rows, since)
        if served is None:
            return {Property.DEPTH: None if depth is None and self._sample.oldest is None else "less"}
        if served <= to_ms(since) + (_TOLERATED if depth is not None else 1_440) * self._step:
            return {Property.DEPTH: "all" if depth is None else str(depth)}
        return {Property.DEPTH: str((to_ms(now) - served) // self._step + 1)}

    async def _freshness(self) -> Measured:
        now = self._client.now()
        rows = await self._requests.rows(
            self._sample.busy, now - (_RECENT - 1) * self._sample.busy.timeframe.delta, _RECENT
        )
        if rows is None:
            return {}
        if len(rows) == 0:
            return {Property.FRESHNESS: f"at least {_RECENT} candles late"}
        late = (to_ms(now) - int(rows[-1][0])) // self._step
        return {Property.FRESHNESS: "fresh" if late <= _STALE else f"{late} candles late"}


def _served_back_to(rows: Rows, since: datetime) -> int | None:
    """Return the time of the first row at or after `since` (ms).

    If there is no such row, return the time of the last row; None if there are no rows.
    """
    times = rows[:, 0].astype(np.int64)
    later = times[times >= to_ms(since)]
    if len(later):
        return int(later[0])
    return int(times[-1]) if len(times) else None


def _time(exchange: Any, row: Any, market: Any) -> float:
    """Return the time of a row; 0 if the time cannot be read. If the row is not decoded yet, ccxt parses it."""
    try:
        if isinstance(row, (list, dict)):
            return float(exchange.parse_ohlcv(row, market)[0])
        return float(next(iter(getattr(row, name) for name in row.__struct_fields__)))
    except (TypeError, ValueError, LookupError, AttributeError, StopIteration):
        return 0.0
