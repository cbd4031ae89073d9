from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.candles.fetched import HORIZON_SLACK
from titan10_dagster.candles.gaps import OBSERVATION_SPACING
from titan10_dagster.candles.slices import Series, Slice, SliceState, midnight
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.planning.attempts import FIRST_RETRY, LONGEST_PAUSE, Attempt
from titan10_dagster.planning.breaker import BreakerState, Health
from titan10_dagster.planning.later_checks import CheckedLater
from titan10_dagster.planning.missing_days import MissingDays, Stretch
from titan10_dagster.planning.repairs import (
    LAST_CHANCES,
    OpenSlice,
    Repair,
    Repairable,
    RepairLimits,
    due_at,
    plan_repairs,
)

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
DAY = date(2024, 2, 1)
ONE = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def exchanges(**depths: int | None) -> dict[str, Repairable]:
    return {name: Repairable(Health(name), depth, 31) for name, depth in (depths or {"binance": None}).items()}


def unexplained(
    day: date = DAY, *, seen: datetime = NOW - ONE, symbol: str = "BTC/USDT", exchange: str = "binance"
) -> OpenSlice:
    """Return a settled slice with a gap that was observed once, at `seen`."""
    slice_ = Slice(Series(exchange, symbol, TIMEFRAMES["1m"]), day)
    return OpenSlice(slice_, SliceState.SETTLED, seen, seen, seen, slice_.end)


def partial(day: date = DAY, *, first: datetime, last: datetime, symbol: str = "BTC/USDT") -> OpenSlice:
    return replace(unexplained(day, seen=first, symbol=symbol), state=SliceState.PARTIAL, fetched_at=last)


def broken(*, first: datetime, last: datetime) -> OpenSlice:
    return replace(unexplained(seen=first), fetched_at=last, unexplained_seen=None)


def attempt(at: datetime, *, in_flight: bool = False, day: date = DAY, symbol: str = "BTC/USDT") -> Attempt:
    return Attempt("binance", day, day, frozenset([symbol]), at, in_flight)


def test_an_unexplained_gap_is_fetched_again_after_six_hours_and_not_before() -> None:
    early, due = unexplained(seen=NOW - OBSERVATION_SPACING + MINUTE), unexplained(seen=NOW - OBSERVATION_SPACING)
    assert plan_repairs([early], exchanges=exchanges(), now=NOW).waiting == 1
    (repair,) = plan_repairs([due], exchanges=exchanges(), now=NOW).repairs
    assert repair == Repair("binance", DAY, DAY, ("BTC/USDT",), expiring=False)


def test_a_symbol_that_failed_is_tried_again_after_minutes_and_then_ever_later() -> None:
    first, pauses, last = NOW, [], NOW
    for _ in range(6):
        due = due_at(partial(first=first, last=last), last)
        pauses.append(due - last)
        last = due
    assert pauses == [n * FIRST_RETRY for n in (1, 1, 2, 4, 8, 16)]


def test_a_candle_in_quarantine_is_requested_less_and_less_often() -> None:
    due = due_at(broken(first=NOW - 24 * HOUR, last=NOW), NOW)
    assert due == NOW + 24 * HOUR
    assert due_at(broken(first=NOW - 400 * ONE, last=NOW), NOW) == NOW + LONGEST_PAUSE


