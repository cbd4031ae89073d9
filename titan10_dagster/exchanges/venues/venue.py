"""`Venue`, the record that describes one exchange, and its parts.

Each module of this package with a constant `VENUE` describes one exchange. `registry.venue_of` finds them. All figures
are for spot candles. Times are UTC.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from typing import Any

from titan10_dagster.candles.slices import Slice
from titan10_dagster.exchanges.archive_record import Archive
from titan10_dagster.exchanges.ccxt_facts import rate_limit_ms
from titan10_dagster.planning.quota import Quota

# The fields of a market that ccxt's classes read when they fetch candles, in addition to its ids and assets.
COMMON_MARKET_FIELDS = (
    *("lowercaseId", "numericId", "baseNumericId", "quoteNumericId", "settle", "settleId"),
    *("linear", "inverse"),
)


class EmptyMinutes(StrEnum):
    """The way in which an exchange reports a candle without trades."""

    FILLED = "filled"  # a row with volume 0
    MISSING = "missing"  # no row
    UNKNOWN = "unknown"


class FailureKind(Enum):
    """The meaning of a failed request. `failures` turns each kind into one class of `titan10_dagster.errors`."""

    TRANSIENT = auto()
    MALFORMED = auto()
    MAINTENANCE = auto()
    THROTTLED = auto()
    BANNED = auto()
    REFUSED = auto()
    UNKNOWN_SYMBOL = auto()
    PERMANENT = auto()


@dataclass(frozen=True)
class ErrorPhrase:
    """A code or sentence in an exchange's error answers, and its meaning.

    `pattern` is searched in ccxt's message, which quotes the answer's body.
    """

    pattern: re.Pattern[str]
    kind: FailureKind


def phrase(pattern: str, kind: FailureKind) -> ErrorPhrase:
    """Return the meaning of a sentence. `pattern` is a regular expression; case does not matter."""
    return ErrorPhrase(re.compile(pattern, re.IGNORECASE), kind)


def error_code(name: str, *codes: int, kind: FailureKind) -> ErrorPhrase:
    """Return the meaning of codes in the JSON field `name`, with or without quotes around the number."""
    return phrase(code_pattern(name, *codes), kind)


def code_pattern(name: str, *codes: int) -> str:
    """Return a regular expression for the JSON field `name` with one of these codes as its value."""
    alternatives = "|".join(map(str, codes))
    return rf'"{name}":\s*"?({alternatives})"?\s*[,}}]'


async def list_spot_markets(exchange: Any) -> list[Any]:
    """Return the spot markets with ccxt's request for them, because its `fetch_markets` requests other types too."""
    markets: list[Any] = await exchange.fetch_spot_markets({})
    return markets


@dataclass(frozen=True)
class Bans:
    """The blocks of an exchange: their HTTP statuses, and the length of a block without a stated end."""

    statuses: frozenset[int] = frozenset({418})
    pause: timedelta = timedelta(minutes=2)


@dataclass(frozen=True)
class Wire:
    """The position of [time, open, high, low, close, volume] in a row of the exchange's answer.

    keys: list indexes or object keys, in that order.
    unit: milliseconds in one unit of the row's time.
    envelope: the object keys that lead from the answer to its list of rows; None if they vary.
    close_time: the field with the time (ms) at which the candle ended. It is early if a halt cut the candle short.
    confirm: the field that is 0 while the candle is not finished.
    """

    keys: tuple[int | str, ...]
    unit: int
    envelope: tuple[str, ...] | None
    close_time: int | str | None = None
    confirm: int | str | None = None


@dataclass(frozen=True)
class RecentPages:
    """The pages of candles that are younger than `age`. `size`: the most candles that one request returns."""

    size: int
    age: timedelta


