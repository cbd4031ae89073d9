"""Two sources compared value by value, and the interval that a sample of days gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import pytest

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.reconciliation import Comparison, Rate, compare, draw, rate_of, wilson
from titan10_dagster.candles.slices import Series, Slice, from_datetime64
from titan10_dagster.candles.timeframes import TIMEFRAMES

FIRST = date(2020, 12, 1)
KNOWN = 398


def a_slice(symbol: str = "BTC/USDT", day: date = FIRST) -> Slice:
    return Slice(Series("binance", symbol, TIMEFRAMES["1m"]), day)


def some_candles(slice_: Slice) -> Candles:
    random = np.random.default_rng(slice_.day.toordinal())
    return Candles(slice_.grid(), random.uniform(1, 2, (5, slice_.expected)))


def with_volume(candles: Candles, places: Sequence[int]) -> Candles:
    values = candles.values.copy()
    values[4, list(places)] += 1
    return Candles(candles.times, values)


def test_equal_candles_have_no_difference() -> None:
    slice_ = a_slice()
    assert compare(slice_, some_candles(slice_), some_candles(slice_)) == Comparison(slice_, 1440, 0, ())


def test_a_difference_names_minute_column_and_both_values() -> None:
    slice_ = a_slice()
    rest = some_candles(slice_)
    found = compare(slice_, with_volume(rest, [7]), rest)
    (difference,) = found.differences
    assert (found.candles, found.differing) == (1440, 1)
    assert difference.time == slice_.start + timedelta(minutes=7)
    assert difference.column == "volume"
    assert (difference.archive, difference.rest) == (rest.volume[7] + 1, rest.volume[7])


def test_a_candle_of_one_source_only_differs_once() -> None:
    slice_ = a_slice()
    candles = some_candles(slice_)
    found = compare(slice_, candles.cut(1, 1440), candles.cut(0, 1439))
    assert [(d.column, d.archive, d.rest) for d in found.differences] == [
        ("candle", None, candles.close[0]),
        ("candle", candles.close[1439], None),
    ]
    assert (found.candles, found.differing) == (1440, 2)


def test_a_candle_that_differs_in_all_columns_counts_once() -> None:
    slice_ = a_slice()
    candles = some_candles(slice_)
    values = candles.values.copy()
    values[:, 3] *= 2
    found = compare(slice_, Candles(candles.times, values), candles)
    assert (found.differing, len(found.differences)) == (1, 5)


@pytest.mark.parametrize(
    ("successes", "observations", "low", "high"),
    [  # R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998)
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_has_its_published_values(successes: int, observations: int, low: float, high: float) -> None:
    assert wilson(successes / observations, observations) == pytest.approx((low, high), abs=5e-5)


def test_without_observations_any_share_is_possible() -> None:
    assert wilson(0.0, 0) == (0.0, 1.0)
    assert Rate(0, 0, 0, 0, 10).interval == (0.0, 1.0)


def test_a_full_comparison_has_no_uncertainty() -> None:
    assert Rate(candles=14_400, differing=36, days=10, differing_days=2, population=10).interval == (0.0025, 0.0025)


def test_more_days_give_a_narrower_interval() -> None:
    few, many = (Rate(1440 * days, 0, days, 0, 1000).interval for days in (10, 100))
    assert few[0] == many[0] == 0.0
    assert many[1] < few[1] < 0.3


def test_a_sample_follows_from_its_seed() -> None:
    slices = [a_slice(day=FIRST + timedelta(days=n)) for n in range(200)]
    assert draw(slices, 0.05, 1) == draw(reversed(slices), 0.05, 1)
    assert len(draw(slices, 0.05, 1)) == 10
    assert draw(slices, 0.05, 1) != draw(slices, 0.05, 2)
    assert draw(slices, 1.0, 7) == slices
    assert len(draw(slices, 0.0001, 1)) == 1
    assert draw([], 0.5, 1) == []


def test_every_slice_is_drawn_about_equally_often() -> None:
    slices = [a_slice(day=FIRST + timedelta(days=n)) for n in range(10)]
    drawn = [slice_ for seed in range(2000) for slice_ in draw(slices, 0.2, seed)]
    counts = [drawn.count(slice_) for slice_ in slices]
    assert len(drawn) == 4000
    assert min(counts) > 330
    assert max(counts) < 470


# The distribution of the 398 differing rows: the number of differing rows in each slice with a difference.
CLUSTERS: Mapping[str, Sequence[int]] = {
    "as in binance-public-data issue 475: two days of ten symbols": [20] * 18 + [19, 19],
    "stretches of 50 minutes": [50] * 7 + [48],
    "one day": [KNOWN],
    "one long and one short stretch": [380, 18],
    "some long, some of a few minutes": [300, 50, 20, *[4] * 7],
    "scattered": [2] * 199,
}


def differing_archive(sizes: Sequence[int]) -> list[Comparison]:
    """Compare 10 symbols on 40 days with an archive.

    `differing`: the numbers of differing rows in the slices that differ.
    """
    slices = [a_slice(f"C{number}/USDT", FIRST + timedelta(days=n)) for number in range(10) for n in range(40)]
    struck = dict(zip(np.random.default_rng(475).permutation(len(slices)), sizes, strict=False))
    comparisons = []
    for place, slice_ in enumerate(slices):
        rest = some_candles(slice_)
        rows = range(780, 780 + struck.get(place, 0))
        found = compare(slice_, with_volume(rest, rows), rest)
        assert [d.time for d in found.differences] == [from_datetime64(rest.times[row]) for row in rows]
        comparisons.append(found)
    return comparisons


@pytest.mark.parametrize("sizes", CLUSTERS.values(), ids=CLUSTERS)
def test_the_interval_contains_the_true_rate_in_at_least_90_of_100_seeds(sizes: Sequence[int]) -> None:
    comparisons = differing_archive(sizes)
    full = rate_of(comparisons, len(comparisons))
    assert full.differing == KNOWN
    assert full.interval == (full.share, full.share)
    by_slice = {comparison.slice: comparison for comparison in comparisons}
    for share in (0.01, 0.05, 0.2, 0.5):
        hits = 0
        for seed in range(100):
            sample = [by_slice[slice_] for slice_ in draw(by_slice, share, seed)]
            low, high = rate_of(sample, len(comparisons)).interval
            hits += low <= full.share <= high
        assert hits >= 90, f"{hits} of 100 at a share of {share}"
