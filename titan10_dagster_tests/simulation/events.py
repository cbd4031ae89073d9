"""The events of a simulated week: events of the exchanges and events of Titan-10 itself."""

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
    """An event in `span` at `exchange`. If `exchange` is None, it is an event of Titan-10 itself."""

    span: Span
    exchange: str | None

    def __str__(self) -> str:
        values = [f"{name}={value}" for name, value in vars(self).items() if name not in {"span", "exchange"}]
        return f"{self.span}  {self.exchange or 'Titan-10'}: {type(self).__name__} {', '.join(values)}"


E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Outage(Event):
    """The exchange makes no candle of any symbol. `answers`: whether it still answers requests."""

    answers: bool


@dataclass(frozen=True)
class Storm(Event):
    """A fault affects some of the answers."""

    kind: str
    probability: float


@dataclass(frozen=True)
class Ban(Event):
    """The exchange refuses all requests until the end of the span. Its answers contain this end."""


@dataclass(frozen=True)
class Downtime(Event):
    """Titan-10 does not run."""


@dataclass(frozen=True)
class Kill(Event):
    """The first run in the span is killed after `landings` landed slices.

    If it lands fewer slices, it is killed before it stores.
    """

    landings: int


@dataclass(frozen=True)
class DatabaseAway(Event):
    """The database ends all sessions and allows none for `seconds`.

    This happens in the first run of the span if `run` is True, and otherwise in the first poll of the span.
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

    `refusal`: the exchange's answer to later requests for candles of the symbol; None: the exchange still serves the
        candles.
    """

    symbol: str
    refusal: str | None = None


@dataclass(frozen=True)
class Halt(Event):
    """Trading in one symbol stands still.

    Other trading continues, and answers do not have the candles of this symbol.
    """

    symbol: str


@dataclass(frozen=True)
class Relisting(Event):
    """During the span, the market is not in the exchange's list.

    If `market_id` is set, another market has the symbol after the span. It is a market of another asset, at `prices`
    times the price. `refusal`: the answer to requests for the symbol's candles during the span; None: the exchange
    serves the candles from before the span.
    """

    symbol: str
    market_id: str | None
    prices: float
    refusal: str | None = None


@dataclass(frozen=True)
class Unknown(Event):
    """The exchange answers some requests for candles of one traded symbol with the refusal `kind`."""

    symbol: str
    kind: str
    probability: float


@dataclass(frozen=True)
class Renamed(Event):
    """When the span begins, the exchange gives the market another id. It then rejects the old id."""

    symbol: str
    market_id: str


@dataclass(frozen=True)
class Redenominated(Event):
    """From the start of the span on, prices are multiplied by `factor`, and volumes are divided by `factor`."""

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
    """The clock of this machine is ahead of the clocks of the exchanges. If `ahead` is negative, it is behind."""

    ahead: timedelta
