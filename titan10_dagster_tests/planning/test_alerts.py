from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.candles.slices import Series, Slice, SliceState
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.planning.alerts import (
    CALM,
    DELAYS,
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
    settlement_condition,
    unfinished_condition,
)
from titan10_dagster.planning.breaker import Health, after_ban, after_failure, after_probe_taken, after_success
from titan10_dagster.planning.missing_days import FailedRequest, MissingDays, Stretch
from titan10_dagster.planning.repairs import OpenSlice

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
TICK, HOUR, DAY = timedelta(minutes=5), timedelta(hours=1), timedelta(days=1)
SHUT = Condition(Kind.BREAKER, "okx", "okx is shut")
LATE = Condition(Kind.LIVE, "okx", "okx is late")
ALL = ["mail", "chat"]


class Desk:
    """A simulation of the alert sensor, tick after tick. Services in `down` do not accept notifications."""

    def __init__(self) -> None:
        self.open: dict[object, Alert] = {}
        self.sent: list[tuple[str, str]] = []
        self.down: set[str] = set()
        self.now = NOW

    def tick(self, *conditions: Condition, after: timedelta = TICK) -> None:
        self.now += after
        plan = plan_alerts(conditions, list(self.open.values()), self.now)
        self.open = {alert.key: alert for alert in plan.keep}
        for alert in plan.notify:
            for address in pending_addresses(alert, ALL):
                if address not in self.down:
                    self.sent.append((address, f"{alert.kind} {'over' if alert.over_at else 'begins'}"))
                    alert = delivered(alert, address)
            self.open[alert.key] = alert
        self.open = {key: alert for key, alert in self.open.items() if not is_done(alert, ALL)}

    def ticks(self, span: timedelta, *conditions: Condition) -> None:
        for _ in range(span // TICK):
            self.tick(*conditions)


def test_an_alert_is_sent_once_when_it_begins_and_once_when_it_ends() -> None:
    desk = Desk()
    desk.ticks(DAY, SHUT)
    assert desk.sent == [("mail", "breaker begins"), ("chat", "breaker begins")]
    desk.ticks(DAY)
    assert desk.sent[2:] == [("mail", "breaker over"), ("chat", "breaker over")]
    assert desk.open == {}


def test_an_alert_that_returns_after_its_end_is_sent_again() -> None:
    desk = Desk()
    for conditions in ([SHUT], [], [SHUT]):
        desk.ticks(HOUR, *conditions)
    assert [what for address, what in desk.sent if address == "mail"] == [
        "breaker begins",
        "breaker over",
        "breaker begins",
    ]


def test_a_short_interruption_does_not_end_an_alert() -> None:
    desk = Desk()
    desk.ticks(HOUR, SHUT)
    desk.tick()
    desk.ticks(HOUR, SHUT)
    assert len(desk.sent) == 2


def test_a_service_that_was_down_is_notified_later_and_the_others_not_again() -> None:
    desk = Desk()
    desk.down = {"chat"}
    desk.ticks(HOUR, SHUT)
    assert desk.sent == [("mail", "breaker begins")]
    desk.down = set()
    desk.ticks(HOUR, SHUT)
    assert desk.sent == [("mail", "breaker begins"), ("chat", "breaker begins")]


def test_an_address_that_missed_the_beginning_does_not_receive_the_end() -> None:
    desk = Desk()
    desk.down = {"chat"}
    desk.ticks(HOUR, SHUT)
    desk.ticks(HOUR)
    desk.down = set()
    desk.ticks(HOUR)
    assert desk.sent == [("mail", "breaker begins"), ("mail", "breaker over")]


def test_an_end_that_could_not_be_delivered_is_sent_later() -> None:
    desk = Desk()
    desk.ticks(HOUR, SHUT)
    desk.down = set(ALL)
    desk.ticks(HOUR)
    desk.down = set()
    desk.ticks(HOUR)
    assert desk.sent[2:] == [("mail", "breaker over"), ("chat", "breaker over")]


def test_a_condition_that_ends_within_its_delay_is_never_sent() -> None:
    desk = Desk()
    desk.ticks(DELAYS[Kind.LIVE], LATE)
    desk.ticks(HOUR)
    assert desk.sent == []
    assert desk.open == {}


def test_a_machine_that_comes_back_after_a_day_has_time_to_catch_up() -> None:
    desk = Desk()
    desk.tick(LATE)
    desk.tick(LATE, after=DAY)
    desk.tick(LATE)
    assert desk.sent == []
    desk.ticks(HOUR, LATE)
    assert len(desk.sent) == 2


def test_consequences_of_a_blocked_exchange_are_not_sent_separately() -> None:
    desk = Desk()
    desk.ticks(DAY, SHUT, LATE)
    desk.tick(LATE)
    assert {what for _, what in desk.sent} == {"breaker begins"}


def test_an_alert_that_stands_is_not_over_because_the_breaker_opens_too() -> None:
    desk = Desk()
    desk.ticks(HOUR, LATE)
    desk.ticks(HOUR, LATE, SHUT)
    assert [what for address, what in desk.sent if address == "mail"] == ["live begins", "breaker begins"]


@given(st.lists(st.tuples(st.booleans(), st.sets(st.sampled_from(ALL))), max_size=60))
def test_each_address_receives_beginnings_and_ends_in_turn(weather: list[tuple[bool, set[str]]]) -> None:
    desk = Desk()
    for holds, down in weather:
        desk.down = down
        desk.tick(*([SHUT] if holds else []))
    desk.down = set()
    desk.ticks(2 * CALM)
    for address in ALL:
        heard_there = [what for to, what in desk.sent if to == address]
        assert all(heard != next_ for heard, next_ in pairwise(heard_there))
        assert heard_there[-1:] in ([], ["breaker over"])
    assert desk.open == {}


# -- conditions -----------------------------------------------------------------------------------------------


def test_a_long_ban_raises_an_alert_after_the_configured_time() -> None:
    shut = after_ban(Health("okx"), NOW, NOW + 2 * DAY, "418")
    assert breaker_condition(shut, NOW + timedelta(minutes=59), HOUR) is None
    condition = breaker_condition(shut, NOW + HOUR, HOUR)
    assert condition is not None
    assert "418" in condition.message
    assert "2024-03-12" in condition.message


def test_a_short_ban_without_later_requests_raises_no_alert() -> None:
    shut = after_ban(Health("okx"), NOW, NOW + TICK, "418")
    assert breaker_condition(shut, NOW + DAY, HOUR) is None


def test_a_breaker_with_failing_probes_is_open_since_it_was_last_closed() -> None:
    health, now = Health("okx"), NOW
    for _ in range(10):
        health = after_failure(after_probe_taken(health, now, TICK), now, threshold=1, pause=TICK)
        now += HOUR
    assert health.shut_since == NOW
    assert breaker_condition(health, now, HOUR) is not None
    probed = after_probe_taken(health, now, TICK)
    assert breaker_condition(probed, now, HOUR) is not None
    assert breaker_condition(after_success(probed, now), now, HOUR) is None


SLICE = Slice(Series("okx", "BTC/USDT", TIMEFRAMES["1m"]), date(2024, 3, 1))
OPEN = OpenSlice(SLICE, SliceState.PARTIAL, NOW, NOW - 4 * DAY, NOW, SLICE.end)


@pytest.mark.parametrize(
    ("open_", "raises_alert"),
    [
        (OPEN, True),
        (replace(OPEN, first_seen=NOW - 2 * DAY), False),
        (replace(OPEN, unexplained_seen=None), False),  # the candles are in quarantine, so the reason is known
    ],
)
def test_candles_unexplained_for_days_raise_an_alert(open_: OpenSlice, raises_alert: bool) -> None:
    assert (gaps_condition("okx", [open_], NOW, 3 * DAY) is not None) is raises_alert


def test_many_symbols_make_a_short_message() -> None:
    series = [Series("okx", f"C{n}/USDT", TIMEFRAMES["1m"]) for n in range(9)]
    slices = [replace(OPEN, slice=Slice(series_, SLICE.day)) for series_ in series]
    condition = gaps_condition("okx", slices, NOW, DAY)
    assert condition is not None
    assert "C4/USDT and 4 more" in condition.message


def test_polling_is_late_when_not_even_the_newest_series_is_recent() -> None:
    assert live_condition("okx", NOW - timedelta(minutes=59), NOW, HOUR) is None
    assert live_condition("okx", NOW - HOUR, NOW, HOUR) is not None
    assert live_condition("okx", None, NOW, HOUR) is not None


def test_incomplete_days_are_named() -> None:
    condition = settlement_condition("okx", [SLICE])
    assert condition is not None
    assert "the candles of BTC/USDT on 2024-03-01 could not be fetched completely" in condition.message
    assert settlement_condition("okx", []) is None


def test_days_of_failed_runs_without_a_row_are_named() -> None:
    stretch = Stretch(date(2024, 3, 1), date(2024, 3, 3))
    condition = unfinished_condition("okx", [MissingDays("okx", TIMEFRAMES["1m"], ("BTC/USDT", "ETH/USDT"), stretch)])
    assert condition is not None
    assert condition.key == (Kind.UNFINISHED, "okx")
    assert condition.message.startswith("okx: runs that requested 3 days from 2024-03-01 to 2024-03-03 failed")
    assert "BTC/USDT, ETH/USDT" in condition.message
    assert unfinished_condition("okx", []) is None


def test_a_failed_run_alerts_after_twelve_hours_unless_another_run_fetches_its_exchange() -> None:
    request = FailedRequest("okx", Stretch(date(2024, 3, 1), date(2024, 3, 3)), at=NOW)
    assert failed_long_ago([request], set(), NOW + 11 * HOUR) == []
    assert failed_long_ago([request], {"binance"}, NOW + 12 * HOUR) == [request]
    assert failed_long_ago([request], {"okx"}, NOW + 12 * HOUR) == []


def test_yesterday_is_due_from_six_on() -> None:
    assert days_to_be_settled(datetime(2024, 3, 10, 5, 59, tzinfo=UTC), time(6))[0] == date(2024, 3, 8)
    assert days_to_be_settled(datetime(2024, 3, 10, 6, 0, tzinfo=UTC), time(6))[0] == date(2024, 3, 9)