@pytest.mark.parametrize("is_broken", [True, False])
def test_candles_are_requested_once_more_before_the_exchange_deletes_them(*, is_broken: bool) -> None:
    """A minute of Kraken was broken for eight hours. Six hours later the exchange did not serve it any more."""
    until = datetime(2024, 2, 1, 18, 39, tzinfo=UTC)
    settlement = datetime(2024, 2, 2, 2, tzinfo=UTC)
    open_slice = replace(unexplained(seen=settlement, exchange="kraken"), missing_until=until)
    if is_broken:
        open_slice = replace(open_slice, unexplained_seen=None)
    deleted = until + (720 - HORIZON_SLACK) * MINUTE
    known = exchanges(kraken=720)

    def is_requested(at: datetime, *earlier: datetime) -> bool:
        tried = [replace(attempt(at), exchange="kraken") for at in earlier]
        return bool(plan_repairs([open_slice], exchanges=known, attempts=tried, now=at).repairs)

    begins = deleted - LAST_CHANCES[0]
    assert begins > settlement
    assert not is_requested(begins - MINUTE)
    assert is_requested(begins)
    assert is_requested(deleted - MINUTE)
    assert not is_requested(begins + HOUR, begins + MINUTE), "one request in the first of the last hours is enough"
    for chance in LAST_CHANCES[1:]:  # the exchange possibly corrects a candle late
        assert is_requested(deleted - chance, begins + MINUTE)
        assert not is_requested(deleted - chance + 2 * MINUTE, begins + MINUTE, deleted - chance + MINUTE)
    if is_broken:
        assert not is_requested(deleted), "the exchange cannot correct what it does not serve"


def test_the_gaps_of_live_polling_do_not_delay_the_day_that_settlement_could_not_fetch() -> None:
    noon = datetime(2024, 2, 1, 12, tzinfo=UTC)
    settlement = datetime(2024, 2, 2, 2, 1, tzinfo=UTC)
    assert due_at(partial(first=noon, last=settlement), settlement) == settlement + FIRST_RETRY


def test_a_live_day_is_fetched_completely_if_its_settlement_is_missing() -> None:
    live = replace(unexplained(), state=SliceState.LIVE, fetched_at=datetime(2024, 2, 1, 23, 59, tzinfo=UTC))
    at_two = datetime(2024, 2, 2, 2, tzinfo=UTC)
    assert not plan_repairs([live], exchanges=exchanges(), now=at_two).repairs
    assert plan_repairs([live], exchanges=exchanges(), now=at_two + HOUR).repairs


def test_a_poll_after_the_day_is_no_observation_and_brings_no_retry_forward() -> None:
    at_four = datetime(2024, 2, 2, 4, tzinfo=UTC)
    live = replace(unexplained(), state=SliceState.LIVE, fetched_at=at_four)
    tried = [attempt(at_four - MINUTE)]
    assert plan_repairs([live], exchanges=exchanges(), attempts=tried, now=at_four).waiting == 1
    assert plan_repairs([live], exchanges=exchanges(), now=at_four).repairs


def test_the_day_that_still_runs_is_left_alone() -> None:
    running = partial(NOW.date(), first=NOW - HOUR, last=NOW - HOUR)
    plan = plan_repairs([running], exchanges=exchanges(), now=NOW)
    assert (plan.repairs, plan.waiting) == ((), 0)


def test_an_exchange_with_an_open_breaker_gets_no_request() -> None:
    open_ = Health("binance", BreakerState.OPEN, open_until=NOW + MINUTE)
    shut = {"binance": Repairable(open_, None, 31)}
    plan = plan_repairs([unexplained()], exchanges=shut, now=NOW)
    assert (plan.repairs, plan.blocked) == ((), 1)
    assert plan_repairs([unexplained()], exchanges=shut, now=NOW + MINUTE).repairs


def test_an_exchange_under_repair_gets_no_second_run() -> None:
    running = attempt(NOW - MINUTE, in_flight=True, day=DAY + ONE)
    plan = plan_repairs([unexplained()], exchanges=exchanges(), attempts=[running], now=NOW)
    assert (plan.repairs, plan.busy) == ((), 1)


def test_a_repair_without_a_ledger_entry_counts_as_an_attempt() -> None:
    failed = partial(first=NOW - HOUR, last=NOW - HOUR)
    tried = [attempt(NOW - 20 * MINUTE)]
    plan = plan_repairs([failed], exchanges=exchanges(), attempts=tried, now=NOW)
    assert (plan.repairs, plan.waiting) == ((), 1)
    other = [attempt(NOW - 20 * MINUTE, symbol="ETH/USDT"), attempt(NOW - 20 * MINUTE, day=DAY + ONE)]
    assert plan_repairs([failed], exchanges=exchanges(), attempts=other, now=NOW).repairs


