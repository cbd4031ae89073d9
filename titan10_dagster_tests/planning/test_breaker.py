from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from titan10_dagster.planning.breaker import (
    ALLOWED,
    LONGEST_PAUSE,
    PROBE,
    BreakerState,
    Decision,
    Health,
    Permit,
    after_ban,
    after_error,
    after_failure,
    after_probe_taken,
    after_rest,
    after_success,
    after_throttling,
    ask,
    believed,
    may_request,
    refused,
)
from titan10_dagster.planning.pace import Pace

NOW = datetime(2024, 2, 29, 12, tzinfo=UTC)
PAUSE = timedelta(seconds=30)
LEASE = timedelta(minutes=2)
CLOSED = Health("binance")

spans = st.integers(0, 3 * 3600).map(lambda seconds: timedelta(seconds=seconds))


def failing(health: Health, times: int, now: datetime = NOW) -> Health:
    for _ in range(times):
        health = after_failure(health, now, threshold=5, pause=PAUSE)
    return health


def failed_probe(health: Health) -> Health:
    """Return the Health after a failed probe. The probe is made as soon as it is allowed."""
    assert health.open_until is not None
    now = health.open_until
    return failing(after_probe_taken(health, now, LEASE), 1, now)


class Breaker(RuleBasedStateMachine):
    """A test with any order of answers, bans and requests. Its clock only goes forward."""

    def __init__(self) -> None:
        super().__init__()
        self.health = CLOSED
        self.now = NOW
        self.leases: list[datetime] = []
        self.bans: list[datetime] = []

    @rule(span=spans)
    def time_passes(self, span: timedelta) -> None:
        self.now += span

    @rule()
    def answer_comes(self) -> None:
        self.health = after_success(self.health, self.now)
        self.leases = []

    @rule()
    def failure_comes(self) -> None:
        was = self.health
        self.health = after_failure(was, self.now, threshold=3, pause=PAUSE)
        if was.state is BreakerState.HALF_OPEN:
            self.leases = []

    @rule(span=spans)
    def ban_comes(self, span: timedelta) -> None:
        self.health = after_ban(self.health, self.now, self.now + span, "418")
        self.bans.append(self.now + span)
        self.leases = []

    @rule(lease=spans)
    def a_client_asks(self, lease: timedelta) -> None:
        decision, self.health = ask(self.health, self.now, lease)
        if decision == PROBE:
            assert all(until <= self.now for until in self.leases), "two probes at once"
            self.leases.append(self.now + lease)

    @precondition(lambda self: self.health.state is BreakerState.OPEN)
    @rule()
    def its_time_passes(self) -> None:
        assert self.health.open_until is not None
        self.now = max(self.now, self.health.open_until)
        assert may_request(self.health, self.now) == PROBE

    @invariant()
    def no_request_is_allowed_while_it_is_open(self) -> None:
        decision = may_request(self.health, self.now)
        if self.health.open_until is not None and self.now < self.health.open_until:
            assert decision == refused(self.health.open_until)
        if any(self.now < until for until in self.bans):
            assert decision.permit is Permit.REFUSED

    @invariant()
    def a_refusal_says_when_to_come_back(self) -> None:
        decision = may_request(self.health, self.now)
        if decision.permit is Permit.REFUSED:
            assert decision.until is not None
            assert decision.until > self.now
            assert may_request(self.health, decision.until).permit is not Permit.REFUSED


TestBreaker = Breaker.TestCase
TestBreaker.settings = settings(max_examples=60, stateful_step_count=40)


def test_a_healthy_exchange_may_be_asked() -> None:
    assert may_request(CLOSED, NOW) == ALLOWED
    assert after_success(CLOSED, NOW) is CLOSED


def test_the_fifth_failure_in_a_row_opens_it_and_not_the_fourth() -> None:
    assert may_request(failing(CLOSED, 4), NOW) == ALLOWED
    opened = failing(CLOSED, 5)
    assert (opened.state, opened.open_until) == (BreakerState.OPEN, NOW + PAUSE)
    assert may_request(opened, NOW) == refused(NOW + PAUSE)
    assert opened.reason == "5 failures in a row"


def test_an_answer_between_failures_starts_the_count_again() -> None:
    assert failing(after_success(failing(CLOSED, 4), NOW), 4).state is BreakerState.CLOSED


def test_each_failed_probe_doubles_the_pause_up_to_an_hour() -> None:
    health, pauses = failing(CLOSED, 5), []
    for _ in range(10):
        assert health.open_until is not None
        assert health.changed_at is not None
        pauses.append(health.open_until - health.changed_at)
        health = failed_probe(health)
    assert pauses[:4] == [PAUSE, 2 * PAUSE, 4 * PAUSE, 8 * PAUSE]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE


def test_years_of_failures_do_not_overflow() -> None:
    worn = Health("binance", BreakerState.HALF_OPEN, failures=10**9, probe_until=NOW)
    assert failing(worn, 1).open_until == NOW + LONGEST_PAUSE


def test_an_answered_probe_closes_the_breaker_and_clears_the_failures() -> None:
    opened = failing(CLOSED, 5)
    probing = after_probe_taken(opened, NOW + PAUSE, LEASE)
    closed = after_success(probing, NOW + PAUSE)
    assert (closed.state, closed.failures, closed.reason) == (BreakerState.CLOSED, 0, None)
    assert (closed.open_until, closed.probe_until, closed.changed_at) == (None, None, NOW + PAUSE)
    assert (closed.last_error, closed.last_error_at) == ("5 failures in a row", NOW)


