"""What a failed request means, decided by the HTTP status, the exchange's words and ccxt's class together.

The class alone misleads both ways: 418, 403 and 451 arrive as subclasses of NetworkError, which look worth a
retry, and a short body arrives as ExchangeError, which does not. So, first match wins:

1. a status that means a ban for this exchange
2. the exchange's own code or sentence (`SAYINGS`)
3. ccxt's BadSymbol, which it makes of the exchange's words only
4. the status (`STATUSES`), 5xx included
5. ccxt's class (`CLASSES`); without an answer from the exchange, anything of the network passes
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum, auto
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
from titan10_dagster.exchanges.capabilities import capabilities_of

# Asked to be silent for longer than this, a run ends instead of waiting: the breaker remembers for it.
PATIENCE = timedelta(minutes=10)
_LONGEST_BAN = timedelta(days=7)
_QUOTE = 160


ANY = "*"


class Kind(Enum):
    """What a failure is, before it becomes an error."""

    TRANSIENT = auto()
    MALFORMED = auto()
    MAINTENANCE = auto()
    THROTTLED = auto()
    BANNED = auto()
    REFUSED = auto()
    UNKNOWN_SYMBOL = auto()
    PERMANENT = auto()


@dataclass(frozen=True)
class Saying:
    """A sentence or code of an exchange, or of any, searched in ccxt's message, and what it means."""

    exchange: str
    pattern: re.Pattern[str]
    kind: Kind


def _saying(exchange: str, pattern: str, kind: Kind) -> Saying:
    return Saying(exchange, re.compile(pattern, re.IGNORECASE), kind)


def _code(name: str, *codes: int) -> str:
    return rf'"{name}":\s*"?({"|".join(map(str, codes))})"?\s*[,}}]'


# Codes from the exchanges' documentation of errors; coinbase documents none, its sentences are as observed in
# ccxt's tests and issues. What ccxt 4.5.90 calls something else, or nothing, is marked with it.
SAYINGS: tuple[Saying, ...] = (
    # Cloudflare, which stands before many of them: "The owner of this website has banned you temporarily", with 403
    _saying(ANY, r"error code: 1015|cf-error-code\W+1015|you are being rate limited", Kind.BANNED),
    _saying("binance", _code("code", -1121), Kind.UNKNOWN_SYMBOL),
    _saying("binance", _code("code", -1008, -1001, -1006, -1007, -1016), Kind.TRANSIENT),
    _saying("binance", _code("code", -1003), Kind.THROTTLED),
    _saying("okx", _code("code", 51001), Kind.UNKNOWN_SYMBOL),
    _saying("okx", _code("code", 50001), Kind.MAINTENANCE),
    _saying("okx", _code("code", 50011, 50061), Kind.THROTTLED),
    _saying("okx", _code("code", 50004, 50013, 50026), Kind.TRANSIENT),
    _saying("bybit", r"symbol (is )?invalid|invalid symbol|not supported symbol", Kind.UNKNOWN_SYMBOL),
    _saying("bybit", r"symbol params err", Kind.UNKNOWN_SYMBOL),
    _saying("bybit", _code("retCode", 10006, 10018), Kind.THROTTLED),
    _saying("bybit", _code("retCode", 10000, 10016), Kind.TRANSIENT),
    _saying("bybit", _code("retCode", 10024, 10009), Kind.REFUSED),
    _saying("kraken", r"EQuery:Unknown asset pair", Kind.UNKNOWN_SYMBOL),
    _saying("kraken", r"Temporary lockout", Kind.BANNED),
    _saying("kraken", r"Too many requests|Rate limit exceeded|EService: ?Throttled", Kind.THROTTLED),
    _saying("kraken", r"EService:(Unavailable|Market in)|This service is under maintenance", Kind.MAINTENANCE),
    _saying("kraken", r"EService:(Busy|Timeout|Deadline)|EGeneral:Internal error", Kind.TRANSIENT),
    _saying("coinbase", r"NOT_FOUND|NotFound|ProductID .*invalid|valid product_id", Kind.UNKNOWN_SYMBOL),
    _saying("kucoin", _code("code", 429000), Kind.THROTTLED),
    _saying("kucoin", r"symbol not exists|This pair is not provided", Kind.UNKNOWN_SYMBOL),
    _saying("bitget", _code("code", 45001), Kind.TRANSIENT),
    _saying("bitget", _code("code", 40034, 40309), Kind.UNKNOWN_SYMBOL),
    _saying("bitstamp", r"Request limit exceeded", Kind.THROTTLED),  # with 403, of which ccxt makes no more
    _saying("bitfinex", r"ERR_RATE_LIMIT|ratelimit", Kind.THROTTLED),
    _saying("lbank", _code("error_code", 10004), Kind.THROTTLED),
    _saying("upbit", r"Code not found", Kind.UNKNOWN_SYMBOL),  # ccxt: ExchangeError
    _saying("gemini", r"is not a valid symbol", Kind.UNKNOWN_SYMBOL),  # ccxt: InvalidSymbol is a BadRequest
    # ccxt: 40004 is a BadRequest, which it is for every other argument
    _saying("cryptocom", _code("code", 40004) + r".*instrument_name", Kind.UNKNOWN_SYMBOL),
    _saying("htx", r'"(rate-)?too-many-requests?"|"base-request-exceed-frequency-limit"', Kind.THROTTLED),
    # ccxt: OperationFailed, for it is "the current system is busy" as well; docs: the end of a block for frequency
    _saying("bingx", _code("code", 100410) + r"|code:100410", Kind.THROTTLED),
)

