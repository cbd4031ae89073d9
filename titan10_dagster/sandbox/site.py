"""One exchange of the sandbox: it takes a request and returns the reply. There are no sockets in here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import orjson

from titan10_dagster.sandbox import events
from titan10_dagster.sandbox.clock import Clock, instant_ms
from titan10_dagster.sandbox.faults import Fault, Faults, Stage
from titan10_dagster.sandbox.instruments import instrument, replayed
from titan10_dagster.sandbox.journal import Entry, Journal
from titan10_dagster.sandbox.limits import Governor, Verdict
from titan10_dagster.sandbox.pages import BlockCache, PageCutter, Selection
from titan10_dagster.sandbox.replay import Replay
from titan10_dagster.sandbox.series import ServedSeries
from titan10_dagster.sandbox.truth import TIMEFRAMES, Floats
from titan10_dagster.sandbox.venues.instrument import Instrument, Spell
from titan10_dagster.sandbox.venues.venue import SandboxVenue
from titan10_dagster.sandbox.venues.wire import CandleRequest, PageContext, Refused

JSON = "application/json"
Span = tuple[datetime | None, datetime | None]  # listed and delisted; None: as the venue has it
_NAMES = {seconds: name for name, seconds in TIMEFRAMES.items()}


@dataclass
class Reply:
    """What goes back, or what happens to the connection instead."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0  # seconds before anything is sent
    wire: Literal["reset", "stall", "short_body"] | None = None
    stall: float = 0.0  # seconds


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
        self.closed_markets: dict[str, str] = {}  # symbol -> as `SandboxVenue.closed_market`, where it differs
        self._pages = PageCutter(venue, cache)
        self._later: list[tuple[int, Callable[[], None]]] = []
        self.series = _listed(venue, symbols or venue.symbols, replay or {}, trading or {})
        self._by_market_id = {series.instrument.name.market_id: series for series in self.series.values()}

    def answer(self, path: str, query: Mapping[str, str]) -> Reply:
        """Return the reply to one request of the exchange's own API. It is charged and logged; faults may change it."""
        self._catch_up()
        entry = self.journal.open(path, query)
        reply = self._answer(entry)
        entry.status = 0 if reply.wire in {"reset", "stall"} else reply.status
        self.journal.close(entry)
        reply.delay += self.latency
        return reply

    def fault(self, kind: str, **options: Any) -> Fault:
        """Set a fault; one of stage `truth` happens once, at its time, for good. Raises ValueError."""
        fault = self.faults.add(kind, **options)
        if fault.kind.stage != "truth":
            return fault
        if fault.at is None:
            events.happen(self, fault)
        else:
            self.later(instant_ms(fault.at), lambda: events.happen(self, fault))
        return fault

    def truth(self, symbol: str, start_ms: int, end_ms: int, timeframe: str = "1m") -> Floats:
        """Return finished candles as this exchange has them now, replays and events included: (n, 6), half-open."""
        self._catch_up()
        seconds = TIMEFRAMES[timeframe]
        end_ms = min(end_ms, self.venue.candle_start(self.clock.now_ms(), seconds))
        return self.served(symbol).rows(start_ms, max(start_ms, end_ms), seconds)

    def served(self, symbol: str) -> ServedSeries:
        """Return the series of a symbol. Raises ValueError, which lists the symbols."""
        if symbol not in self.series:
            raise ValueError(f"{self.venue.id} does not list {symbol!r} here; it has {', '.join(self.series)}")
        return self.series[symbol]

    def change(self, series: ServedSeries, changed: Instrument) -> None:
        """Give a series another instrument. A market id that two of them claim belongs to the later change."""
        former = series.instrument.name.market_id
        if self._by_market_id.get(former) is series:
            del self._by_market_id[former]
        series.become(changed)
        self._by_market_id[changed.name.market_id] = series
        self.forget_pages(changed.symbol)

    def forget_pages(self, symbol: str) -> None:
        self._pages.cache.forget(symbol)

    def later(self, at_ms: int, action: Callable[[], None]) -> None:
        """Let something happen when the clock has reached an instant."""
        self._later.append((at_ms, action))
        self._catch_up()

    def _catch_up(self) -> None:
        now = self.clock.now_ms()
        while due := [entry for entry in self._later if entry[0] <= now]:
            first = min(due, key=lambda entry: entry[0])
            self._later.remove(first)
            first[1]()

    def _answer(self, entry: Entry) -> Reply:
        entry.path = self.venue.wire.route(entry.path, entry.query)
        kind = self.venue.wire.kind(entry.path)
        if kind is None:
            return self._refusal("not_found")
        entry.kind = kind
        verdict = self.governor.charge(entry.path, kind)
        entry.weight = verdict.weight
        if verdict.outcome != "allowed":
            return self._limited(entry, verdict)
        try:
            series, request = self._requested(entry) if kind == "candles" else (None, None)
        except Refused as refused:
            return self._refusal(refused.name)
        faults = self.faults.striking(entry.path, kind, entry.symbol)
        entry.faults = [fault.kind.name for fault in faults]
        reply = self._faulted(entry, faults, series, request)
        reply.headers.update(verdict.headers)
        return reply

    def _requested(self, entry: Entry) -> tuple[ServedSeries, CandleRequest]:
        now = self.clock.now_ms()
        request = self.venue.wire.request(entry.path, entry.query, now, self.venue.page_limit)
        series = self._by_market_id.get(request.market_id)
        entry.timeframe = _NAMES.get(request.seconds)
        entry.since, entry.end, entry.limit = request.start, request.end, request.limit
        if series is None or not series.instrument.is_known(now):
            entry.symbol = request.market_id
            raise Refused("unknown_symbol")
        entry.symbol = series.instrument.symbol
        if series.instrument.is_delisted(now):
            policy = self.closed_markets.get(series.instrument.symbol, self.venue.closed_market)
            if policy != "candles":
                raise Refused(policy)
        return series, self._within_depth(series, request, now)

    def _within_depth(self, series: ServedSeries, request: CandleRequest, now: int) -> CandleRequest:
        """Return the request without what the exchange does not have any more. Raises Refused where it says so."""
        venue, start = self.venue, request.start
        if venue.refuses_before_listing and start is not None and start < series.first_ms:
            raise Refused("too_early")
        if venue.depth is None:
            return request
        oldest = venue.candle_start(now, request.seconds) - (venue.depth - 1) * request.seconds * 1_000
        if start is not None and start < oldest and venue.beyond_depth == "refused":
            raise Refused("too_old")
        return replace(request, start=max(start or 0, oldest))

    def _faulted(
        self, entry: Entry, faults: list[Fault], series: ServedSeries | None, request: CandleRequest | None
    ) -> Reply:
        """Return the reply as the faults leave it; the first fault that answers by itself wins."""
        answering, breaking = _of_stage(faults, "answer"), _of_stage(faults, "wire")
        if answering:
            reply = self._answered_by(answering[0])
        elif series is None or request is None:
            reply = self._listing(entry, _of_stage(faults, "markets"))
        else:
            reply = self._candles(entry, faults, series, request)
        if breaking:
            _break(reply, breaking[0])
        for fault in _of_stage(faults, "delay"):
            reply.delay += fault.options["ms"] / 1_000
        return reply

    def _listing(self, entry: Entry, faults: list[Fault]) -> Reply:
        wire, now = self.venue.wire, self.clock.now_ms()
        if entry.kind != "markets":
            return Reply(body=orjson.dumps(wire.other(entry.path, now)))
        records = [wire.record(listed, now) for listed in self._instruments(now)]
        for fault in faults:
            if fault.kind.name == "half_markets":
                records = records[: round(len(records) * fault.options["share"])]
            else:
                middle = len(records) // 2
                records = [*records[:middle], *fault.options["records"], *records[middle:]]
        return Reply(body=orjson.dumps(wire.listing(records, entry.path, entry.query)))

    def _candles(self, entry: Entry, faults: list[Fault], series: ServedSeries, request: CandleRequest) -> Reply:
        now = self.clock.now_ms()
        for fault in _of_stage(faults, "page"):
            series = self._another(series, fault)
            request, now = _altered(request, fault, self.venue, now)
        found = self._pages.select(series, request, now)
        entry.rows = found.count
        entry.first, entry.last = self._pages.times(series, request, found)
        changes = _of_stage(faults, "rows")
        if changes:
            rows = self._changed(entry, changes, series, request, found)
        else:
            rows = self._pages.body(series, request, found)
        return Reply(body=self.venue.wire.page(rows, PageContext(request, series.instrument, now)))

    def _another(self, series: ServedSeries, fault: Fault) -> ServedSeries:
        """Return the series whose candles come instead of those that were asked for."""
        if fault.kind.name != "other_symbol":
            return series
        if fault.options["other"] is not None:
            return self.served(fault.options["other"])
        symbols = list(self.series)
        return self.series[symbols[(symbols.index(series.instrument.symbol) + 1) % len(symbols)]]

    def _changed(
        self, entry: Entry, faults: list[Fault], series: ServedSeries, request: CandleRequest, found: Selection
    ) -> bytes:
        rows = self._pages.rows(series, request, found)
        for fault in faults:
            if fault.kind.change is not None:
                rows = fault.kind.change(rows, fault)
        entry.rows = len(rows)
        return self._pages.ordered(rows, request.seconds)

    def _answered_by(self, fault: Fault) -> Reply:
        if fault.kind.name == "null_data":
            return Reply(body=self.venue.wire.null_page)
        if fault.kind.body is not None:
            html = fault.kind.name == "html_200"
            return Reply(body=fault.kind.body.encode(), content_type="text/html" if html else JSON)
        wait = fault.options.get("retry_after")
        reply = self._refusal(fault.kind.refusal or "internal", until=self.clock.now_ms() / 1_000 + (wait or 0))
        if wait is not None:
            reply.status = {"http_429": 429, "http_418": 418}[fault.kind.name]
            reply.headers["Retry-After"] = str(wait)
        return reply

    def _limited(self, entry: Entry, verdict: Verdict) -> Reply:
        entry.banned, entry.throttled = verdict.outcome == "banned", verdict.outcome == "throttled"
        reply = self._refusal(verdict.outcome, until=verdict.until)
        reply.headers.update(verdict.headers)
        if verdict.retry_after is not None:
            reply.headers["Retry-After"] = str(verdict.retry_after)
        return reply

    def _refusal(self, name: str, until: float = 0.0) -> Reply:
        refusal = self.venue.refusal(name)
        body = refusal.body.replace("%UNTIL%", str(round(until * 1_000)))
        return Reply(refusal.status, body.encode(), refusal.content_type)

    def _instruments(self, now: int) -> list[Instrument]:
        """Return what the list of markets holds."""
        known = [series.instrument for series in self.series.values() if series.instrument.is_known(now)]
        return [listed for listed in known if self.venue.names_delisted or not listed.is_delisted(now)]


