"""What can happen in a simulated week, to the exchanges and to Titan-10 itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar


@dataclass(frozen=True)
class Span:
    """A stretch [start, end) in which something goes on."""

    start: datetime
    end: datetime

    def holds(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    def __str__(self) -> str:
        return f"{self.start:%d. %H:%M} to {self.end:%d. %H:%M}"


@dataclass(frozen=True)
class Event:
    """Something that happens; `span` is when, `exchange` where, None: to ourselves."""

    span: Span
    exchange: str | None

    def __str__(self) -> str:
        values = [f"{name}={value}" for name, value in vars(self).items() if name not in {"span", "exchange"}]
        return f"{self.span}  {self.exchange or 'ourselves'}: {type(self).__name__} {', '.join(values)}"


E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Outage(Event):
    """The exchange makes no candle at all, and perhaps gives no answer either."""

    answers: bool


@dataclass(frozen=True)
class Storm(Event):
    """Some of the answers are spoiled by a fault."""

    kind: str
    probability: float


@dataclass(frozen=True)
class Ban(Event):
    """Every request is refused until the end, which the exchange tells."""


@dataclass(frozen=True)
class Downtime(Event):
    """Nothing of ours runs."""


@dataclass(frozen=True)
class Kill(Event):
    """The first run in the span is killed after so many landed slices, or, if there are fewer, before it stores."""

    landings: int


@dataclass(frozen=True)
class DatabaseAway(Event):
    """The database throws everybody out and lets nobody in, for `seconds`, under the first run (else poll) of the
    span."""

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
    """The exchange knows nothing of the symbol until the span ends."""

    symbol: str


@dataclass(frozen=True)
class Delisting(Event):
    """The symbol is traded no more when the span begins."""

    symbol: str
