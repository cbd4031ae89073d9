"""Checks for problems, stores alerts and sends notifications. The sensor `send_alerts` uses this module.

A notification counts as sent when the service has accepted the notification. The database records this immediately
afterwards. A notification is sent twice in two cases: if the process is killed before the record is written, or if the
service accepts the notification only after the time limit of `deliver`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256

from titan10_dagster.candles.slices import Series, Slice, SliceState
from titan10_dagster.exchanges.listing import HALT
from titan10_dagster.ingest.archive import has_its_files, rest_is_a_source
from titan10_dagster.ingest.backlog import days_without_row, open_slices
from titan10_dagster.ingest.clients import healths_of
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import LedgerDays, read_ledger
from titan10_dagster.ingest.markets import listed_by_exchange
from titan10_dagster.operate.delivery import Notification, deliver
from titan10_dagster.planning.alerts import (
    EVENT_DAYS,
    Alert,
    Condition,
    Kind,
    breaker_condition,
    days_to_be_settled,
    delivered,
    failed_long_ago,
    gaps_condition,
    is_done,
    live_condition,
    pending_addresses,
    plan_alerts,
    series_condition,
    settlement_condition,
    unfinished_condition,
)
from titan10_dagster.planning.breaker import Health
from titan10_dagster.planning.missing_days import FailedRequest, still_missing
from titan10_dagster.store import ledger
from titan10_dagster.store.alerts import AlertStore
from titan10_dagster.store.identities import ALARMING, SeriesEvent, events_since
from titan10_dagster.store.markets import MarketStore

_DAY = timedelta(days=1)
TITLES = {
    Kind.BREAKER: "exchange blocked",
    Kind.GAPS: "candles missing",
    Kind.LIVE: "no live candles",
    Kind.SETTLEMENT: "day incomplete",
    Kind.UNFINISHED: "days not stored",
    Kind.SERIES: "series changed",
}

# A function that sends the notifications for each URL in order. It yields a URL and a notification as soon as the
# service has accepted the notification.
Deliver = Callable[[Mapping[str, Sequence[Notification]]], Iterator[tuple[str, Notification]]]


@dataclass(frozen=True)
class AlertReport:
    """The result of one check for problems.

    `open`: the number of open alerts. An alert stays open until the end of its problem was reported. `sent`: the number
    of notifications that services accepted. `failed`: the number of notifications that could not be delivered.
    """

    open: int
    sent: int
    failed: int


def conditions(
    titan10: IngestContext,
    now: datetime,
    failed: Iterable[FailedRequest] = (),
    under_way: Collection[str] = (),
) -> list[Condition]:
    """Return the problems that exist at `now`. The function reads the database, and sends no request to an exchange.

    `failed`: the days of failed runs. `under_way`: the exchanges for which a run or a backfill fetches days now. Repair
    runs do not count.
    """
    found: list[Condition] = []
    listed = listed_by_exchange(titan10, titan10.settings.enabled)
    events = _alarming_events(titan10, None, now)
    for name, health in healths_of(titan10).items():
        details = [event.detail for event in events if event.exchange == name]
        found += _of_exchange(titan10, name, now, health, listed[name], details)
    return [*found, *_gaps(titan10, now), *_unfinished(titan10, failed_long_ago(failed, under_way, now))]


def update_alerts(
    titan10: IngestContext,
    now: datetime,
    *,
    failed: Iterable[FailedRequest] = (),
    under_way: Collection[str] = (),
    deliver: Deliver = deliver,
) -> AlertReport:
    """Check for problems, store the alerts, and send all pending notifications.

    A failed delivery is repeated at the next check. `failed` and `under_way`: see `conditions`.
    """
    store = AlertStore(titan10.database)
    plan = plan_alerts(conditions(titan10, now, failed, under_way), store.open(), now)
    store.keep(plan.keep, plan.forget)
    urls = {_digest(url): url for url in _urls(titan10)}
    alerts = {notification_of(alert): alert for alert in plan.notify}
    outgoing: dict[str, list[Notification]] = {}
    for digest, url in urls.items():
        outgoing[url] = [
            notification for notification, alert in alerts.items() if digest in pending_addresses(alert, urls)
        ]
    sent = 0
    for url, notification in deliver(outgoing):
        alerts[notification] = delivered(alerts[notification], _digest(url))
        store.keep([alerts[notification]])
        sent += 1
    store.keep((), done=[alert for alert in alerts.values() if is_done(alert, urls)])
    return AlertReport(len(plan.keep), sent, sum(map(len, outgoing.values())) - sent)


def notification_of(alert: Alert) -> Notification:
    """Return the notification about an alert. If the alert has ended, the notification is about its end."""
    title = f"Titan-10: {alert.subject}: {TITLES[alert.kind]}"
    if alert.over_at is None:
        return Notification(title, alert.message, is_good=False)
    ended = f"This problem ended at about {alert.last_seen:%Y-%m-%d %H:%M} UTC."
    return Notification(f"{title}: ended", f"{ended} {alert.message}", is_good=True)


def _of_exchange(
    titan10: IngestContext, name: str, now: datetime, health: Health, listed: Sequence[str], events: Sequence[str]
) -> list[Condition]:
    limits = titan10.settings.alerts
    to_be_settled = days_to_be_settled(now, limits.settled_by)
    recent = read_ledger(titan10, titan10.slices(name, sorted({now.date(), now.date() - _DAY, *to_be_settled})))
    found = [
        breaker_condition(health, now, timedelta(minutes=limits.breaker_open_minutes)),
        settlement_condition(name, _unsettled(titan10, recent, to_be_settled, listed)),
        series_condition(name, events),
    ]
    if titan10.settings.live.enabled:
        # The next candle ends one timeframe after the newest candle. Therefore the timeframe is added to the limit.
        lag = timedelta(minutes=limits.live_lag_minutes) + titan10.exchange(name).timeframe.delta
        silent = live_condition(name, _polled_until(recent, now), now, lag)
        if silent is not None and not _are_closed(titan10, name, listed, now):
            found.append(silent)
    return [condition for condition in found if condition is not None]


def _are_closed(titan10: IngestContext, name: str, listed: Sequence[str], now: datetime) -> bool:
    """Return whether the markets of all listed symbols are closed, so that no candle is expected.

    A market is closed if it is inactive, and its last stored candle ended at least HALT ago.
    """
    store, timeframe = MarketStore(titan10.database), titan10.exchange(name).timeframe
    active = {market.symbol for market in store.load(name) if market.active}
    for symbol in listed:
        end = store.last_candle_end(Series(name, symbol, timeframe))
        if symbol in active or (end is not None and now - end < HALT):
            return False
    return bool(listed)


def recent_events(titan10: IngestContext, name: str, now: datetime) -> list[str]:
    """Return a sentence for each event of the last week that starts an alert for this exchange, newest first."""
    return [event.detail for event in _alarming_events(titan10, name, now)]


def _alarming_events(titan10: IngestContext, name: str | None, now: datetime) -> list[SeriesEvent]:
    """Return the last week's events that start an alert, newest first. `name`: an exchange, or None for all."""
    events = events_since(titan10.database, name, now - timedelta(days=EVENT_DAYS))
    return [event for event in events if event.kind in ALARMING]


