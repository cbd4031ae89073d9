"""The events of a simulated week, of the exchanges and of Titan-10 itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar


@dataclass(frozen=True)
class Span:
    """The stretch [start, end) of an event."""

    start: datetime
    end: datetime

    def holds(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    def __str__(self) -> str:
        return f"{self.start:%m-%d %H:%M} to {self.end:%m-%d %H:%M}"


@dataclass(frozen=True)
class Event:
    """An event in `span` at `exchange`; None: of Titan-10 itself."""

    span: Span
    exchange: str | None

    def __str__(self) -> str:
        values = [f"{name}={value}" for name, value in vars(self).items() if name not in {"span", "exchange"}]
        return f"{self.span}  {self.exchange or 'Titan-10'}: {type(self).__name__} {', '.join(values)}"


E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Outage(Event):
    """The exchange makes no candle of any symbol. `answers`: it still answers requests."""

    answers: bool


@dataclass(frozen=True)
class Storm(Event):
    """A fault affects some of the answers."""

    kind: str
    probability: float


@dataclass(frozen=True)
class Ban(Event):
    """The exchange refuses all requests until the end, which it announces."""


@dataclass(frozen=True)
class Downtime(Event):
    """Titan-10 does not run."""


@dataclass(frozen=True)
class Kill(Event):
    """The first run in the span is killed after `landings` landed slices, or before it stores if it lands fewer."""

    landings: int


@dataclass(frozen=True)
class DatabaseAway(Event):
    """The database ends all sessions and allows none for `seconds`.

    This happens in the first run of the span, or in its first poll if not `run`.
    """

    run: bool
    seconds: float


@dataclass(frozen=True)
class Restated(Event):
    """The exchange rewrites the candle at `minute` when the span begins."""

    symbol: str
    minute: datetime


@dataclass(frozen=True)
class Broken(Event):
    """The candle at `minute` breaks a rule until the span ends."""

    symbol: str
    minute: datetime


@dataclass(frozen=True)
class Late(Event):
    """The candles of `hidden` are published only when the span ends."""

    symbol: str
    hidden: Span


@dataclass(frozen=True)
class Listing(Event):
    """The exchange does not know the symbol until the span ends."""

    symbol: str


@dataclass(frozen=True)
class Delisting(Event):
    """The symbol is no longer traded when the span begins.

    `refusal`: the exchange's answer to requests for its candles from then on; None: it still serves them.
    """

    symbol: str
    refusal: str | None = None


@dataclass(frozen=True)
class Halt(Event):
    """Trading in one symbol stands still. The exchange goes on, and answers without these candles."""

    symbol: str


@dataclass(frozen=True)
class Relisting(Event):
    """The market is off the exchange's list in the span.

    With a `market_id` it returns as a market of another asset under the same symbol, at `prices` times the price.
    `refusal`: the answer to requests for its candles within the span; None: the exchange serves those before it.
    """

    symbol: str
    market_id: str | None
    prices: float
    refusal: str | None = None


@dataclass(frozen=True)
class Unknown(Event):
    """The exchange gives some requests for candles of one traded symbol the refusal `kind`."""

    symbol: str
    kind: str
    probability: float


@dataclass(frozen=True)
class Renamed(Event):
    """When the span begins, the exchange gives the market another id. It rejects the old one from then on."""

    symbol: str
    market_id: str


@dataclass(frozen=True)
class Redenominated(Event):
    """From the start of the span on, prices are multiplied by `factor`, and volumes divided by it."""

    symbol: str
    factor: float


@dataclass(frozen=True)
class Revised(Event):
    """When the span begins, the exchange rewrites all candles of `stretch`: volumes are multiplied by `volumes`."""

    symbol: str
    stretch: Span
    volumes: float


@dataclass(frozen=True)
class RateLimited(Event):
    """The exchange enforces its rate limits, with `factor` as the share of the usual limits."""

    factor: float


@dataclass(frozen=True)
class WrongClock(Event):
    """The clock of this machine is ahead of the exchanges' (behind, if negative)."""

    ahead: timedelta
