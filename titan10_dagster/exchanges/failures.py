"""Classify a failed request by the HTTP status, the exchange's message and ccxt's class together.

The class alone is misleading in both directions: 418, 403 and 451 arrive as subclasses of NetworkError, which suggests
a retry, and a truncated body arrives as ExchangeError, which does not. The first matching rule decides:

1. a status that means a ban for this exchange (`Venue.bans`)
2. no answer: a fault of the network, which is transient
3. a code or sentence of the exchange (`Venue.phrases`), or of the protection in front of many (`COMMON_PHRASES`)
4. ccxt's classes that it derives only from the exchange's message (`EXPLICIT_CLASSES`)
5. HTTP 200 without the exchange's error format: a malformed answer
6. the status (`STATUSES`), 5xx included
7. ccxt's class (`CLASSES`)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypedDict

import aiohttp
import ccxt

from titan10_dagster.candles.slices import from_ms
from titan10_dagster.errors import (
    Banned,
    FetchError,
    Maintenance,
    MalformedAnswer,
    Refused,
    Throttled,
    TransientError,
    UnknownSymbol,
)
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.exchanges.venues.venue import ErrorPhrase, FailureKind, phrase

# The longest pause that a run waits for. A longer pause ends the run, and the breaker stores when the pause ends.
LONGEST_REST = timedelta(minutes=10)
_LONGEST_BAN = timedelta(days=7)
_QUOTED_CHARACTERS = 160

# Within one JSON text; the words of an address do not count.
_MARKET = r'"[^<>"]{0,60}\b(symbol|pair|market|instrument)\b'
_GONE = r"(delisted|removed|suspended|offline|closed|not exist|not (found|listed|supported))"

COMMON_PHRASES: tuple[ErrorPhrase, ...] = (
    # Cloudflare, in front of many exchanges: "The owner of this website has banned you temporarily", with HTTP 403.
    phrase(r"error code: 1015|cf-error-code\W+1015|you are being rate limited", FailureKind.BANNED),
    # Plain words of answers for which ccxt knows no code, mostly with HTTP 200.
    phrase(r"\bip( address)? (has been |is |was )?(banned|blocked)\b", FailureKind.BANNED),
    phrase(r"too many requests|rate limit exceeded", FailureKind.THROTTLED),
    phrase(r"\b(under|in|for|system|scheduled) maintenance\b", FailureKind.MAINTENANCE),
    # "Trading pair is offline", "unknown market"
    phrase(rf"{_MARKET}[^<>\"]{{0,40}}\b{_GONE}\b", FailureKind.UNKNOWN_SYMBOL),
    phrase(
        r'"[^<>"]{0,60}\b(invalid|unknown|unsupported) ((trading|currency) )?(symbol|pair|market|instrument)\b',
        FailureKind.UNKNOWN_SYMBOL,
    ),
)

# ccxt raises these only if it knows the exchange's code or sentence, so the HTTP status adds nothing. The order is from
# special to general: the first matching class decides.
EXPLICIT_CLASSES: tuple[tuple[type[Exception], FailureKind], ...] = (
    (ccxt.BadSymbol, FailureKind.UNKNOWN_SYMBOL),
    (ccxt.OnMaintenance, FailureKind.MAINTENANCE),
    (ccxt.RateLimitExceeded, FailureKind.THROTTLED),
    (ccxt.DDoSProtection, FailureKind.THROTTLED),
    (ccxt.RequestTimeout, FailureKind.TRANSIENT),
    (ccxt.RestrictedLocation, FailureKind.REFUSED),
)

STATUSES: Mapping[int, FailureKind] = {
    400: FailureKind.PERMANENT,
    401: FailureKind.REFUSED,
    403: FailureKind.REFUSED,
    404: FailureKind.PERMANENT,
    408: FailureKind.TRANSIENT,
    418: FailureKind.BANNED,
    425: FailureKind.TRANSIENT,
    429: FailureKind.THROTTLED,
    451: FailureKind.REFUSED,
}

CLASSES: tuple[tuple[type[Exception], FailureKind], ...] = (
    (ccxt.BadResponse, FailureKind.MALFORMED),
    (ccxt.AuthenticationError, FailureKind.REFUSED),
    (ccxt.NetworkError, FailureKind.TRANSIENT),
    (ccxt.OperationFailed, FailureKind.TRANSIENT),
    (ccxt.BaseError, FailureKind.PERMANENT),
    (aiohttp.ClientError, FailureKind.TRANSIENT),
    (TimeoutError, FailureKind.TRANSIENT),
    (OSError, FailureKind.TRANSIENT),
    # Exceptions of ccxt's parsing for an answer with an unexpected structure.
    (LookupError, FailureKind.MALFORMED),
    (AttributeError, FailureKind.MALFORMED),
    (TypeError, FailureKind.MALFORMED),
    (ValueError, FailureKind.MALFORMED),
    (ArithmeticError, FailureKind.MALFORMED),
)


def classify(
    error: Exception,
    status: int | None,
    headers: Mapping[str, str],
    *,
    exchange: str,
    symbol: str | None = None,
    now: datetime,
) -> FetchError:
    """Return the error of `titan10_dagster.errors` for `error`; its text says what to do next.

    `status` and `headers` are those of the answer, None and empty if there was none. `now` is aware, UTC.
    """
    if isinstance(error, FetchError):
        return error
    kind = kind_of(error, status, exchange)
    retry_after = _named_end(error, now) or _retry_after(headers, now)
    if kind is FailureKind.THROTTLED and retry_after is not None and retry_after > LONGEST_REST:
        kind = FailureKind.BANNED
    return _Failure(error, status, exchange, symbol, now, retry_after).as_error(kind)


def kind_of(error: Exception, status: int | None, exchange: str) -> FailureKind:
    """Return the meaning of the failure, by the rules of the module's docstring in their order."""
    venue = venue_of(exchange)
    if status is not None and status in venue.bans.statuses:
        return FailureKind.BANNED
    if status is None and isinstance(error.__cause__, aiohttp.ClientError):
        return FailureKind.TRANSIENT
    explicit = _kind_of_phrase(str(error), venue.phrases) or _kind_of_class(error, EXPLICIT_CLASSES)
    if explicit is not None:
        return explicit
    if status == 200 and (venue.error_marker or "") not in str(error):
        return FailureKind.MALFORMED
    if status is not None and status >= 400:
        by_status = _kind_of_status(status, error)
        if by_status is not None:
            return by_status
    return _kind_of_class(error, CLASSES) or FailureKind.PERMANENT


