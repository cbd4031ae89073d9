"""Decide which alerts to send, and when.

An alert reports a problem that automatic repair could not fix. A message is sent when the problem begins, and another
message when the problem ends.

| kind | begins when | must last |
|-|-|-|
| breaker | the exchange has been blocked for `breaker_open_minutes` (time after the last pause does not count) | 0 |
| gaps | candles with the reason `unknown` have been missing for `gap_days`, although requested again | 12 hours |
| live | no series of the exchange has a candle that ended in the last `live_lag_minutes` | 15 minutes |
| settlement | at `settled_by`, a past day of a series that Titan-10 fetches regularly is incomplete | 2 hours |
| unfinished | a run failed at least 12 hours ago, its days are still missing, and no other run is fetching | 2 hours |
| series | an event of the last week: other or ambiguous market, new price unit, rewritten day, replaced file | 0 |

The last column shows how long a problem must last before the first message. A machine that was off for a day therefore
has time to fetch the missed data. If more than an hour passes between two checks, the duration of each problem without
a message is counted from zero again. After the first message, a problem has ended when no check has found it for 15
minutes, so a problem that comes and goes does not cause many messages. While an exchange is blocked, its other problems
(gaps, live, settlement, unfinished) start no alert, because the block explains them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from titan10_dagster.candles.slices import Slice, midnight
from titan10_dagster.planning.breaker import BreakerState, Health
from titan10_dagster.planning.missing_days import FailedRequest, MissingDays
from titan10_dagster.planning.repairs import OpenSlice

CALM = timedelta(minutes=15)  # a problem has ended when no check has found it for this long
# If no check ran for longer than this, the age of a problem without a message is counted from the next check that finds
# the problem.
INTERRUPTED = timedelta(hours=1)
SETTLEMENT_DAYS = 7  # an alert of the kind `settlement` is only about this many past days
MOST_NAMED = 5  # the maximum number of symbols in a message
MOST_EVENTS = 3  # the maximum number of events in a message
# Days of a failed run are a problem if they are still not fetched after this time. Repairs have requested them about
# nine times by then.
UNFINISHED_AFTER = timedelta(hours=12)
EVENT_DAYS = 7  # an event of a series counts as a problem for this many days
_DAY = timedelta(days=1)


class Kind(StrEnum):
    BREAKER = "breaker"
    GAPS = "gaps"
    LIVE = "live"
    SETTLEMENT = "settlement"
    UNFINISHED = "unfinished"
    SERIES = "series"


# How long a problem must last before the first message is sent.
DELAYS: Mapping[Kind, timedelta] = {
    Kind.BREAKER: timedelta(0),
    Kind.GAPS: timedelta(hours=12),
    Kind.LIVE: timedelta(minutes=15),
    Kind.SETTLEMENT: timedelta(hours=2),
    Kind.UNFINISHED: timedelta(hours=2),
    Kind.SERIES: timedelta(0),
}


# A blocked exchange can cause problems of these kinds. As long as the exchange is blocked, no new alert about these
# problems is sent.
_EXPLAINED_BY_BREAKER = (Kind.GAPS, Kind.LIVE, Kind.SETTLEMENT, Kind.UNFINISHED)

Key = tuple[Kind, str]  # the kind of the problem, and the exchange


@dataclass(frozen=True)
class Condition:
    """A problem that exists now. `subject`: the exchange. `message`: one or two sentences."""

    kind: Kind
    subject: str
    message: str

    @property
    def key(self) -> Key:
        return self.kind, self.subject


@dataclass(frozen=True)
class Alert:
    """A problem, with its history since the check that first found it. Instants are aware and UTC.

    Attributes:
        since: the time of the first check that found the problem.
        last_seen: the time of the last check that found the problem.
        notified: the digests of the addresses that received the message about the beginning of the problem.
        notified_over: the digests of the addresses that received the message about the end of the problem.
        over_at: the time of the check that ended the alert; None if the problem has not ended.
    """

    kind: Kind
    subject: str
    message: str
    since: datetime
    last_seen: datetime
    notified: frozenset[str] = field(default_factory=frozenset)
    notified_over: frozenset[str] = field(default_factory=frozenset)
    over_at: datetime | None = None

    @property
    def key(self) -> Key:
        return self.kind, self.subject

    @property
    def is_due(self) -> bool:
        """Return whether the problem has lasted long enough for a message."""
        return self.last_seen - self.since >= DELAYS[self.kind]


@dataclass(frozen=True)
class AlertPlan:
    """The result of one check.

    Attributes:
        keep: the alerts to store.
        forget: the alerts to delete. No message about these alerts was sent.
        notify: the alerts of `keep` for which messages are due.
    """

    keep: tuple[Alert, ...]
    forget: tuple[Alert, ...]
    notify: tuple[Alert, ...]


def plan_alerts(conditions: Iterable[Condition], open_: Sequence[Alert], now: datetime) -> AlertPlan:
    """Return the alerts to store, the alerts to delete, and the alerts for which messages are due.

    If a message cannot be delivered to an address, `pending_addresses` returns this address again, so the next check
    repeats the delivery.

    `conditions`: the problems that exist now.
    `open_`: the stored alerts that are not done yet (see `is_done`).
    """
    known = {alert.key: alert for alert in open_}
    current = _unexplained({condition.key: condition for condition in conditions}, known)
    keep: list[Alert] = []
    forget: list[Alert] = []
    notify: list[Alert] = []
    for key, condition in current.items():
        former = known.get(key)
        alert = _observed(condition, former, now)
        keep.append(alert)
        if alert.is_due:
            notify.append(alert)
        if former is not None and former.since != alert.since and not former.notified:
            forget.append(former)  # the new alert replaces the former alert
    for key, alert in known.items():
        if key in current:
            continue
        if not alert.notified:
            forget.append(alert)  # the problem ended before a message was sent
            continue
        ending = _not_observed(alert, now)
        keep.append(ending)
        if ending.over_at is not None:
            notify.append(ending)
    return AlertPlan(tuple(keep), tuple(forget), tuple(notify))


def pending_addresses(alert: Alert, addresses: Iterable[str]) -> list[str]:
    """Return the addresses that have not received the current message of the alert yet.

    The message about the end is sent only to addresses that received the message about the beginning.
    """
    pending = []
    for address in addresses:
        knows_beginning = address in alert.notified
        if alert.over_at is None:
            needs_message = not knows_beginning
        else:
            needs_message = knows_beginning and address not in alert.notified_over
        if needs_message:
            pending.append(address)
    return pending


def delivered(alert: Alert, address: str) -> Alert:
    """Return a copy of the alert that records the delivery of its current message to `address`."""
    if alert.over_at is None:
        return replace(alert, notified=alert.notified | {address})
    return replace(alert, notified_over=alert.notified_over | {address})


def is_done(alert: Alert, addresses: Iterable[str]) -> bool:
    """Return whether the problem has ended and no message is due any more.

    `addresses`: the addresses in the settings. Addresses that were removed from the settings do not count.
    """
    return alert.over_at is not None and not pending_addresses(alert, addresses)


def _unexplained(current: Mapping[Key, Condition], known: Mapping[Key, Alert]) -> dict[Key, Condition]:
    """Return the current problems, except for problems that are explained by a blocked exchange.

    If a message about a problem was already sent, the problem is returned even if the exchange is blocked.
    """
    found = {}
    for key, condition in current.items():
        alert = known.get(key)
        was_sent = alert is not None and bool(alert.notified)
        is_blocked = condition.kind in _EXPLAINED_BY_BREAKER and (Kind.BREAKER, condition.subject) in current
        if was_sent or not is_blocked:
            found[key] = condition
    return found


def _observed(condition: Condition, known: Alert | None, now: datetime) -> Alert:
    """Return the alert for a problem that this check found. It is the updated known alert, or a new alert."""
    if known is not None and not _starts_again(known, now):
        return replace(known, message=condition.message, last_seen=now, over_at=None)
    # If an address received the message about the beginning of the former problem, but not about its end, the address
    # needs no message about the beginning of the new problem.
    informed = known.notified - known.notified_over if known is not None else frozenset[str]()
    return Alert(condition.kind, condition.subject, condition.message, now, now, notified=informed)


def _starts_again(known: Alert, now: datetime) -> bool:
    """Return whether a known problem counts as a new problem if a check finds it now."""
    if known.notified_over:
        return True  # a message reported the end of the former problem
    return not known.notified and now - known.last_seen > INTERRUPTED


def _not_observed(alert: Alert, now: datetime) -> Alert:
    if alert.over_at is None and now - alert.last_seen >= CALM:
        return replace(alert, over_at=now)
    return alert


# -- the problems that exist now ---------------------------------------------------------------------------


def breaker_condition(health: Health, now: datetime, limit: timedelta) -> Condition | None:
    """Return a condition if the exchange has been blocked for at least `limit`.

    The time after the end of the current pause does not count. In this time, the exchange possibly works again, but no
    test request has been made yet.
    """
    if health.state is BreakerState.CLOSED or health.shut_since is None:
        return None
    if min(health.open_until or now, now) - health.shut_since < limit:
        return None
    until = ""
    if health.open_until and health.open_until > now:
        until = f" until {_at(health.open_until)}"
    message = (
        f"{health.exchange} has been blocked since {_at(health.shut_since)}: {health.reason}. "
        f"Titan-10 sends no requests to this exchange{until}."
    )
    return Condition(Kind.BREAKER, health.exchange, message)


def gaps_condition(exchange: str, slices: Iterable[OpenSlice], now: datetime, limit: timedelta) -> Condition | None:
    """Return a condition if candles have been missing with the reason `unknown` for at least `limit`.

    Usually such candles were requested several times by then, with pauses that double. Candles in quarantine do not
    count, because the reason why they are missing is known.
    """
    old = []
    for open_slice in slices:
        if open_slice.unexplained_seen is not None and now - open_slice.first_seen >= limit:
            old.append(open_slice)
    if not old:
        return None
    first = min(open_slice.first_seen for open_slice in old)
    days = sorted({open_slice.slice.day for open_slice in old})
    symbols = sorted({open_slice.slice.series.symbol for open_slice in old})
    return Condition(
        Kind.GAPS,
        exchange,
        f"{exchange}: candles have been missing without an explanation since {_at(first)}, although they were "
        f"requested again several times. These candles belong to {len(old)} slices of {_named(symbols)} "
        f"between {days[0]} and {days[-1]}.",
    )


def live_condition(exchange: str, until: datetime | None, now: datetime, limit: timedelta) -> Condition | None:
    """Return a condition if live polling has received no new candle of the exchange for at least `limit`.

    `until`: the end of the newest candle of all series; None if no candle was received.
    """
    if until is not None and now - until < limit:
        return None
    last = f"since {_at(until)}" if until is not None else "yet"
    return Condition(Kind.LIVE, exchange, f"{exchange}: live polling received no candle of any symbol {last}.")


def settlement_condition(exchange: str, unsettled: Iterable[Slice]) -> Condition | None:
    """Return a condition if the daily settlement (the fetch of yesterday) has not completed all past days."""
    slices = list(unsettled)
    if not slices:
        return None
    days = sorted({slice_.day for slice_ in slices})
    symbols = sorted({slice_.series.symbol for slice_ in slices})
    return Condition(
        Kind.SETTLEMENT,
        exchange,
        f"{exchange}: the candles of {_named(symbols)} on {', '.join(map(str, days))} could not be fetched completely. "
        "See the runs of the job `settle` in the UI.",
    )


def unfinished_condition(exchange: str, missing: Iterable[MissingDays]) -> Condition | None:
    """Return a condition if days of failed runs still have no ledger row. `missing`: these days."""
    days: set[date] = set()
    symbols: set[str] = set()
    for of_symbols in missing:
        days.update(of_symbols.stretch)
        symbols.update(of_symbols.symbols)
    if not days:
        return None
    return Condition(
        Kind.UNFINISHED,
        exchange,
        f"{exchange}: runs that requested {len(days)} days from {min(days)} to {max(days)} failed, and no candles of "
        f"these days are stored for {_named(sorted(symbols))}. See the failed runs in the UI for the reason. Titan-10 "
        "requests the days again, at least once a week.",
    )


def series_condition(exchange: str, events: Sequence[str]) -> Condition | None:
    """Return a condition if series of the exchange changed. `events`: a sentence for each change, the newest first."""
    if not events:
        return None
    sentences = list(events[:MOST_EVENTS])
    if len(events) > MOST_EVENTS:
        sentences.append(f"And {len(events) - MOST_EVENTS} more: see the table series_events.")
    return Condition(Kind.SERIES, exchange, " ".join(sentences))


def failed_long_ago(
    requests: Iterable[FailedRequest], under_way: Collection[str], now: datetime
) -> list[FailedRequest]:
    """Return the requests that failed at least UNFINISHED_AFTER ago. Repairs should have fetched their days by now.

    `under_way`: the exchanges from which other runs are fetching days. Requests for these exchanges are left out,
        because repair runs wait until the other runs have ended.
    """
    overdue = []
    for request in requests:
        if request.at is not None and now - request.at >= UNFINISHED_AFTER and request.exchange not in under_way:
            overdue.append(request)
    return overdue


def days_to_be_settled(now: datetime, by: time) -> list[date]:
    """Return the past days that must be complete at `now`.

    At the time `by` (UTC) of the next day, a day must be complete. Only the last SETTLEMENT_DAYS days are returned.
    """
    deadline = midnight(now.date()) + timedelta(hours=by.hour, minutes=by.minute)
    today = now.date() if now >= deadline else now.date() - _DAY
    return [today - n * _DAY for n in range(1, SETTLEMENT_DAYS + 1)]


def _named(symbols: Sequence[str]) -> str:
    more = f" and {len(symbols) - MOST_NAMED} more" if len(symbols) > MOST_NAMED else ""
    return f"{', '.join(symbols[:MOST_NAMED])}{more}"


def _at(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
