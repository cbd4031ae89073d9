from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.candles.gaps import CONFIRMED_ABSENT, Gap, Mask, Reason, reclassified, within
from titan10_dagster.candles.outages import (
    Sample,
    SeriesBlock,
    SharedSilence,
    Silence,
    absence_on_good_days,
    is_too_long,
    longest_lull,
    reason_of,
    runs,
    shared_silences,
    split_run,
)
from titan10_dagster.candles.slices import Slice
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster_tests.candles import strategies as some

DAY = date(2024, 2, 1)
SEEN = some.LATER
MINUTES = 1440
RARE, SELDOM, OFTEN = Sample(1440, 1440).absence, 0.01, 0.2  # how often a series is absent
SIZE = some.HOURLY.expected
MINUTE, HOUR = TIMEFRAMES["1m"], TIMEFRAMES["1h"]

hours = st.integers(0, SIZE - 1)
reasons = st.sampled_from(list(Reason))


def gap(slice_: Slice, first: int, last: int, reason: Reason = Reason.NO_TRADES) -> Gap:
    """The candles `first` to `last`, both included, by number."""
    step = slice_.series.timeframe.delta
    return Gap(slice_.start + first * step, slice_.start + (last + 1) * step, reason, 2, SEEN, SEEN)


def block(
    *stretches: tuple[int, int], absence: float = RARE, not_offered: tuple[int, int] | None = None, size: int = MINUTES
) -> SeriesBlock:
    """A series without the candles of the stretches (first and last candle, both included)."""
    absent, offered = np.zeros(size, np.bool_), np.ones(size, np.bool_)
    for first, last in stretches:
        absent[first : last + 1] = True
    if not_offered:
        offered[not_offered[0] : not_offered[1] + 1] = False
    return SeriesBlock(absent, offered, np.full(size, absence))


def silent(blocks: Iterable[SeriesBlock]) -> list[int]:
    """The minutes in a shared silence."""
    return [n for found in shared_silences(list(blocks), MINUTE) for n in range(found.start, found.end)]


@pytest.mark.parametrize(("series", "lacking"), [(2, 2), (3, 2), (5, 3), (20, 11), (20, 20)])
def test_a_minute_that_most_of_the_busiest_series_lack_is_a_shared_silence(series: int, lacking: int) -> None:
    blocks = [block(*[(700, 700)] * (n < lacking)) for n in range(series)]
    assert shared_silences(blocks, MINUTE) == [SharedSilence(700, 701, lacking, series)]


@pytest.mark.parametrize(("series", "lacking"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (20, 10)])
def test_minutes_that_half_of_them_or_only_one_lacks_are_not(series: int, lacking: int) -> None:
    assert silent(block(*[(600, 700)] * (n < lacking)) for n in range(series)) == []


@pytest.mark.parametrize(("absence", "series", "minutes"), [(SELDOM, 2, 6), (SELDOM, 3, 2), (0.1, 2, 11), (0.1, 5, 3)])
def test_series_that_are_absent_more_often_must_be_absent_together_for_longer(
    absence: float, series: int, minutes: int
) -> None:
    for length in (minutes - 1, minutes):
        blocks = [block((700, 700 + length - 1), absence=absence) for _ in range(series)]
        assert silent(blocks) == (list(range(700, 700 + length)) if length == minutes else [])


def test_quiet_pairs_are_not_evidence() -> None:
    quiet = [block((0, 1439), absence=OFTEN) for _ in range(10)]
    trading = [block(absence=OFTEN) for _ in range(10)]
    assert silent(quiet) == []
    assert silent([block((5, 5)), *quiet, *trading]) == []
    assert silent([block((5, 5)), block((5, 5)), *quiet, *trading]) == [5]


def test_series_that_could_have_no_candle_do_not_count() -> None:
    absent = [block((5, 9)) for _ in range(2)]
    assert silent([*absent, *(block(not_offered=(0, 1439)) for _ in range(7))]) == [5, 6, 7, 8, 9]
    assert silent([*absent, *(block(not_offered=(5, 1439)) for _ in range(7))]) == [5, 6, 7, 8, 9]