def _kind_of_phrase(message: str, phrases: tuple[ErrorPhrase, ...]) -> FailureKind | None:
    for known in phrases + COMMON_PHRASES:
        if known.pattern.search(message):
            return known.kind
    return None


def _kind_of_class(error: Exception, table: tuple[tuple[type[Exception], FailureKind], ...]) -> FailureKind | None:
    for class_, kind in table:
        if isinstance(error, class_):
            return kind
    return None


def _kind_of_status(status: int, error: Exception) -> FailureKind | None:
    if status in STATUSES:
        return STATUSES[status]
    if status < 500:
        return None
    if "maintenance" in str(error).lower():
        return FailureKind.MAINTENANCE
    return FailureKind.TRANSIENT


def _retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Return the header's seconds or HTTP date as the time from now; None if it is absent or invalid."""
    text = ""
    for name, value in headers.items():
        if name.lower() == "retry-after":
            text = value.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return timedelta(seconds=min(float(text), _LONGEST_BAN.total_seconds()))
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return _span(now, until if until.tzinfo else until.replace(tzinfo=UTC))


def _span(now: datetime, until: datetime) -> timedelta:
    return min(max(until - now, timedelta(0)), _LONGEST_BAN)


def _named_end(error: Exception, now: datetime) -> timedelta | None:
    """Return the time left of a block, if the message has its end in milliseconds, as with binance and bingx."""
    named = re.search(r"(?:banned until|unblocked after) (\d{13})", str(error))
    return _span(now, from_ms(int(named[1]))) if named else None