# All answers of these exchanges carry a code, good ones too; ccxt takes one without it for a failure of unknown code.
CODES: Mapping[str, str] = {"okx": '"code"', "bybit": '"ret', "kucoin": '"code"', "bitget": '"code"'}

STATUSES: Mapping[int, Kind] = {
    400: Kind.PERMANENT,
    401: Kind.REFUSED,
    403: Kind.REFUSED,
    404: Kind.PERMANENT,
    408: Kind.TRANSIENT,
    418: Kind.BANNED,
    425: Kind.TRANSIENT,
    429: Kind.THROTTLED,
    451: Kind.REFUSED,
}

# From the special to the general: the first class that fits decides.
CLASSES: tuple[tuple[type[Exception], Kind], ...] = (
    (ccxt.BadSymbol, Kind.UNKNOWN_SYMBOL),
    (ccxt.OnMaintenance, Kind.MAINTENANCE),
    (ccxt.RateLimitExceeded, Kind.THROTTLED),
    (ccxt.DDoSProtection, Kind.THROTTLED),
    (ccxt.BadResponse, Kind.MALFORMED),
    (ccxt.AuthenticationError, Kind.REFUSED),
    (ccxt.NetworkError, Kind.TRANSIENT),
    (ccxt.OperationFailed, Kind.TRANSIENT),
    (ccxt.BaseError, Kind.PERMANENT),
    (aiohttp.ClientError, Kind.TRANSIENT),
    (TimeoutError, Kind.TRANSIENT),
    (OSError, Kind.TRANSIENT),
)

# What ccxt's parsing raises when an answer has another shape than it expects.
PARSING = (LookupError, AttributeError, TypeError, ValueError, ArithmeticError)


def classify(
    error: Exception,
    status: int | None,
    headers: Mapping[str, str],
    *,
    exchange: str,
    symbol: str | None = None,
    now: datetime,
) -> FetchError:
    """The error of our tree that says what to do about `error`.

    `status` and `headers` are those of the answer; None and empty where there was none. `now` is aware, UTC.
    """
    if isinstance(error, FetchError):
        return error
    kind = _kind(error, status, exchange)
    retry_after = _named_end(error, now) or _retry_after(headers, now)
    if kind is Kind.THROTTLED and retry_after is not None and retry_after > PATIENCE:
        kind = Kind.BANNED
    return _Wording(error, status, exchange, symbol, now, retry_after).tell(kind)


def _kind(error: Exception, status: int | None, exchange: str) -> Kind:
    if status is not None and status in capabilities_of(exchange).bans.statuses:
        return Kind.BANNED
    if status is None and isinstance(error.__cause__, aiohttp.ClientError):
        return Kind.TRANSIENT
    said = _said(str(error), exchange)
    if said is not None:
        return said
    if isinstance(error, ccxt.BadSymbol):
        return Kind.UNKNOWN_SYMBOL
    if status == 200 and CODES.get(exchange, "") not in str(error):
        return Kind.MALFORMED
    if status is not None and status >= 400:
        return STATUSES.get(status) or _other_status(status, error)
    return _kind_of_class(error)


def _said(message: str, exchange: str) -> Kind | None:
    family = "binance" if exchange.startswith("binance") else exchange
    kinds = (saying.kind for saying in SAYINGS if saying.exchange in (family, ANY) and saying.pattern.search(message))
    return next(kinds, None)


def _other_status(status: int, error: Exception) -> Kind:
    if status < 500:
        return _kind_of_class(error)
    maintained = isinstance(error, ccxt.OnMaintenance) or "maintenance" in str(error).lower()
    return Kind.MAINTENANCE if maintained else Kind.TRANSIENT


