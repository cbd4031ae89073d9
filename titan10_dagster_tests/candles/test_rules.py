from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.frame import VALUES
from titan10_dagster.candles.rules import RULES, Concern, judge, names_of
from titan10_dagster.candles.scaling import POWERS_OF_TEN
from titan10_dagster.candles.slices import Series, Slice, from_ms, to_ms
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster_tests.candles import strategies as some
from titan10_dagster_tests.candles.strategies import assert_same

SLICE = some.HOURLY
NAMES = [rule.name for rule in RULES]
NAN, INF = float("nan"), float("inf")

nows = st.integers(-60, 30 * 60).map(lambda minutes: some.after(SLICE, minutes=minutes, microseconds=7))


def one_row(hour: float = 1, **changed: float) -> Candles:
    candle = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 5.0} | changed
    return Candles.from_rows([[to_ms(some.after(SLICE, hours=hour)), *(candle[name] for name in VALUES)]])


def broken_rules(row: Mapping[str, float], start: datetime, now: datetime) -> list[str]:
    """Return the rules that one row breaks, without the rule that compares rows.

    This is a second, simple implementation.
    """
    prices = [row["open"], row["high"], row["low"], row["close"]]
    step = SLICE.series.timeframe.delta
    return [
        name
        for name, broken in {
            "not_finite": not np.isfinite([*prices, row["volume"]]).all(),
            "price_not_positive": min(p if p == p else 1 for p in prices) <= 0,
            "volume_negative": row["volume"] < 0,
            "high_below_low": row["high"] < row["low"],
            "open_outside_range": row["open"] > row["high"] or row["open"] < row["low"],
            "close_outside_range": row["close"] > row["high"] or row["close"] < row["low"],
            "not_representable": is_unrepresentable(prices, row["volume"]),
            "off_grid": bool((start - SLICE.start) % step),
            "outside_window": start.date() != SLICE.day,
            "in_future": start + step > now,
        }.items()
        if broken
    ]


def is_unrepresentable(prices: list[float], volume: float) -> bool:
    """Return whether no power of ten or two turns all prices, or the volume, into integers of less than 63 bits."""
    if not np.isfinite([*prices, volume]).all() or min(prices) <= 0 or volume < 0:
        return False
    scales = [*POWERS_OF_TEN, *(2.0**n for n in range(-1022, 1024))]
    return not all(
        any(all(fits(value, power) for value in values) for power in scales) for values in (prices, [volume])
    )


def fits(value: float, power: float) -> bool:
    scaled = value * power
    return abs(scaled) < 2.0**63 and round(scaled) / power == value


def test_a_whole_good_slice_is_valid_as_it_is() -> None:
    candles = some.whole_slice()
    verdict = judge(candles, SLICE, some.LATER)
    assert_same(verdict.valid, candles)
    assert_same(verdict.broken.candles, Candles.empty())
    assert (len(verdict.broken), verdict.counts, verdict.rows, verdict.broken_share) == (0, {}, 24, 0.0)


@pytest.mark.parametrize(
    ("rule", "candles"),
    [
        ("not_finite", one_row(volume=NAN)),
        ("not_finite", one_row(high=INF)),
        ("price_not_positive", one_row(low=0.0)),
        ("price_not_positive", one_row(low=-0.0)),
        ("volume_negative", one_row(volume=-5e-324)),
        ("open_outside_range", one_row(open=12.5)),
        ("close_outside_range", one_row(close=8.5)),
        ("not_representable", one_row(low=1.234567890123456e-12, high=1e15)),
        ("off_grid", one_row(hour=1.5)),
        ("outside_window", one_row(hour=24)),
        ("outside_window", one_row(hour=-1)),
    ],
)
def test_a_row_that_breaks_one_rule_names_that_rule(rule: str, candles: Candles) -> None:
    verdict = judge(candles, SLICE, some.LATER)
    assert verdict.broken.rules == ((rule,),)
    assert dict(verdict.counts) == {rule: 1}
    assert len(verdict.valid) == 0
    assert verdict.broken_share == 1.0


def test_a_high_below_the_low_is_reported_whatever_else_the_row_breaks() -> None:
    assert "high_below_low" in judge(one_row(high=8.0), SLICE, some.LATER).broken.rules[0]


def test_the_largest_floats_are_finite_although_their_sum_is_not() -> None:
    most = 1.7e308
    verdict = judge(one_row(open=most, high=most, low=most, close=most, volume=most), SLICE, some.LATER)
    assert len(verdict.valid) == 1


