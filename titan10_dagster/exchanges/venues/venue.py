"""`Venue`: the class of the record that describes one exchange, and the classes of its parts.

Each module of this package with a constant `VENUE` describes one exchange. `registry.venue_of` returns the record of an
exchange. All numbers are for spot candles. Times are in UTC.
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

# ccxt's classes read these fields of a market when they fetch candles, in addition to the ids and assets of the market.
COMMON_MARKET_FIELDS = (
    *("lowercaseId", "numericId", "baseNumericId", "quoteNumericId", "settle", "settleId"),
    *("linear", "inverse"),
)


EACH = "*"  # in `Venue.market_name`: every item of a list


class EmptyMinutes(StrEnum):
    """The way in which an exchange reports a minute without trades."""

    FILLED = "filled"  # the exchange sends a row with volume 0
    MISSING = "missing"  # the exchange sends no row
    UNKNOWN = "unknown"


class FailureKind(Enum):
    """The meaning of a failed request. `failures` converts each kind into an exception of `titan10_dagster.errors`."""

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
    """A code or sentence in the error answers of an exchange, and its meaning.

    The message of ccxt's exception contains the body of the answer. `pattern` is searched for in this message.
    """

    pattern: re.Pattern[str]
    kind: FailureKind


def phrase(pattern: str, kind: FailureKind) -> ErrorPhrase:
    """Return an ErrorPhrase. `pattern`: a regular expression that ignores upper and lower case."""
    return ErrorPhrase(re.compile(pattern, re.IGNORECASE), kind)


def error_code(name: str, *codes: int, kind: FailureKind) -> ErrorPhrase:
    """Return an ErrorPhrase for these codes in the JSON field `name`. In an answer, the code can be in quotes."""
    return phrase(code_pattern(name, *codes), kind)


def code_pattern(name: str, *codes: int) -> str:
    """Return a regular expression. It matches the JSON field `name` if the field's value is one of these codes."""
    alternatives = "|".join(map(str, codes))
    return rf'"{name}":\s*"?({alternatives})"?\s*[,}}]'


async def list_spot_markets(exchange: Any) -> list[Any]:
    """Return ccxt's records of the spot markets. ccxt's `fetch_markets` also requests other types of markets."""
    markets: list[Any] = await exchange.fetch_spot_markets({})
    return markets


@dataclass(frozen=True)
class Bans:
    """The bans of an exchange.

    statuses: the HTTP statuses that mean a ban.
    pause: how long a ban is assumed to last if the answer does not contain the end of the ban.
    """

    statuses: frozenset[int] = frozenset({418})
    pause: timedelta = timedelta(minutes=2)


@dataclass(frozen=True)
class Wire:
    """The format of the rows in an exchange's answer.

    keys: the list indexes or object keys of time, open, high, low, close and volume, in this order.
    unit: the number of milliseconds in one unit of the time.
    envelope: the object keys that lead from the answer to its list of rows; None if these keys vary.
    close_time: the field with the end of the candle (ms). If trading was halted, a candle can end early.
    confirm: the field that is 0 as long as the candle is not finished.
    last_finished: the object keys that lead from the answer to the start of its last finished candle, in the unit of
        the candles' times. If the newest row of the answer is later, it is not finished. None if the answers do not
        contain this time.
    """

    keys: tuple[int | str, ...]
    unit: int
    envelope: tuple[str, ...] | None
    close_time: int | str | None = None
    confirm: int | str | None = None
    last_finished: tuple[str, ...] | None = None


@dataclass(frozen=True)
class RecentPages:
    """The page size that an exchange uses for recent candles.

    size: the maximum number of candles that one request returns.
    age: the page size applies if the oldest requested candle starts less than this time before now.
    """

    size: int
    age: timedelta