def _kind_of_class(error: Exception) -> Kind:
    if isinstance(error, PARSING) and not isinstance(error, (OSError, ccxt.BaseError)):
        return Kind.MALFORMED
    return next((kind for class_, kind in CLASSES if isinstance(error, class_)), Kind.PERMANENT)


def _retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Seconds or an HTTP date; None where it is absent or cannot be read."""
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return timedelta(seconds=min(float(text), _LONGEST_BAN.total_seconds()))
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    return _span(now, until if until.tzinfo else until.replace(tzinfo=UTC))


def _span(now: datetime, until: datetime) -> timedelta:
    return min(max(until - now, timedelta(0)), _LONGEST_BAN)


def _named_end(error: Exception, now: datetime) -> timedelta | None:
    """How long it will last still, where the message tells its end: in milliseconds, as binance and bingx do."""
    named = re.search(r"(?:banned until|unblocked after) (\d{13})", str(error))
    return _span(now, from_ms(int(named[1]))) if named else None


class _Where(TypedDict):
    exchange: str
    symbol: str | None
    status: int | None


@dataclass(frozen=True)
class _Wording:
    """Puts a failure into words."""

    error: Exception
    status: int | None
    exchange: str
    symbol: str | None
    now: datetime
    retry_after: timedelta | None

    def tell(self, kind: Kind) -> FetchError:
        match kind:
            case Kind.BANNED:
                return self._banned()
            case Kind.THROTTLED:
                return self._throttled()
            case Kind.REFUSED:
                return Refused(self._text("refuses to serve this address or account", _ELSEWHERE), **self._where())
            case Kind.UNKNOWN_SYMBOL:
                return UnknownSymbol(self._text("does not list this symbol", _LOOK_UP), **self._where())
            case Kind.MALFORMED:
                return MalformedAnswer(self._text("gave an answer that cannot be read", _CHANGED), **self._where())
            case Kind.MAINTENANCE:
                return Maintenance(self._text("is down for maintenance", "It is asked again later."), **self._where())
            case Kind.TRANSIENT:
                return TransientError(self._text("could not answer", "It is asked again."), **self._where())
            case Kind.PERMANENT:
                return FetchError(self._text("rejected the request", _REJECTED), **self._where())

    def _banned(self) -> Banned:
        until = self.now + (self.retry_after or capabilities_of(self.exchange).bans.pause)
        advice = f"Nothing is asked before {until:%Y-%m-%d %H:%M:%S} UTC."
        if self.status == 403:
            advice += (
                " It means either too many requests or a country that is not served: if it goes on after that"
                " pause, set a proxy or another base_url for this exchange."
            )
        return Banned(self._text("has banned this address", advice), until=until, **self._where())

    def _throttled(self) -> Throttled:
        pause = self.retry_after if self.retry_after is not None else capabilities_of(self.exchange).quota_pause
        advice = f"Requests rest for {pause.total_seconds():g} s and then go slower."
        text = self._text("asks for fewer requests", advice)
        return Throttled(text, retry_after=pause, **self._where())

    def _text(self, happened: str, advice: str) -> str:
        which = f"{self.exchange} {self.symbol}" if self.symbol else self.exchange
        answered = f"HTTP {self.status}" if self.status else "no answer"
        return f"{which}: the exchange {happened} ({answered}; {_quote(self.error)}). {advice}"

    def _where(self) -> _Where:
        return {"exchange": self.exchange, "symbol": self.symbol, "status": self.status}


_ELSEWHERE = (
    "It is asked again ever more rarely, which will change little: set a proxy or another base_url for this exchange,"
    " or disable it."
)
_LOOK_UP = "Materialize the exchange's markets and correct the symbol in titan10.toml."
_CHANGED = "It is asked again; if it goes on, the exchange changed its format: update ccxt."
_REJECTED = "Asking again would not help: read the exchange's answer, and update ccxt if it looks like a change."


_LOGIN = re.compile(r"(?<=://)[^\s/?#]*@")


def scrubbed(text: str) -> str:
    """The text, with user and password taken out of every address in it."""
    return _LOGIN.sub("***@", text)


def tellable(error: BaseException) -> BaseException | None:
    """The error as a cause to be told with another; None where it or a cause of its own names a user and password."""
    chain: BaseException | None = error
    while chain is not None:
        if _LOGIN.search(f"{chain} {chain!r}"):
            return None
        chain = chain.__cause__ or chain.__context__
    return error


def _quote(error: Exception) -> str:
    """The class and the beginning of the message: some exchanges put a page of HTML into it."""
    text = " ".join(scrubbed(str(error)).split())
    shown = text if len(text) <= _QUOTE else text[:_QUOTE] + "..."
    return f"{type(error).__name__}: {shown}"
