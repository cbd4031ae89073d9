"""The alerts that a week must send, and the alerts that it must not send.

A problem that self-repair cannot fix is reported once when it begins and once when it ends. Every long ban and every
changed series is reported too.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from titan10_dagster.planning.alerts import Kind
from titan10_dagster_tests.simulation.events import (
    Ban,
    Delisting,
    Downtime,
    Event,
    Halt,
    Outage,
    RateLimited,
    Redenominated,
    Relisting,
    Renamed,
    Revised,
    Span,
    Storm,
    Unknown,
    WrongClock,
)
from titan10_dagster_tests.simulation.record import SentAlert
from titan10_dagster_tests.simulation.story import DAY, HOUR, MINUTE
from titan10_dagster_tests.simulation.truth import unknown_market
from titan10_dagster_tests.simulation.week import Week

WELL = timedelta(hours=1, minutes=10)  # longer than the longest pause of a breaker
_TROUBLE = (Ban, Outage, Storm, RateLimited, Unknown)

Text = tuple[str, str]  # the exchange and the complaint


def wrong_notifications(week: Week) -> Iterator[Text]:
    """Yield notifications without a reason, and missing notifications."""
    open_: dict[tuple[str, Kind], SentAlert] = {}
    for alert in week.record.notifications:
        key = alert.exchange, alert.kind
        if alert.begins == (key in open_):
            yield alert.exchange, f"the alert {alert.kind} begins or ends twice at {alert.at}"
        if alert.begins:
            open_[key] = alert
            if not _is_justified(week, alert):
                yield alert.exchange, f"the alert {alert.kind} at {alert.at} has no reason"
        else:
            open_.pop(key, None)
    for alert in open_.values():
        yield alert.exchange, f"the alert {alert.kind} of {alert.at} was never taken back"
    yield from _unreported_bans(week)
    yield from _unreported_changes(week)


def _unreported_bans(week: Week) -> Iterator[Text]:
    for ban in week.story.of(Ban):
        # If other faults hide the answer, Titan-10 does not notice the ban at once.
        clear = True
        for event in week.story.events:
            if isinstance(event, (Outage, Storm, RateLimited)) and event.exchange == ban.exchange:
                clear = clear and not (event.span.start < ban.span.end and ban.span.start < event.span.end)
        if clear and not _was_reported(week, ban):
            yield ban.exchange or "", f"no notification was sent about the ban of {ban.span}"


def _was_reported(week: Week, ban: Ban) -> bool:
    """Return whether the ban was reported. If a ban lasts an hour after the first refusal, it must be reported.

    If this machine's clock is ahead at the first refusal, the hour ends later.
    """
    inside = [at for at in week.record.steps if ban.span.holds(at)]
    if not inside:
        return True
    first = week.record.banned_at.get(ban, inside[0])
    ahead = [event.ahead for event in week.story.of(WrongClock) if event.span.holds(first)]
    late = [at for at in inside if at >= first + HOUR + MINUTE + max([*ahead, timedelta()])]
    before = []
    for alert in week.record.notifications:
        if (alert.exchange, alert.kind) == (ban.exchange, Kind.BREAKER) and late and alert.at <= late[0]:
            before.append(alert)
    return not late or bool(before and (before[-1].begins or before[-1].at >= first))


def _unreported_changes(week: Week) -> Iterator[Text]:
    """Yield a complaint for each change without a later open alert about a changed series."""
    for event in week.story.events:
        if not _changes_the_series(event):
            continue
        alerts = [alert for alert in week.record.notifications if alert.kind is Kind.SERIES]
        ends = [alert.at for alert in alerts if alert.exchange == event.exchange and not alert.begins]
        if not any(at > event.span.start for at in ends):
            yield event.exchange or "", f"no notification was sent about {event}"


def _changes_the_series(event: Event) -> bool:
    reused = isinstance(event, Relisting) and event.market_id is not None
    return reused or isinstance(event, (Renamed, Redenominated))


def _is_justified(week: Week, alert: SentAlert) -> bool:
    """Return whether an event that self-repair cannot fix explains the alert.

    Events of the exchange must be at most shortly before the alert. Events of Titan-10 itself must be on the same
    morning. In the tail, Titan-10 runs only every few days.
    """
    if alert.kind is Kind.GAPS:
        return False  # no problem of the week lasts for days
    if alert.kind is Kind.SERIES:
        changed = [event for event in week.story.events if _changes_the_series(event) or isinstance(event, Revised)]
        return any(event.exchange == alert.exchange and event.span.start <= alert.at for event in changed)
    if alert.kind is Kind.LIVE and _nothing_trades(week, alert.exchange, alert.at - WELL):
        return True
    back = 10 * HOUR if alert.kind is Kind.SETTLEMENT else WELL
    disturbed = any(alert.at - back <= at <= alert.at for at in week.record.disturbed[alert.exchange])
    return disturbed or any(span.start <= alert.at and span.end >= alert.at - back for span in _trouble(week, alert))


def _trouble(week: Week, alert: SentAlert) -> Iterator[Span]:
    for event in week.story.events:
        if isinstance(event, _TROUBLE) and event.exchange == alert.exchange:
            yield event.span
        if isinstance(event, (Delisting, Relisting)) and event.refusal and event.exchange == alert.exchange:
            # Titan-10 believes a day after the last candle that the market is closed.
            yield Span(event.span.start, event.span.start + DAY)
        if isinstance(event, WrongClock) or (isinstance(event, Downtime) and alert.kind is Kind.SETTLEMENT):
            yield event.span
    for symbol in week.story.symbols[alert.exchange]:
        yield from unknown_market(week, (alert.exchange, symbol))
    if alert.kind in (Kind.LIVE, Kind.SETTLEMENT):
        yield Span(week.story.quiet_end, week.story.end)


def _nothing_trades(week: Week, exchange: str, at: datetime) -> bool:
    """Return whether no symbol traded at this time.

    A symbol also counts as not traded if Titan-10 cannot know its market yet.
    """
    return all(_is_silent(week, exchange, symbol, at) for symbol in week.story.symbols[exchange])


def _is_silent(week: Week, exchange: str, symbol: str, at: datetime) -> bool:
    if any(span.holds(at) for span in unknown_market(week, (exchange, symbol))):
        return True
    for event in week.story.events:
        stops = isinstance(event, (Delisting, Relisting, Halt)) and (event.exchange, event.symbol) == (exchange, symbol)
        if stops and event.span.start <= at <= event.span.end + WELL:
            return True
    return False
