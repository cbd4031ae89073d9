"""The control endpoints of the sandbox. Each exchange has them on its own port, below /_sandbox/.

GET faults           list the active faults
POST faults          set a fault (JSON: kind and options)
DELETE faults        remove all faults
GET faults/kinds     list the kinds of faults
GET requests         list the logged requests; ?since=<number>: only requests with this number or a higher one
DELETE requests      clear the log of requests
GET limits           report the highest usage, the violations and the bans of each rate limit
POST limits          change the limits, reset the counts and end a ban (JSON: "enforce", "factor", "ban_seconds")
DELETE limits        reset the counts and end a ban
GET clock            report the time as {"now": ms}
POST clock           set the clock, which all exchanges share. {"now": ISO text or ms} stops the clock at this time;
                     with "run": true, the clock runs on from this time; {"now": null} sets the real time;
                     {"shift": seconds} moves the clock
POST latency         delay every answer by this time: {"ms": 100}
GET truth            list the finished candles for ?symbol=&start=&end=&timeframe=1m, as rows of [ms, o, h, l, c, v]
GET venue            describe this exchange, its symbols, and the sources of these facts
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from titan10_dagster.sandbox.clock import instant_ms
from titan10_dagster.sandbox.faults import FAULT_KINDS
from titan10_dagster.sandbox.site import Site

PREFIX = "/_sandbox/"


class NoSuchControl(LookupError):
    """A request for a control endpoint that does not exist."""


def control(site: Site, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any]) -> Any:
    """Return the answer of a control endpoint, ready for JSON.

    Raises NoSuchControl. Invalid parameters or an invalid body raise ValueError, KeyError or TypeError.
    """
    handler = _ROUTES.get((method, path.removeprefix(PREFIX)))
    if handler is None:
        raise NoSuchControl(
            f"there is no {method} {path}; choose one of {', '.join(' '.join(route) for route in _ROUTES)}"
        )
    return handler(site, query, body)


def _list_faults(site: Site, query: Mapping[str, str], body: Mapping[str, Any]) -> Any:
    return {"faults": site.faults.listed()}


def _set_fault(site: Site, query: Mapping[str, str], body: Mapping[str, Any]) -> Any:
    return site.fault(**body).described()


def _clear_faults(site: Site, query: Mapping[str, str], body: Mapping[str, Any]) -> Any:
    site.faults.clear()
    return {}


def _kinds(site: Site, query: Mapping[str, str], body: Mapping[str, Any]) -> Any:
    return {
        kind.name: {"stage": kind.stage, "sentence": kind.sentence, "options": dict(kind.options), "path": kind.path}
        for kind in FAULT_KINDS.values()
    }


def _list_requests(site: Site, query: Mapping[str, str], body: Mapping[str, Any]) -> Any:
    return {"requests": site.journal.entries(int(query.get("since", 0))), "next": site.journal.next}


def _clear_requests(site: Site, query: Mapping[str, str], body: Mapping[str, Any]) -> Any:
    site.journal.clear()
    return {}


def _report_limits(site: Site, query: Mapping[str, str], body: Mapping[str, Any]) -> Any:
    return site.governor.report()


def _set_limits(site: Site, query: Mapping[str, str], body: Mapping[str, Any]) -> Any:
    governor = site.governor
    governor.configure(
        enforce=bool(body.get("enforce", governor.enforce)),
        factor=float(body.get("factor", governor.factor)),
        ban_seconds=body.get("ban_seconds", governor.ban_seconds),
    )
    return governor.report()


def _reset_limits(site: Site, query: Mapping[str, str], body: Mapping[str, Any]) -> Any:
    site.governor.reset()
    return site.governor.report()


def _report_clock(site: Site, query: Mapping[str, str], body: Mapping[str, Any]) -> Any:
    return {"now": site.clock.now_ms()}


def _set_clock(site: Site, query: Mapping[str, str], body: Mapping[str, Any]) -> Any:
    if "shift" in body:
        site.clock.shift(float(body["shift"]))
    elif body["now"] is None:
        site.clock.real()
    elif body.get("run"):
        site.clock.run_from(instant_ms(body["now"]))
    else:
        site.clock.stop_at(instant_ms(body["now"]))
    return {"now": site.clock.now_ms()}


def _set_latency(site: Site, query: Mapping[str, str], body: Mapping[str, Any]) -> Any:
    site.latency = float(body["ms"]) / 1_000
    return {"ms": site.latency * 1_000}


def _report_truth(site: Site, query: Mapping[str, str], body: Mapping[str, Any]) -> Any:
    start, end = (instant_ms(int(text) if text.isdigit() else text) for text in (query["start"], query["end"]))
    rows = site.truth(query["symbol"], start, end, query.get("timeframe", "1m"))
    return {"candles": [[int(row[0]), *row[1:]] for row in rows.tolist()]}


def _describe(site: Site, query: Mapping[str, str], body: Mapping[str, Any]) -> Any:
    venue, symbols = site.venue, {}
    for symbol, series in site.series.items():
        traded = series.instrument
        symbols[symbol] = {"market_id": traded.name.market_id, "listed": series.first_ms, "quiet": traded.quiet}
    return {
        "exchange": venue.id,
        "page_limit": venue.page_limit,
        "descending": venue.descending,
        "empty_minutes": venue.empty_minutes,
        "timeframes": list(venue.wire.timeframes),
        "symbols": symbols,
        "limits": [limit.source for limit in venue.limits],
        "sources": venue.sources,
    }


_ROUTES: Mapping[tuple[str, str], Callable[[Site, Mapping[str, str], Mapping[str, Any]], Any]] = {
    ("GET", "faults"): _list_faults,
    ("POST", "faults"): _set_fault,
    ("DELETE", "faults"): _clear_faults,
    ("GET", "faults/kinds"): _kinds,
    ("GET", "requests"): _list_requests,
    ("DELETE", "requests"): _clear_requests,
    ("GET", "limits"): _report_limits,
    ("POST", "limits"): _set_limits,
    ("DELETE", "limits"): _reset_limits,
    ("GET", "clock"): _report_clock,
    ("POST", "clock"): _set_clock,
    ("POST", "latency"): _set_latency,
    ("GET", "truth"): _report_truth,
    ("GET", "venue"): _describe,
}
