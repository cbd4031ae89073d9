from __future__ import annotations

import time
from datetime import timedelta

import pytest

from titan10_dagster.errors import Banned, BreakerOpen, DatabaseUnavailable, Refused, TransientError
from titan10_dagster.exchanges.breaker import CONFIRMED_FOR, Breaker
from titan10_dagster.planning.breaker import BreakerState, Health
from titan10_dagster_tests.exchanges.harness import NOW, MemoryHealthStore, now

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


def test_a_closed_breaker_lets_everybody_ask(breaker: Breaker) -> None:
    assert breaker.admit() is False
    assert breaker.admit() is False


def test_an_open_breaker_tells_until_when_and_why(breaker: Breaker, store: MemoryHealthStore) -> None:
    opened(store, 60)
    with pytest.raises(BreakerOpen, match=r"before 2024-06-20 02:01:05 UTC.*it was down") as caught:
        breaker.admit()
    assert caught.value.until == NOW + timedelta(seconds=60)


def test_when_its_time_is_over_one_gets_the_probe_and_the_next_has_to_wait(
    breaker: Breaker, store: MemoryHealthStore
) -> None:
    opened(store, -1)
    assert breaker.admit() is True
    with pytest.raises(BreakerOpen):
        breaker.admit()


def test_a_probe_that_succeeds_closes_it(breaker: Breaker, store: MemoryHealthStore) -> None:
    opened(store, -1)
    breaker.admit()
    breaker.succeeded()
    assert breaker.admit() is False


def test_a_probe_that_fails_opens_it_again(breaker: Breaker, store: MemoryHealthStore) -> None:
    opened(store, -1)
    breaker.admit()
    with pytest.raises(BreakerOpen):
        breaker.failed(ERROR)
    assert store.load("binance").state is BreakerState.OPEN


def test_a_streak_opens_it_and_a_success_ends_the_streak(breaker: Breaker, store: MemoryHealthStore) -> None:
    breaker.failed(ERROR)
    breaker.failed(ERROR)
    breaker.succeeded()
    breaker.failed(ERROR)
    breaker.failed(ERROR)
    with pytest.raises(BreakerOpen) as caught:
        breaker.failed(ERROR)
    assert caught.value.__cause__ is ERROR
    assert store.load("binance").reason == "TransientError: binance: the exchange could not answer"


def test_a_ban_opens_it_until_its_end(breaker: Breaker, store: MemoryHealthStore) -> None:
    until = NOW + timedelta(days=3)
    breaker.banned(until, Banned("banned", exchange="binance", until=until))
    assert store.load("binance").open_until == until
    with pytest.raises(BreakerOpen):
        breaker.admit()


def refused(status: int | None) -> Refused:
    return Refused(
        "binance: the exchange refuses to serve this address: set a proxy", exchange="binance", status=status
    )


def test_a_refusal_opens_it_for_ten_minutes_and_then_for_twice_as_long_up_to_an_hour(store: MemoryHealthStore) -> None:
    clock = [NOW]
    breaker = Breaker("binance", store, lambda: clock[0])
    rests = []
    for _ in range(5):
        assert breaker.admit() is bool(rests)
        breaker.refused(refused(451))
        breaker.refused(refused(451))  # of a request that was under way with it
        with pytest.raises(BreakerOpen, match="set a proxy") as caught:
            breaker.admit()
        rests.append((caught.value.until - clock[0]) / timedelta(minutes=1))
        clock[0] = caught.value.until
    assert rests == [10, 20, 40, 60, 60]
    assert store.load("binance").shut_since == NOW
    assert breaker.admit() is True
    breaker.succeeded()
    assert store.load("binance") == Health(
        "binance",
        changed_at=clock[0],
        last_error=f"Refused: {refused(451)}",
        last_error_at=clock[0] - timedelta(hours=1),
    )


def test_what_we_refuse_ourselves_is_only_remembered(breaker: Breaker, store: MemoryHealthStore) -> None:
    breaker.refused(refused(None))
    assert breaker.admit() is False
    assert "set a proxy" in str(store.load("binance").last_error)


def test_who_was_admitted_is_stopped_when_another_process_is_banned(breaker: Breaker, store: MemoryHealthStore) -> None:
    breaker.admit()
    breaker.confirm()
    opened(store, 60)
    time.sleep(CONFIRMED_FOR)
    with pytest.raises(BreakerOpen, match="it was down"):
        breaker.confirm()


def test_closed_is_believed_for_a_moment_and_not_asked_before_every_request(
    breaker: Breaker, store: MemoryHealthStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaker.admit()
    breaker.confirm()
    loads: list[str] = []
    load = store.load
    monkeypatch.setattr(store, "load", lambda exchange: (loads.append(exchange), load(exchange))[1])
    monkeypatch.setattr("titan10_dagster.exchanges.breaker.CONFIRMED_FOR", 3600.0)
    breaker.confirm()
    assert not loads


def test_only_the_prober_goes_on_while_its_probe_is_out(store: MemoryHealthStore) -> None:
    opened(store, 0)
    prober, other = Breaker("binance", store, now), Breaker("binance", store, now)
    assert prober.admit()
    prober.confirm()
    with pytest.raises(BreakerOpen):
        other.confirm()
    prober.succeeded()
    other.confirm()


def test_without_the_database_who_was_admitted_goes_on(breaker: Breaker, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: str) -> Health:
        raise DatabaseUnavailable("the database cannot be used now")

    breaker.admit()
    monkeypatch.setattr(breaker.store, "load", away)
    breaker.confirm()
