"""Build the reply of one exchange to a request: check the limits, select the rows, and apply the active faults."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import orjson

from titan10_dagster.sandbox.faults import Fault, Stage
from titan10_dagster.sandbox.journal import Entry
from titan10_dagster.sandbox.limits import Verdict
from titan10_dagster.sandbox.pages import Selection
from titan10_dagster.sandbox.series import ServedSeries
from titan10_dagster.sandbox.truth import TIMEFRAMES
from titan10_dagster.sandbox.venues.venue import SandboxVenue
from titan10_dagster.sandbox.venues.wire import CandleRequest, PageContext, Refused

if TYPE_CHECKING:
    from titan10_dagster.sandbox.site import Site

JSON = "application/json"
_NAMES = {seconds: name for name, seconds in TIMEFRAMES.items()}


@dataclass
class Reply:
    """The answer to a request. `wire`: how the connection fails; None if it does not fail."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0  # seconds to wait before the first byte is sent
    wire: Literal["reset", "stall", "short_body"] | None = None
    stall: float = 0.0  # only for `wire` "stall": the seconds of silence in the middle of the answer


def answer(site: Site, entry: Entry) -> Reply:
    """Return the reply to a request, and record the cost, the faults and the rows of the answer in `entry`.

    If the exchange has the path, the request counts towards the rate limits.
    """
    entry.path = site.venue.wire.route(entry.path, entry.query)
    kind = site.venue.wire.kind(entry.path)
    if kind is None:
        return _refusal(site, "not_found")
    entry.kind = kind
    verdict = site.governor.charge(entry.path, kind)
    entry.weight = verdict.weight
    if verdict.outcome != "allowed":
        return _limited(site, entry, verdict)
    try:
        series, request = _requested(site, entry) if kind == "candles" else (None, None)
    except Refused as refused:
        return _refusal(site, refused.name)
    faults = site.faults.striking(entry.path, kind, entry.symbol)
    entry.faults = [fault.kind.name for fault in faults]
    reply = _faulted(site, entry, faults, series, request)
    reply.headers.update(verdict.headers)
    return reply


def _requested(site: Site, entry: Entry) -> tuple[ServedSeries, CandleRequest]:
    now = site.clock.now_ms()
    request = site.venue.wire.request(entry.path, entry.query, now, site.venue.page_limit)
    series = site.by_market_id.get(request.market_id)
    entry.timeframe = _NAMES.get(request.seconds)
    entry.since, entry.end, entry.limit = request.start, request.end, request.limit
    if series is None or not series.instrument.is_known(now):
        entry.symbol = request.market_id
        raise Refused("unknown_symbol")
    entry.symbol = series.instrument.symbol
    if series.instrument.is_delisted(now):
        policy = site.closed_markets.get(series.instrument.symbol, site.venue.closed_market)
        if policy != "candles":
            raise Refused(policy)
    return series, _within_depth(site, series, request, now)


def _within_depth(site: Site, series: ServedSeries, request: CandleRequest, now: int) -> CandleRequest:
    """Return the request, limited to candles that the exchange still serves.

    Raises Refused if the exchange does not allow the start of the request.
    """
    venue, start = site.venue, request.start
    first = venue.candle_start(series.first_ms, request.seconds)
    if venue.refuses_before_listing and start is not None and start < first:
        raise Refused("too_early")
    if venue.depth is None:
        return request
    oldest = venue.candle_start(now, request.seconds) - (venue.depth - 1) * request.seconds * 1_000
    if start is not None and start < oldest and venue.beyond_depth == "refused":
        raise Refused("too_old")
    return replace(request, start=max(start or 0, oldest))


def _faulted(
    site: Site, entry: Entry, faults: list[Fault], series: ServedSeries | None, request: CandleRequest | None
) -> Reply:
    """Return the reply with the given faults.

    If several faults replace the whole answer, only the first of these faults is used. If several faults break the
    connection, only the first of these faults is used.
    """
    answering, breaking = _of_stage(faults, "answer"), _of_stage(faults, "wire")
    if answering:
        reply = _answered_by(site, answering[0])
    elif series is None or request is None:
        reply = _listing(site, entry, _of_stage(faults, "markets"))
    else:
        reply = _candles(site, entry, faults, series, request)
    if breaking:
        _break(reply, breaking[0])
    for fault in _of_stage(faults, "delay"):
        reply.delay += fault.options["ms"] / 1_000
    return reply


