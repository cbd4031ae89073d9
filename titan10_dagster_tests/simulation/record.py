"""What is written down of a simulated week while it happens, for the oracle."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime

from titan10_dagster.planning.alerts import Kind
from titan10_dagster_tests.simulation.events import Broken
from titan10_dagster_tests.simulation.story import EXCHANGES


@dataclass(frozen=True)
class Run:
    """A run of days of one exchange; `repair` as in the asset's configuration."""

    exchange: str
    days: tuple[date, ...]
    symbols: tuple[str, ...] | None
    repair: bool

    def __str__(self) -> str:
        what = "repair" if self.repair else "settle"
        return f"{what} {self.exchange} {self.days[0]} to {self.days[-1]} {', '.join(self.symbols or ('all',))}"


@dataclass(frozen=True)
class Poll:
    """What a live poll of one exchange came to: the symbols that were answered; `spoiled` if rows may be missing."""

    at: datetime
    exchange: str
    answered: frozenset[str]
    spoiled: bool


@dataclass(frozen=True)
class Rewrite:
    """A candle that was rewritten at `at`: what it was, what it became, and what was stored just then (or None)."""

    at: datetime
    exchange: str
    symbol: str
    time: datetime
    old: tuple[float, ...]
    new: tuple[float, ...]
    stored: tuple[float, ...] | None


@dataclass(frozen=True)
class SentAlert:
    """A letter to a human; `begins` is false if it says that it is over."""

    at: datetime
    exchange: str
    kind: Kind
    begins: bool


@dataclass
class Record:
    """What a week left behind beside its database."""

    polls: list[Poll] = field(default_factory=list)
    rewrites: list[Rewrite] = field(default_factory=list)
    notifications: list[SentAlert] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)  # those that there was a candle for
    markets_read: dict[str, list[datetime]] = field(default_factory=lambda: {name: [] for name in EXCHANGES})
    complaints: list[str] = field(default_factory=list)  # what was wrong already while it happened
    counts: Counter[str] = field(default_factory=Counter)
    steps: list[datetime] = field(default_factory=list)
    disturbed: dict[str, list[datetime]] = field(default_factory=lambda: {name: [] for name in EXCHANGES})
