"""What each exchange can give and how it behaves: one table, every row with its source.

Where the table is silent, ccxt says how many candles a request may ask for (`features`) and what it charges for one.
Figures are for spot candles. "docs" is the exchange's documentation, "code" its class in ccxt 4.5.90, "issue" a ccxt
issue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from types import MappingProxyType

import ccxt
from ccxt import async_support

from titan10_dagster.candles.slices import Slice

_CAUTIOUS_PAGE = 100  # no exchange of ccxt's is known to give fewer

# A market that no class of ccxt's minds.
_ANY: Mapping[str, object] = {
    **{"id": "BTCUSDT", "lowercaseId": "btcusdt", "symbol": "BTC/USDT", "numericId": 1},
    **{"base": "BTC", "quote": "USDT", "baseId": "BTC", "quoteId": "USDT", "type": "spot", "spot": True},
}


class EmptyMinutes(StrEnum):
    """What an exchange gives for a candle in which nothing was traded."""

    FILLED = "filled"  # a row with volume 0
    MISSING = "missing"  # no row
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Bans:
    """How an exchange shuts an address out: with which statuses, and for how long if it does not say."""

    statuses: frozenset[int] = frozenset({418})
    pause: timedelta = timedelta(minutes=2)


@dataclass(frozen=True)
class Wire:
    """Where [time, open, high, low, close, volume] stand in a row; `unit` is the milliseconds of one of its time.

    `envelope`: the names that lead from the answer to its list of rows; None where they are not always the same.
    """

    keys: tuple[int | str, ...]
    unit: int
    envelope: tuple[str, ...] | None


@dataclass(frozen=True)
class Capabilities:
    """What one exchange can give.

    page_size: most candles of one request. depth: how many candles back from now can be had; None: all, or not known:
    nothing is planned by it then, and where a series is silent, `listing` finds out whether it was forgotten.
    cost: what ccxt charges for a page, in units of its `rateLimit`.
    budget: what is safe to use, in units of ccxt's own request rate; above 1 where that is far less than allowed.
    wire: None leaves parsing to ccxt.
    quota_pause: how long to be silent after "too many requests" without a Retry-After.
    off_grid: timeframes whose candles do not begin on the UTC grid, and when they begin; they cannot be had.
    no_since: the exchange, or ccxt's class, has no start time to ask for, so that it always gives its last candles.
    cursor: it counts back from the end of a page, as many candles as are asked for, however far before its start.
    refuses_before_listing: it answers an error, of no known wording, to a page that begins before its first candle.
    archive: where older candles can be had instead.
    """

    exchange: str
    page_size: int
    source: str
    depth: int | None = None
    empty_minutes: EmptyMinutes = EmptyMinutes.UNKNOWN
    bans: Bans = Bans()
    quota_pause: timedelta = timedelta(seconds=10)
    cost: float = 1.0
    budget: float = 1.0
    wire: Wire | None = None
    off_grid: Mapping[str, str] = field(default_factory=dict, hash=False)
    no_since: bool = False
    cursor: bool = False
    refuses_before_listing: bool = False
    archive: str | None = None

    @property
    def overlap(self) -> int:
        """By how many candles neighbouring pages overlap, so that both hold a candle that was traded.

        Where minutes are left out, one common candle is often none, and every page boundary would cost a
        request to find out whether candles are missing there.
        """
        return 1 if self.empty_minutes is EmptyMinutes.FILLED else max(1, min(10, self.page_size // 20))

    def reaches(self, slice_: Slice, now: datetime) -> bool:
        """Whether the exchange still gives any candle of the slice; true where its depth is not known."""
        return self.depth is None or slice_.end > now - self.depth * slice_.series.timeframe.delta

    @property
    def page_seconds(self) -> float:
        """Seconds from one page to the next at the full pace that is safe."""
        return _rate_limit(self.exchange) / 1000 * self.cost / self.budget

    @property
    def alternative(self) -> str:
        """What to do about candles older than `depth`."""
        ways = ["live polling from now on", "longer candles, such as 1d"]
        return "; ".join([*ways, self.archive] if self.archive else ways)


_BINANCE = Capabilities(
    exchange="binance",
    page_size=1000,
    empty_minutes=EmptyMinutes.FILLED,
    bans=Bans(frozenset({403, 418}), timedelta(minutes=10)),
    wire=Wire((0, 1, 2, 3, 4, 5), 1, envelope=()),
    quota_pause=timedelta(seconds=60),
    archive="data.binance.vision, daily and monthly zips with checksums",
    cost=0.4,
    source="docs: klines limit 1000, weight 2 of 6000 a minute; 429, then 418 for 2 minutes to 3 days;"
    " 403: a firewall's limit was violated",
)

_ROWS = (
    _BINANCE,
    Capabilities(
        exchange="binanceus",
        page_size=1000,
        empty_minutes=EmptyMinutes.FILLED,
        bans=_BINANCE.bans,
        wire=_BINANCE.wire,
        quota_pause=_BINANCE.quota_pause,
        cost=0.4,
        source="docs: as binance",
    ),
    Capabilities(
        exchange="coinbase",
        page_size=300,
        empty_minutes=EmptyMinutes.MISSING,
        budget=0.9,  # counted over one second: what the network delays by a tenth of it must fit in still
        wire=Wire(("start", "open", "high", "low", "close", "volume"), 1000, envelope=("candles",)),
        cost=3,
        source="docs: 10 requests/s; 300 candles, more is refused; intervals without ticks are left out; rows may"
        " precede the start",
    ),
    Capabilities(
        exchange="kraken",
        page_size=720,
        depth=720,
        empty_minutes=EmptyMinutes.FILLED,
        bans=Bans(frozenset({418}), timedelta(minutes=15)),
        wire=Wire((0, 1, 2, 3, 4, 6), 1000, envelope=None),
        archive="Kraken's quarterly OHLCVT zips, which leave out minutes without trades",
        cost=1.2,
        source="docs: OHLC gives the last 720 rows whatever `since` is; the last one is not finished",
    ),
    Capabilities(
        exchange="okx",
        page_size=300,
        wire=Wire((0, 1, 2, 3, 4, 5), 1, envelope=("data",)),
        quota_pause=timedelta(seconds=2),
        source="docs: history-candles limit 300, 20 requests per 2 s; ccxt issue 26973: 10 % slower is safe",
    ),
    Capabilities(
        exchange="bybit",
        page_size=1000,
        bans=Bans(frozenset({403, 418}), timedelta(minutes=10)),
        wire=Wire((0, 1, 2, 3, 4, 5), 1, envelope=("result", "list")),
        quota_pause=timedelta(seconds=5),
        cost=5,
        budget=6,  # ccxt asks 10 times a second, a twelfth of what is allowed; half of it leaves room for others
        source="docs: kline limit 1000; 600 requests per 5 s and address; 403 'access too frequent' ends after 10"
        " minutes, but 403 is a geo-block too",
    ),
    Capabilities(
        exchange="kucoin",
        page_size=1500,
        empty_minutes=EmptyMinutes.MISSING,
        quota_pause=timedelta(seconds=30),
        budget=0.5,
        cost=3,
        source="docs: 1500 candles, minutes without trades left out; public pool 2000 per 30 s, half of ccxt's rate",
    ),
    Capabilities(
        exchange="gate",
        page_size=1000,
        depth=10_000,
        archive="Gate's monthly CSV archive",
        source="docs: the last 10,000 points (confirmed for futures only)",
    ),
    Capabilities(
        exchange="bitget",
        page_size=200,
        cursor=True,
        archive="Bitget's monthly archive",
        source="code: history-candles give 200 back from `endTime` and have no start; more, of the last 30 days only,"
        " are not asked for",
    ),
    Capabilities(exchange="mexc", page_size=500, source="code: 500 rows; `features` say 1000"),
    Capabilities(
        exchange="htx",
        page_size=1000,
        empty_minutes=EmptyMinutes.FILLED,
        off_grid={"1d": "16:00 UTC"},
        refuses_before_listing=True,
        source="docs: zero rows, 10 requests/s; days of GMT+8 (ccxt PR 17783; huobiapi/API_Docs_en issue 8); ccxt PR"
        " 21686: an error where `from` is before the listing",
    ),
    Capabilities(
        exchange="bitfinex",
        page_size=10_000,
        empty_minutes=EmptyMinutes.MISSING,
        quota_pause=timedelta(seconds=60),
        cost=2.7,
        source="docs: 10,000 candles; minutes without trades left out; blocks for 10 to 60 s",
    ),
    Capabilities(exchange="bitstamp", page_size=1000, source="docs: step 60, 1000 rows; 10,000 requests per 10 min"),
    Capabilities(
        exchange="gemini",
        page_size=1440,
        depth=1440,
        empty_minutes=EmptyMinutes.FILLED,
        no_since=True,
        cost=5,
        source="docs: no start time, always the last day of 1m; `features` name no limit",
    ),
    Capabilities(exchange="cryptocom", page_size=300, source="docs: 300 candles"),
    Capabilities(
        exchange="bingx",
        page_size=1440,
        quota_pause=timedelta(minutes=5),
        source="docs: who asks too often is blocked, and unblocked after 5 minutes",
    ),
    Capabilities(
        exchange="upbit",
        page_size=200,
        cursor=True,
        empty_minutes=EmptyMinutes.MISSING,
        quota_pause=timedelta(seconds=2),
        cost=2,
        source="docs: 200 candles back from a cursor; minutes without trades left out; 429, then 418",
    ),
    Capabilities(
        exchange="hyperliquid",
        page_size=5000,
        depth=5000,
        empty_minutes=EmptyMinutes.FILLED,
        cost=4,
        source="docs: only the last 5000 candles",
    ),
    Capabilities(
        exchange="bithumb",
        page_size=200,
        depth=200,
        no_since=True,
        source="code: `features` say 200; `since` never goes on the wire",
    ),
    Capabilities(
        exchange="bitrue",
        page_size=1440,
        depth=1440,
        no_since=True,
        cost=0.24,
        source="code: `since` never goes on the wire",
    ),
    Capabilities(
        exchange="phemex",
        page_size=1000,
        depth=1000,
        no_since=True,
        cost=5,
        source="code: `since` never goes on the wire",
    ),
)

CAPABILITIES: Mapping[str, Capabilities] = MappingProxyType({row.exchange: row for row in _ROWS})


@cache
def capabilities_of(exchange: str) -> Capabilities:
    """The exchange's row, or one made from ccxt's `features`; ValueError if ccxt has no such exchange."""
    known = CAPABILITIES.get(exchange)
    if known is not None:
        return known
    if exchange not in async_support.exchanges:
        raise ValueError(f"ccxt {async_support.__version__} has no exchange {exchange!r}")
    limit = _limit_in_features(getattr(async_support, exchange)().features)
    page_size = limit or _CAUTIOUS_PAGE
    source = "ccxt features" if limit else "a guess: ccxt names no limit"
    return Capabilities(exchange, page_size, cost=_charge(exchange, page_size), source=source)


@cache
def _rate_limit(exchange: str) -> float:
    """Milliseconds between two requests of cost 1, as ccxt has it."""
    return float(getattr(async_support, exchange)().rateLimit)


def _limit_in_features(features: Mapping[str, Mapping[str, Mapping[str, int]]] | None) -> int | None:
    spot = (features or {}).get("spot") or {}
    limit = (spot.get("fetchOHLCV") or {}).get("limit")
    return int(limit) if limit else None


class _Charged(Exception):
    """What ccxt's throttle was asked to charge."""


def _charge(exchange: str, limit: int) -> float:
    """What ccxt charges for a page; 1 where its class wants to know more first. Nothing is asked.

    Which endpoint it asks, and what that costs, only its own way there tells: so it goes there, as far as the throttle.
    """

    class Asking(getattr(ccxt, exchange)):  # type: ignore[misc]
        def throttle(self, cost: float | None = None) -> None:
            raise _Charged(cost)

        def fetch(self, *_: object, **__: object) -> None:
            raise _Charged(1)

    try:
        Asking({"markets": {_ANY["symbol"]: _ANY}}).fetch_ohlcv(_ANY["symbol"], "1m", 0, limit)
    except _Charged as charged:
        return float(charged.args[0] or 1)
    except (ccxt.BaseError, LookupError, AttributeError, TypeError, ValueError, ArithmeticError):
        return 1.0
    return 1.0