def _listing(site: Site, entry: Entry, faults: list[Fault]) -> Reply:
    wire, now = site.venue.wire, site.clock.now_ms()
    if entry.kind != "markets":
        return Reply(body=orjson.dumps(wire.other(entry.path, now)))
    records = [wire.record(listed, now) for listed in site.instruments(now)]
    for fault in faults:
        if fault.kind.name == "half_markets":
            records = records[: round(len(records) * fault.options["share"])]
        else:
            middle = len(records) // 2
            records = [*records[:middle], *fault.options["records"], *records[middle:]]
    return Reply(body=orjson.dumps(wire.listing(records, entry.path, entry.query)))


def _candles(site: Site, entry: Entry, faults: list[Fault], series: ServedSeries, request: CandleRequest) -> Reply:
    now = site.clock.now_ms()
    for fault in _of_stage(faults, "page"):
        series = _another(site, series, fault)
        request, now = _altered(request, fault, site.venue, now)
    found = site.pages.select(series, request, now)
    entry.rows = found.count
    entry.first, entry.last = site.pages.times(series, request, found)
    changes = _of_stage(faults, "rows")
    if changes:
        rows = _changed(site, entry, changes, series, request, found)
    else:
        rows = site.pages.body(series, request, found)
    return Reply(body=site.venue.wire.page(rows, PageContext(request, series.instrument, now)))


def _another(site: Site, series: ServedSeries, fault: Fault) -> ServedSeries:
    """Return `series`. If the fault is `other_symbol`, return another series, so that its candles are sent instead."""
    if fault.kind.name != "other_symbol":
        return series
    if fault.options["other"] is not None:
        return site.served(fault.options["other"])
    symbols = list(site.series)
    return site.series[symbols[(symbols.index(series.instrument.symbol) + 1) % len(symbols)]]


def _changed(
    site: Site, entry: Entry, faults: list[Fault], series: ServedSeries, request: CandleRequest, found: Selection
) -> bytes:
    rows = site.pages.rows(series, request, found)
    for fault in faults:
        if fault.kind.change is not None:
            rows = fault.kind.change(rows, fault)
    entry.rows = len(rows)
    return site.pages.ordered(rows, request.seconds)


def _answered_by(site: Site, fault: Fault) -> Reply:
    if fault.kind.name == "null_data":
        return Reply(body=site.venue.wire.null_page)
    if fault.kind.body is not None:
        html = fault.kind.name == "html_200"
        return Reply(body=fault.kind.body.encode(), content_type="text/html" if html else JSON)
    wait = fault.options.get("retry_after")
    reply = _refusal(
        site,
        fault.kind.refusal or fault.options.get("name", "internal"),
        until=site.clock.now_ms() / 1_000 + (wait or 0),
    )
    if wait is not None:
        reply.status = {"http_429": 429, "http_418": 418}[fault.kind.name]
        reply.headers["Retry-After"] = str(wait)
    return reply


def _limited(site: Site, entry: Entry, verdict: Verdict) -> Reply:
    entry.banned, entry.throttled = verdict.outcome == "banned", verdict.outcome == "throttled"
    reply = _refusal(site, verdict.outcome, until=verdict.until)
    reply.headers.update(verdict.headers)
    if verdict.retry_after is not None:
        reply.headers["Retry-After"] = str(verdict.retry_after)
    return reply


def _refusal(site: Site, name: str, until: float = 0.0) -> Reply:
    refusal = site.venue.refusal(name)
    body = refusal.body.replace("%UNTIL%", str(round(until * 1_000)))
    return Reply(refusal.status, body.encode(), refusal.content_type)


def _of_stage(faults: list[Fault], stage: Stage) -> list[Fault]:
    return [fault for fault in faults if fault.kind.stage == stage]


def _altered(request: CandleRequest, fault: Fault, venue: SandboxVenue, now: int) -> tuple[CandleRequest, int]:
    """Return the request and the time (epoch ms) that select the rows of the answer. The fault possibly changes one."""
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
