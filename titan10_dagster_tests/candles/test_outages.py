from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.candles.gaps import Gap, Mask, Reason, with_outages, within
from titan10_dagster.candles.outages import Known, Sample, absence, days_around, silences, traded
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.candles.timeframes import TIMEFRAMES, Timeframe
from titan10_dagster_tests.candles import strategies as some

DAY = date(2024, 2, 1)
SEEN = some.LATER
MINUTES = 1440
RARE, SELDOM, OFTEN = 1 / 1441, 0.01, 0.2  # how often a series is absent
SIZE = some.HOURLY.expected

hours = st.integers(0, SIZE - 1)
reasons = st.sampled_from(list(Reason))


def gap(slice_: Slice, first: int, last: int, reason: Reason = Reason.NO_TRADES) -> Gap:
    """The candles `first` to `last`, both included, by number."""
    step = slice_.series.timeframe.delta
    return Gap(slice_.start + first * step, slice_.start + (last + 1) * step, reason, 2, SEEN, SEEN)


def known(
    n: int = 0,
    *stretches: tuple[int, int],
    absence: float = RARE,
    reason: Reason = Reason.NO_TRADES,
    expected: int = MINUTES,
) -> Known:
    """Series number `n`, which lacks the stretches (first and last minute)."""
    slice_ = Slice(Series("binance", f"S{n}/USDT", TIMEFRAMES["1m"]), DAY)
    return Known(slice_, expected, [gap(slice_, *stretch, reason) for stretch in stretches], absence)


def told(own: Iterable[Known]) -> list[int]:
    """The minutes that are told to be silent."""
    return np.flatnonzero(silences(list(own), MINUTES)).tolist()


@pytest.mark.parametrize(("series", "lacking"), [(2, 2), (3, 2), (5, 3), (20, 11), (20, 20)])
def test_when_most_of_the_busiest_series_lack_a_minute_the_exchange_was_down(series: int, lacking: int) -> None:
    assert told(known(n, *[(700, 700)] * (n < lacking)) for n in range(series)) == [700]


@pytest.mark.parametrize(("series", "lacking"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (20, 10)])
def test_when_half_of_them_or_fewer_or_only_one_do_it_was_not(series: int, lacking: int) -> None:
    assert told(known(n, *[(600, 700)] * (n < lacking)) for n in range(series)) == []


@pytest.mark.parametrize(("absence", "series", "minutes"), [(SELDOM, 2, 6), (SELDOM, 3, 2), (0.1, 2, 11), (0.1, 5, 3)])
def test_series_that_are_absent_more_often_must_be_absent_together_for_longer(
    absence: float, series: int, minutes: int
) -> None:
    for length in (minutes - 1, minutes):
        own = [known(n, (700, 700 + length - 1), absence=absence) for n in range(series)]
        assert told(own) == (list(range(700, 700 + length)) if length == minutes else [])


def test_quiet_pairs_are_no_evidence_for_or_against() -> None:
    quiet = [known(n, (0, 1439), absence=OFTEN) for n in range(10)]
    trading = [known(n, absence=OFTEN) for n in range(10, 20)]
    assert told(quiet) == []
    assert told([known(20, (5, 5)), *quiet, *trading]) == []
    assert told([known(20, (5, 5)), known(21, (5, 5)), *quiet, *trading]) == [5]


@pytest.mark.parametrize("reason", [Reason.UNKNOWN, Reason.QUARANTINED])
def test_what_is_not_known_yet_or_came_broken_speaks_against_it(reason: Reason) -> None:
    assert told([known(n, (5, 9), reason=reason) for n in range(4)]) == []
    absent, other = [known(n, (5, 9)) for n in range(2)], [known(n, (5, 9), reason=reason) for n in range(2, 4)]
    assert told([*absent, *other]) == []


@pytest.mark.parametrize("reason", [Reason.PRE_LISTING, Reason.DELISTED, Reason.BEYOND_HORIZON])
def test_series_that_could_have_no_candle_are_not_asked(reason: Reason) -> None:
    absent = [known(n, (5, 9)) for n in range(2)]
    assert told([*absent, *(known(n, (0, 1439), reason=reason) for n in range(2, 9))]) == [5, 6, 7, 8, 9]
    assert told([*absent, *(known(n, expected=5) for n in range(2, 9))]) == [5, 6, 7, 8, 9]


def test_an_outage_that_some_series_join_late_begins_when_most_are_absent() -> None:
    own = [known(0, (100, 129)), known(1, (105, 129)), known(2, (110, 135))]
    assert told(own) == list(range(105, 130))


def test_an_outage_of_days_is_told_by_how_often_the_series_trade_otherwise() -> None:
    whole, nothing = Sample(1440, 1440), Sample(1440, 0)
    assert absence([nothing, whole, nothing]) == RARE
    assert absence([nothing]) == 1.0
    assert absence([]) == 1.0
    assert absence([Sample(0, 0)]) == 1.0
    assert told(known(n, (0, 1439), absence=absence([nothing, whole])) for n in range(2)) == list(range(1440))


@pytest.mark.parametrize(("timeframe", "days"), [("1m", 1), ("5m", 1), ("1h", 1), ("2h", 2), ("4h", 4), ("1d", 24)])
def test_long_candles_are_judged_by_more_days(timeframe: str, days: int) -> None:
    assert days_around(TIMEFRAMES[timeframe]) == days


