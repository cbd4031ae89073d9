"""All errors that Titan-10 raises on purpose, as one tree.

Each text says what happened, to which series or day, and what to do next.

Titan10Error
├── SettingsError             titan10.toml, .env or the environment contains an unknown or invalid value
├── StoreError                the database refused a statement
│   ├── DatabaseUnavailable   the database cannot be reached; nothing was committed, so a retry is safe
│   │   └── WriteUnderWay     another write of the same exchange held its lock for too long
│   └── MigrationError        the schema could not be brought up to date
├── LandingError              a file in the landing zone cannot be read or written
├── ArchiveError              a candle file could not be downloaded or cannot be used
│   └── MalformedFile         the file does not contain the candles that its name describes
└── FetchError                an exchange did not serve candles. If this class itself is raised, the exchange rejected
    │                         the request, and would reject the same request again
    ├── TransientError        network fault, 5xx: the request is repeated with exponential backoff
    │   ├── MalformedAnswer   the answer is not in the exchange's format: repeated, then reported
    │   ├── Maintenance       the exchange says that it is down: repeated later
    │   ├── Stalled           this process did not run until the request had timed out: repeated; the exchange is not
    │   │                     the cause
    │   └── ProxyFailed       the proxy failed: repeated; the exchange is not the cause
    ├── Throttled             429 or similar: requests pause for `retry_after`, and are slower afterwards. If this
    │                         repeats, the error becomes BreakerOpen
    ├── Blocked               no request is allowed before `until`
    │   ├── Banned            418 or similar: the breaker opens until `until`; not repeated
    │   └── BreakerOpen       no request was made: the breaker is open until `until`
    ├── Refused               451, 403, 401: the exchange does not serve this address or account. The breaker opens for
    │                         ten minutes, then for longer times. An error without HTTP status means that this
    │                         machine's clock is wrong
    ├── UnknownSymbol         the exchange does not list this symbol; other symbols are fetched
    ├── MarketChanged         the symbol belonged to another market on these days; they are not fetched
    └── Postponed             no request was made: the exchange's pace allows it only after the deadline of the poll
"""

from __future__ import annotations

from datetime import datetime, timedelta

# Sentences at the end of an error about a request. They are true only as long as the process repeats the request.
PROMISES = (" The request is repeated later.", " The request is repeated.")


def without_promises(text: str, instead: str = "") -> str:
    """Return the text of an error without the promises to repeat a request. `instead`: the text in their place."""
    for promise in PROMISES:
        text = text.replace(promise, instead)
    return text


class Titan10Error(Exception):
    """Base of all errors raised on purpose. Its text says what happened and what to do next."""


class SettingsError(Titan10Error):
    """A setting is unknown, missing or invalid. The text contains the key of the setting."""


class StoreError(Titan10Error):
    """The database refused a statement."""


class DatabaseUnavailable(StoreError):
    """The database cannot be reached. The transaction was not committed, so a retry is safe."""


class WriteUnderWay(DatabaseUnavailable):
    """Another write of the same exchange held its lock for longer than this write waits."""


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

    `status` is the HTTP status of the answer, None if there was no answer.
    """

    def __init__(self, message: str, *, exchange: str, symbol: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.exchange = exchange
        self.symbol = symbol
        self.status = status


class TransientError(FetchError):
    """A fault that goes away by itself. The request is repeated with exponential backoff and jitter."""


class MalformedAnswer(TransientError):
    """The answer is not in the exchange's format: HTML, truncated, empty, or without candles."""


class Maintenance(TransientError):
    """The exchange says that it is down for maintenance."""


class Stalled(TransientError):
    """The request timed out while this process did not run, so the exchange has possibly answered in time."""


class ProxyFailed(TransientError):
    """The proxy failed or cannot be reached, so the exchange did not answer."""


class Throttled(FetchError):
    """The exchange refused a request because of too many requests. `retry_after`: the requested pause."""

    def __init__(
        self,
        message: str,
        *,
        exchange: str,
        symbol: str | None = None,
        status: int | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message, exchange=exchange, symbol=symbol, status=status)
        self.retry_after = retry_after


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


class BreakerOpen(Blocked):
    """No request was made: the exchange's circuit breaker is open until `until`."""


class Refused(FetchError):
    """The exchange does not serve this address, region or account.

    If there is no status, the clock of this machine is wrong.
    """


class UnknownSymbol(FetchError):
    """The exchange does not list this symbol."""


class MarketChanged(FetchError):
    """The symbol belonged to another market on these days. The exchange would return candles of the current market."""


class Postponed(FetchError):
    """No request was made, because the exchange's pace allows the request only after the deadline of the poll."""
