"""What the sandbox knows of an exchange: the shape of the one table each `venues/<exchange>.py` fills in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

MINUTE, HOUR, DAY = 60, 3_600, 86_400
MAJORS = (
    "BTC", "ETH", "SOL", "XRP", "ADA", "DOGE", "LTC", "LINK", "DOT", "AVAX",
    "BCH", "UNI", "ATOM", "XLM", "AAVE", "ALGO", "ETC", "NEAR", "PEPE", "SHIB",
)  # fmt: skip
Kind = Literal["candles", "markets", "other"]
Texts = Sequence[list[str]]  # five columns of decimal strings: open, high, low, close, volume


class Name(NamedTuple):
    """How an exchange calls a symbol."""

    market_id: str
    base_id: str
    quote_id: str


@dataclass(frozen=True)
class Instrument:
    """One listed spot pair. Times are epoch milliseconds; decimals are digits after the point."""

    exchange: str
    symbol: str
    name: Name
    price_decimals: int
    volume_decimals: int
    listed_ms: int
    delisted_ms: int | None = None
    quiet: float = 0.0  # share of minutes without a trade

    def is_listed(self, now_ms: int) -> bool:
        """Whether the exchange knows of it by then; it goes on to after a delisting."""
        return now_ms >= self.listed_ms

    def is_delisted(self, now_ms: int) -> bool:
        return self.delisted_ms is not None and now_ms >= self.delisted_ms

    @property
    def base(self) -> str:
        return self.symbol.split("/")[0]

    @property
    def quote(self) -> str:
        return self.symbol.split("/")[1]


@dataclass(frozen=True)
class Ask:
    """A candle request as the exchange understands it; milliseconds, half-open [start, end)."""

    market_id: str
    seconds: int  # timeframe
    limit: int
    start: int | None = None
    end: int | None = None
    keep: Literal["oldest", "newest"] = "oldest"  # which rows stay when more than `limit` are in range
    unfinished: bool = True  # the candle that is still forming is part of the answer


@dataclass(frozen=True)
class Refusal:
    """An error answer in the exchange's own words. `%UNTIL%` becomes the end of a ban in epoch ms."""

    status: int
    body: str
    content_type: str = "application/json"


class Refused(Exception):
    """The request cannot be answered: `name` is a key of the venue's refusals."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class Limit:
    """One published rate limit and what happens beyond it.

    `fixed` windows start on the wall clock's own multiples, `sliding` ones end now, a `decay` counter
    loses allowed/window a second. The first excess is throttled; after `patience` more requests while
    throttled the address is banned for `ban_seconds`. patience None: never banned, 0: banned at once.
    """

    name: str
    allowed: float
    window: float  # seconds
    kind: Literal["fixed", "sliding", "decay"]
    source: str
    paths: str = ""  # counts only requests whose path contains this
    cost: Mapping[str, float] = field(default_factory=dict)  # by kind of request, 1 where silent
    patience: int | None = None
    ban_seconds: float = 0.0
    retry_after: bool = False  # the answer tells how long to wait
    used_header: str | None = None


class Wire(Protocol):
    """The exchange's format: what is asked, and how it is answered. No state, no clock of its own."""

    def kind(self, path: str) -> Kind | None:
        """What the path serves; None where the exchange has no such path."""

    def ask(self, path: str, query: Mapping[str, str], now_ms: int) -> Ask:
        """The candle request in `query`. Raises Refused."""

    def rows(self, times: Sequence[int], texts: Texts, seconds: int, closed: bool) -> list[str]:
        """One piece of JSON for each candle, ascending."""

    def page(self, ask: Ask, instrument: Instrument, rows: bytes, last_closed_ms: int | None) -> bytes:
        """The whole body around rows that are joined by commas."""

    def markets(self, query: Mapping[str, str], instruments: Sequence[Instrument], now_ms: int) -> Any:
        """The list of markets, ready for JSON."""

    def other(self, path: str, now_ms: int) -> Any:
        """Server time and what else ccxt may ask for, ready for JSON."""


@dataclass(frozen=True, kw_only=True)
class Venue:
    """One exchange: limits, listing, policies. Its module is the only place that says any of this."""

    id: str
    port: int  # where the sandbox serves it unless told otherwise
    symbols: tuple[str, ...]
    naming: Callable[[str, str], Name]
    opens: str  # no candle of any symbol is older
    listed: Mapping[str, str] = field(default_factory=dict)  # symbols younger than exchange and asset
    delisted: Mapping[str, str] = field(default_factory=dict)
    names_delisted: bool = False  # they stay in the list of markets, marked as closed; their candles stay everywhere
    page_limit: int
    descending: bool  # the newest row comes first
    empty_minutes: Literal["filled", "missing"]  # a minute without a trade: a flat row, or none
    outage_every: int | None  # one day in so many has an outage that all symbols share
    turnover: float  # traded volume as a share of the largest exchange's
    quiet: float  # how much more often than there a minute has no trade
    price_decimals: int = 10  # at most
    volume_decimals: int = 8  # at most
    pad: int | None = None  # numbers are filled up with zeros to so many decimals
    trim: bool = False  # trailing zeros are cut off
    timeframes: Mapping[str, int]  # the exchange's name of a timeframe -> seconds
    limits: tuple[Limit, ...]
    refusals: Mapping[str, Refusal]
    wire: Wire
    sources: tuple[str, ...]

    def refusal(self, name: str) -> Refusal:
        return self.refusals.get(name) or COMMON_REFUSALS[name]


def html(status: int, title: str, server: str = "nginx") -> Refusal:
    """An error page of the machinery in front of an exchange."""
    body = (
        f"<html>\r\n<head><title>{status} {title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{status} {title}</h1></center>\r\n<hr><center>{server}</center>\r\n</body>\r\n</html>\r\n"
    )
    return Refusal(status, body, "text/html")


COMMON_REFUSALS: Mapping[str, Refusal] = {
    "throttled": html(429, "Too Many Requests"),
    "banned": html(418, "I'm a teapot"),
    "forbidden": html(403, "Forbidden", "CloudFront"),
    "restricted": html(451, "Unavailable For Legal Reasons", "CloudFront"),
    "bad_request": html(400, "Bad Request"),
    "not_found": html(404, "Not Found"),
    "internal": html(500, "Internal Server Error"),
    "bad_gateway": html(502, "Bad Gateway", "cloudflare"),
    "maintenance": html(503, "Service Temporarily Unavailable"),
    "gateway_timeout": html(504, "Gateway Time-out", "cloudflare"),
}


def against(quote: str) -> tuple[str, ...]:
    """The twenty assets that every exchange lists, against its main quote currency."""
    return tuple(f"{base}/{quote}" for base in MAJORS)


def whole(query: Mapping[str, str], key: str, refusal: str = "bad_request") -> int | None:
    """The integer parameter `key`, None where it is absent. Raises Refused where it is no integer."""
    text = query.get(key)
    if text is None or text == "":
        return None
    try:
        return int(text)
    except ValueError:
        raise Refused(refusal) from None
