from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from datetime import timedelta

import pytest

from titan10_dagster.errors import (
    Banned,
    Blocked,
    BreakerOpen,
    DatabaseUnavailable,
    FetchError,
    Maintenance,
    MalformedAnswer,
    MarketChanged,
    Postponed,
    ProxyFailed,
    Refused,
    Stalled,
    Throttled,
    TransientError,
    Unavailable,
    UnknownSymbol,
)
from titan10_dagster.exchanges.breaker import CONFIRMED_FOR, Breaker, HealthSignal, signal_of
from titan10_dagster.planning.breaker import BreakerState, Health, after_throttling
from titan10_dagster.planning.pace import Pace
from titan10_dagster_tests.exchanges.harness import NOW, MemoryHealthStore, now, run
from titan10_dagster_tests.exchanges.idle_clock import Clock, clock

__all__ = ["clock"]

ERROR = TransientError("binance: the exchange could not answer", exchange="binance")


@pytest.fixture
def store() -> MemoryHealthStore:
    return MemoryHealthStore()


@pytest.fixture
def breaker(store: MemoryHealthStore) -> Breaker:
    return Breaker("binance", store, now, threshold=3)


def opened(store: MemoryHealthStore, seconds: int) -> None:
    until = NOW + timedelta(seconds=seconds)
    store.states["binance"] = Health("binance", BreakerState.OPEN, until, 3, "it was down")


def test_a_closed_breaker_allows_all_requests(breaker: Breaker) -> None:
    assert run(breaker.admit()) is False
    assert run(breaker.admit()) is False


def test_an_open_breaker_names_its_end_and_its_reason(breaker: Breaker, store: MemoryHealthStore) -> None:
    opened(store, 60)
    with pytest.raises(BreakerOpen, match=r"paused until 2024-06-20 02:01:05 UTC.*it was down") as caught:
        run(breaker.admit())
    assert caught.value.until == NOW + timedelta(seconds=60)


def test_when_its_time_is_over_one_gets_the_probe_and_the_next_has_to_wait(
    breaker: Breaker, store: MemoryHealthStore
) -> None:
    opened(store, -1)
    assert run(breaker.admit()) is True
    with pytest.raises(BreakerOpen):
        run(breaker.admit())


def test_a_probe_that_succeeds_closes_it(breaker: Breaker, store: MemoryHealthStore) -> None:
    opened(store, -1)
    run(breaker.admit())
    run(breaker.succeeded())
    assert run(breaker.admit()) is False


def test_a_probe_that_fails_opens_it_again(breaker: Breaker, store: MemoryHealthStore) -> None:
    opened(store, -1)
    run(breaker.admit())
    with pytest.raises(BreakerOpen):
        run(breaker.failed(ERROR))
    assert store.load("binance").state is BreakerState.OPEN


def test_a_streak_opens_it_and_a_success_ends_the_streak(breaker: Breaker, store: MemoryHealthStore) -> None:
    run(breaker.failed(ERROR))
    run(breaker.failed(ERROR))
    run(breaker.succeeded())
    run(breaker.failed(ERROR))
    run(breaker.failed(ERROR))
    with pytest.raises(BreakerOpen) as caught:
        run(breaker.failed(ERROR))
    assert caught.value.__cause__ is ERROR
    assert store.load("binance").reason == "TransientError: binance: the exchange could not answer"


def test_a_ban_opens_it_until_its_end(breaker: Breaker, store: MemoryHealthStore) -> None:
    until = NOW + timedelta(days=3)
    run(breaker.learn(Banned("banned", exchange="binance", until=until)))
    assert store.load("binance").open_until == until
    with pytest.raises(BreakerOpen):
        run(breaker.admit())


def refused(status: int | None) -> Refused:
    return Refused(
        "binance: the exchange refuses to serve this address: set a proxy", exchange="binance", status=status
    )


def test_a_refusal_opens_it_for_ten_minutes_and_then_for_twice_as_long_up_to_an_hour(store: MemoryHealthStore) -> None:
    clock = [NOW]
    breaker = Breaker("binance", store, lambda: clock[0])
    rests = []
    for _ in range(5):
        assert run(breaker.admit()) is bool(rests)
        run(breaker.learn(refused(451)))
        run(breaker.learn(refused(451)))  # the error of another request that was in progress at the same time
        with pytest.raises(BreakerOpen, match="set a proxy") as caught:
            run(breaker.admit())
        rests.append((caught.value.until - clock[0]) / timedelta(minutes=1))
        clock[0] = caught.value.until
    assert rests == [10, 20, 40, 60, 60]
    assert store.load("binance").shut_since == NOW
    assert run(breaker.admit()) is True
    run(breaker.succeeded())
    assert store.load("binance") == Health(
        "binance",
        changed_at=clock[0],
        last_error=f"Refused: {refused(451)}",
        last_error_at=clock[0] - timedelta(hours=1),
    )


