from __future__ import annotations

import ccxt
import pytest

from titan10_dagster.candles.timeframes import TIMEFRAMES, Timeframe


@pytest.mark.parametrize("name", TIMEFRAMES)
def test_a_timeframe_divides_the_day_and_agrees_with_ccxt(name: str) -> None:
    timeframe = Timeframe.parse(name)
    assert timeframe.per_day * timeframe.seconds == 86_400
    assert timeframe.seconds == ccxt.Exchange.parse_timeframe(name)
    assert timeframe.ms == timeframe.delta.total_seconds() * 1000
    assert str(timeframe) == timeframe.name == name


@pytest.mark.parametrize("name", ["", "1M", "1w", "7m", "60", "1 m", "minute"])
def test_an_unknown_timeframe_is_refused_and_the_allowed_ones_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=r"allowed are 1m, .*, 1d"):
        Timeframe.parse(name)


def test_timeframes_are_ordered_by_length() -> None:
    assert sorted(TIMEFRAMES.values()) == list(TIMEFRAMES.values())