def test_the_newest_day_comes_first_when_nothing_expires() -> None:
    slices = [unexplained(DAY), unexplained(DAY + 10 * ONE), unexplained(DAY + 5 * ONE)]
    plan = plan_repairs(slices, exchanges=exchanges(), now=NOW, limits=RepairLimits(runs=3))
    assert [repair.first for repair in plan.repairs] == [DAY + 10 * ONE, DAY + 5 * ONE, DAY]


def test_what_will_soon_be_out_of_reach_comes_before_everything_else() -> None:
    hyperliquid = 5000
    soon = unexplained(NOW.date() - 3 * ONE, exchange="hyperliquid")
    later = unexplained(NOW.date() - ONE, exchange="hyperliquid")
    stays = unexplained(NOW.date() - ONE)
    plan = plan_repairs([stays, later, soon], exchanges=exchanges(binance=None, hyperliquid=hyperliquid), now=NOW)
    assert [(repair.exchange, repair.first) for repair in plan.repairs] == [
        ("hyperliquid", soon.slice.day),
        ("hyperliquid", later.slice.day),
        ("binance", stays.slice.day),
    ]
    assert [repair.expiring for repair in plan.repairs] == [True, True, False]


def test_days_that_are_no_longer_served_come_last_and_their_quarantine_is_not_fetched() -> None:
    gone, quarantined = unexplained(exchange="kraken"), unexplained(DAY - ONE, exchange="kraken")
    quarantined = replace(quarantined, unexplained_seen=None)
    plan = plan_repairs(
        [gone, quarantined, unexplained(DAY - ONE)], exchanges=exchanges(binance=None, kraken=720), now=NOW
    )
    assert [(repair.exchange, repair.expiring) for repair in plan.repairs] == [("binance", False), ("kraken", False)]


def test_neighbouring_days_share_a_run_and_name_only_the_symbols_concerned() -> None:
    slices = [
        unexplained(DAY, symbol="ETH/USDT"),
        unexplained(DAY + ONE, symbol="BTC/USDT"),
        unexplained(DAY + 3 * ONE, symbol="SOL/USDT"),
    ]
    repairs = plan_repairs(slices, exchanges=exchanges(), now=NOW).repairs
    assert [(repair.first, repair.last, repair.symbols) for repair in repairs] == [
        (DAY + 3 * ONE, DAY + 3 * ONE, ("SOL/USDT",)),
        (DAY, DAY + ONE, ("BTC/USDT", "ETH/USDT")),
    ]


def hole(
    first: date = DAY, last: date | None = None, *, exchange: str = "binance", symbols: tuple[str, ...] = ("BTC/USDT",)
) -> MissingDays:
    return MissingDays(exchange, TIMEFRAMES["1m"], symbols, Stretch(first, last or first))


def test_days_that_an_outage_of_our_own_left_out_are_requested_like_any_gap() -> None:
    plan = plan_repairs([unexplained(DAY)], holes=[hole(DAY + ONE, DAY + 3 * ONE)], exchanges=exchanges(), now=NOW)
    assert plan.repairs == (Repair("binance", DAY, DAY + 3 * ONE, ("BTC/USDT",), expiring=False),)


def test_after_an_outage_the_first_data_to_expire_comes_first_and_lost_data_comes_last() -> None:
    yesterday = NOW.date() - ONE
    three_am = datetime.combine(NOW.date(), time(3), tzinfo=UTC)
    missed = [hole(yesterday - 9 * ONE, yesterday, exchange=name) for name in ("binance", "hyperliquid", "kraken")]
    depths = exchanges(binance=None, hyperliquid=5000, kraken=720)
    plan = plan_repairs([], holes=missed, exchanges=depths, now=three_am)
    assert [(repair.exchange, repair.last, repair.expiring) for repair in plan.repairs] == [
        ("hyperliquid", yesterday, True),  # the exchange still serves a part of its oldest day for eight hours
        ("kraken", yesterday, True),  # the exchange still serves a part of yesterday for nine hours
        ("binance", yesterday, False),
    ]


