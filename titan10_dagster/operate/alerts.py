"""Alerts without their orchestrator: what holds now, who is to hear of it, and that they did.

A message counts as sent when its service took it, and that is stored at once. Who is killed between the two sends it
again: at least once, and in all other cases once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from titan10_dagster.candles.slices import Slice
from titan10_dagster.ingest.backlog import open_slices
from titan10_dagster.ingest.clients import health_of
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import ledger_rows, read_ledger
from titan10_dagster.ingest.markets import listed_symbols
from titan10_dagster.operate.delivery import Letter, deliver
from titan10_dagster.planning.alerts import (
    Alert,
    Condition,
    Kind,
    breaker_condition,
    days_to_be_settled,
    gaps_condition,
    heard,
    is_done,
    live_condition,
    plan_alerts,
    settlement_condition,
    unheard,
)
from titan10_dagster.store import ledger
from titan10_dagster.store.alerts import AlertStore

_DAY = timedelta(days=1)
TITLES = {
    Kind.BREAKER: "exchange shut",
    Kind.GAPS: "candles missing",
    Kind.LIVE: "no live candles",
    Kind.SETTLEMENT: "day not whole",
}

# Letters by URL, in the order to be sent; yields what was taken, as it is.
Deliver = Callable[[Mapping[str, Sequence[Letter]]], Iterator[tuple[str, Letter]]]


@dataclass(frozen=True)
class Told:
    """What one look at the alerts did: how many are open, letters that were taken and those that were not."""

    open: int
    sent: int
    failed: int


def conditions(titan10: IngestContext, now: datetime) -> list[Condition]:
    """What a human may have to hear of, as of `now`; reads the database and asks no exchange."""
    found = [one for name in titan10.settings.enabled for one in _of_exchange(titan10, name, now)]
    return [*found, *_gaps(titan10, now)]


def tend(titan10: IngestContext, now: datetime, *, deliver: Deliver = deliver) -> Told:
    """Looks at what holds, tells who has not heard of it, and remembers who has.

    What could not be delivered is tried again the next time.
    """
    store = AlertStore(titan10.database)
    plan = plan_alerts(conditions(titan10, now), store.open(), now)
    store.keep(plan.remember, plan.forget)
    urls = {_digest(url): url for url in _urls(titan10)}
    letters = {
        url: [letter_of(one) for one in plan.tell if digest in unheard(one, urls)] for digest, url in urls.items()
    }
    alerts = {letter_of(one): one for one in plan.tell}
    sent = 0
    for url, letter in deliver(letters):
        alerts[letter] = heard(alerts[letter], _digest(url))
        store.keep([alerts[letter]])
        sent += 1
    store.keep((), done=[one for one in alerts.values() if is_done(one, urls)])
    return Told(len(plan.remember), sent, sum(map(len, letters.values())) - sent)


def letter_of(alert: Alert) -> Letter:
    """What is sent of an alert, or of its end."""
    title = f"Titan-10: {alert.subject}: {TITLES[alert.kind]}"
    if alert.over_at is None:
        return Letter(title, alert.message, is_good=False)
    return Letter(
        f"{title}: over", f"Over since about {alert.last_seen:%Y-%m-%d %H:%M} UTC. {alert.message}", is_good=True
    )


def _of_exchange(titan10: IngestContext, name: str, now: datetime) -> list[Condition]:
    limits = titan10.settings.alerts
    found = [
        breaker_condition(health_of(titan10, name), now, timedelta(minutes=limits.breaker_open_minutes)),
        settlement_condition(name, _unsettled(titan10, name, now)),
    ]
    if titan10.settings.live.enabled:
        # The next candle comes a timeframe after the last one at the earliest.
        lag = timedelta(minutes=limits.live_lag_minutes) + titan10.exchange(name).timeframe.delta
        found.append(live_condition(name, _polled_until(titan10, name, now), now, lag))
    return [one for one in found if one is not None]


def _gaps(titan10: IngestContext, now: datetime) -> list[Condition]:
    open_, limit = open_slices(titan10), timedelta(days=titan10.settings.alerts.gap_days)
    found = (
        gaps_condition(name, [one for one in open_ if one.slice.series.exchange == name], now, limit)
        for name in titan10.settings.enabled
    )
    return [one for one in found if one is not None]


def _unsettled(titan10: IngestContext, name: str, now: datetime) -> list[Slice]:
    """The slices that the daily settlement should have had: of listed symbols, since each was first on duty.

    A series that is new owes nothing of the days before: they are history, which nobody asked for yet.
    """
    days = days_to_be_settled(now, titan10.settings.alerts.settled_by)
    unsettled = read_ledger(titan10, titan10.slices(name, days, listed_symbols(titan10, name))).unsettled()
    since = ledger.on_duty_since(titan10.database, list({one.series for one in unsettled}))
    return [one for one in unsettled if one.series in since and one.day >= since[one.series]]


def _polled_until(titan10: IngestContext, name: str, now: datetime) -> datetime | None:
    """The end of the newest candle that the exchange gave, by the ledger of yesterday and today."""
    rows = ledger_rows(titan10, titan10.slices(name, [now.date() - _DAY, now.date()]))
    return max((row.covered_until if row.state == "live" else one.end for one, row in rows.items()), default=None)


def _urls(titan10: IngestContext) -> list[str]:
    return [url.get_secret_value() for url in titan10.settings.alerts.urls]


def _digest(url: str) -> str:
    """Stands for a URL in the database, where its secrets have no place."""
    return sha256(url.encode()).hexdigest()[:16]
