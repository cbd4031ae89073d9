"""Determines the health of each exchange, for the asset `system/health` and the command `titan10 status`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.ingest.backlog import listed_series
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.operate.alerts import recent_events
from titan10_dagster.planning.breaker import Health
from titan10_dagster.store import ledger
from titan10_dagster.store.breakers import HealthStore
from titan10_dagster.store.ledger import ExchangeSummary

_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class ExchangeHealth:
    """The health of one exchange.

    Attributes:
        pace: the current share of the full pace.
        requests: the number of requests of all runs and polls since `counted_since`.
        counted_since: the start of the last full hour.
        budget_used: `requests`, divided by the number of pages that the full pace allows since `counted_since`.
        live_lag: how long ago the newest polled candle ended, for the series that is furthest behind. None if no series
            was polled since yesterday. A thinly traded pair can be far behind without a problem.
        freshest_lag: how long ago the newest polled candle ended, for the series that is least behind.
        unlisted: configured symbols that the exchange does not trade. Their days do not count as missing history.
        events: a sentence for each event of a series in the last week that starts an alert, such as a changed market or
            a break.
    """

    exchange: str
    enabled: bool
    health: Health
    pace: float
    requests: int
    counted_since: datetime
    budget_used: float
    live_lag: timedelta | None
    freshest_lag: timedelta | None
    history: ExchangeSummary
    unlisted: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


def health_report(titan10: IngestContext, now: datetime) -> list[ExchangeHealth]:
    """Return the health of each exchange that is configured or has ledger rows, in order of name.

    No candle is read, and no request is made.
    """
    configured, db = titan10.settings.exchanges, titan10.database
    starts = listed_series(titan10, configured)
    listed = {(series.exchange, series.symbol) for series in starts}
    history = {row.exchange: row for row in ledger.summary(db, starts, now.date())}
    live = ledger.live_until(db, starts, now.date())
    breakers = HealthStore(db).load_all()
    since = now.replace(minute=0, second=0, microsecond=0) - _HOUR
    requests = HealthStore(db).requests_since(since)

    def report(name: str) -> ExchangeHealth:
        health, sent = breakers.get(name, Health(name)), requests.get(name, 0)
        newest, oldest = live.get(name, (None, None))
        symbols = configured[name].symbols if name in configured else ()
        return ExchangeHealth(
            exchange=name,
            enabled=name in configured and configured[name].enabled,
            health=health,
            pace=health.pace.as_of(now),
            requests=sent,
            counted_since=since,
            budget_used=sent * venue_of(name).page_seconds / (now - since).total_seconds() if sent else 0.0,
            live_lag=None if oldest is None else now - oldest,
            freshest_lag=None if newest is None else now - newest,
            history=history.get(name) or _no_history(name),
            unlisted=tuple(symbol for symbol in symbols if (name, symbol) not in listed),
            events=tuple(recent_events(titan10, name, now)),
        )

    return [report(name) for name in sorted({*configured, *history})]


def flat(report: ExchangeHealth) -> dict[str, Any]:
    """Return all fields except the name of the exchange as one flat row of numbers, texts, days and instants.

    Durations are in seconds.
    """
    health, history = report.health, report.history
    return {
        "enabled": report.enabled,
        "breaker": health.state.value,
        "breaker_until": health.open_until,
        "breaker_reason": health.reason,
        "pace": report.pace,
        "requests": report.requests,
        "requests_since": report.counted_since,
        "budget_used": report.budget_used,
        "live_lag_seconds": _seconds(report.live_lag),
        "freshest_lag_seconds": _seconds(report.freshest_lag),
        "complete_to": history.complete_to,
        "complete_since": history.complete_since,
        "first_settled": history.first_settled,
        "last_settled": history.last_settled,
        "slices": history.slices,
        "settled": history.settled,
        "unasked": history.unasked,
        "stored": history.present,
        "expected": history.expected,
        "missing": {reason.value: count for reason, count in history.missing.items()},
        "quarantined": history.quarantined,
        "restatements": history.restatements,
        "unlisted": list(report.unlisted),
        "series_events": list(report.events),
        "last_error": health.last_error,
        "last_error_at": health.last_error_at,
    }


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()


def _no_history(exchange: str) -> ExchangeSummary:
    return ExchangeSummary(exchange, 0, 0, 0, 0, 0, {}, 0, 0)
