"""The exchanges of a simulated week, and their events."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from titan10_dagster.candles.slices import from_ms, to_ms
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster_tests.simulation.events import (
    Ban,
    Broken,
    Delisting,
    Event,
    Halt,
    Late,
    Listing,
    Outage,
    RateLimited,
    Redenominated,
    Relisting,
    Renamed,
    Restated,
    Revised,
    Storm,
    Unknown,
)
from titan10_dagster_tests.simulation.grid import Floats
from titan10_dagster_tests.simulation.record import Record, Rewrite
from titan10_dagster_tests.simulation.story import FAULT_OPTIONS, MINUTE, Story
from titan10_dagster_tests.simulation.tables import Key

Stored = Callable[[Key, datetime, datetime], Floats]
Report = Callable[[str], object]


class World:
    """The sandbox's exchanges in a story. `stored`: a function that reads the stored candles of a series."""

    def __init__(self, story: Story, record: Record, stored: Stored, report: Report) -> None:
        self.story, self.record = story, record
        self._stored, self._report = stored, report
        self._happened: set[Event] = set()
        self._since_step = time.monotonic()
        self._healthy: dict[Broken, Sequence[float]] = {}
        self.sandbox = Sandbox(
            story.exchanges,
            clock=story.start,
            enforce_limits=False,
            limit_clock=self._limit_clock,
            symbols=story.symbols,
            trading=_trading(story),
        )

    def go_to(self, at: datetime) -> None:
        self.sandbox.clock.stop_at(to_ms(at))
        self._since_step = time.monotonic()

    def rows(self, key: Key, start: datetime, end: datetime) -> Floats:
        """Return the candles that the exchange has now."""
        exchange, symbol = key
        return (
            self.sandbox.sites[exchange]
            .series[symbol]
            .rows(to_ms(start), to_ms(end), int(self.story.step.total_seconds()))
        )

    def storms(self, exchange: str, at: datetime) -> list[Storm]:
        return [storm for storm in self.story.of(Storm) if storm.exchange == exchange and storm.span.holds(at)]

    def prepare(self) -> None:
        """Set up the state of the exchanges at the beginning."""
        for event in self.story.of(Outage):
            self._fault(event, "absent", time=_floor(event.span.start), until=_floor(event.span.end))
        for halt in self.story.of(Halt):
            self._fault(halt, "absent", symbol=halt.symbol, time=halt.span.start, until=halt.span.end)
        for late in self.story.of(Late):
            self._fault(late, "absent", symbol=late.symbol, time=late.hidden.start, until=late.hidden.end)
        for broken in self.story.of(Broken):
            self._break(broken)

    def let_happen(self, at: datetime) -> None:
        """Set the faults of this instant, and make all changes up to this instant."""
        self.sandbox.clear_faults()
        current = [event for event in self.story.events if event.span.holds(at)]
        # If several faults replace the whole answer, the first fault is used. A ban is set first, because it affects
        # every request.
        for event in sorted(current, key=lambda event: not isinstance(event, Ban)):
            if self._disturbs(event, at):
                self.record.disturbed[event.exchange or ""].append(at)
        self._enforce_limits(current)
        for event in self.story.events:
            if event not in self._happened and self._changes(event, at):
                self._happened.add(event)
                self._report(f"  {event}")
            if isinstance(event, Relisting) and at >= event.span.end:
                self._relist(event)

    # -- what lasts

    def _disturbs(self, event: Event, at: datetime) -> bool:
        """Set the faults of an event. Return whether answers may be lost."""
        if isinstance(event, Storm):
            options = {"probability": event.probability, "seed": self.story.seed, **FAULT_OPTIONS.get(event.kind, {})}
            self._fault(event, event.kind, **options)
        elif isinstance(event, Unknown):
            options = {"symbol": event.symbol, "probability": event.probability, "seed": self.story.seed}
            self._fault(event, event.kind, **options)
        elif isinstance(event, Ban):
            self._fault(event, "http_418", path="any", retry_after=int((event.span.end - at).total_seconds()) + 1)
        elif isinstance(event, Outage) and not event.answers:
            self._fault(event, "outage")
        else:
            return isinstance(event, RateLimited)
        return True

    def _enforce_limits(self, current: Sequence[Event]) -> None:
        factors = {event.exchange: event.factor for event in current if isinstance(event, RateLimited)}
        for name in self.story.exchanges:
            self.sandbox.set_limits(name, enforce=name in factors, factor=factors.get(name, 1.0), ban_seconds=60.0)

    def _limit_clock(self) -> float:
        """Return the clock of the limits. At each step it starts at the 57th second of a minute, and then runs.

        So a window of a minute ends after three seconds. If an exchange requests a pause, the pause is short.
        """
        minute = self.sandbox.clock.now_ms() // 60_000 * 60
        return minute + 57 + time.monotonic() - self._since_step

    # -- what changes for good

    def _changes(self, event: Event, at: datetime) -> bool:
        """Make the permanent change of an event if it is due at this instant. Return whether a change was made."""
        due = event.span.end if isinstance(event, (Broken, Late)) else event.span.start
        if at < due:
            return False
        match event:
            case Restated():
                minute = event.minute
                self._rewrite(event, event.symbol, (minute, minute + MINUTE), at, "restate", time=to_ms(minute))
            case Revised():
                start, end = event.stretch.start, event.stretch.end
                options = {"time": start, "until": end, "volumes": event.volumes}
                self._rewrite(event, event.symbol, (start, end), at, "revise", **options)
            case Broken() if event in self._healthy:
                values = self._healthy[event]
                self._fault(event, "restate", symbol=event.symbol, time=to_ms(event.minute), values=values)
            case Late():
                hidden = event.hidden
                self._fault(event, "absent", symbol=event.symbol, time=hidden.start, until=hidden.end, back=True)
            case Relisting():
                self._fault(event, "delist", symbol=event.symbol, time=event.span.start, candles=event.refusal)
            case Delisting() if event.refusal is not None:
                self._fault(event, "delist", symbol=event.symbol, time=event.span.start, candles=event.refusal)
            case Renamed():
                self._fault(event, "new_id", symbol=event.symbol, market_id=event.market_id)
            case Redenominated():
                self._fault(event, "redenominate", symbol=event.symbol, time=event.span.start, factor=event.factor)
            case _:
                return False
        return True

    def _relist(self, event: Relisting) -> None:
        series = self.sandbox.sites[event.exchange or ""].series[event.symbol]
        if series.instrument.delisted_ms is None:
            return
        self._fault(event, "relist", symbol=event.symbol, time=event.span.end, prices=event.prices)
        if event.market_id is not None:
            self._fault(event, "new_id", symbol=event.symbol, market_id=event.market_id)
        self._report(f"  relisted: {event}")

    def _break(self, broken: Broken) -> None:
        """Give a candle a high below its low, if its high and low differ."""
        rows = self.rows((broken.exchange or "", broken.symbol), broken.minute, broken.minute + MINUTE)
        if not len(rows) or rows[0, 2] <= rows[0, 3]:
            return
        _, opened, high, low, close, volume = rows[0].tolist()
        values = [opened, low, high, close, volume]
        self._fault(broken, "restate", symbol=broken.symbol, time=to_ms(broken.minute), values=values)
        self._healthy[broken] = rows[0, 1:].tolist()
        self.record.broken.append(broken)

    def _rewrite(
        self,
        event: Event,
        symbol: str,
        bounds: tuple[datetime, datetime],
        at: datetime,
        kind: str,
        **options: Any,
    ) -> None:
        """Let the exchange rewrite the candles within the bounds, and record their values before and after."""
        key = (event.exchange or "", symbol)
        before = self.rows(key, *bounds)
        if not len(before):
            return
        self._fault(event, kind, symbol=symbol, **options)
        after = _by_time(self.rows(key, *bounds))
        stored = _by_time(self._stored(key, *bounds))
        for start_ms, old in _by_time(before).items():
            if after[start_ms] != old:
                rewrite = Rewrite(at, *key, from_ms(int(start_ms)), old, after[start_ms], stored.get(start_ms))
                self.record.rewrites.append(rewrite)

    def _fault(self, event: Event, kind: str, **options: Any) -> None:
        self.sandbox.fault(event.exchange or "", kind, **options)


def _by_time(rows: Floats) -> Mapping[float, tuple[float, ...]]:
    return {row[0]: tuple(row[1:]) for row in rows.tolist()}


def _trading(story: Story) -> Mapping[tuple[str, str], tuple[datetime | None, datetime | None]]:
    """Return the beginning and end of trading of the symbols with a listing or delisting in the story."""
    starts = {(event.exchange or "", event.symbol): event.span.end for event in story.of(Listing)}
    ends = {(event.exchange or "", event.symbol): event.span.start for event in story.of(Delisting)}
    return {key: (starts.get(key), ends.get(key)) for key in {*starts, *ends}}


def _floor(instant: datetime) -> datetime:
    return instant.replace(second=0, microsecond=0)