def test_a_silence_that_some_series_join_late_begins_when_most_are_absent() -> None:
    assert silent([block((100, 129)), block((105, 129)), block((110, 135))]) == list(range(105, 130))


def test_good_days_show_how_often_a_series_trades_even_if_one_day_lacks_candles() -> None:
    whole, nothing = Sample(1440, 1440), Sample(1440, 0)
    assert absence_on_good_days([nothing, whole, nothing]) == RARE
    assert absence_on_good_days([nothing]) == 1.0
    assert absence_on_good_days([]) == 1.0
    assert Sample(0, 0).absence == 1.0


@pytest.mark.parametrize(("name", "series", "enough"), [("1h", 5, True), ("1h", 2, False), ("1d", 3, True)])
def test_one_long_candle_that_enough_series_lack_is_a_shared_silence(name: str, series: int, enough: bool) -> None:
    length = TIMEFRAMES[name]
    blocks = [block((0, 0), absence=Sample(24, 24).absence, size=length.per_day) for _ in range(series)]
    assert [(found.start, found.end) for found in shared_silences(blocks, length)] == ([(0, 1)] if enough else [])


def test_two_stored_weeks_make_two_hourly_series_enough() -> None:
    blocks = [block((13, 13), absence=Sample(14 * 24, 14 * 24).absence, size=24) for _ in range(2)]
    assert [(found.start, found.end) for found in shared_silences(blocks, HOUR)] == [(13, 14)]