def _gaps(titan10: IngestContext, now: datetime) -> list[Condition]:
    open_, limit = open_slices(titan10), timedelta(days=titan10.settings.alerts.gap_days)
    found = []
    for name in titan10.settings.enabled:
        of_exchange = [open_slice for open_slice in open_ if open_slice.slice.series.exchange == name]
        condition = gaps_condition(name, of_exchange, now, limit)
        if condition is not None:
            found.append(condition)
    return found


def _unfinished(titan10: IngestContext, failed: Sequence[FailedRequest]) -> list[Condition]:
    """Return a condition for each exchange with failed runs, if days of these runs still have no ledger row."""
    if not failed:
        return []
    missing = still_missing(days_without_row(titan10), failed)
    found = []
    for name in titan10.settings.enabled:
        condition = unfinished_condition(name, [days for days in missing if days.exchange == name])
        if condition is not None:
            found.append(condition)
    return found


def _unsettled(
    titan10: IngestContext, recent: LedgerDays, to_be_settled: Collection[date], listed: Collection[str]
) -> list[Slice]:
    """Return the unsettled slices of listed symbols that the daily settlement should have completed.

    For each series, the daily settlement begins with the first day that was fetched before the end of the next day.
    Slices of earlier days are left out, because backfills fetch them. If the archive is the exchange's only source,
    slices are left out until the archive should have their files. `recent`: the ledger of the exchange's last days.
    `to_be_settled`: the days of the slices to return. `listed`: the symbols that the exchange lists.
    """
    unsettled = []
    for slice_ in recent.unsettled():
        name = slice_.series.exchange
        is_due = rest_is_a_source(titan10, name) or has_its_files(titan10, name, slice_.day)
        if slice_.day in to_be_settled and slice_.series.symbol in listed and is_due:
            unsettled.append(slice_)
    if not unsettled:
        return []
    since = ledger.on_duty_since(titan10.database, list({slice_.series for slice_ in unsettled}))
    overdue = []
    for slice_ in unsettled:
        first_day = since.get(slice_.series)
        if first_day is not None and slice_.day >= first_day:
            overdue.append(slice_)
    return overdue


def _polled_until(recent: LedgerDays, now: datetime) -> datetime | None:
    """Return the time up to which candles of at least one series were fetched. Only yesterday and today are checked.

    Return None if nothing was fetched for these days. `recent`: the ledger of the exchange's last days.
    """
    ends = []
    for slice_, row in recent.ledger.items():
        if slice_.day < now.date() - _DAY:
            continue
        # A live slice is fetched up to the last poll, and any other slice up to the end of its day.
        ends.append(row.covered_until if row.state == SliceState.LIVE else slice_.end)
    return max(ends, default=None)


def _urls(titan10: IngestContext) -> list[str]:
    return [url.get_secret_value() for url in titan10.settings.alerts.urls]


def _digest(url: str) -> str:
    """Return a digest of a URL. The database contains the digest and not the URL, because a URL contains secrets."""
    return sha256(url.encode()).hexdigest()[:16]
