"""What the sandbox knows of an exchange: the table that each `venues/<exchange>.py` fills in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from titan10_dagster.sandbox.venues.instrument import MarketName
from titan10_dagster.sandbox.venues.wire import DAY, WireFormat

MAJORS = (
    "BTC", "ETH", "SOL", "XRP", "ADA", "DOGE", "LTC", "LINK", "DOT", "AVAX",
    "BCH", "UNI", "ATOM", "XLM", "AAVE", "ALGO", "ETC", "NEAR", "PEPE", "SHIB",
)  # fmt: skip


ClosedMarket = Literal["candles", "closed_market", "unknown_symbol"]


@dataclass(frozen=True)
class Refusal:
    """An error answer in the exchange's own words. `%UNTIL%` becomes the end of a ban in epoch ms."""

    status: int
    body: str
    content_type: str = "application/json"


@dataclass(frozen=True)
class RateLimit:
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
    retry_after: bool = False  # the answer says how long to wait
    used_header: str | None = None


@dataclass(frozen=True, kw_only=True)
class SandboxVenue:
    """One exchange: limits, listing, policies. Its module is the only place that says any of this.

    names_delisted: a delisted market stays in the list, marked as closed. closed_market: what a request for candles of
    a delisted market gets: its candles, the refusal `closed_market`, or the refusal `unknown_symbol`. depth: how many
    candles back from now there are; an older start is clipped, or refused as `too_old`. refuses_before_listing: a start
    before the first candle is refused as `too_early`. day_starts: the hour (UTC) at which a 1d candle begins.
    """

    id: str
    port: int  # where the sandbox serves it unless another one is given
    symbols: tuple[str, ...]
    naming: Callable[[str, str], MarketName]
    opens: str  # no candle of any symbol is older
    listed: Mapping[str, str] = field(default_factory=dict)  # symbols younger than exchange and asset
    delisted: Mapping[str, str] = field(default_factory=dict)
    names_delisted: bool = False
    closed_market: ClosedMarket = "candles"
    page_limit: int
    depth: int | None = None
    beyond_depth: Literal["clipped", "refused"] = "clipped"
    refuses_before_listing: bool = False
    day_starts: int = 0
    descending: bool  # the newest row comes first
    empty_minutes: Literal["filled", "missing"]  # a minute without a trade: a flat row, or none
    outage_every: int | None = 60  # one day in so many has an outage that all symbols share
    turnover: float = 0.2  # traded volume as a share of the largest exchange's
    quiet: float = 3.0  # how much more often than there a minute has no trade
    price_decimals: int = 10  # at most
    volume_decimals: int = 8  # at most
    pad: int | None = None  # numbers are filled up with zeros to so many decimals
    trim: bool = False  # trailing zeros are cut off
    limits: tuple[RateLimit, ...]
    refusals: Mapping[str, Refusal]
    wire: WireFormat
    sources: tuple[str, ...]

    def refusal(self, name: str) -> Refusal:
        """The exchange's own words, or those of the machinery in front of it."""
        if name in self.refusals:
            return self.refusals[name]
        return COMMON_REFUSALS.get(name) or self.refusals["bad_request"]

    def candle_start(self, at_ms: int, seconds: int) -> int:
        """The start of the candle that contains an instant."""
        step = seconds * 1_000
        offset = self.day_starts * 3_600_000 if seconds == DAY else 0
        return (at_ms - offset) // step * step + offset


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


def joined(separator: str = "") -> Callable[[str, str], MarketName]:
    """Ids such as BTC-USDT."""
    return lambda base, quote: MarketName(f"{base}{separator}{quote}", base, quote)