@pytest.mark.parametrize(("timeframe", "series", "enough"), [("1h", 5, True), ("1h", 2, False), ("1d", 3, True)])
def test_one_long_candle_that_enough_series_lack_is_an_outage(timeframe: str, series: int, enough: bool) -> None:
    length = TIMEFRAMES[timeframe]
    usual = absence([Sample(24, 24)])
    slices = [Slice(Series("binance", f"S{n}/USDT", length), DAY) for n in range(series)]
    mask = silences([Known(one, length.per_day, [gap(one, 0, 0)], usual) for one in slices], length.per_day)
    assert mask[0] == enough
    assert not mask[1:].any()


@pytest.mark.parametrize("series", [2, 3, 5, 20])
@pytest.mark.parametrize("quiet", [0.001, 0.01, 0.05, 0.1])
def test_minutes_without_trades_that_come_together_by_accident_are_no_outage(series: int, quiet: float) -> None:
    random = np.random.default_rng(series)
    mistakes = 0
    for _ in range(20):
        mood = np.repeat(random.choice([0.5, 1.5], (series, MINUTES // 32)), 32, axis=1)
        absent = random.random((series, MINUTES)) < quiet * mood
        own = [
            known(n, *((m, m) for m in np.flatnonzero(row)), absence=absence([Sample(MINUTES, MINUTES - row.sum())]))
            for n, row in enumerate(absent)
        ]
        mistakes += len(told(own))
    assert mistakes == 0


def test_another_exchange_traded_where_any_of_its_series_has_a_candle() -> None:
    assert not traded([], MINUTES).any()
    others = [known(0, (0, 9)), known(1, (5, 20), reason=Reason.UNKNOWN, expected=100)]
    assert np.flatnonzero(~traded(others, MINUTES)).tolist() == [5, 6, 7, 8, 9]
    assert traded([known(0, expected=100)], MINUTES).sum() == 100


# --- the gaps afterwards: candle by candle -----------------------------------------------------------------------


@st.composite
def some_gaps(draw: st.DrawFn) -> list[Gap]:
    """Disjoint gaps in any order of reasons, as `explain` makes them, on an hourly grid."""
    edges = sorted(draw(st.sets(st.integers(0, SIZE), min_size=0, max_size=8)))
    return [gap(some.HOURLY, a, b - 1, draw(reasons)) for a, b in zip(edges[::2], edges[1::2], strict=False)]


masks = st.lists(st.booleans(), min_size=SIZE, max_size=SIZE).map(np.array)


def by_candle(gaps: Iterable[Gap]) -> dict[int, Reason]:
    step = some.HOURLY.series.timeframe.delta
    return {n: one.reason for one in gaps for n in range(SIZE) if one.start <= some.HOURLY.start + n * step < one.end}


@given(some_gaps(), masks)
def test_what_is_absent_for_good_is_an_outage_where_the_exchange_was_down_and_nowhere_else(
    gaps: list[Gap], down: Mask
) -> None:
    def expected(n: int, was: Reason) -> Reason:
        if was not in (Reason.NO_TRADES, Reason.OUTAGE):
            return was
        return Reason.OUTAGE if down[n] else Reason.NO_TRADES

    after = by_candle(with_outages(gaps, some.HOURLY, down))
    assert after == {n: expected(n, was) for n, was in by_candle(gaps).items()}


@given(some_gaps(), masks, masks)
def test_only_the_last_decision_counts(gaps: list[Gap], first: Mask, second: Mask) -> None:
    twice = with_outages(with_outages(gaps, some.HOURLY, first), some.HOURLY, second)
    assert twice == with_outages(gaps, some.HOURLY, second)


@given(some_gaps(), masks)
def test_the_gaps_stay_sorted_disjoint_and_as_few_as_can_be(gaps: list[Gap], down: Mask) -> None:
    after = with_outages(gaps, some.HOURLY, down)
    for one, other in pairwise(after):
        assert one.end <= other.start
        assert one.end < other.start or one.reason is not other.reason


@given(some_gaps(), st.sets(reasons))
def test_candles_within_gaps_are_those_of_the_reasons_asked_for(gaps: list[Gap], asked: set[Reason]) -> None:
    candles = {n for n, reason in by_candle(gaps).items() if reason in asked}
    assert set(np.flatnonzero(within(gaps, some.HOURLY, asked)).tolist()) == candles


@given(st.lists(st.lists(st.tuples(hours, reasons), max_size=6), max_size=5), st.lists(hours, max_size=3))
def test_a_busy_series_that_traded_throughout_never_makes_an_outage(
    series: list[list[tuple[int, Reason]]], extra: list[int]
) -> None:
    def of(n: int, lacking: list[tuple[int, Reason]]) -> Known:
        slice_ = Slice(Series("binance", f"S{n}/USDT", Timeframe.parse("1h")), some.HOURLY.day)
        return Known(slice_, SIZE, [gap(slice_, hour, hour, reason) for hour, reason in dict(lacking).items()], 0.02)

    own = [of(n, lacking) for n, lacking in enumerate(series)]
    before = silences(own, SIZE)
    more = silences([*own, of(99, [])], SIZE)
    assert not (more & ~before).any()
    assert not silences(own[:1], SIZE).any()
    absent = sum((within(one.gaps, one.slice, {Reason.NO_TRADES, Reason.OUTAGE}) for one in own), np.zeros(SIZE, int))
    assert (absent[before] >= 2).all()
