"""One exchange of the sandbox: takes a request, gives the reply. No sockets in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import orjson

from titan10_dagster.sandbox.clock import Clock, instant_ms
from titan10_dagster.sandbox.faults import NULL, Fault, Faults
from titan10_dagster.sandbox.instruments import instrument, replayed
from titan10_dagster.sandbox.journal import Entry, Journal
from titan10_dagster.sandbox.limits import Governor, Verdict
from titan10_dagster.sandbox.pages import BlockCache, Pages, Selection
from titan10_dagster.sandbox.replay import Replay
from titan10_dagster.sandbox.series import Series
from titan10_dagster.sandbox.truth import TIMEFRAMES, Floats
from titan10_dagster.sandbox.venues.venue import Ask, Instrument, Refused, Venue

JSON = "application/json"
Span = tuple[datetime | None, datetime | None]  # listed and delisted; None: as ever
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
        venue: Venue,
        *,
        clock: Clock,
        governor: Governor,
        cache: BlockCache,
        symbols: Sequence[str] | None = None,
        replay: Mapping[str, Path] | None = None,
        trading: Mapping[str, Span] | None = None,
        latency: float = 0.0,
        log: Path | None = None,
    ) -> None:
        self.venue = venue
        self.clock = clock
        self.governor = governor
        self.latency = latency
        self.faults = Faults()
        self.journal = Journal(venue.id, log)
        self._pages = Pages(venue, cache)
        self.series = _listed(venue, symbols or venue.symbols, replay or {}, trading or {})
        self._by_market_id = {one.instrument.name.market_id: one for one in self.series.values()}

    def answer(self, path: str, query: Mapping[str, str]) -> Reply:
        """The reply to one request of the exchange's own API. It is charged, logged and perhaps faulted."""
        entry = self.journal.open(path, query)
        reply = self._answer(entry)
        entry.status = 0 if reply.wire in {"reset", "stall"} else reply.status
        self.journal.close(entry)
        reply.delay += self.latency
        return reply

    def fault(self, kind: str, **options: Any) -> Fault:
        """Set a fault; one of stage `truth` happens at once and for good. Raises ValueError."""
        fault = self.faults.add(kind, **options)
        if fault.kind.stage == "truth":
            (self._restate if kind == "restate" else self._hide)(fault)
        return fault

    def truth(self, symbol: str, start_ms: int, end_ms: int, timeframe: str = "1m") -> Floats:
        """Finished candles as this exchange has them now, with replays and restatements: (n, 6), half-open."""
        now = self.clock.now_ms()
        step = TIMEFRAMES[timeframe] * 1_000
        end_ms = min(end_ms, now // step * step)
        return self._series(symbol).rows(start_ms, max(start_ms, end_ms), TIMEFRAMES[timeframe])

    def _answer(self, entry: Entry) -> Reply:
        kind = self.venue.wire.kind(entry.path)
        if kind is None:
            return self._refusal("not_found")
        entry.kind = kind
        verdict = self.governor.charge(entry.path, kind)
        entry.weight = verdict.weight
        if verdict.outcome != "allowed":
            return self._limited(entry, verdict)
        try:
            series, ask = self._asked(entry) if kind == "candles" else (None, None)
        except Refused as refused:
            return self._refusal(refused.name)
        faults = self.faults.striking(entry.path, kind, entry.symbol)
        entry.faults = [fault.kind.name for fault in faults]
        reply = self._faulted(entry, faults, series, ask)
        reply.headers.update(verdict.headers)
        return reply

    def _asked(self, entry: Entry) -> tuple[Series, Ask]:
        ask = self.venue.wire.ask(entry.path, entry.query, self.clock.now_ms())
        series = self._by_market_id.get(ask.market_id)
        entry.timeframe = _NAMES.get(ask.seconds)
        entry.since, entry.end, entry.limit = ask.start, ask.end, ask.limit
        if series is None or not series.instrument.is_listed(self.clock.now_ms()):
            entry.symbol = ask.market_id
            raise Refused("unknown_symbol")
        entry.symbol = series.instrument.symbol
        return series, ask

    def _faulted(self, entry: Entry, faults: list[Fault], series: Series | None, ask: Ask | None) -> Reply:
        """The reply as the faults leave it: the first that answers by itself wins."""
        by_stage = {stage: [one for one in faults if one.kind.stage == stage] for stage in ("wire", "answer")}
        if by_stage["answer"]:
            reply = self._answered_by(by_stage["answer"][0])
        elif series is None or ask is None:
            reply = self._listing(entry)
        else:
            reply = self._candles(entry, faults, series, ask)
        if by_stage["wire"]:
            _break(reply, by_stage["wire"][0])
        reply.delay += sum(one.options["ms"] / 1_000 for one in faults if one.kind.stage == "delay")
        return reply

    def _listing(self, entry: Entry) -> Reply:
        wire, now = self.venue.wire, self.clock.now_ms()
        if entry.kind == "markets":
            return Reply(body=orjson.dumps(wire.markets(entry.query, self._instruments(now), now)))
        return Reply(body=orjson.dumps(wire.other(entry.path, now)))

    def _candles(self, entry: Entry, faults: list[Fault], series: Series, ask: Ask) -> Reply:
        now = self.clock.now_ms()
        for fault in faults:
            ask = _narrowed(ask, fault, self.venue)
        found = self._pages.select(series, ask, now)
        entry.rows = found.count
        entry.first, entry.last = self._pages.times(series, ask, found)
        changes = [fault for fault in faults if fault.kind.stage == "rows"]
        rows = self._changed(entry, changes, series, ask, found) if changes else self._pages.body(series, ask, found)
        last_closed = now // (ask.seconds * 1_000) * ask.seconds * 1_000 - ask.seconds * 1_000
        return Reply(body=self.venue.wire.page(ask, series.instrument, rows, last_closed))

    def _changed(self, entry: Entry, faults: list[Fault], series: Series, ask: Ask, found: Selection) -> bytes:
        rows = self._pages.rows(series, ask, found)
        for fault in faults:
            if fault.kind.change is not None:
                rows = fault.kind.change(rows, fault)
        entry.rows = len(rows)
        return self._pages.ordered(rows, ask.seconds).replace(f'"{NULL}"'.encode(), b"null")

    def _answered_by(self, fault: Fault) -> Reply:
        if fault.kind.name == "null_data":
            return Reply(body=_NULLS[self.venue.id])
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

    def _restate(self, fault: Fault) -> None:
        if fault.symbol is None or fault.options["time"] is None:
            raise ValueError("the fault 'restate' needs a symbol and a time")
        series, at = self._series(fault.symbol), instant_ms(fault.options["time"])
        values = fault.options["values"]
        if values is None and not fault.options["gone"]:
            values = _rewritten(series, at)
        series.restate(at, None if fault.options["gone"] else values)
        self._pages.cache.forget(fault.symbol)

    def _hide(self, fault: Fault) -> None:
        start, end = fault.options["time"], fault.options["until"]
        if start is None or end is None:
            raise ValueError("the fault 'absent' needs a time and an until")
        for symbol in self.series if fault.symbol is None else [fault.symbol]:
            series = self._series(symbol)
            (series.show if fault.options["back"] else series.hide)(instant_ms(start), instant_ms(end))
            self._pages.cache.forget(symbol)

    def _instruments(self, now: int) -> list[Instrument]:
        """What the list of markets holds."""
        known = [one for one in (series.instrument for series in self.series.values()) if one.is_listed(now)]
        return [one for one in known if self.venue.names_delisted or not one.is_delisted(now)]

    def _series(self, symbol: str) -> Series:
        if symbol not in self.series:
            raise ValueError(f"{self.venue.id} does not list {symbol!r} here; it has {', '.join(self.series)}")
        return self.series[symbol]


# A well-formed answer of each exchange in which the candles themselves are null.
_NULLS = {
    "binance": b"null",
    "coinbase": b'{"candles":null}',
    "kraken": b'{"error":[],"result":null}',
    "okx": b'{"code":"0","msg":"","data":null}',
    "bybit": b'{"retCode":0,"retMsg":"OK","result":null,"retExtInfo":{},"time":1700000000000}',
}


def _listed(
    venue: Venue, symbols: Sequence[str], replay: Mapping[str, Path], trading: Mapping[str, Span]
) -> dict[str, Series]:
    listed = {
        symbol: Series(venue, _between(instrument(venue, symbol), trading.get(symbol, (None, None))))
        for symbol in symbols
    }
    for symbol, path in replay.items():
        candles = Replay(path)
        listed[symbol] = Series(venue, replayed(venue, symbol, candles.first_ms), candles)
    return listed


def _between(traded: Instrument, span: Span) -> Instrument:
    listed, delisted = span
    return replace(
        traded,
        listed_ms=traded.listed_ms if listed is None else instant_ms(listed),
        delisted_ms=traded.delisted_ms if delisted is None else instant_ms(delisted),
    )


def _narrowed(ask: Ask, fault: Fault, venue: Venue) -> Ask:
    if fault.kind.name == "page_third":
        return replace(ask, limit=min(ask.limit, venue.page_limit // 3))
    if fault.kind.name == "horizon":
        return replace(ask, end=None, keep="newest", limit=fault.options["rows"])
    return ask


def _break(reply: Reply, fault: Fault) -> None:
    if fault.kind.name == "truncated":
        reply.body = reply.body[: len(reply.body) // 2]
    elif fault.kind.name == "stall":
        reply.wire, reply.stall = "stall", fault.options["seconds"]
    else:
        reply.wire = "short_body" if fault.kind.name == "short_body" else "reset"


def _rewritten(series: Series, at_ms: int) -> list[float]:
    """Other, still valid values of a candle: it closes at its high and twice the volume was traded."""
    rows = series.rows(at_ms, at_ms + 1, series.source.seconds)
    if len(rows) == 0:
        raise ValueError(f"there is no candle at {at_ms} to restate; give it values")
    _, opened, high, low, _, volume = rows[0].tolist()
    return [opened, high, low, high, volume * 2]
