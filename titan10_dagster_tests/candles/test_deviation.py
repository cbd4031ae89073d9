from __future__ import annotations

from titan10_dagster.candles.deviation import FEWEST_MINUTES, Distance, comparable, over_deviation_limit


def distance(compared: int, deviating: int) -> Distance:
    return Distance("BTC/USDT", compared, deviating, typical=1.0, largest=2.0)


def test_a_symbol_deviates_when_more_than_the_allowed_share_of_its_minutes_deviates() -> None:
    at, above = distance(1000, 50), distance(1000, 51)
    assert over_deviation_limit([at, above], 0.05) == [above]


def test_a_few_minutes_say_nothing() -> None:
    few, enough = distance(FEWEST_MINUTES - 1, FEWEST_MINUTES - 1), distance(FEWEST_MINUTES, FEWEST_MINUTES)
    assert comparable([few, enough]) == over_deviation_limit([few, enough], 0.05) == [enough]


def test_a_share_without_comparisons_is_zero() -> None:
    assert distance(0, 0).share == 0.0