@pytest.mark.parametrize("series", [2, 3, 5, 20])
@pytest.mark.parametrize("quiet", [0.001, 0.01, 0.05, 0.1])
def test_minutes_without_trades_that_coincide_by_accident_are_not_a_silence(series: int, quiet: float) -> None:
    random = np.random.default_rng(series)
    mistakes = 0
    for _ in range(20):
        mood = np.repeat(random.choice([0.5, 1.5], (series, MINUTES // 32)), 32, axis=1)
        absent = random.random((series, MINUTES)) < quiet * mood
        blocks = []
        for row in absent:
            absence = Sample(MINUTES, MINUTES - int(row.sum())).absence
            blocks.append(SeriesBlock(row, np.ones(MINUTES, np.bool_), np.full(MINUTES, absence)))
        mistakes += len(silent(blocks))
    assert mistakes == 0


# --- one series alone ----------------------------------------------------------------------------------------------


def test_a_pair_that_trades_every_minute_is_not_silent_for_an_hour() -> None:
    assert is_too_long(61, 0.001, 0, MINUTE)
    assert not is_too_long(30, 0.001, 0, MINUTE)


@pytest.mark.parametrize(("timeframe", "hours"), [("5m", 1), ("15m", 2), ("1h", 4)])
def test_a_busy_series_of_longer_candles_is_not_silent_for_hours(timeframe: str, hours: int) -> None:
    """An outage on one of seven days spoils the sample: 1 % of the candles are absent on it."""
    length = timedelta(hours=hours) // TIMEFRAMES[timeframe].delta
    assert is_too_long(length + 1, 0.01, 0, TIMEFRAMES[timeframe])


@pytest.mark.parametrize("absence", [1e-4, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999])
def test_a_quieter_series_needs_a_longer_silence(absence: float) -> None:
    assert longest_lull(absence, MINUTE) <= longest_lull(min(1.0, absence * 1.5), MINUTE)


def test_a_pair_that_never_traded_is_never_silent_for_too_long() -> None:
    assert not is_too_long(10**6, 1.0, 0, MINUTE)


def test_a_quiet_pair_must_be_silent_for_longer_than_ever() -> None:
    assert not is_too_long(600, 0.5, 300, MINUTE)
    assert is_too_long(901, 0.5, 300, MINUTE)


@pytest.mark.parametrize("quiet", [0.001, 0.01, 0.05, 0.3, 0.6])
def test_lulls_of_a_series_whose_quiet_minutes_come_together_are_not_too_long(quiet: float) -> None:
    """Two hundred days of a chain in which an absent minute makes the next one likely to be absent."""
    random = np.random.default_rng(int(quiet * 1000))
    draws = random.random(200 * MINUTES)
    again = max(0.5, quiet)
    first = quiet * (1 - again) / (1 - quiet)
    absent = np.zeros(len(draws), np.bool_)
    for n in range(1, len(draws)):
        absent[n] = draws[n] < (again if absent[n - 1] else first)
    lengths = sorted((end - start for start, end in runs(absent)), reverse=True)
    assert not is_too_long(lengths[0], float(absent.mean()), lengths[1], MINUTE)


@pytest.mark.parametrize(
    ("length", "witness", "reason"),
    [
        (300, True, Reason.OUTAGE),
        (300, False, Reason.HALTED),
        (7 * 1440 - 1, False, Reason.HALTED),
        (7 * 1440, False, Reason.NOT_LISTED),
        (7 * 1440, True, Reason.NOT_LISTED),
    ],
)
def test_the_reason_follows_from_the_length_and_from_a_witness(length: int, witness: bool, reason: Reason) -> None:
    assert reason_of(length, MINUTE, has_witness=witness) is reason


OUTAGE = SharedSilence(100, 180, 3, 3)


def test_one_halt_is_one_stretch_with_one_reason() -> None:
    parts = split_run((98, 183), [(OUTAGE, Reason.OUTAGE)], 0.001, too_long=True, own=Reason.HALTED)
    assert parts == [Silence(98, 183, Reason.OUTAGE, 0.001, OUTAGE)]


def test_a_quiet_pair_shares_only_the_minutes_of_the_outage() -> None:
    parts = split_run((50, 400), [(OUTAGE, Reason.OUTAGE)], 0.5, too_long=False, own=Reason.HALTED)
    assert parts == [Silence(100, 180, Reason.OUTAGE, 0.5, OUTAGE)]


def test_a_silence_that_is_much_longer_than_the_outage_within_is_a_halt_of_its_own() -> None:
    parts = split_run((50, 400), [(OUTAGE, Reason.OUTAGE)], 0.001, too_long=True, own=Reason.HALTED)
    assert parts == [Silence(50, 400, Reason.HALTED, 0.001)]


@pytest.mark.parametrize("prints", [[40], [30, 60], [20, 45, 70]])
def test_single_candles_of_another_series_do_not_give_one_halt_two_reasons(prints: list[int]) -> None:
    """Two series are silent for 81 minutes or more, except for single candles of one of them."""
    edges = [-1, *prints, 81]
    shared = [(SharedSilence(a + 1, b, 2, 2), Reason.OUTAGE) for a, b in itertools.pairwise(edges)]
    (silence,) = split_run((0, 81), shared, 0.001, too_long=True, own=Reason.HALTED)
    assert (silence.start, silence.end, silence.reason) == (0, 81, Reason.OUTAGE)


def test_the_minute_in_which_another_series_printed_a_candle_belongs_to_the_silence() -> None:
    first, second = SharedSilence(0, 10, 2, 2), SharedSilence(11, 40, 2, 2)
    shared = [(first, Reason.HALTED), (second, Reason.OUTAGE)]
    parts = split_run((0, 40), shared, 0.001, too_long=False, own=Reason.HALTED)
    assert parts == [Silence(0, 40, Reason.OUTAGE, 0.001, second)]


def test_two_outages_hours_apart_in_the_silence_of_a_quiet_pair_stay_two() -> None:
    shared = [(SharedSilence(0, 10, 2, 2), Reason.OUTAGE), (SharedSilence(300, 310, 2, 2), Reason.OUTAGE)]
    parts = split_run((0, 400), shared, 0.5, too_long=False, own=Reason.HALTED)
    assert [(part.start, part.end) for part in parts] == [(0, 10), (300, 310)]


def test_a_week_of_silence_is_not_listed_even_if_others_are_silent_too() -> None:
    long = SharedSilence(0, 20_000, 3, 3)
    parts = split_run((0, 20_000), [(long, Reason.NOT_LISTED)], 0.001, too_long=True, own=Reason.NOT_LISTED)
    assert [part.reason for part in parts] == [Reason.NOT_LISTED]


# --- the gaps afterwards: candle by candle -----------------------------------------------------------------------


@st.composite
def some_gaps(draw: st.DrawFn) -> list[Gap]:
    """Disjoint gaps in any order of reasons, as `explain` makes them, on an hourly grid."""
    edges = sorted(draw(st.sets(st.integers(0, SIZE), min_size=0, max_size=8)))
    return [gap(some.HOURLY, a, b - 1, draw(reasons)) for a, b in zip(edges[::2], edges[1::2], strict=False)]


masks = st.lists(st.booleans(), min_size=SIZE, max_size=SIZE).map(np.array)


def by_candle(gaps: Iterable[Gap]) -> dict[int, Reason]:
    step = some.HOURLY.series.timeframe.delta
    return {n: gap.reason for gap in gaps for n in range(SIZE) if gap.start <= some.HOURLY.start + n * step < gap.end}


@given(some_gaps(), masks, masks)
def test_confirmed_absences_get_the_reason_of_their_silence_and_no_trades_elsewhere(
    gaps: list[Gap], down: Mask, halted: Mask
) -> None:
    def expected(n: int, was: Reason) -> Reason:
        if was not in CONFIRMED_ABSENT:
            return was
        if down[n]:
            return Reason.OUTAGE
        return Reason.HALTED if halted[n] else Reason.NO_TRADES

    masks = {Reason.HALTED: halted & ~down, Reason.OUTAGE: down}
    after = by_candle(reclassified(gaps, some.HOURLY, masks))
    assert after == {n: expected(n, was) for n, was in by_candle(gaps).items()}


@given(some_gaps(), masks, masks)
def test_only_the_last_decision_counts(gaps: list[Gap], first: Mask, second: Mask) -> None:
    once = reclassified(gaps, some.HOURLY, {Reason.OUTAGE: first})
    twice = reclassified(once, some.HOURLY, {Reason.NOT_LISTED: second})
    assert twice == reclassified(gaps, some.HOURLY, {Reason.NOT_LISTED: second})


@given(some_gaps(), masks)
def test_the_gaps_stay_sorted_disjoint_and_as_few_as_can_be(gaps: list[Gap], down: Mask) -> None:
    after = reclassified(gaps, some.HOURLY, {Reason.OUTAGE: down})
    for gap, following in pairwise(after):
        assert gap.end <= following.start
        assert gap.end < following.start or gap.reason is not following.reason


@given(some_gaps(), st.sets(reasons))
def test_only_candles_in_gaps_with_the_given_reasons_are_returned(gaps: list[Gap], asked: set[Reason]) -> None:
    candles = {n for n, reason in by_candle(gaps).items() if reason in asked}
    assert set(np.flatnonzero(within(gaps, some.HOURLY, asked)).tolist()) == candles


@given(st.lists(st.sets(hours, max_size=6), max_size=5))
def test_a_busy_series_that_traded_throughout_never_makes_a_silence(series: list[set[int]]) -> None:
    blocks = [block(*((hour, hour) for hour in lacking), absence=0.02, size=SIZE) for lacking in series]

    def cells(blocks: list[SeriesBlock]) -> set[int]:
        return {n for found in shared_silences(blocks, HOUR) for n in range(found.start, found.end)}

    before = cells(blocks)
    assert cells([*blocks, block(absence=0.02, size=SIZE)]) <= before
    assert cells(blocks[:1]) == set()
    absent = sum((found.absent for found in blocks), np.zeros(SIZE, int))
    assert all(absent[n] >= 2 for n in before)