@dataclass(frozen=True)
class Venue:
    """All special facts of one exchange.

    exchange: ccxt's id.
    source: where the facts come from. "docs" is the exchange's documentation, "code" its class in ccxt 4.5.90, "issue"
        or "PR" one of ccxt's.

    What it serves:
    page_size: the most candles that one request returns.
    recent_pages: larger pages for recent candles, if there are any.
    depth: how many candles back from now the exchange still serves. None means all, or not known. In that case
        `listing` finds out whether an exchange no longer serves a silent stretch.
    empty_minutes: how it reports a minute without trades.
    wire: the format of its rows. None leaves the parsing to ccxt.
    off_grid: timeframes with candles that do not begin on the UTC grid, each with the time at which they begin. They
        cannot be fetched.
    no_since: the exchange, or ccxt's class, has no start parameter, so it always returns its last candles.
    cursor: a page counts back from its end and has as many candles as requested, even if they are before its start.
    refuses_before_listing: the exchange answers a page that begins before the first candle with an error of unknown
        wording.
    alternative_source: where to get candles older than `depth`.
    archive: the candle files that it publishes at fixed addresses; None if it publishes none.
    files_omit_empty_minutes: the files that a user can download from it hold only minutes with trades.
    days_per_run: how many days of 1-minute candles one run fetches. The exchange serves them in some minutes at its own
        pace.

    What it charges:
    cost: ccxt's charge for a page, in units of its `rateLimit`.
    budget: the safe share of ccxt's own request rate; above 1 if ccxt stays far below the allowed rate.
    quota: the requests for candles that the exchange's documentation allows; None if it names no number. ccxt's own
        rate is up to ten times as high (phemex), so the quota limits the pace too.
    quota_pause: how long requests rest after "too many requests" without a Retry-After header.
    bans: how it blocks an address.

    How it answers:
    phrases: error codes and sentences with a meaning other than the one that HTTP status and ccxt's class suggest.
    error_marker: a text that is in every error answer. A failure with HTTP 200 and without this text is a malformed
        answer, not an error of the exchange.
    list_markets: the request for all spot markets; None uses ccxt's `fetch_markets`.
    market_fields: further fields of a market that ccxt's class reads.
    positional_markets: records of the market list refer to each other by their places, so that the list cannot be read
        in parts.
    """

    exchange: str
    page_size: int
    source: str
    recent_pages: RecentPages | None = None
    depth: int | None = None
    empty_minutes: EmptyMinutes = EmptyMinutes.UNKNOWN
    wire: Wire | None = None
    off_grid: Mapping[str, str] = field(default_factory=dict, hash=False)
    no_since: bool = False
    cursor: bool = False
    refuses_before_listing: bool = False
    alternative_source: str | None = None
    archive: Archive | None = None
    files_omit_empty_minutes: bool = False
    days_per_run: int = 27
    cost: float = 1.0
    budget: float = 1.0
    quota: Quota | None = None
    quota_pause: timedelta = timedelta(seconds=10)
    bans: Bans = Bans()
    phrases: tuple[ErrorPhrase, ...] = ()
    error_marker: str | None = None
    list_markets: Callable[[Any], Awaitable[list[Any]]] | None = None
    market_fields: tuple[str, ...] = ()
    positional_markets: bool = False

    @property
    def overlap(self) -> int:
        """The number of candles that neighbouring pages have in common, so that both contain a traded candle.

        If an exchange leaves out empty minutes, a single common minute often has no row. Each page boundary would then
        cost an extra request to find out whether candles are missing there.
        """
        if self.empty_minutes is EmptyMinutes.FILLED:
            return 1
        return max(1, min(10, self.page_size // 20))

    def page_size_from(self, oldest: datetime, now: datetime) -> int:
        """Return the most candles that one request returns if no candle before `oldest` is requested."""
        recent = self.recent_pages
        return recent.size if recent is not None and now - oldest < recent.age else self.page_size

    def reaches(self, slice_: Slice, now: datetime) -> bool:
        """Return whether the exchange still serves any candle of the slice; true if its depth is not known."""
        return self.depth is None or slice_.end > now - self.depth * slice_.series.timeframe.delta

    @property
    def page_seconds(self) -> float:
        """Seconds between two pages at the full safe pace."""
        by_ccxt = rate_limit_ms(self.exchange) / 1000 * self.cost / self.budget
        return by_ccxt if self.quota is None else max(by_ccxt, self.quota.spacing)

    @property
    def alternative(self) -> str:
        """The way to get candles older than `depth`."""
        ways = ["live polling from now on", "longer candles, such as 1d"]
        if self.alternative_source:
            ways.append(self.alternative_source)
        return "; ".join(ways)

    @property
    def all_market_fields(self) -> tuple[str, ...]:
        """The fields of a market that are stored because ccxt's class reads them."""
        return COMMON_MARKET_FIELDS + self.market_fields
