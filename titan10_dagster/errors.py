"""All errors that Titan-10 raises on purpose, as one tree.

Each text says what happened, to which series or day, and what to do next.

Titan10Error
├── SettingsError             titan10.toml, .env or the environment contains an unknown or invalid value
├── StoreError                an operation on the database failed. If this class itself is raised, the database rejected
│   │                         a statement, or the stored data does not allow the operation
│   ├── DatabaseUnavailable   the database cannot be reached; nothing was committed, so a retry is safe
│   │   └── WriteUnderWay     another write of the same exchange held its lock for too long
│   └── MigrationError        the schema could not be brought up to date
├── LandingError              a file in the landing zone cannot be read or written
├── ArchiveError              a candle file could not be downloaded or cannot be used
│   └── MalformedFile         the file does not contain the candles that its name describes
└── FetchError                an exchange did not serve candles. If this class itself is raised, the process does not
    │                         repeat the request. For example, the exchange would reject the same request again
    ├── TransientError        network fault, 5xx: the request is repeated with exponential backoff
    │   ├── MalformedAnswer   the answer is not in the exchange's format: repeated, then reported
    │   ├── Maintenance       the exchange says that it is down: repeated later
    │   ├── Stalled           the request timed out because this process stood still: repeated; the exchange is not the
    │   │                     cause
    │   └── ProxyFailed       the proxy failed: repeated; the exchange is not the cause
    ├── Throttled             429 or similar: requests pause for `retry_after`, and are slower afterwards. If the
    │                         repeated requests fail in this way too, BreakerOpen is raised
    ├── Blocked               no request is allowed before `until`
    │   ├── Banned            418 or similar: the breaker stays open until `until`; not repeated
    │   ├── Unavailable       5xx with a long Retry-After: the breaker stays open until `until`; not repeated
    │   └── BreakerOpen       no request was made: the breaker is open until `until`
    ├── Refused               451, 403, 401: the exchange does not serve this address or account. The breaker opens for
    │                         ten minutes, then for longer times. An error without HTTP status has a cause on this
    │                         side: a wrong clock, a proxy that requires a login, or an untrusted certificate
    ├── UnknownSymbol         the exchange does not list this symbol; other symbols are fetched
    ├── MarketChanged         on the requested days, the symbol belonged to another market; these days are not fetched
    └── Postponed             no request was made: the exchange's pace allows it only after the deadline of the poll
"""

from __future__ import annotations

from datetime import datetime, timedelta

# Sentences at the end of the text of an error. They are true only as long as the process repeats the request.
PROMISES = (" The request is repeated later.", " The request is repeated.")


def without_promises(text: str, instead: str = "") -> str:
    """Return the text of an error without the promises to repeat a request. `instead` replaces each promise."""
    for promise in PROMISES:
        text = text.replace(promise, instead)
    return text


class Titan10Error(Exception):
    """Base of all errors raised on purpose. Its text says what happened and what to do next."""


class SettingsError(Titan10Error):
    """A setting is unknown, missing or invalid. The text contains the key of the setting."""


class StoreError(Titan10Error):
    """An operation on the database failed, for example because the database rejected a statement."""


class DatabaseUnavailable(StoreError):
    """The database cannot be reached. The transaction was not committed, so a retry is safe."""


class WriteUnderWay(DatabaseUnavailable):
    """This write waited too long for the exchange's lock, which another write held."""


class MigrationError(StoreError):
    """The schema could not be brought up to date."""


class LandingError(Titan10Error):
    """A file in the landing zone cannot be read or written."""


class ArchiveError(Titan10Error):
    """A candle file could not be downloaded, does not match its published digest, or cannot be used."""


class MalformedFile(ArchiveError):
    """A candle file cannot be unpacked, or does not contain the candles that its name describes."""


class FetchError(Titan10Error):
    """An exchange did not serve the requested candles or markets.

    `status`: the HTTP status of the answer; None if there was no answer. `retry_after`: how long no request should be
    made; None if the exchange did not ask for a pause.
    """

    def __init__(
        self,
        message: str,
        *,
        exchange: str,
        symbol: str | None = None,
        status: int | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.exchange = exchange
        self.symbol = symbol
        self.status = status
        self.retry_after = retry_after


class TransientError(FetchError):
    """A fault that usually goes away by itself. The request is repeated with exponential backoff and jitter."""


class MalformedAnswer(TransientError):
    """The answer is not in the exchange's format: HTML, truncated, empty, or without the requested candles."""


class Maintenance(TransientError):
    """The exchange says that it is down for maintenance."""


class Stalled(TransientError):
    """The request timed out while this process stood still. The exchange has possibly answered in time."""


class ProxyFailed(TransientError):
    """The proxy failed or cannot be reached, so the exchange did not answer."""


class Throttled(FetchError):
    """The exchange refused a request because of too many requests."""


class Blocked(FetchError):
    """Requests are not allowed before `until` (aware, UTC)."""

    def __init__(
        self,
        message: str,
        *,
        exchange: str,
        until: datetime,
        symbol: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message, exchange=exchange, symbol=symbol, status=status)
        self.until = until


class Banned(Blocked):
    """The exchange has blocked this address until `until`."""


class Unavailable(Blocked):
    """The exchange is down, and asked that no request is made before `until`."""


class BreakerOpen(Blocked):
    """No request was made: the exchange's circuit breaker is open until `until`."""


class Refused(FetchError):
    """The exchange does not serve this address, region or account.

    If there is no status, the exchange is not the cause. Then this machine's clock is wrong, a proxy requires a login,
    or the server's certificate is not trusted.
    """


class UnknownSymbol(FetchError):
    """The exchange does not list this symbol."""


class MarketChanged(FetchError):
    """On the requested days, the symbol belonged to another market. These days are not fetched.

    The exchange would return candles of the current market for these days.
    """


class Postponed(FetchError):
    """No request was made, because the exchange's pace allows the request only after the deadline of the poll."""