@dataclass(frozen=True)
class Venue:
    """The record of one exchange: all facts that are special to this exchange.

    exchange: ccxt's id of the exchange.
    source: where the facts come from. "docs" is the exchange's documentation. "code" is the exchange's class in ccxt
        4.5.90. "issue" and "PR" are issues and pull requests of ccxt.

    Facts about the served candles:
    page_size: the maximum number of candles that one request returns.
    recent_pages: the size of pages with recent candles, if this size is larger than `page_size`; else None.
    accepted_limits: the only numbers of candles that a request can ask for, in ascending order; empty if every number
        up to `page_size` is accepted.
    depth: the number of newest candles that the exchange still serves. None means that the exchange serves all candles,
        or that the number is not known. In this case, if requested days are empty, `listing` finds out whether the
        exchange no longer serves these days.
    empty_minutes: how the exchange reports a minute without trades.
    wire: the format of the rows; None to let ccxt parse the rows.
    market_name: the object keys that lead from an answer to the id of the market of its candles; empty if the answers
        do not name the market. The key EACH stands for every item of a list. Candles of another market are not
        accepted. Letter case and the separators of base and quote are not compared.
    market_pattern: a regular expression that matches the whole name of the market. Its group is the id of the market.
    off_grid: the timeframes with candles that do not begin on the UTC grid (for example, 1d candles that do not begin
        at midnight UTC), each with the time at which its candles begin. Titan-10 does not fetch these timeframes.
    no_since: whether the exchange or ccxt's class has no start parameter. The exchange then always returns its newest
        candles.
    cursor: whether the exchange counts back from the end of the requested time range. Such an exchange returns as many
        candles as requested, even if some of them are before the start of the range.
    refuses_before_listing: whether the exchange answers with an error if a request begins before the first candle of
        the series. The wording of this error is not documented.
    alternative_source: another source of old candles, as a text for messages.
    archive: the candle files that the exchange publishes at fixed URLs; None if it does not publish such files.
    files_omit_empty_minutes: whether the files that a user can download leave out minutes without trades.
    days_per_run: how many days of 1m candles one run fetches. A run with this number of days takes a few minutes.

    Facts about the allowed rate of requests:
    cost: the cost of a page in ccxt's rate limiter, in units of `rateLimit`.
    budget: the safe share of ccxt's request rate. It is above 1 if ccxt's rate is far below the allowed rate.
    quota: how many candle requests the exchange allows according to its documentation; None if this is not documented.
        The quota limits the pace too, because ccxt's rate can be much higher (for Phemex, ten times as high).
    quota_pause: the pause after the answer "too many requests", if this answer has no Retry-After header.
    bans: how the exchange bans an IP address.

    Facts about other answers:
    phrases: the error codes and sentences for which the HTTP status and the class of ccxt's exception are misleading.
    error_marker: a text that every error answer contains. A failure with HTTP 200 and without this text is a malformed
        answer and not an error of the exchange.
    warning: a regular expression for entries of the field `error` that are only warnings. An answer that has a result
        and no other entries is accepted. None if every entry is an error.
    list_markets: a function that requests all spot markets. If it is None, ccxt's `fetch_markets` is used.
    market_fields: further fields of a market that ccxt's class reads.
    market_records: the keys and indexes that lead from the answer to its records of markets. This is needed only if a
        record refers to another list of the answer by position, so that this other list must stay complete. If it is
        None, the longest list of the answer is used.
    """

    exchange: str
    page_size: int
    source: str
    recent_pages: RecentPages | None = None
    accepted_limits: tuple[int, ...] = ()
    depth: int | None = None
    empty_minutes: EmptyMinutes = EmptyMinutes.UNKNOWN
    wire: Wire | None = None
    market_name: tuple[str, ...] = ()
    market_pattern: str = "(.+)"
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
    warning: str | None = None
    list_markets: Callable[[Any], Awaitable[list[Any]]] | None = None
    market_fields: tuple[str, ...] = ()
    market_records: tuple[int | str, ...] | None = None

    @property
    def overlap(self) -> int:
        """Return the number of candles that two consecutive pages have in common.

        The two pages should have a common row, which proves that no candle is missing between the pages. If an exchange
        leaves out minutes without trades, a single common minute often has no row, and an extra request would be
        needed. Therefore the pages have up to ten minutes in common if the exchange possibly leaves out such minutes.
        """
        if self.empty_minutes is EmptyMinutes.FILLED:
            return 1
        return max(1, min(10, self.page_size // 20))

    def page_size_from(self, oldest: datetime, now: datetime) -> int:
        """Return the maximum number of candles that one request returns.

        `oldest`: the start of the oldest requested candle.
        """
        recent = self.recent_pages
        return recent.size if recent is not None and now - oldest < recent.age else self.page_size

    def accepted_limit(self, limit: int) -> int:
        """Return the smallest accepted number of candles that is at least `limit`; else the largest accepted number."""
        if not self.accepted_limits:
            return limit
        return next((accepted for accepted in self.accepted_limits if accepted >= limit), self.accepted_limits[-1])

    def reaches(self, slice_: Slice, now: datetime) -> bool:
        """Return whether the exchange still serves a candle of the slice. If `depth` is None, return True."""
        return self.depth is None or slice_.end > now - self.depth * slice_.series.timeframe.delta

    @property
    def page_seconds(self) -> float:
        """Return the seconds between two pages at the full pace."""
        by_ccxt = rate_limit_ms(self.exchange) / 1000 * self.cost / self.budget
        return by_ccxt if self.quota is None else max(by_ccxt, self.quota.spacing)

    @property
    def alternative(self) -> str:
        """Return a text that lists other ways to get candles if the exchange does not serve old candles."""
        ways = ["live polling, which stores new candles before the exchange deletes them", "longer candles, such as 1d"]
        if self.alternative_source:
            ways.append(self.alternative_source)
        return "; ".join(ways)

    @property
    def all_market_fields(self) -> tuple[str, ...]:
        """Return the names of the market fields that are stored because ccxt's class reads them."""
        return COMMON_MARKET_FIELDS + self.market_fields
