"""The record of a simulated week, for the oracle."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from titan10_dagster.planning.alerts import Kind
from titan10_dagster_tests.simulation.events import Ban, Broken
from titan10_dagster_tests.simulation.requests import SliceKey


@dataclass(frozen=True)
class Run:
    """A run of days of one exchange. `repair`: as in the configuration of the asset."""

    exchange: str
    days: tuple[date, ...]
    symbols: tuple[str, ...] | None
    repair: bool

    def __str__(self) -> str:
        what = "repair" if self.repair else "settle"
        return f"{what} {self.exchange} {self.days[0]} to {self.days[-1]} {', '.join(self.symbols or ('all',))}"


@dataclass(frozen=True)
class Poll:
    """The result of a live poll of one exchange.

    `answered`: the symbols with an answer. `spoiled`: whether rows may be missing.
    """

    at: datetime
    exchange: str
    answered: frozenset[str]
    spoiled: bool
    ahead: timedelta  # by this machine's clock


@dataclass(frozen=True)
class Rewrite:
    """A candle that was rewritten at `at`: its old and new values, and the stored values at that time."""

    at: datetime
    exchange: str
    symbol: str
    time: datetime
    old: tuple[float, ...]
    new: tuple[float, ...]
    stored: tuple[float, ...] | None


@dataclass(frozen=True)
class SentAlert:
    """A notification. `begins`: whether it reports the beginning of a problem and not its end."""

    at: datetime
    exchange: str
    kind: Kind
    begins: bool


@dataclass
class Record:
    """The record of a week, in addition to its database."""

    polls: list[Poll] = field(default_factory=list)
    rewrites: list[Rewrite] = field(default_factory=list)
    notifications: list[SentAlert] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)  # only events that broke an existing candle
    markets_read: defaultdict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    complaints: list[str] = field(default_factory=list)  # broken rules that were noticed during the week
    counts: Counter[str] = field(default_factory=Counter)
    steps: list[datetime] = field(default_factory=list)
    requests: Counter[SliceKey] = field(default_factory=Counter)  # the number of requests by runs for each slice
    requested_last: dict[SliceKey, datetime] = field(default_factory=dict)
    open_until: dict[SliceKey, datetime] = field(default_factory=dict)  # the last step that found the slice open
    banned_at: dict[Ban, datetime] = field(default_factory=dict)  # the time of the first request that a ban refused
    disturbed: defaultdict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
