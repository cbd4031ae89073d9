"""The record that describes a simulated exchange. Each `venues/<exchange>.py` contains the record of one exchange."""

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
    """An error answer with the exchange's own text. `%UNTIL%` is replaced by the end of a ban in epoch ms."""

    status: int
    body: str
    content_type: str = "application/json"


@dataclass(frozen=True)
class RateLimit:
    """One published rate limit, and the penalty for exceeding it.

    `kind`: how usage is counted. A `fixed` window starts at a multiple of its length. A `sliding` window ends at the
    current time. A `decay` counter falls by allowed/window per second.
    A request above the limit is throttled: the exchange refuses it, and the client must wait.
    `patience`: how many further requests above the limit during this wait cause a ban of `ban_seconds`. 0: the first
    request above the limit causes the ban. None: there are no bans.
    """

    name: str
    allowed: float
    window: float  # in seconds
    kind: Literal["fixed", "sliding", "decay"]
    source: str
    paths: str = ""  # the limit counts only requests with this text in their path
    # the cost of each kind of request; kinds that are not listed have a cost of 1
    cost: Mapping[str, float] = field(default_factory=dict)
    patience: int | None = None
    ban_seconds: float = 0.0
    retry_after: bool = False  # whether the refusal of a request says how long to wait
    used_header: str | None = None  # the header that reports the usage in an answer, if there is one


@dataclass(frozen=True, kw_only=True)
class SandboxVenue:
    """One simulated exchange: its limits, its list of markets, and its behaviour.

    names_delisted: whether a delisted market stays in the list of markets, marked as closed.
    closed_market: the answer to a request for candles of a delisted market. `candles`: the candles that the market had.
        `closed_market` or `unknown_symbol`: the refusal with this name.
    depth: the number of newest candles that the exchange serves; None: all candles.
    beyond_depth: what happens if a request starts before these candles. `clipped`: the start is moved to the oldest of
        these candles. `refused`: the request is refused with `too_old`.
    refuses_before_listing: whether a request that starts before the first candle is refused with `too_early`.
    day_starts: the hour (UTC) at which a 1d candle begins.
    """

    id: str
    port: int  # the port that `python -m titan10_dagster.sandbox` uses by default
    symbols: tuple[str, ...]
    naming: Callable[[str, str], MarketName]
    opens: str  # by default, no symbol is listed before this time
    # The listing times of some symbols. Any other symbol is listed as soon as the exchange is open (`opens`) and both
    # assets of the pair exist (`Asset.born` in instruments.py).
    listed: Mapping[str, str] = field(default_factory=dict)
    delisted: Mapping[str, str] = field(default_factory=dict)
    names_delisted: bool = False
    closed_market: ClosedMarket = "candles"
    page_limit: int
    depth: int | None = None
    beyond_depth: Literal["clipped", "refused"] = "clipped"
    refuses_before_listing: bool = False
    day_starts: int = 0
    descending: bool  # whether the newest candle is the first row of an answer
    # a minute without a trade is a flat row of volume 0 (filled) or is absent (missing)
    empty_minutes: Literal["filled", "missing"]
    outage_every: int | None = 60  # on average, there is one outage in this many days; None: no outages
    turnover: float = 0.2  # traded volume as a share of the volume on the largest exchange
    # the share of minutes without a trade is this many times the share on the largest exchange
    quiet: float = 3.0
    price_decimals: int = 10  # the maximum number of decimals of a price
    volume_decimals: int = 8  # the maximum number of decimals of a volume
    pad: int | None = None  # numbers have at least this many decimals, filled with zeros
    trim: bool = False  # whether trailing zeros of decimal numbers are cut off
    limits: tuple[RateLimit, ...]
    refusals: Mapping[str, Refusal]
    wire: WireFormat
    sources: tuple[str, ...]

    def refusal(self, name: str) -> Refusal:
        """Return the exchange's own refusal with this name.

        If the exchange has none, return the refusal of the server in front of it (COMMON_REFUSALS). If both have none,
        return the exchange's `bad_request`.
        """
        if name in self.refusals:
            return self.refusals[name]
        return COMMON_REFUSALS.get(name) or self.refusals["bad_request"]

    def candle_start(self, at_ms: int, seconds: int) -> int:
        """Return the start of the candle that contains a time."""
        step = seconds * 1_000
        offset = self.day_starts * 3_600_000 if seconds == DAY else 0
        return (at_ms - offset) // step * step + offset


def html(status: int, title: str, server: str = "nginx") -> Refusal:
    """Return an error page of the server in front of an exchange."""
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
    """Return the symbols of the twenty assets in `MAJORS` with the given quote currency, such as BTC/USDT."""
    return tuple(f"{base}/{quote}" for base in MAJORS)


def joined(separator: str = "") -> Callable[[str, str], MarketName]:
    """Return a function that joins base and quote to a market id, such as BTC-USDT."""
    return lambda base, quote: MarketName(f"{base}{separator}{quote}", base, quote)
