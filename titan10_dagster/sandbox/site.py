"""One exchange of the sandbox: its symbols, clock, faults, limits and log. This module opens no sockets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from titan10_dagster.sandbox import events
from titan10_dagster.sandbox.answering import Reply, answer
from titan10_dagster.sandbox.clock import Clock, instant_ms
from titan10_dagster.sandbox.faults import Fault, Faults
from titan10_dagster.sandbox.instruments import instrument, replayed
from titan10_dagster.sandbox.journal import Journal
from titan10_dagster.sandbox.limits import Governor
from titan10_dagster.sandbox.pages import BlockCache, PageCutter
from titan10_dagster.sandbox.replay import Replay
from titan10_dagster.sandbox.series import ServedSeries
from titan10_dagster.sandbox.truth import TIMEFRAMES, Floats
from titan10_dagster.sandbox.venues.instrument import Instrument, Spell
from titan10_dagster.sandbox.venues.venue import SandboxVenue

# The times at which a symbol is listed and delisted. None: the default of the symbol (see `instruments.instrument`).
Span = tuple[datetime | None, datetime | None]


class Site:
    """A venue with its symbols, faults, limits and log."""

    def __init__(
        self,
        venue: SandboxVenue,
        *,
        clock: Clock,
        governor: Governor,
        cache: BlockCache,
        symbols: Sequence[str] | None = None,
        replay: Mapping[str, Path] | None = None,
        trading: Mapping[str, Span | Sequence[Span]] | None = None,
        latency: float = 0.0,
        log: Path | None = None,
    ) -> None:
        self.venue = venue
        self.clock = clock
        self.governor = governor
        self.latency = latency
        self.faults = Faults()
        self.journal = Journal(venue.id, log)
        self.closed_markets: dict[str, str] = {}  # by symbol: the answer in place of the venue's `closed_market`
        self.pages = PageCutter(venue, cache)
        self._later: list[tuple[int, Callable[[], None]]] = []
        self.series = _listed(venue, symbols or venue.symbols, replay or {}, trading or {})
        self.by_market_id = {series.instrument.name.market_id: series for series in self.series.values()}

    def answer(self, path: str, query: Mapping[str, str]) -> Reply:
        """Return the reply to a request for the exchange's API. Apply rate limits and faults, and log the request."""
        self._catch_up()
        entry = self.journal.open(path, query)
        reply = answer(self, entry)
        entry.status = 0 if reply.wire in {"reset", "stall"} else reply.status
        self.journal.close(entry)
        reply.delay += self.latency
        return reply

    def fault(self, kind: str, **options: Any) -> Fault:
        """Set a fault.

        A fault of stage `truth` is an event: it happens once, at the time in its option `at` (default: now). Its effect
        remains when the faults are cleared.
        Raises ValueError if the kind or an option is unknown, or if an event that happens now has invalid options.
        """
        fault = self.faults.add(kind, **options)
        if fault.kind.stage != "truth":
            return fault
        if fault.at is None:
            events.happen(self, fault)
        else:
            self.later(instant_ms(fault.at), lambda: events.happen(self, fault))
        return fault

    def truth(self, symbol: str, start_ms: int, end_ms: int, timeframe: str = "1m") -> Floats:
        """Return the finished candles in [start_ms, end_ms) as an array (n, 6): epoch ms and the five values.

        The candles are computed or replayed, and all past events are applied to them.
        """
        self._catch_up()
        seconds = TIMEFRAMES[timeframe]
        end_ms = min(end_ms, self.venue.candle_start(self.clock.now_ms(), seconds))
        return self.served(symbol).rows(start_ms, max(start_ms, end_ms), seconds)

    def served(self, symbol: str) -> ServedSeries:
        """Return the series of a symbol. Raises ValueError if the exchange does not list the symbol."""
        if symbol not in self.series:
            raise ValueError(f"{self.venue.id} does not list {symbol!r} here; it has {', '.join(self.series)}")
        return self.series[symbol]

    def change(self, series: ServedSeries, changed: Instrument) -> None:
        """Replace the instrument of a series.

        If two series have the same market id, requests with this id get the series that was changed last.
        """
        former = series.instrument.name.market_id
        if self.by_market_id.get(former) is series:
            del self.by_market_id[former]
        series.become(changed)
        self.by_market_id[changed.name.market_id] = series
        self.forget_pages(changed.symbol)

    def forget_pages(self, symbol: str) -> None:
        self.pages.cache.forget(symbol)

    def later(self, at_ms: int, action: Callable[[], None]) -> None:
        """Call `action` when the sandbox's clock has reached `at_ms` (epoch ms).

        If this time is in the future, the first API request or call of `truth` after this time calls `action`.
        """
        self._later.append((at_ms, action))
        self._catch_up()

    def _catch_up(self) -> None:
        now = self.clock.now_ms()
        while due := [entry for entry in self._later if entry[0] <= now]:
            first = min(due, key=lambda entry: entry[0])
            self._later.remove(first)
            first[1]()

    def instruments(self, now: int) -> list[Instrument]:
        """Return the instruments that are in the exchange's list of markets at `now` (epoch ms)."""
        known = [series.instrument for series in self.series.values() if series.instrument.is_known(now)]
        return [listed for listed in known if self.venue.names_delisted or not listed.is_delisted(now)]


def _listed(
    venue: SandboxVenue,
    symbols: Sequence[str],
    replay: Mapping[str, Path],
    trading: Mapping[str, Span | Sequence[Span]],
) -> dict[str, ServedSeries]:
    listed = {}
    for symbol in symbols:
        listed[symbol] = ServedSeries(venue, _between(instrument(venue, symbol), trading.get(symbol)))
    for symbol, path in replay.items():
        candles = Replay(path)
        listed[symbol] = ServedSeries(venue, replayed(venue, symbol, candles.first_ms), candles)
    return listed


def _between(traded: Instrument, given: Span | Sequence[Span] | None) -> Instrument:
    """Return the instrument with the given periods of trading.

    If a bound of a period is None, the instrument's own listing or delisting time is used.
    """
    if given is None:
        return traded
    spans = [given] if isinstance(given, tuple) and not isinstance(given[0], tuple) else given
    spells: list[Spell] = []
    for listed, delisted in spans:  # type: ignore[misc]
        first = traded.listed_ms if listed is None else instant_ms(listed)
        end = traded.delisted_ms if delisted is None else instant_ms(delisted)
        spells.append((first, end))
    return replace(traded, spells=tuple(spells))
