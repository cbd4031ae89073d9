"""Breaks of a series, on the cases of the public reports and on ordinary trading."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from titan10_dagster.candles.breaks import BreakKind, break_between, breaks_within, ends_of
from titan10_dagster.candles.columns import Candles
from titan10_dagster_tests.candles import strategies as some

START = datetime(2022, 5, 13, 0, 40, tzinfo=UTC)


def trading(start: datetime, count: int, price: float, volume: float, *, seed: int = 0) -> Candles:
    """Minutes of a random walk around a price, with volumes of the usual spread."""
    random = np.random.default_rng(seed)
    closes = price * np.exp(np.cumsum(random.normal(0, 2e-3, count)))
    opens = np.concatenate(([price], closes[:-1]))
    volumes = volume * random.lognormal(0, 1, count)
    times = np.datetime64(start.replace(tzinfo=None), "ms") + np.arange(count) * np.timedelta64(60_000, "ms")
    high, low = np.maximum(opens, closes), np.minimum(opens, closes)
    return Candles(times, np.stack([opens, high, low, closes, volumes]))


def test_a_redenomination_after_a_silence_is_a_break() -> None:
    """LUNA trades at 0.000014, is silent for 36 hours, and then trades at 0.014 with a thousandth of the volume
    (freqtrade#7407).
    """
    before = trading(START, 300, 0.000014, 5e9)
    after = trading(START + timedelta(minutes=300, hours=36), 300, 0.014, 5e6, seed=1)
    (found,) = breaks_within(Candles.joined(before, after))
    assert found.kind is BreakKind.REDENOMINATION
    assert found.at == START + timedelta(minutes=300, hours=36)
    assert found.price_factor == pytest.approx(1000, rel=0.2)
    assert found.volume_factor == pytest.approx(1e-3, rel=1)
    assert break_between(ends_of(before), ends_of(after)) == found


@pytest.mark.parametrize("factor", [10.0, 0.1, 100.0, 1e-6])
def test_a_redenomination_without_a_silence_is_a_break_too(factor: float) -> None:
    before = trading(START, 100, 3.0, 1000.0)
    after = trading(START + timedelta(minutes=100), 100, 3.0 * factor, 1000.0 / factor, seed=1)
    (found,) = breaks_within(Candles.joined(before, after))
    assert found.kind is BreakKind.REDENOMINATION


@pytest.mark.parametrize("moved", [0.93, 1.0, 1.07])
@pytest.mark.parametrize("factor", [4.0, 0.25])
def test_a_redenomination_of_4_to_1_is_a_break_although_the_price_moved_meanwhile(factor: float, moved: float) -> None:
    before = trading(START, 100, 3.0, 1000.0)
    after = trading(START + timedelta(hours=4), 100, 3.0 * factor * moved, 1000.0 / factor, seed=1)
    found = break_between(before, after)
    assert found is not None
    assert found.kind is BreakKind.REDENOMINATION


@pytest.mark.parametrize("silence", [timedelta(0), timedelta(hours=2)])
def test_a_price_that_moved_without_a_trade_is_a_break(silence: timedelta) -> None:
    before = trading(START, 100, 3.0, 1000.0)
    after = trading(START + timedelta(minutes=100) + silence, 100, 3e6, 1.0, seed=1)
    after.volume[:50] = 0.0
    found = break_between(before, after)
    assert found is not None
    assert found.kind is BreakKind.PRICE_JUMP


def test_one_trade_far_from_the_price_of_a_quiet_pair_is_not_a_break() -> None:
    """The next candle has the usual price again. Both candles have trades."""
    candles = trading(START, 200, 3.0, 1000.0)
    candles.values[:4, 100] = 300.0
    assert breaks_within(candles) == []


@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_a_redenomination_of_a_pair_whose_volume_varies_is_a_break_too(factor: float) -> None:
    """The volume after the break is 2.4 times as large, in addition to the change of the unit.

    A quiet pair on Kraken had such volumes.
    """
    before = trading(START, 100, 0.25, 860.0)
    after = trading(START + timedelta(minutes=100), 100, 0.25 * factor, 2.4 * 860.0 / factor, seed=1)
    (found,) = breaks_within(Candles.joined(before, after))
    assert found.kind is BreakKind.REDENOMINATION


def test_candles_without_trades_do_not_hide_a_redenomination() -> None:
    """Two of three minutes are flat rows without volume."""
    before, after = trading(START, 99, 3.0, 1000.0), trading(START + timedelta(minutes=99), 99, 3000.0, 1.0, seed=1)
    flat = np.arange(99) % 3 > 0
    for candles in (before, after):
        candles.volume[flat] = 0.0
    (found,) = breaks_within(Candles.joined(before, after))
    assert found.kind is BreakKind.REDENOMINATION


def test_a_price_crash_is_not_a_break() -> None:
    """The price falls to a fifth within a minute. Volumes rise far more than after a change of the unit."""
    before = trading(START, 100, 100.0, 50.0)
    after = trading(START + timedelta(minutes=100), 100, 20.0, 50_000.0, seed=1)
    assert breaks_within(Candles.joined(before, after)) == []


def test_a_price_jump_with_the_same_volumes_is_a_break_only_after_a_day_of_silence() -> None:
    before = trading(START, 100, 1.0, 50.0)
    soon = trading(START + timedelta(hours=5), 100, 15.0, 50.0, seed=1)
    late = trading(START + timedelta(hours=30), 100, 15.0, 50.0, seed=1)
    assert break_between(before, soon) is None
    found = break_between(before, late)
    assert found is not None
    assert found.kind is BreakKind.PRICE_JUMP


def test_a_silence_alone_is_not_a_break() -> None:
    before = trading(START, 100, 1.0, 50.0)
    after = trading(START + timedelta(days=60), 100, 1.9, 20.0, seed=1)
    assert break_between(before, after) is None


def test_nothing_breaks_before_the_first_candle_or_after_the_last() -> None:
    assert breaks_within(Candles.empty()) == []
    assert break_between(Candles.empty(), trading(START, 5, 1.0, 1.0)) is None
    assert break_between(trading(START, 5, 1.0, 1.0), Candles.empty()) is None


@pytest.mark.parametrize(
    "name",
    ["binanceus_BTC-USDT_1m_2023-03.csv.gz", "binance_XRP-ETH_1m_2019-10.csv.gz"],
)
def test_real_histories_have_no_break(real_data: Path, name: str) -> None:
    assert breaks_within(some.real_candles(real_data, name)) == []