def _of_stage(faults: list[Fault], stage: Stage) -> list[Fault]:
    return [fault for fault in faults if fault.kind.stage == stage]


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
    """Return the instrument with these periods of trading; bounds that are None stay as they are."""
    if given is None:
        return traded
    spans = [given] if isinstance(given, tuple) and not isinstance(given[0], tuple) else given
    spells: list[Spell] = []
    for listed, delisted in spans:  # type: ignore[misc]
        first = traded.listed_ms if listed is None else instant_ms(listed)
        end = traded.delisted_ms if delisted is None else instant_ms(delisted)
        spells.append((first, end))
    return replace(traded, spells=tuple(spells))


def _altered(request: CandleRequest, fault: Fault, venue: SandboxVenue, now: int) -> tuple[CandleRequest, int]:
    """Return the request as a changed exchange understands it, and the instant of its answer."""
    step = request.seconds * 1_000
    match fault.kind.name:
        case "page_third":
            return replace(request, limit=min(request.limit, venue.page_limit // 3)), now
        case "horizon":
            return replace(request, start=None, end=None, keep="newest", limit=fault.options["rows"]), now
        case "forgets":
            oldest = venue.candle_start(now, request.seconds) - (fault.options["rows"] - 1) * step
            return replace(request, start=max(request.start or 0, oldest)), now
        case "since_exclusive" if request.start is not None:
            return replace(request, start=request.start + 1), now
        case "end_inclusive" if request.end is not None:
            return replace(request, end=request.end + 1), now
        case "stale":
            return request, now - round(fault.options["minutes"] * 60_000)
    return request, now


def _break(reply: Reply, fault: Fault) -> None:
    if fault.kind.name == "truncated":
        reply.body = reply.body[: len(reply.body) // 2]
    elif fault.kind.name == "stall":
        reply.wire, reply.stall = "stall", fault.options["seconds"]
    else:
        reply.wire = "short_body" if fault.kind.name == "short_body" else "reset"
