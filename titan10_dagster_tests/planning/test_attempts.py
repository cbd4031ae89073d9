from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from titan10_dagster.planning.attempts import FIRST_RETRY, LONGEST_PAUSE, LONGEST_REST, Attempt, Attempts, pause

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
DAY = date(2024, 2, 1)
ONE = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def attempt(at: datetime, *, failed: bool = True, in_flight: bool = False, symbol: str = "BTC/USDT") -> Attempt:
    return Attempt("binance", DAY, DAY + ONE, frozenset([symbol]), at, in_flight, failed)


def test_the_pause_doubles_from_five_minutes_to_a_week() -> None:
    since_first, pauses = timedelta(0), []
    for _ in range(14):
        pauses.append(pause(since_first))
        since_first += pauses[-1]
    assert pauses[:5] == [n * FIRST_RETRY for n in (1, 1, 2, 4, 8)]
    assert pauses[-1] == LONGEST_PAUSE


def test_what_was_never_asked_for_is_due_and_what_was_waits_for_its_own_symbols_sake() -> None:
    tried = Attempts([attempt(NOW - 3 * MINUTE)])
    both = ["BTC/USDT", "ETH/USDT"]
    assert tried.due("binance", DAY + ONE, both, NOW) == ["ETH/USDT"]
    assert tried.due("binance", DAY + ONE, both, NOW + 2 * MINUTE) == both
    assert tried.due("binance", DAY + 2 * ONE, both, NOW) == both
    assert tried.due("okx", DAY, both, NOW) == both


def test_an_exchange_rests_ever_longer_while_its_runs_fail_and_not_after_one_that_did_not() -> None:
    failures = [attempt(NOW), attempt(NOW - 5 * MINUTE), attempt(NOW - 15 * MINUTE)]
    assert Attempts(failures[:1]).rests_until("binance") == NOW + 5 * MINUTE
    assert Attempts(failures).rests_until("binance") == NOW + 15 * MINUTE
    assert Attempts([*failures, attempt(NOW + MINUTE, failed=False)]).rests_until("binance") is None
    assert Attempts([*failures, attempt(NOW - MINUTE, failed=False)]).rests_until("binance") == NOW + 5 * MINUTE
    assert Attempts([attempt(NOW, failed=False, in_flight=True)]).rests_until("binance") is None
    long = [attempt(NOW), attempt(NOW - 3 * ONE)]
    assert Attempts(long).rests_until("binance") == NOW + LONGEST_REST
    assert Attempts(long).not_before("binance", DAY, "BTC/USDT") == NOW + 3 * ONE


def test_a_day_is_requested_with_fewer_other_days_after_each_failed_run() -> None:
    for failures, together in ((0, 30), (2, 30), (3, 15), (4, 7), (6, 1), (40, 1)):
        known = Attempts([attempt(NOW - n * MINUTE) for n in range(failures)])
        assert known.days_together("binance", DAY, 30) == together
    assert Attempts([attempt(NOW, failed=False)] * 5).days_together("binance", DAY, 30) == 30
