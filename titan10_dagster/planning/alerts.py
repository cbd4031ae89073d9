"""What a human is told, and when: once as it begins, once as it is over, and only when self-repair has given up.

| kind | begins when | not before it was seen for |
|-|-|-|
| breaker | an exchange has been shut for `breaker_open_minutes`, and the last probe failed | - |
| gaps | candles are missing unexplained for `gap_days`, however often they were asked for | 12 hours |
| live | not one series of an exchange got a candle for `live_lag_minutes` since the next was over | 15 minutes |
| settlement | at `settled_by` a past day is not whole, of a series that was on duty (`candles/missing.py`) | 2 hours |

The last column is for a machine that comes back after a day: what is late then is caught up without a human hand. It
counts while the conditions are looked at again and again; a pause in the looking begins it anew. What was told is over
once it was not seen for 15 minutes, so that nothing flickers. While a breaker explains why an exchange gives nothing,
what follows from it does not begin.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from titan10_dagster.candles.slices import Slice, midnight
from titan10_dagster.planning.breaker import BreakerState, Health
from titan10_dagster.planning.repairs import OpenSlice

CALM = timedelta(minutes=15)
BROKEN_OFF = timedelta(hours=1)  # nobody looked for so long: what was seen before does not count
SETTLEMENT_DAYS = 7  # how far back a day that is not whole is a failure of the daily settlement
MOST_NAMED = 5
_DAY = timedelta(days=1)


class Kind(StrEnum):
    BREAKER = "breaker"
    GAPS = "gaps"
    LIVE = "live"
    SETTLEMENT = "settlement"


PATIENCE: Mapping[Kind, timedelta] = {
    Kind.BREAKER: timedelta(0),
    Kind.GAPS: timedelta(hours=12),
    Kind.LIVE: timedelta(minutes=15),
    Kind.SETTLEMENT: timedelta(hours=2),
}


Key = tuple[Kind, str]  # and the exchange


@dataclass(frozen=True)
class Condition:
    """Something that holds now; `subject` is an exchange, `message` a sentence or two for a human."""

    kind: Kind
    subject: str
    message: str

    @property
    def key(self) -> Key:
        return self.kind, self.subject


@dataclass(frozen=True)
class Alert:
    """A condition from its first sight on; instants are aware and UTC.

    `told` and `told_over`: the addresses (opaque) that have heard of it, and of its end. `over_at`: its end.
    """

    kind: Kind
    subject: str
    message: str
    since: datetime
    last_seen: datetime
    told: frozenset[str] = field(default_factory=frozenset)
    told_over: frozenset[str] = field(default_factory=frozenset)
    over_at: datetime | None = None

    @property
    def key(self) -> Key:
        return self.kind, self.subject

    @property
    def is_due(self) -> bool:
        """Whether it has lasted so long that a human has to hear of it."""
        return self.last_seen - self.since >= PATIENCE[self.kind]


@dataclass(frozen=True)
class AlertPlan:
    """What to remember, what to forget since nobody was told of it, and which of the former somebody is to hear of."""

    remember: tuple[Alert, ...]
    forget: tuple[Alert, ...]
    tell: tuple[Alert, ...]


def plan_alerts(conditions: Iterable[Condition], open_: Sequence[Alert], now: datetime) -> AlertPlan:
    """What follows from the conditions that hold now and the alerts that are open.

    Each goes to `tell` until all have heard of it: a delivery that failed is tried again the next time.
    """
    known = {alert.key: alert for alert in open_}
    seen = {one.key: one for one in conditions}
    seen = {key: one for key, one in seen.items() if not _is_explained(one, seen, known.get(key))}
    standing = [_seen(one, known.get(key), now) for key, one in seen.items()]
    absent = [alert for key, alert in known.items() if key not in seen]
    begun_anew = [known[one.key] for one in standing if one.key in known and one.since != known[one.key].since]
    ending = [_unseen(alert, now) for alert in absent if alert.told]
    return AlertPlan(
        remember=(*standing, *ending),
        forget=tuple(alert for alert in (*absent, *begun_anew) if not alert.told),
        tell=(*(one for one in standing if one.is_due), *(one for one in ending if one.over_at)),
    )


def unheard(alert: Alert, addresses: Iterable[str]) -> list[str]:
    """Who is still to hear: of its beginning all of `addresses`, of its end those that heard of the beginning."""
    if alert.over_at is None:
        return [one for one in addresses if one not in alert.told]
    return [one for one in addresses if one in alert.told and one not in alert.told_over]


def heard(alert: Alert, address: str) -> Alert:
    """The alert, after it was delivered there."""
    if alert.over_at is None:
        return replace(alert, told=alert.told | {address})
    return replace(alert, told_over=alert.told_over | {address})


def is_done(alert: Alert, addresses: Iterable[str]) -> bool:
    """Whether it is over, and all who heard of it know; who is no address any more need not."""
    return alert.over_at is not None and not unheard(alert, addresses)


def _is_explained(condition: Condition, seen: Mapping[Key, Condition], known: Alert | None) -> bool:
    """Whether nobody need be told, for the exchange's breaker is."""
    is_told = known is not None and bool(known.told)
    return condition.kind is not Kind.BREAKER and (Kind.BREAKER, condition.subject) in seen and not is_told