def test_yesterday_is_left_to_the_daily_settlement_for_an_hour() -> None:
    yesterday = NOW.date() - ONE
    at_two = datetime.combine(NOW.date(), time(2), tzinfo=UTC)
    plan = plan_repairs([], holes=[hole(yesterday - ONE, yesterday)], exchanges=exchanges(), now=at_two)
    assert [(repair.first, repair.last) for repair in plan.repairs] == [(yesterday - ONE, yesterday - ONE)]
    assert plan.waiting == 1
    assert plan_repairs([], holes=[hole(yesterday)], exchanges=exchanges(), now=at_two + HOUR).repairs


def test_a_hole_left_by_a_failed_run_is_requested_less_and_less_often() -> None:
    tries = [attempt(NOW - 20 * MINUTE), attempt(NOW - 5 * MINUTE)]
    both = hole(symbols=("BTC/USDT", "ETH/USDT"))
    plan = plan_repairs([], holes=[both], exchanges=exchanges(), attempts=tries, now=NOW)
    assert (plan.repairs[0].symbols, plan.waiting) == (("ETH/USDT",), 1)
    assert not plan_repairs([], holes=[hole()], exchanges=exchanges(), attempts=tries, now=NOW + 9 * MINUTE).repairs
    assert plan_repairs([], holes=[hole()], exchanges=exchanges(), attempts=tries, now=NOW + 10 * MINUTE).repairs


def test_a_day_on_which_every_run_fails_does_not_stop_the_other_days_of_a_hole() -> None:
    poison, left, attempts = DAY + 5 * ONE, {DAY + n * ONE for n in range(10)}, []
    now = NOW
    while left != {poison} and now < NOW + 6 * HOUR:
        holes = [hole(day) for day in sorted(left)]
        for repair in plan_repairs([], holes=holes, exchanges=exchanges(), attempts=attempts, now=now).repairs:
            failed = repair.first <= poison <= repair.last
            symbols = frozenset(repair.symbols)
            attempts.append(Attempt("binance", repair.first, repair.last, symbols, now, False, failed))
            if not failed:
                left -= {repair.first + n * ONE for n in range(repair.days)}
        now += 5 * MINUTE
    assert left == {poison}
    assert sum(attempt.failed for attempt in attempts) < 12


def test_a_hole_waits_for_a_backfill_of_its_exchange_unless_it_expires() -> None:
    yesterday = NOW.date() - ONE
    both = [hole(yesterday), hole(yesterday, exchange="hyperliquid")]
    others = {name: replace(facts, under_way=True) for name, facts in exchanges(binance=None, hyperliquid=5000).items()}
    plan = plan_repairs([], holes=both, exchanges=others, now=NOW)
    assert [repair.exchange for repair in plan.repairs] == ["hyperliquid"]
    assert plan.busy == 1


offsets = st.integers(0, 60)


@given(days=st.sets(st.tuples(offsets, st.sampled_from("AB"))), partitions=st.integers(0, 40), runs=st.integers(0, 5))
def test_a_plan_keeps_its_limits_and_requests_only_days_that_are_due(
    days: set[tuple[int, str]], partitions: int, runs: int
) -> None:
    slices = [unexplained(DAY - n * ONE, symbol=symbol) for n, symbol in days]
    plan = plan_repairs(slices, exchanges=exchanges(), now=NOW, limits=RepairLimits(partitions, runs))
    assert sum(repair.days for repair in plan.repairs) <= partitions
    assert len(plan.repairs) <= runs
    assert all(repair.days <= 31 for repair in plan.repairs)
    asked = [repair.first + n * ONE for repair in plan.repairs for n in range(repair.days)]
    assert len(asked) == len(set(asked))
    assert set(asked) <= {slice_.slice.day for slice_ in slices}
    assert plan.postponed == sum(slice_.slice.day not in asked for slice_ in slices)


