from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.planning.attempts import Attempt
from titan10_dagster.planning.autopilot import Chunk, HistoryPlan, Order, plan_history
from titan10_dagster.planning.breaker import BreakerState, Health
from titan10_dagster.planning.missing_days import MissingDays, Stretch
from titan10_dagster.planning.repairs import Repairable

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
DAY = date(2024, 1, 1)
ONE = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def missing(first: int, last: int, *symbols: str, exchange: str = "binance") -> MissingDays:
    stretch = Stretch(DAY + first * ONE, DAY + last * ONE)
    return MissingDays(exchange, TIMEFRAMES["1m"], symbols or ("BTC/USDT",), stretch)


def plan(
    *history: MissingDays,
    attempts: tuple[Attempt, ...] = (),
    under_way: bool = False,
    health: Health | None = None,
    now: datetime = NOW,
    order: Order = Order.NEWEST_FIRST,
) -> HistoryPlan:
    exchanges = {
        name: Repairable(health or Health(name), None, size, under_way)
        for name, size in {"binance": 10, "okx": 5}.items()
    }
    return plan_history(history, exchanges=exchanges, attempts=attempts, now=now, order=order)


def attempt(first: int, last: int, at: datetime, *, failed: bool = True, in_flight: bool = False) -> Attempt:
    return Attempt(
        "binance", DAY + first * ONE, DAY + last * ONE, frozenset(["BTC/USDT"]), at, in_flight, failed and not in_flight
    )


def offsets(plan: HistoryPlan) -> list[tuple[int, int]]:
    return [((chunk.first - DAY).days, (chunk.last - DAY).days) for chunk in plan.chunks]


def test_chunks_have_the_size_of_a_run_and_begin_where_the_order_says() -> None:
    assert offsets(plan(missing(0, 40))) == [(31, 40)]
    assert offsets(plan(missing(0, 40), order=Order.OLDEST_FIRST)) == [(0, 9)]
    assert offsets(plan(missing(0, 40), missing(0, 40, exchange="okx"))) == [(31, 40), (36, 40)]


def test_a_chunk_ends_at_known_days_and_names_the_symbols_that_miss_any_of_its_days() -> None:
    (chunk,) = plan(missing(0, 3), missing(30, 35), missing(33, 34, "SOL/USDT")).chunks
    assert chunk == Chunk("binance", DAY + 30 * ONE, DAY + 35 * ONE, ("BTC/USDT", "SOL/USDT"))


def test_where_nothing_is_missing_it_is_idle() -> None:
    assert plan() == HistoryPlan((), {}, (), (), ())


def test_one_chunk_at_a_time_and_none_while_others_fetch_days_of_the_exchange() -> None:
    running = attempt(31, 40, NOW - MINUTE, in_flight=True)
    assert plan(missing(0, 40), attempts=(running,)).busy == ("binance",)
    assert plan(missing(0, 40), under_way=True).busy == ("binance",)
    assert not plan(missing(0, 40), under_way=True).chunks


def test_an_exchange_with_an_open_breaker_gets_no_request() -> None:
    shut = Health("binance", BreakerState.OPEN, open_until=NOW + MINUTE)
    assert plan(missing(0, 40), health=shut).blocked == ("binance",)
    assert plan(missing(0, 40), health=shut, now=NOW + MINUTE).chunks


def test_a_failed_chunk_is_requested_later_than_the_next_chunk() -> None:
    failed = attempt(31, 40, NOW)
    assert plan(missing(0, 40), attempts=(failed,)).resting == ("binance",)
    again = attempt(31, 40, NOW - 5 * MINUTE)
    assert offsets(plan(missing(0, 40), attempts=(again, failed), now=NOW + 5 * MINUTE)) == [(31, 40)]
    thrice = (attempt(31, 40, NOW - 15 * MINUTE), again, failed)
    assert plan(missing(0, 40), attempts=thrice, now=NOW + 10 * MINUTE).resting == ("binance",)
    rescued = (*thrice, attempt(21, 30, NOW + MINUTE, failed=False))
    assert offsets(plan(missing(0, 20), missing(31, 40), attempts=rescued, now=NOW + 10 * MINUTE)) == [(11, 20)]


def test_a_day_on_which_every_run_fails_does_not_stop_the_history_of_its_exchange() -> None:
    """For example, the run runs out of memory. The other days of the failed chunk are fetched within hours."""
    poison, left, attempts = 38, set(range(41)), []
    now = NOW
    while left != {poison} and now < NOW + timedelta(hours=6):
        history = [missing(day, day) for day in sorted(left)]
        for first, last in offsets(plan(*history, attempts=tuple(attempts), now=now)):
            failed = first <= poison <= last
            attempts.append(attempt(first, last, now, failed=failed))
            if not failed:
                left -= set(range(first, last + 1))
        now += timedelta(minutes=5)
    assert left == {poison}
    assert sum(attempt.failed for attempt in attempts) < 12


def test_an_exchange_whose_runs_all_fail_is_requested_every_six_hours_at_the_latest() -> None:
    attempts = tuple(attempt(31, 40, NOW - timedelta(hours=hours)) for hours in (0, 40))
    assert offsets(plan(missing(0, 40), attempts=attempts, now=NOW + timedelta(hours=5))) == []
    assert offsets(plan(missing(0, 40), attempts=attempts, now=NOW + timedelta(hours=6))) == [(21, 30)]


def test_yesterday_is_left_to_the_daily_settlement_for_an_hour() -> None:
    yesterday = (NOW.date() - DAY).days - 1
    at_two = datetime(2024, 3, 10, 2, tzinfo=UTC)
    assert offsets(plan(missing(yesterday - 1, yesterday), now=at_two)) == [(yesterday - 1, yesterday - 1)]
    assert plan(missing(yesterday, yesterday), now=at_two).resting == ("binance",)
    later = at_two + timedelta(hours=1)
    assert offsets(plan(missing(yesterday - 1, yesterday), now=later)) == [(yesterday - 1, yesterday)]


@given(
    days=st.dictionaries(st.integers(0, 60), st.sets(st.sampled_from("AB"), min_size=1)), order=st.sampled_from(Order)
)
def test_chunk_by_chunk_every_missing_day_is_requested_once(days: dict[int, set[str]], order: Order) -> None:
    left = {(n, symbol) for n, symbols in days.items() for symbol in symbols}
    requested: list[int] = []
    while left:
        (chunk,) = plan(*(missing(n, n, symbol) for n, symbol in sorted(left)), order=order).chunks
        asked = range((chunk.first - DAY).days, (chunk.last - DAY).days + 1)
        assert len(asked) <= 10
        assert set(asked) <= {n for n, _ in left}
        assert set(chunk.symbols) == {symbol for n, symbol in left if n in asked}
        left -= {(n, symbol) for n in asked for symbol in chunk.symbols}
        requested.extend(asked)
    assert sorted(requested) == sorted(days)

    assert order is not Order.OLDEST_FIRST or requested == sorted(requested)