def test_what_we_refuse_ourselves_is_only_remembered(breaker: Breaker, store: MemoryHealthStore) -> None:
    run(breaker.learn(refused(None)))
    assert run(breaker.admit()) is False
    assert "set a proxy" in str(store.load("binance").last_error)


def test_an_admitted_client_stops_when_another_process_is_banned(breaker: Breaker, store: MemoryHealthStore) -> None:
    run(breaker.admit())
    run(breaker.confirm())
    opened(store, 60)
    time.sleep(CONFIRMED_FOR)
    with pytest.raises(BreakerOpen, match="it was down"):
        run(breaker.confirm())


def test_a_closed_state_is_cached_for_a_moment_and_not_read_before_every_request(
    breaker: Breaker, store: MemoryHealthStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(breaker.admit())
    run(breaker.confirm())
    loads: list[str] = []
    load = store.load
    monkeypatch.setattr(store, "load", lambda exchange: (loads.append(exchange), load(exchange))[1])
    monkeypatch.setattr("titan10_dagster.exchanges.breaker.CONFIRMED_FOR", 3600.0)
    run(breaker.confirm())
    assert not loads


def test_the_state_that_was_read_for_the_admission_is_not_read_again_for_the_first_request(
    breaker: Breaker, store: MemoryHealthStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("titan10_dagster.exchanges.breaker.CONFIRMED_FOR", 3600.0)
    pace = run(breaker.pace())
    run(breaker.admit())
    loads: list[str] = []
    load = store.load
    monkeypatch.setattr(store, "load", lambda exchange: (loads.append(exchange), load(exchange))[1])
    assert run(breaker.confirm()) is None
    assert not loads
    # A pace that another process has changed is read, so that the client does not request at the former pace.
    slower = after_throttling(store.load("binance"), NOW, NOW, "429", timedelta(0))
    store.states["binance"] = slower
    other = Breaker("binance", store, now)
    assert run(other.pace()) == slower.pace != pace
    store.states["binance"] = Health("binance")
    run(other.admit())
    loads.clear()
    assert run(other.confirm()) == pace
    assert loads


def test_only_the_prober_goes_on_while_its_probe_is_out(store: MemoryHealthStore) -> None:
    opened(store, 0)
    prober, other = Breaker("binance", store, now), Breaker("binance", store, now)
    assert run(prober.admit())
    run(prober.confirm())
    with pytest.raises(BreakerOpen):
        run(other.confirm())
    run(prober.succeeded())
    run(other.confirm())


def test_an_admitted_client_continues_without_the_database(breaker: Breaker, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: str) -> Health:
        raise DatabaseUnavailable("the database cannot be used now")

    run(breaker.admit())
    monkeypatch.setattr(breaker.store, "load", away)
    run(breaker.confirm())


SIGNALS: list[tuple[FetchError, HealthSignal]] = [
    (BreakerOpen("", exchange="x", until=NOW), HealthSignal.NONE),
    (Postponed("", exchange="x"), HealthSignal.NONE),
    (Stalled("", exchange="x"), HealthSignal.NONE),
    (ProxyFailed("", exchange="x"), HealthSignal.NOTED),
    (TransientError("", exchange="x"), HealthSignal.FAILED),
    (TransientError("", exchange="x", status=500), HealthSignal.FAILED),
    (MalformedAnswer("", exchange="x", status=200), HealthSignal.FAILED),
    (Maintenance("", exchange="x", status=503), HealthSignal.FAILED),
    (Throttled("", exchange="x", status=429), HealthSignal.THROTTLED),
    (Banned("", exchange="x", until=NOW, status=418), HealthSignal.BANNED),
    (Unavailable("", exchange="x", until=NOW, status=503), HealthSignal.UNAVAILABLE),
    (Refused("", exchange="x", status=451), HealthSignal.REFUSED),
    (Refused("", exchange="x"), HealthSignal.NOTED),
    (UnknownSymbol("", exchange="x", status=400), HealthSignal.REJECTED),
    (UnknownSymbol("", exchange="x"), HealthSignal.NOTED),
    (MarketChanged("", exchange="x"), HealthSignal.NOTED),
    (FetchError("", exchange="x", status=400), HealthSignal.REJECTED),
    (FetchError("", exchange="x"), HealthSignal.NOTED),
]


@pytest.mark.parametrize(("error", "signal"), SIGNALS, ids=[f"{type(e).__name__}-{e.status}" for e, _ in SIGNALS])
def test_each_error_shows_one_thing_about_the_exchange(error: FetchError, signal: HealthSignal) -> None:
    assert signal_of(error) is signal


def test_every_class_of_error_is_in_the_table() -> None:
    def classes(of: type[FetchError]) -> set[type[FetchError]]:
        return {of}.union(*(classes(derived) for derived in of.__subclasses__()))

    public = {class_ for class_ in classes(FetchError) if not class_.__name__.startswith("_")}
    assert {type(error) for error, _ in SIGNALS} == public - {Blocked}, "only the three kinds of Blocked are raised"


FAILING = Health("x", failures=2, reason="TransientError: ")
# the state, the failures, and whether the signal's error is the last error
LEARNED: dict[HealthSignal, tuple[BreakerState, int, bool]] = {
    HealthSignal.NONE: (BreakerState.CLOSED, 2, False),
    HealthSignal.NOTED: (BreakerState.CLOSED, 2, True),
    HealthSignal.REJECTED: (BreakerState.CLOSED, 0, True),
    HealthSignal.FAILED: (BreakerState.CLOSED, 3, True),
    HealthSignal.THROTTLED: (BreakerState.OPEN, 2, True),
    HealthSignal.REFUSED: (BreakerState.OPEN, 3, True),
    HealthSignal.BANNED: (BreakerState.OPEN, 2, True),
    HealthSignal.UNAVAILABLE: (BreakerState.OPEN, 2, True),
}


@pytest.mark.parametrize(("error", "signal"), SIGNALS, ids=[f"{type(e).__name__}-{e.status}" for e, _ in SIGNALS])
def test_the_breaker_learns_what_the_signal_says(
    store: MemoryHealthStore, error: FetchError, signal: HealthSignal
) -> None:
    store.states["x"] = FAILING
    with suppress(BreakerOpen):
        run(Breaker("x", store, now).learn(error))
    health = store.load("x")
    assert (health.state, health.failures, health.last_error is not None) == LEARNED[signal]


class SlowStore(MemoryHealthStore):
    """A store with a database that does not answer until `answers` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.answers, self.loads = threading.Event(), 0

    def load(self, exchange: str) -> Health:
        self.loads += 1
        self.answers.wait()
        return super().load(exchange)


def test_requests_go_on_while_the_database_does_not_answer(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("titan10_dagster.exchanges.breaker.CONFIRM_WITHIN", 0.2)
    store = SlowStore()

    async def work() -> tuple[float, float]:
        breaker, began, longest = Breaker("binance", store, now), time.monotonic(), 0.0
        try:
            for _ in range(20):
                before = time.monotonic()
                assert await breaker.confirm() is None
                longest = max(longest, time.monotonic() - before)
        finally:
            store.answers.set()
        return time.monotonic() - began, longest

    total, longest = clock.run(work())
    assert longest < 0.5
    assert total < 1.0
    assert store.loads == 1


def test_a_slower_pace_is_recorded_even_if_the_database_answers_late(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("titan10_dagster.exchanges.breaker.RECORD_WITHIN", 0.1)
    store = SlowStore()
    throttled = Throttled("binance: HTTP 429", exchange="binance", status=429, retry_after=timedelta(seconds=2))

    async def work() -> float:
        breaker, before = Breaker("binance", store, now), time.monotonic()
        try:
            assert await breaker.paused(throttled, NOW) is None
            waited = time.monotonic() - before
        finally:
            store.answers.set()
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
        return waited

    assert clock.run(work()) < 0.4
    assert store.states["binance"].pace.rest_until == NOW + timedelta(seconds=2)


def test_the_pause_of_an_exchange_that_is_down_is_stored_without_a_slower_pace(
    breaker: Breaker, store: MemoryHealthStore
) -> None:
    down = TransientError("binance: HTTP 503", exchange="binance", status=503, retry_after=timedelta(seconds=90))
    pace = run(breaker.paused(down, NOW))
    assert pace == store.load("binance").pace == Pace(1.0, None, NOW + timedelta(seconds=90))


def test_a_pause_that_a_clock_far_ahead_stored_does_not_last(breaker: Breaker, store: MemoryHealthStore) -> None:
    ahead = NOW + timedelta(days=30)
    store.states["binance"] = after_throttling(
        Health("binance", BreakerState.OPEN, ahead + timedelta(hours=1), changed_at=ahead),
        ahead,
        ahead,
        "429",
        timedelta(minutes=1),
    )
    assert run(breaker.pace()).rest(NOW) == timedelta(0)
    assert run(breaker.admit()) is True
    run(breaker.confirm())
    run(breaker.succeeded())
    health = store.load("binance")
    assert (health.state, health.last_error_at) == (BreakerState.CLOSED, NOW)
    assert health.pace.as_of(NOW + timedelta(minutes=5)) == 1.0