class _Where(TypedDict):
    exchange: str
    symbol: str | None
    status: int | None


_ELSEWHERE = (
    "Requests are repeated less and less often. To get access, set a proxy or another base_url for this exchange, or"
    " disable it."
)
_LOOK_UP = "Materialize the exchange's markets and correct the symbol in titan10.toml."
_CHANGED = "The request is repeated. If this goes on, the exchange changed its format: update ccxt."
_REJECTED = (
    "Titan-10 does not repeat this request by itself. Read the exchange's answer, correct the settings or update ccxt,"
    " then launch the day again."
)
_SIMPLE: Mapping[FailureKind, tuple[type[FetchError], str, str]] = {
    FailureKind.REFUSED: (Refused, "refuses to serve this address or account", _ELSEWHERE),
    FailureKind.UNKNOWN_SYMBOL: (UnknownSymbol, "does not list this symbol", _LOOK_UP),
    FailureKind.MALFORMED: (MalformedAnswer, "gave an answer that cannot be read", _CHANGED),
    FailureKind.MAINTENANCE: (Maintenance, "is down for maintenance", "The request is repeated later."),
    FailureKind.TRANSIENT: (TransientError, "could not answer", "The request is repeated."),
    FailureKind.PERMANENT: (FetchError, "rejected the request", _REJECTED),
}


@dataclass(frozen=True)
class _Failure:
    """One failed request, and the texts that describe it."""

    error: Exception
    status: int | None
    exchange: str
    symbol: str | None
    now: datetime
    retry_after: timedelta | None

    def as_error(self, kind: FailureKind) -> FetchError:
        if kind is FailureKind.BANNED:
            return self._banned()
        if kind is FailureKind.THROTTLED:
            return self._throttled()
        class_, happened, advice = _SIMPLE[kind]
        return class_(self._text(happened, advice), **self._where())

    def _banned(self) -> Banned:
        until = self.now + (self.retry_after or venue_of(self.exchange).bans.pause)
        advice = f"No request is made before {until:%Y-%m-%d %H:%M:%S} UTC."
        if self.status == 403:
            advice += (
                " The cause is either too many requests or a country that is not served: if it goes on after that"
                " pause, set a proxy or another base_url for this exchange."
            )
        return Banned(self._text("has banned this address", advice), until=until, **self._where())

    def _throttled(self) -> Throttled:
        pause = self.retry_after
        if pause is None:
            pause = venue_of(self.exchange).quota_pause
        advice = f"Requests pause for {pause.total_seconds():g} s and then continue at a slower pace."
        text = self._text("asks for fewer requests", advice)
        return Throttled(text, retry_after=pause, **self._where())

    def _text(self, happened: str, advice: str) -> str:
        which = f"{self.exchange} {self.symbol}" if self.symbol else self.exchange
        answered = f"HTTP {self.status}" if self.status else "no answer"
        return f"{which}: the exchange {happened} ({answered}; {_quote(self.error)}). {advice}"

    def _where(self) -> _Where:
        return {"exchange": self.exchange, "symbol": self.symbol, "status": self.status}


_LOGIN = re.compile(r"(?<=://)[^\s/?#]*@")


def without_logins(text: str) -> str:
    """Return the text with user and password removed from every address in it."""
    return _LOGIN.sub("***@", text)


def safe_cause(error: BaseException) -> BaseException | None:
    """Return the error as a cause to raise from; None if it, or any of its causes, contains a user and password."""
    link: BaseException | None = error
    while link is not None:
        if _LOGIN.search(f"{link} {link!r}"):
            return None
        link = link.__cause__ or link.__context__
    return error


def _quote(error: Exception) -> str:
    """Return the class and the start of the message, because some exchanges put a page of HTML into it."""
    text = " ".join(without_logins(str(error)).split())
    shown = text if len(text) <= _QUOTED_CHARACTERS else text[:_QUOTED_CHARACTERS] + "..."
    return f"{type(error).__name__}: {shown}"
