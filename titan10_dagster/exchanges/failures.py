"""Classify a failed request, based on the HTTP status, the exchange's message and the class of ccxt's exception.

The class of the exception alone is misleading. For the statuses 418, 403 and 451, ccxt raises subclasses of
NetworkError, although a retry would not help. For a truncated body, ccxt raises ExchangeError, although a retry would
help. The first rule that applies determines the kind of the failure:

1. The status means a ban at this exchange (`Venue.bans`).
2. There is no answer, because the network failed: the failure is transient.
3. The message has a known code or sentence of the exchange (`Venue.phrases`) or of a service such as Cloudflare
   (`COMMON_PHRASES`).
4. ccxt's exception has a class with a precise meaning (`EXPLICIT_CLASSES`).
5. The status is 200, but the body does not have the exchange's error format: the answer is malformed.
6. The status has a known meaning (`STATUSES`, or 5xx).
7. ccxt's exception has a known class (`CLASSES`).
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
    Unavailable,
    UnknownSymbol,
)
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.exchanges.venues.venue import ErrorPhrase, FailureKind, phrase

# If an exchange throttles a request or is down, and asks for a pause of at most this length, the run waits. If the
# pause is longer, the run ends, and the breaker stores the end of the pause.
LONGEST_REST = timedelta(minutes=10)
_SHORTEST_REST = timedelta(seconds=1)  # servers round shorter pauses down to zero
_LONGEST_BAN = timedelta(days=7)
_CLOCK_SLACK = timedelta(minutes=10)  # a header Date that differs more from this machine's clock is not used
_QUOTED_CHARACTERS = 160

# Patterns with `_MARKET` match only words that are in one JSON string of the answer. They do not match words in the URL
# of the request, which ccxt's message also contains. "Market data" and similar words mean a part of the exchange, and
# not a market.
_MARKET = r'"[^<>"]{0,60}\b(symbol|pair|market|instrument)\b(?! (data|service|server|api)\b)'
_GONE = r"(delisted|removed|suspended|offline|closed|not exist|not (found|listed|supported))"

COMMON_PHRASES: tuple[ErrorPhrase, ...] = (
    # Cloudflare protects many exchanges. It bans with HTTP 403 and "The owner of this website has banned you
    # temporarily".
    phrase(r"error code: 1015|cf-error-code\W+1015|you are being rate limited", FailureKind.BANNED),
    # Sentences in error answers for which ccxt knows no error code. Most of these answers have HTTP status 200.
    phrase(r"\bip( address)? (has been |is |was )?(banned|blocked)\b", FailureKind.BANNED),
    phrase(r"too many requests|rate limit exceeded", FailureKind.THROTTLED),
    phrase(r"\b(under|in|for|system|scheduled) maintenance\b", FailureKind.MAINTENANCE),
    # The next two patterns match, for example, "Trading pair is offline" and "unknown market".
    phrase(rf"{_MARKET}[^<>\"]{{0,40}}\b{_GONE}\b", FailureKind.UNKNOWN_SYMBOL),
    phrase(
        r'"[^<>"]{0,60}\b(invalid|unknown|unsupported) ((trading|currency) )?(symbol|pair|market|instrument)\b',
        FailureKind.UNKNOWN_SYMBOL,
    ),
)

# ccxt raises these classes if it knows the exchange's code or sentence, or if the HTTP status has the same meaning (for
# example 429). Therefore the HTTP status gives no more information. Special classes come before general classes,
# because the first class that matches determines the kind.
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
    # ccxt's parser raises these exceptions if an answer has an unexpected structure.
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
    """Return the exception of `titan10_dagster.errors` that matches `error`. Its message says what to do next.

    `status`, `headers`: the HTTP status and headers of the answer; None and empty if there was no answer.
    `now`: aware, UTC.
    """
    if isinstance(error, FetchError):
        return error
    kind = kind_of(error, status, exchange)
    there = _clock_of(headers, now)
    retry_after = _named_end(error, there) or _retry_after(headers, there)
    failure = _Failure(error, status, exchange, symbol, now, retry_after)
    if retry_after is not None and retry_after > LONGEST_REST:
        if kind in (FailureKind.THROTTLED, FailureKind.REFUSED):
            kind = FailureKind.BANNED
        elif kind in _DOWN:
            return failure.as_unavailable(kind)
    return failure.as_error(kind)


def kind_of(error: Exception, status: int | None, exchange: str) -> FailureKind:
    """Return the kind of the failure. The rules and their order are in the docstring of this module."""
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
    """Return the pause that the header Retry-After requests; None if the header is absent or invalid.

    If there are several values, the longest pause is returned. Proxies join several headers to one, with commas.
    """
    texts = [value.strip() for name, value in headers.items() if name.lower() == "retry-after"]
    pauses = [_pause(part, now) for text in texts for part in re.split(r"(?<![A-Za-z]),", text)]
    return max((pause for pause in pauses if pause is not None), default=None)


def _pause(text: str, now: datetime) -> timedelta | None:
    """Return the pause that one value of Retry-After requests: a number of seconds, or the date of its end."""
    if re.fullmatch(r"\d+(\.\d+)?", text.strip()):
        return timedelta(seconds=min(float(text), _LONGEST_BAN.total_seconds()))
    until = _date(text)
    return None if until is None else _span(now, until)


def _clock_of(headers: Mapping[str, str], now: datetime) -> datetime:
    """Return the time of the exchange's clock, which is in the header Date; `now` if the header cannot be right.

    The ends of pauses and bans are times of the exchange's clock. If this machine's clock is ahead, requests would
    begin before the end of a ban.
    """
    for name, value in headers.items():
        there = _date(value) if name.lower() == "date" else None
        if there is not None and abs(there - now) <= _CLOCK_SLACK:
            return there
    return now


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _span(now: datetime, until: datetime) -> timedelta:
    return min(max(until - now, timedelta(0)), _LONGEST_BAN)


def _named_end(error: Exception, now: datetime) -> timedelta | None:
    """Return how long a ban lasts from `now` on; None if the message does not contain the end of the ban.

    Binance and BingX send this end in milliseconds since 1970.
    """
    named = re.search(r"(?:banned until|unblocked after) (\d{13})", str(error))
    return _span(now, from_ms(int(named[1]))) if named else None


class _Where(TypedDict):
    exchange: str
    symbol: str | None
    status: int | None


_ELSEWHERE = (
    "Requests are repeated less and less often. To get access, set a proxy or another base_url for this exchange."
    " Otherwise disable the exchange."
)
_LOOK_UP = "Materialize the exchange's markets and correct the symbol in titan10.toml."
_CHANGED = "The request is repeated. If the error persists, the exchange has changed its format: update ccxt."
REJECTED = (
    "Titan-10 does not repeat this request by itself. Read the exchange's answer, correct the settings or update ccxt,"
    " then launch the day again."
)
_SIMPLE: Mapping[FailureKind, tuple[type[FetchError], str, str]] = {
    FailureKind.REFUSED: (Refused, "refuses to serve this address or account", _ELSEWHERE),
    FailureKind.UNKNOWN_SYMBOL: (UnknownSymbol, "does not list this symbol", _LOOK_UP),
    FailureKind.MALFORMED: (MalformedAnswer, "gave an answer that cannot be read", _CHANGED),
    FailureKind.MAINTENANCE: (Maintenance, "is down for maintenance", "The request is repeated later."),
    FailureKind.TRANSIENT: (TransientError, "could not answer", "The request is repeated."),
    FailureKind.PERMANENT: (FetchError, "rejected the request", REJECTED),
}

_DOWN = (FailureKind.MAINTENANCE, FailureKind.TRANSIENT, FailureKind.MALFORMED)


@dataclass(frozen=True)
class _Failure:
    """A failed request. The methods return an exception with a message that describes the failure."""

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
        if self.retry_after and kind in _DOWN:
            advice = f"No request is made for {self.retry_after.total_seconds():g} s. {advice}"
            return class_(self._text(happened, advice), retry_after=self.retry_after, **self._where())
        return class_(self._text(happened, advice), **self._where())

    def as_unavailable(self, kind: FailureKind) -> Unavailable:
        until = self.now + (self.retry_after or timedelta(0))
        advice = f"No request is made before {until:%Y-%m-%d %H:%M:%S} UTC."
        return Unavailable(self._text(_SIMPLE[kind][1], advice), until=until, **self._where())

    def _banned(self) -> Banned:
        until = self.now + (self.retry_after or venue_of(self.exchange).bans.pause)
        advice = f"No request is made before {until:%Y-%m-%d %H:%M:%S} UTC."
        if self.status == 403:
            advice += (
                " The cause is either too many requests or a country that is not served. If the ban persists after this"
                " pause, set a proxy or another base_url for this exchange."
            )
        return Banned(self._text("has banned this address", advice), until=until, **self._where())

    def _throttled(self) -> Throttled:
        pause = self.retry_after
        if pause is None:
            pause = venue_of(self.exchange).quota_pause
        pause = max(pause, _SHORTEST_REST)
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
    """Return the text with the user names and passwords removed from all URLs."""
    return _LOGIN.sub("***@", text)


def safe_cause(error: BaseException) -> BaseException | None:
    """Return the error if it can be shown as the cause of another exception.

    If the text of the error or of one of its causes contains a user name and password, the result is None.
    """
    link: BaseException | None = error
    while link is not None:
        if _LOGIN.search(f"{link} {link!r}"):
            return None
        link = link.__cause__ or link.__context__
    return error


def _quote(error: Exception) -> str:
    """Return the class of the error and the start of its message.

    The message is cut, because some exchanges send a whole HTML page.
    """
    text = " ".join(without_logins(str(error)).split())
    shown = text if len(text) <= _QUOTED_CHARACTERS else text[:_QUOTED_CHARACTERS] + "..."
    return f"{type(error).__name__}: {shown}"