def test_a_candle_is_in_the_future_until_the_instant_it_ends() -> None:
    end = some.after(SLICE, hours=2)
    assert len(judge(one_row(), SLICE, end).valid) == 1
    assert dict(judge(one_row(), SLICE, end - timedelta(microseconds=1)).counts) == {"in_future": 1}


def test_a_repeated_candle_is_not_a_conflict_and_is_kept_once() -> None:
    whole = some.whole_slice()
    twice = Candles.joined(whole, whole.take(np.arange(len(whole))[::-1]))
    assert_same(judge(twice, SLICE, some.LATER).valid, whole)


@pytest.mark.parametrize(
    "broken", [{"open": NAN}, {"volume": INF}, {"low": 0.0}, {"volume": -1.0}, {"high": 8.0}, {"close": 99.0}]
)
def test_a_broken_row_does_not_take_the_valid_candle_of_its_time_with_it(broken: dict[str, float]) -> None:
    whole = some.whole_slice()
    verdict = judge(Candles.joined(whole, one_row(**broken)), SLICE, some.LATER)
    assert_same(verdict.valid, whole)
    assert len(verdict.broken) == 1
    assert "conflicting_duplicates" not in verdict.counts


def test_candles_that_contradict_each_other_are_all_put_aside() -> None:
    verdict = judge(Candles.joined(some.whole_slice(), one_row(), one_row(volume=6.0)), SLICE, some.LATER)
    assert dict(verdict.counts) == {"conflicting_duplicates": 3}
    assert len(verdict.valid) == 23


@given(some.raw_candles(), nows)
def test_every_row_is_judged_as_the_rules_say_in_plain_words(candles: Candles, now: datetime) -> None:
    verdict = judge(candles, SLICE, now)
    rows = candles.drop_repeats()
    starts = [from_ms(ms) for ms in rows.times.astype(np.int64).tolist()]
    named = [
        tuple(broken_rules(dict(zip(VALUES, row, strict=True)), start, now))
        for row, start in zip(rows.values.T.tolist(), starts, strict=True)
    ]
    whole = [start for start, names in zip(starts, named, strict=True) if not names]
    named = [
        names or (("conflicting_duplicates",) if whole.count(start) > 1 else ())
        for start, names in zip(starts, named, strict=True)
    ]
    assert verdict.broken.rules == tuple(names for names in named if names)
    assert dict(verdict.counts) == {name: count for name in NAMES if (count := sum(name in names for names in named))}
    kept = np.array([not names for names in named], dtype=bool)
    assert_same(verdict.valid, rows.where(kept))
    assert_same(verdict.broken.candles, rows.where(~kept))


@given(some.raw_candles(), nows)
def test_valid_candles_are_sorted_unique_and_break_no_rule(candles: Candles, now: datetime) -> None:
    valid = judge(candles, SLICE, now).valid
    assert (np.diff(valid.times).astype(int) > 0).all()
    assert not any(rule.breaks(valid, SLICE, now).any() for rule in RULES)
    assert len(judge(valid, SLICE, now).valid) == len(valid)


def test_each_concern_has_its_rules_and_each_rule_one_concern() -> None:
    assert names_of(Concern.TIME) | names_of(Concern.VALUE) == set(NAMES)
    assert names_of(Concern.TIME) == {"off_grid", "outside_window", "in_future", "conflicting_duplicates"}


def test_every_rule_has_its_own_name_and_a_sentence() -> None:
    assert len(set(NAMES)) == len(RULES)
    assert all(rule.sentence.endswith(".") and rule.sentence[0].isupper() for rule in RULES)


@pytest.mark.skipif("TITAN10_TEST_DATA" not in os.environ, reason="real candles: set TITAN10_TEST_DATA")
@pytest.mark.parametrize("name", ["binanceus_BTC-USDT_1m_2023-03.csv.gz", "binance_XRP-ETH_1m_2019-10.csv.gz"])
def test_real_candles_break_no_rule(name: str) -> None:
    series = Series("binance", "BTC/USDT", Timeframe.parse("1m"))
    for day, candles in some.real_candles(Path(os.environ["TITAN10_TEST_DATA"]), name).by_day().items():
        slice_ = Slice(series, day)
        assert len(candles.between(slice_.start, slice_.end)) == len(candles)
        assert judge(candles, slice_, some.LATER).counts == {}
