from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from titan10_dagster.candles.scaling import POWERS_OF_TEN, Floats, Scaled, scale


def decoded(scaled: Scaled) -> Floats:
    return scaled.integers.astype(np.float64) / scaled.scales


def rows(*values: tuple[float, ...]) -> Floats:
    return np.array(values, dtype=np.float64).T


@st.composite
def decimals(draw: st.DrawFn, digits: int = 17) -> float:
    """Draw a number like those that exchanges send: up to `digits` digits, between 1e-12 and 1e15."""
    count = draw(st.integers(1, digits))
    mantissa = draw(st.integers(10 ** (count - 1), 10**count - 1))
    leading = draw(st.integers(-12, 14))
    return float(f"{mantissa}e{leading - count + 1}")


def test_prices_of_one_tick_size_get_the_smallest_power_of_ten_that_fits_them_all() -> None:
    scaled = scale(rows((23140.48, 23150.7), (23142.0, 23128.52)))
    assert scaled.common == 100.0
    assert scaled.integers.tolist() == [[2314048, 2314200], [2315070, 2312852]]


def test_the_scale_that_a_series_had_is_kept_while_it_fits() -> None:
    assert scale(rows((23140.5,), (23142.5,)), hint=100.0).common == 100.0


def test_a_scale_far_too_large_for_the_series_is_dropped() -> None:
    assert scale(rows((23140.5,), (23142.5,)), hint=1e16).common == 10.0


def test_volumes_of_17_digits_get_the_shortest_decimals_that_read_back_exactly() -> None:
    alone = scale(np.array([[349.13948757000003]]))
    assert (alone.integers.tolist(), alone.scales.tolist()) == ([[34913948757000003]], [1e14])
    beside = scale(np.array([[402.70179809, 0.30000000000000004]]), hint=1e16)
    assert beside.integers.tolist() == [[40270179809, 30000000000000004]]
    assert beside.scales.tolist() == [1e8, 1e17]


def test_a_day_without_volume_keeps_the_scale_that_the_volumes_had() -> None:
    scaled = scale(rows((0.0,), (0.0,)), hint=1e8)
    assert scaled.common == 1e8
    assert scaled.integers.tolist() == [[0, 0]]


def test_an_empty_table_can_be_scaled() -> None:
    scaled = scale(np.empty((4, 0)), hint=100.0)
    assert scaled.integers.shape == (4, 0)
    assert scaled.common == 100.0


def test_rows_that_no_common_scale_fits_get_one_each() -> None:
    scaled = scale(rows((1e15,), (4.1e-9,)))
    assert scaled.common is None
    assert scaled.scales.tolist() == [1.0, 1e10]
    assert decoded(scaled).tolist() == [[1e15, 4.1e-9]]


def test_digits_beyond_a_power_of_ten_get_a_power_of_two() -> None:
    value = 1.234567890123456e-12 * 1.0000000000000002
    scaled = scale(rows((value,)))
    assert scaled.exact.all()
    assert decoded(scaled)[0, 0] == value


def test_a_row_that_spans_too_much_is_not_exact_and_the_others_are_not_harmed() -> None:
    scaled = scale(rows((1e15, 1.234567890123456e-12), (2.5, 1.5)))
    assert scaled.exact.tolist() == [False, True]
    assert decoded(scaled)[:, 1].tolist() == [2.5, 1.5]


@pytest.mark.parametrize("value", [5e-324, 1e-310, 1.7976931348623157e308, 2.0**63, 2.0**64, 2.0**53 + 2])
def test_the_ends_of_what_a_double_can_be_are_exact_or_refused(value: float) -> None:
    scaled = scale(rows((value,)))
    assert not scaled.exact[0] or decoded(scaled)[0, 0] == value


def test_powers_of_ten_are_doubles_without_error() -> None:
    assert [int(power) for power in POWERS_OF_TEN] == [10**n for n in range(23)]


@settings(max_examples=300)
@given(st.lists(decimals(), min_size=1, max_size=12), st.sampled_from(POWERS_OF_TEN))
def test_single_values_of_any_magnitude_come_back_bit_for_bit(values: list[float], hint: float) -> None:
    scaled = scale(np.array([values]), hint)
    assert scaled.exact.all()
    assert decoded(scaled).tobytes() == np.array([values]).tobytes()


@settings(max_examples=300)
@given(st.lists(st.tuples(*[decimals()] * 4), min_size=1, max_size=6))
@example([(1e15, 1e15, 1.234567890123456e-12, 1e15)])
def test_rows_of_mixed_magnitudes_are_exact_or_marked_inexact(values: list[tuple[float, ...]]) -> None:
    table = rows(*values)
    scaled = scale(table)
    assert decoded(scaled)[:, scaled.exact].tolist() == table[:, scaled.exact].tolist()


@settings(max_examples=200)
@given(st.lists(decimals(15), min_size=4, max_size=4), st.integers(0, 3))
def test_prices_within_a_factor_of_a_hundred_always_fit(values: list[float], base: int) -> None:
    price = values[base]
    row = np.array([[price, price * 2, price * 100, price * 1.5]]).T
    assert scale(row).exact.all()