def test_an_error_that_does_not_count_is_remembered_all_the_same() -> None:
    noted = after_error(CLOSED, NOW, "no such symbol")
    assert (noted.state, noted.failures, noted.last_error) == (BreakerState.CLOSED, 0, "no such symbol")


def test_the_pace_is_kept_in_every_state_of_the_breaker() -> None:
    slowed = after_throttling(CLOSED, NOW, NOW, "429")
    assert (slowed.state, slowed.pace) == (BreakerState.CLOSED, Pace(0.5, NOW, NOW))
    opened = failing(slowed, 5)
    closed = after_success(after_probe_taken(opened, NOW + PAUSE, LEASE), NOW + PAUSE)
    assert opened.pace == closed.pace == after_rest(slowed, NOW, NOW, "429").pace == slowed.pace


def test_after_a_ban_requests_restart_at_half_the_pace() -> None:
    until = NOW + timedelta(days=3)
    banned = after_ban(CLOSED, NOW, until, "418")
    assert banned.pace.as_of(until) == 0.5
    assert after_ban(banned, NOW, until + PAUSE, "418").pace.as_of(until + PAUSE) < 0.5


def test_only_one_process_gets_the_probe_until_its_lease_ends() -> None:
    then = NOW + PAUSE
    first, health = ask(failing(CLOSED, 5), then, LEASE)
    second, health = ask(health, then, LEASE)
    third, _ = ask(health, then + LEASE, LEASE)
    assert [first, second, third] == [PROBE, refused(then + LEASE), PROBE]


def test_late_answers_and_failures_do_not_move_an_open_breaker() -> None:
    opened = failing(CLOSED, 5)
    assert after_success(opened, NOW) is opened
    assert failing(opened, 3) is opened


def test_a_ban_opens_it_at_once_for_as_long_as_it_lasts() -> None:
    until = NOW + timedelta(days=3)
    banned = after_ban(CLOSED, NOW, until, "418 from 203.0.113.7")
    assert may_request(banned, until - timedelta(seconds=1)) == refused(until)
    assert may_request(banned, until) == PROBE
    assert banned.reason == "418 from 203.0.113.7"


def test_a_shorter_ban_does_not_shorten_a_longer_one() -> None:
    until = NOW + timedelta(days=3)
    banned = after_ban(CLOSED, NOW, until, "418")
    assert after_ban(banned, NOW, NOW + PAUSE, "429").open_until == until


def test_a_probe_that_fails_after_a_ban_pauses_again_and_then_longer() -> None:
    banned = after_ban(CLOSED, NOW, NOW + timedelta(hours=2), "418")
    first = failed_probe(banned)
    second = failed_probe(first)
    assert first.open_until == NOW + timedelta(hours=2) + PAUSE
    assert second.open_until == first.open_until + 2 * PAUSE


@given(
    st.lists(st.sampled_from([after_success, lambda health, now: after_failure(health, now, pause=PAUSE)]), max_size=30)
)
def test_without_a_ban_it_is_closed_unless_five_failed_in_a_row(
    steps: list[Callable[[Health, datetime], Health]],
) -> None:
    health, in_a_row, opened = CLOSED, 0, False
    for step in steps:
        health = step(health, NOW)
        in_a_row = 0 if step is after_success else in_a_row + 1
        opened = opened or in_a_row == 5
    assert (may_request(health, NOW) == ALLOWED) is not opened


def test_decisions_compare_by_what_they_say() -> None:
    assert Decision(Permit.REFUSED, NOW) == refused(NOW) != refused(NOW + PAUSE)


def test_a_requested_rest_stops_all_requests_until_its_end_and_is_not_a_failure() -> None:
    until = NOW + timedelta(minutes=5)
    rested = after_rest(failing(CLOSED, 2), NOW, until, "throttled")
    assert (rested.state, rested.failures, rested.reason) == (BreakerState.OPEN, 2, "throttled")
    assert may_request(rested, NOW) == refused(until)
    assert may_request(rested, until) == PROBE
    assert after_rest(rested, NOW, NOW, "throttled").open_until == until


AHEAD = NOW + timedelta(days=30)  # the time of a clock that was a month ahead


def test_a_state_that_a_clock_far_ahead_stored_does_not_last() -> None:
    banned = after_ban(CLOSED, AHEAD, AHEAD + timedelta(minutes=10), "418")
    assert may_request(banned, NOW) == PROBE
    again = after_ban(believed(banned, NOW), NOW, NOW + PAUSE, "418")
    assert (again.open_until, again.shut_since) == (NOW + PAUSE, NOW)
    _, probing = ask(failing(CLOSED, 5, AHEAD), AHEAD + PAUSE, LEASE)
    assert may_request(probing, NOW) == PROBE


def test_a_pace_that_a_clock_far_ahead_stored_does_not_last() -> None:
    throttled = after_throttling(CLOSED, AHEAD, AHEAD, "429", timedelta(minutes=1))
    known = believed(throttled, NOW)
    pace = known.pace
    assert (pace.rest(NOW), pace.as_of(NOW)) == (timedelta(0), 0.5)
    assert pace.as_of(NOW + timedelta(minutes=5)) == 1.0
    assert after_throttling(known, NOW, NOW, "429").pace.as_of(NOW) == 0.25


def test_a_clock_that_is_slightly_ahead_is_believed() -> None:
    ahead = NOW + timedelta(minutes=2)
    banned = after_ban(CLOSED, ahead, ahead + timedelta(days=3), "418")
    assert believed(banned, NOW) is banned
    assert may_request(banned, NOW) == refused(ahead + timedelta(days=3))
