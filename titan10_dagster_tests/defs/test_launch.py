"""Backfills by the real assets, from HTTP to the database."""

from __future__ import annotations

import os
from datetime import date
from uuid import UUID

import dagster as dg
import numpy as np
import pytest

from titan10_dagster.defs.launch import cancel_runs_of_this_process, clean_up_dead_runs
from titan10_dagster.operate.run_processes import PROCESS_TAG, this_process
from titan10_dagster.store import presence
from titan10_dagster_tests.instances import dagsters_url, instance  # noqa: F401
from titan10_dagster_tests.world import MakeWorld

FIRST, LAST = date(2024, 2, 1), date(2024, 2, 3)
SYMBOLS = {
    "binance": ["BTC/USDT", "PEPE/USDT"],
    "bybit": ["BTC/USDT", "ETH/USDT"],
    "coinbase": ["BTC/USD", "ALGO/USD"],
    "okx": ["BTC/USDT", "SOL/USDT"],
}


# The tag of a process in a container that no longer exists. On this machine, another process has the process id.
ELSEWHERE = f"0a1b2c3d4e5f {os.getpid()} 1 {UUID(int=1)}/pid:[1]"


@dg.job
def waiting() -> None:
    """A job that is never executed."""


@pytest.mark.parametrize("exchange", SYMBOLS)
def test_what_is_stored_is_what_the_exchange_has(make_world: MakeWorld, exchange: str) -> None:
    world = make_world({exchange: SYMBOLS[exchange]})
    done = world.backfill(exchange, FIRST, LAST)
    assert not done.failed, done.messages
    for symbol in SYMBOLS[exchange]:
        stored, truth = world.stored(exchange, symbol, FIRST, LAST), world.truth(exchange, symbol, FIRST, LAST)
        assert len(truth) > 1440
        assert np.array_equal(stored, truth)


def test_a_refresh_in_which_a_symbol_fails_is_reported_as_incomplete(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS["bybit"]})
    assert not world.backfill("binance", FIRST).failed
    world.sandbox.fault("binance", "unknown_symbol", symbol="ETH/USDT")
    assert world.backfill("binance", FIRST, refresh=True).incomplete == (FIRST,)


def test_the_next_backfill_frees_the_pool_slots_of_a_run_whose_machine_is_gone(
    instance: dg.DagsterInstance,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(presence, "PATIENCE", 1)
    instance.event_log_storage.set_concurrency_slots("binance", 1)
    run = instance.create_run_for_job(waiting, tags={PROCESS_TAG: ELSEWHERE}, status=dg.DagsterRunStatus.STARTED)
    assert instance.event_log_storage.claim_concurrency_slot("binance", run.run_id, "step").is_claimed
    assert clean_up_dead_runs(instance) == [run.run_id]
    assert instance.event_log_storage.claim_concurrency_slot("binance", "next", "step").is_claimed


def test_only_the_runs_of_this_process_are_cancelled_before_it_is_ended(
    instance: dg.DagsterInstance,  # noqa: F811
) -> None:
    started = dg.DagsterRunStatus.STARTED
    ours = instance.create_run_for_job(waiting, tags={PROCESS_TAG: this_process()}, status=started)
    other = instance.create_run_for_job(waiting, tags={PROCESS_TAG: ELSEWHERE}, status=started)
    assert cancel_runs_of_this_process(instance) == [ours.run_id]
    statuses = {run.run_id: run.status for run in instance.get_runs()}
    assert statuses == {ours.run_id: dg.DagsterRunStatus.CANCELED, other.run_id: started}
