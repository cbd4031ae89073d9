"""The exchanges of a sandbox, and the methods that tests use to control them. The HTTP server is in `server.py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from titan10_dagster.sandbox.clock import Clock, instant_ms
from titan10_dagster.sandbox.limits import Governor
from titan10_dagster.sandbox.pages import BlockCache
from titan10_dagster.sandbox.site import Site, Span
from titan10_dagster.sandbox.truth import Floats
from titan10_dagster.sandbox.venues.registry import VENUES, venue
from titan10_dagster.sandbox.venues.venue import ClosedMarket, SandboxVenue
from titan10_dagster.sandbox.venues.wire import Edges


class Exchanges:
    """The exchanges of a sandbox, with the methods that control them.

    `clock`: None (real time), an aware datetime (the clock stands still) or a function that returns the time.
    `enforce_limits`: whether requests above the exchange's rate limits are refused. Usage is always counted.
    `limit_factor`: factor for the allowed usage of every limit.
    `ban_seconds`: the length of every ban; None: as in the venue's record.
    `limit_clock`: a function that returns the time for the rate limits, in epoch seconds.
    `latency`: seconds by which every answer is delayed. `replay`: the file of real candles for each (exchange, symbol).
    `symbols`: for an exchange, the symbols that it lists, in place of its default list.
    `trading`: the period or periods in which each (exchange, symbol) trades. Before the first period the exchange does
    not know the symbol.
    `edges`: for an exchange, how it understands the bounds of a request, in place of the rules in the venue's record.
    `closed_markets`: for an exchange, its answer to a request for candles of a delisted market (see `SandboxVenue`).
    `log`: a file to which every request is appended as a line of JSON.
    `cache_bytes`: the maximum size of the formatted rows in memory, for all exchanges together.
    """

    def __init__(
        self,
        venues: Iterable[str] = tuple(VENUES),
        *,
        clock: datetime | Callable[[], datetime] | None = None,
        enforce_limits: bool = True,
        limit_factor: float = 1.0,
        ban_seconds: float | None = None,
        limit_clock: Callable[[], float] = time.time,
        latency: float = 0.0,
        replay: Mapping[tuple[str, str], Path | str] | None = None,
        symbols: Mapping[str, Sequence[str]] | None = None,
        trading: Mapping[tuple[str, str], Span | Sequence[Span]] | None = None,
        edges: Mapping[str, Edges] | None = None,
        closed_markets: Mapping[str, ClosedMarket] | None = None,
        log: Path | None = None,
        cache_bytes: int = 512 * 1024 * 1024,  # enough for 90 days of 20 symbols, which a benchmark reads
    ) -> None:
        self.clock = Clock(clock)
        files = replay or {}
        chosen = list(venues)
        for exchange, symbol in files:
            if exchange not in chosen:
                raise ValueError(f"cannot replay {symbol}: {exchange} is not served; choose one of {', '.join(chosen)}")
        self.sites: dict[str, Site] = {}
        for name in chosen:
            played = _variant(venue(name), (edges or {}).get(name), (closed_markets or {}).get(name))
            spans = {}
            for (exchange, symbol), span in (trading or {}).items():
                if exchange == name:
                    spans[symbol] = span
            self.sites[name] = Site(
                played,
                clock=self.clock,
                governor=Governor(
                    played,
                    enforce=enforce_limits,
                    factor=limit_factor,
                    ban_seconds=ban_seconds,
                    now=limit_clock,
                ),
                cache=BlockCache(cache_bytes // len(chosen)),
                symbols=(symbols or {}).get(name),
                trading=spans,
                replay={symbol: Path(file) for (exchange, symbol), file in files.items() if exchange == name},
                latency=latency,
                log=log,
            )

    def fault(self, exchange: str, kind: str, **options: Any) -> dict[str, Any]:
        """Set a fault and return its description. `kind`: one of `faults.FAULT_KINDS`.

        Raises ValueError if the kind or an option is unknown. The message lists the allowed names.
        """
        return self.site(exchange).fault(kind, **options).described()

    def clear_faults(self, exchange: str | None = None) -> None:
        for site in self.sites.values() if exchange is None else [self.site(exchange)]:
            site.faults.clear()

    def requests(self, exchange: str, since: int = 0) -> list[dict[str, Any]]:
        """Return the logged requests whose number (`seq` of `journal.Entry`) is at least `since`."""
        return self.site(exchange).journal.entries(since)

    def clear_requests(self, exchange: str) -> None:
        self.site(exchange).journal.clear()

    def limits(self, exchange: str) -> dict[str, Any]:
        """Return the usage, the violations and the bans of each limit (see `limits.Governor.report`)."""
        return self.site(exchange).governor.report()

    def set_limits(
        self, exchange: str, *, enforce: bool = True, factor: float = 1.0, ban_seconds: float | None = None
    ) -> None:
        """Change the limits, reset the counts and end a ban."""
        self.site(exchange).governor.configure(enforce=enforce, factor=factor, ban_seconds=ban_seconds)

    def truth(
        self, exchange: str, symbol: str, start: datetime | int, end: datetime | int, timeframe: str = "1m"
    ) -> Floats:
        """Return the finished candles in [start, end) as an array (n, 6): epoch ms and the five values.

        The candles are computed or replayed, and all past events are applied to them.
        """
        return self.site(exchange).truth(symbol, instant_ms(start), instant_ms(end), timeframe)

    def set_latency(self, seconds: float, exchange: str | None = None) -> None:
        for site in self.sites.values() if exchange is None else [self.site(exchange)]:
            site.latency = seconds

    def site(self, exchange: str) -> Site:
        """Return one exchange. Raises ValueError if the sandbox does not serve the exchange."""
        if exchange not in self.sites:
            raise ValueError(f"{exchange!r} is not served here; choose one of {', '.join(self.sites)}")
        return self.sites[exchange]


def _variant(played: SandboxVenue, edges: Edges | None, closed_market: ClosedMarket | None) -> SandboxVenue:
    """Return a copy of the venue with the given behaviour. None keeps the behaviour in the venue's record."""
    if edges is not None:
        played = replace(played, wire=replace(played.wire, edges=edges))
    return played if closed_market is None else replace(played, closed_market=closed_market)