@given(ago=st.timedeltas(timedelta(0), 800 * ONE), last=st.timedeltas(timedelta(0), 800 * ONE))
def test_every_slice_is_due_again_within_a_week_of_its_last_fetch_and_never_at_once(
    ago: timedelta, last: timedelta
) -> None:
    first = NOW - ago
    for slice_ in (unexplained(seen=first), partial(first=first, last=first), broken(first=first, last=first)):
        look = first + last
        assert FIRST_RETRY <= due_at(slice_, look) - look <= LONGEST_PAUSE


@given(st.integers(1, 400), st.sampled_from(["partial", "settled"]))
def test_a_slice_that_stays_open_costs_few_fetches(days: int, state: str) -> None:
    one = replace(broken(first=NOW, last=NOW), state=state)
    look, looks = NOW, 0
    while look < NOW + days * ONE:
        look, looks = due_at(one, look), looks + 1
    assert looks <= 14 + days // 7


# --- later checks of halts and outages -----------------------------------------------------------------------------


def silent(observations: int, seen: datetime, day: date = DAY, exchange: str = "binance") -> CheckedLater:
    """Return a settled slice with a halt that was last observed at `seen`."""
    slice_ = Slice(Series(exchange, "BTC/USDT", TIMEFRAMES["1m"]), day)
    return CheckedLater(slice_, observations, seen, slice_.end)


def test_a_halt_is_checked_for_late_candles_after_a_day_and_once_more_after_a_week() -> None:
    for observations, pause in ((2, ONE), (3, 7 * ONE)):
        for seen, checked in ((NOW - pause + MINUTE, False), (NOW - pause, True)):
            plan = plan_repairs([], later=[silent(observations, seen)], exchanges=exchanges(), now=NOW)
            assert bool(plan.repairs) is checked
            assert plan.waiting == 0


def test_a_halt_is_checked_again_before_the_exchange_deletes_its_candles() -> None:
    day, seen = NOW.date() - ONE, datetime.combine(NOW.date(), time(2), UTC)
    halt = replace(silent(2, seen, day, "kraken"), missing_until=midnight(day) + 20 * HOUR)
    deleted = halt.missing_until + (720 - HORIZON_SLACK) * MINUTE
    for at, is_checked in ((seen + HOUR, False), (deleted - LAST_CHANCES[0], True), (deleted, False)):
        assert bool(plan_repairs([], later=[halt], exchanges=exchanges(kraken=720), now=at).repairs) is is_checked
    again = replace(halt, observations=3, last_seen=deleted - LAST_CHANCES[0])
    assert not plan_repairs([], later=[again], exchanges=exchanges(kraken=720), now=deleted - 2 * HOUR).repairs
    assert plan_repairs([], later=[again], exchanges=exchanges(kraken=720), now=deleted - HOUR).repairs


def test_a_halt_that_was_checked_twice_is_left_alone() -> None:
    assert not plan_repairs([], later=[silent(4, NOW - 400 * ONE)], exchanges=exchanges(), now=NOW).repairs


def test_a_check_that_failed_is_tried_again_after_the_same_pause() -> None:
    halt = silent(2, NOW - 3 * ONE)
    for at, checked in ((NOW - ONE + MINUTE, False), (NOW - ONE, True)):
        plan = plan_repairs([], later=[halt], exchanges=exchanges(), attempts=[attempt(at)], now=NOW)
        assert bool(plan.repairs) is checked


def test_a_halt_that_the_exchange_no_longer_serves_is_not_checked() -> None:
    halt = silent(2, NOW - 3 * ONE, exchange="kraken")
    assert not plan_repairs([], later=[halt], exchanges=exchanges(kraken=720), now=NOW).repairs


def test_checks_of_halts_wait_while_other_runs_fetch_days_of_the_exchange() -> None:
    busy = {"binance": replace(exchanges()["binance"], under_way=True)}
    plan = plan_repairs([], later=[silent(2, NOW - 3 * ONE)], exchanges=busy, now=NOW)
    assert (plan.repairs, plan.busy) == ((), 1)
