"""Everything Titan-10 raises on purpose.

Titan10Error
├── SettingsError             titan10.toml, .env or the environment say something that cannot be
├── StoreError                the database refused a statement
│   ├── DatabaseUnavailable   it cannot be reached; nothing was written, trying again is safe
│   │   └── WriteUnderWay     another write of the exchange lasted too long to wait for
│   └── MigrationError        the schema could not be brought up to date
├── LandingError              a landed file cannot be read or written
└── FetchError                an exchange did not give candles; the subclass says what to do next
    ├── TransientError          network, 5xx: retried with backoff
    │   ├── MalformedAnswer   an answer that is not the exchange's own format: retried, then told
    │   └── Maintenance       the exchange says it is down: retried later
    ├── Throttled             429 and its like: waits `retry_after`, then goes slower; at last a BreakerOpen
    ├── Banned                418 and its like: the breaker opens until `until`; not retried
    ├── Refused               451, 403, 401: this address or account is not served: the breaker opens for ten minutes,
    │                         and ever longer; or our clock is off
    ├── UnknownSymbol         the exchange does not list this symbol; the others go on
    ├── BreakerOpen           nothing was asked: the breaker is open until `until`
    └── Postponed             nothing was asked: its turn would have come too late for a poll
"""

from __future__ import annotations

from datetime import datetime, timedelta


class Titan10Error(Exception):
    """Base of every error raised on purpose; its text says what happened and what to do next."""


class SettingsError(Titan10Error):
    """A setting is unknown, missing or not allowed; the text names its key."""


class StoreError(Titan10Error):
    """The database refused a statement."""


class DatabaseUnavailable(StoreError):
    """The database cannot be reached. The transaction was not committed: running it again is safe."""


class WriteUnderWay(DatabaseUnavailable):
    """Another write of the same exchange lasted for longer than this one would wait."""


class MigrationError(StoreError):
    """The schema could not be brought up to date."""


class LandingError(Titan10Error):
    """A landed file cannot be read or written."""


class FetchError(Titan10Error):
    """An exchange did not give the candles asked for.

    `status` is the HTTP status of the answer, None where there was none.
    """

    def __init__(self, message: str, *, exchange: str, symbol: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.exchange = exchange
        self.symbol = symbol
        self.status = status


class TransientError(FetchError):
    """A fault that passes by itself: retried with exponential backoff and jitter."""


class MalformedAnswer(TransientError):
    """The answer is not in the exchange's format: HTML, truncated, empty, or without candles in it."""


class Maintenance(TransientError):
    """The exchange says that it is down for maintenance."""


class Throttled(FetchError):
    """The exchange asks for a slower pace; `retry_after` is how long it wants to be left alone."""

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


class _Barred(FetchError):
    """Nothing may be requested before `until` (aware, UTC)."""

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


class Banned(_Barred):
    """The exchange has shut this address out until `until`."""


class BreakerOpen(_Barred):
    """Nothing was requested: the exchange's circuit breaker is open until `until`."""


class Refused(FetchError):
    """This address, region or account is not served; without a status it was not the exchange that said so."""


class UnknownSymbol(FetchError):
    """The exchange does not list this symbol."""


class Postponed(FetchError):
    """Nothing was requested: at the exchange's pace its turn would have come after the time that there was."""