def _seen(condition: Condition, known: Alert | None, now: datetime) -> Alert:
    if known is None or known.told_over or (not known.told and now - known.last_seen > BROKEN_OFF):
        # Who did not hear of the last one's end, for its delivery failed, takes it to hold still.
        believing = known.told - known.told_over if known else frozenset[str]()
        return Alert(condition.kind, condition.subject, condition.message, now, now, told=believing)
    return replace(known, message=condition.message, last_seen=now, over_at=None)


def _unseen(alert: Alert, now: datetime) -> Alert:
    is_over = alert.over_at is None and now - alert.last_seen >= CALM
    return replace(alert, over_at=now) if is_over else alert


# -- what holds now ------------------------------------------------------------------------------------------


def breaker_condition(health: Health, now: datetime, limit: timedelta) -> Condition | None:
    """Shut for at least `limit`, counted to the end of its pause at most: nobody may have asked since."""
    if health.state is BreakerState.CLOSED or health.shut_since is None:
        return None
    if min(health.open_until or now, now) - health.shut_since < limit:
        return None
    told = f"{health.exchange} has been shut since {_at(health.shut_since)}: {health.reason}. Nothing is asked of it"
    until = f" until {_at(health.open_until)}" if health.open_until and health.open_until > now else ""
    return Condition(Kind.BREAKER, health.exchange, f"{told}{until}.")


def gaps_condition(exchange: str, slices: Iterable[OpenSlice], now: datetime, limit: timedelta) -> Condition | None:
    """Slices of the exchange that miss candles for which nobody found a reason for `limit`.

    By then they were asked for about ten times, at pauses that double. Candles in quarantine have their reason.
    """
    old = [one for one in slices if one.unexplained_seen is not None and now - one.first_seen >= limit]
    if not old:
        return None
    first, days = min(one.first_seen for one in old), sorted({one.slice.day for one in old})
    symbols = sorted({one.slice.series.symbol for one in old})
    return Condition(
        Kind.GAPS,
        exchange,
        f"{exchange}: candles are missing without an explanation since {_at(first)}, though they were asked for again "
        f"and again: {_named(symbols)}, days {days[0]} to {days[-1]}, {len(old)} slices.",
    )


def live_condition(exchange: str, until: datetime | None, now: datetime, limit: timedelta) -> Condition | None:
    """No candle came for `limit`; `until`: the end of the newest one of any series, None without one."""
    if until is not None and now - until < limit:
        return None
    last = f"since {_at(until)}" if until is not None else "yet"
    return Condition(Kind.LIVE, exchange, f"{exchange}: live polling brought no candle of any symbol {last}.")


def settlement_condition(exchange: str, unsettled: Iterable[Slice]) -> Condition | None:
    """Past days are not whole that the daily settlement should have had."""
    open_ = list(unsettled)
    if not open_:
        return None
    days, symbols = sorted({one.day for one in open_}), sorted({one.series.symbol for one in open_})
    return Condition(
        Kind.SETTLEMENT,
        exchange,
        f"{exchange}: {', '.join(map(str, days))} could not be fetched whole: {_named(symbols)}. See the runs of the "
        "job `settle` in the UI.",
    )


def days_to_be_settled(now: datetime, by: time) -> list[date]:
    """The past days that have to be whole now: each from `by` (UTC) of the day after on."""
    today = (
        now.date() if now >= midnight(now.date()) + timedelta(hours=by.hour, minutes=by.minute) else now.date() - _DAY
    )
    return [today - n * _DAY for n in range(1, SETTLEMENT_DAYS + 1)]


def _named(symbols: Sequence[str]) -> str:
    more = f" and {len(symbols) - MOST_NAMED} more" if len(symbols) > MOST_NAMED else ""
    return f"{', '.join(symbols[:MOST_NAMED])}{more}"


def _at(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
