from __future__ import annotations

import csv
import gzip
import itertools
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import chain, pairwise
from pathlib import Path

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
    interrupted,
    is_surprising,
    is_too_long,
    longest_lull,
    reason_of,
    runs,
    shared_silences,
    shortest_silence,
    split_run,
)
from titan10_dagster.candles.slices import Slice
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster_tests.candles import strategies as some

DAY = date(2024, 2, 1)
SEEN = some.LATER
MINUTES = 1440
RARE, SELDOM, OFTEN = Sample(1440, 1440).absence, 0.01, 0.2  # the share of absent candles of a series
SIZE = some.HOURLY.expected
MINUTE, HOUR = TIMEFRAMES["1m"], TIMEFRAMES["1h"]

hours = st.integers(0, SIZE - 1)
reasons = st.sampled_from(list(Reason))


def gap(slice_: Slice, first: int, last: int, reason: Reason = Reason.NO_TRADES) -> Gap:
    """Return the gap with the candles `first` to `last`. Both numbers are included."""
    step = slice_.series.timeframe.delta
    return Gap(slice_.start + first * step, slice_.start + (last + 1) * step, reason, 2, SEEN, SEEN)


def block(
    *stretches: tuple[int, int], absence: float = RARE, not_offered: tuple[int, int] | None = None, size: int = MINUTES
) -> SeriesBlock:
    """Return a series without the candles in the stretches. A stretch has its first and last candle, both included."""
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


def test_the_busier_a_pair_the_shorter_is_a_silence_that_trading_does_not_explain() -> None:
    table = {0.9999: 25, 0.999: 29, 0.99: 34, 0.98: 36, 0.95: 39, 0.9: 44}
    for traded, longest in table.items():
        absence = 1 - traded
        assert not is_too_long(longest, absence, 0, MINUTE), traded
        for length in (longest + 1, 45, 59, 60, 61, 600):
            assert is_too_long(length, absence, 0, MINUTE), (traded, length)


@pytest.mark.parametrize("traded", [0.8, 0.5, 0.1])
def test_a_quiet_pair_may_be_silent_for_an_hour_if_it_was_silent_for_half_an_hour_before(traded: float) -> None:
    assert not is_too_long(60, 1 - traded, 30, MINUTE)


@pytest.mark.parametrize("traded", [1.0, 0.999, 0.99, 0.9, 0.5])
def test_no_series_is_busy_enough_for_a_shorter_silence_than_the_shortest(traded: float) -> None:
    week = 7 * MINUTES
    absence = Sample(week, int(week * traded)).absence
    for name in ("1m", "5m", "15m", "1h"):
        timeframe = TIMEFRAMES[name]
        assert longest_lull(max(absence, Sample(7 * timeframe.per_day, 7 * timeframe.per_day).absence), timeframe) >= (
            shortest_silence(timeframe)
        )
    assert shortest_silence(MINUTE) == 22


# Runs of absent candles, mostly within fifty minutes, and the number of runs in each expected group.
@pytest.mark.parametrize(
    ("absent", "groups"),
    [
        ([(100, 116), (117, 133), (134, 150)], [3]),
        ([(100, 120), (121, 122), (123, 150)], [3]),
        ([(100, 101), (102, 150)], [1, 1]),
        ([(100, 149), (150, 151)], [1, 1]),
        ([(100, 110), (111, 150)], [2]),
        ([(100, 110), (113, 150)], [1, 1]),
        ([(100, 125), (128, 150)], [2]),
        ([(100, 105), (106, 120), (122, 140), (141, 150)], [4]),
        ([(100, 104), (105, 150)], [1, 1]),
        ([(100, 600), (602, 603), (613, 800)], [1, 1, 1]),  # two halts with a few minutes of trading between them
        ([(100, 600), (601, 800)], [2]),
        ([(n, n + 1) for n in range(100, 150, 2)], [1] * 25),
        ([(100, 150), (600, 650)], [1, 1]),
        ([], []),
    ],
)
def test_a_few_candles_do_not_divide_a_silence(absent: list[tuple[int, int]], groups: list[int]) -> None:
    found = interrupted(absent, MINUTE)
    assert sorted(map(len, found), reverse=True) == sorted(groups, reverse=True)
    assert sorted(chain.from_iterable(found)) == absent


@pytest.mark.parametrize(("end", "start"), [(1430, 1440), (1439, 1440), (1440, 1441), (1435, 1442)])
def test_candles_beside_midnight_always_divide_a_silence(end: int, start: int) -> None:
    assert len(interrupted([(1300, end), (start, 1600)], MINUTE)) == 2
    assert len(interrupted([(1300 - 10, end - 10), (end - 9, 1600)], MINUTE)) == 1


@given(st.lists(st.booleans(), max_size=300).map(lambda cells: np.array(cells, np.bool_)))
def test_four_of_five_candles_are_absent_from_both_ends_of_a_group_on(absent: Mask) -> None:
    absent = np.concatenate([[False], absent])  # midnight is before the first run
    found = interrupted(runs(absent), MINUTE)
    assert sorted(chain.from_iterable(found)) == runs(absent)
    counts = np.where(absent, 1, -4)
    for group in found:
        cells = counts[group[0][0] : group[-1][1]]
        assert (np.cumsum(cells) > 0).all()
        assert (np.cumsum(cells[::-1]) > 0).all()


def test_a_silence_with_candles_in_it_must_be_longer_and_the_pair_busy() -> None:
    assert not is_too_long(36, 0.001, 0, MINUTE, is_interrupted=True)
    assert is_too_long(37, 0.001, 0, MINUTE, is_interrupted=True)
    assert not is_too_long(10_000, 0.2, 0, MINUTE, is_interrupted=True)


@pytest.mark.parametrize(("hours", "quiet", "again"), [(4, 0.02, 0.2), (2, 0.05, 0.3), (4, 0.05, 0.6), (4, 0.08, 0.6)])
def test_quiet_nights_of_a_busy_pair_are_not_silences(hours: int, quiet: float, again: float) -> None:
    """On a hundred days, nearly all absent minutes are in the same hours of the night, in clusters."""
    random = np.random.default_rng(hours)
    night = hours * 60
    share = (quiet * MINUTES - 0.002 * (MINUTES - night)) / night
    draws = random.random((100, MINUTES))
    absent = np.zeros(100 * MINUTES, np.bool_)
    for n in range(1, len(absent)):
        usual = share if n % MINUTES < night else 0.002
        first = usual * (1 - again) / (1 - usual)
        absent[n] = draws.flat[n] < (max(again, usual) if absent[n - 1] else first)
    absence = float(absent.mean())
    assert absence > 0.8 * quiet
    for group in interrupted(runs(absent), MINUTE):
        length = sum(end - start for start, end in group)
        assert not is_too_long(length, absence, 0, MINUTE, is_interrupted=len(group) > 1)


@pytest.mark.parametrize(("timeframe", "hours"), [("5m", 1), ("15m", 2), ("1h", 4)])
def test_a_busy_series_of_longer_candles_is_not_silent_for_hours(timeframe: str, hours: int) -> None:
    """An outage on one of seven days spoils the sample: 1 % of the candles are absent on it."""
    length = timedelta(hours=hours) // TIMEFRAMES[timeframe].delta
    assert is_too_long(length + 1, 0.01, 0, TIMEFRAMES[timeframe])


@pytest.mark.parametrize(
    ("name", "length", "around", "expected"),
    [
        ("1d", 1, Sample(60, 60), True),
        ("1d", 1, Sample(59, 59), False),
        ("1d", 1, Sample(120, 119), False),
        ("1d", 2, Sample(120, 119), True),
        ("1d", 70, Sample(120, 61), False),
        ("4h", 1, Sample(360, 360), True),
        ("1h", 3, Sample(2880, 2880), False),
    ],
)
def test_a_long_candle_is_surprisingly_absent_from_a_series_that_is_complete_for_months(
    name: str, length: int, around: Sample, expected: bool
) -> None:
    assert is_surprising(length, around, TIMEFRAMES[name]) is expected


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
    """Two hundred days of a Markov chain: after an absent minute, the next minute is probably absent too."""
    random = np.random.default_rng(int(quiet * 1000))
    draws = random.random(200 * MINUTES)
    again = max(0.5, quiet)
    first = quiet * (1 - again) / (1 - quiet)
    absent = np.zeros(len(draws), np.bool_)
    for n in range(1, len(draws)):
        absent[n] = draws[n] < (again if absent[n - 1] else first)
    lengths = sorted((end - start for start, end in runs(absent)), reverse=True)
    assert not is_too_long(lengths[0], float(absent.mean()), lengths[1], MINUTE)


@pytest.mark.parametrize("name", ["binanceus_BTC-USDT_1m_2023-03.csv.gz", "kraken_BTC-USDC_1m_2023.csv.gz"])
def test_no_silence_is_found_in_real_weeks_without_a_halt(real_data: Path, name: str) -> None:
    """The first file has a row for every minute. Rows of minutes without a trade have volume 0."""
    traded = traded_minutes(real_data / name)
    found = 0
    for first in range(0, len(traded) - 7 * MINUTES + 1, 7 * MINUTES):
        absent = ~traded[first : first + 7 * MINUTES]
        lengths = sorted((end - start for start, end in runs(absent)), reverse=True)
        for group in interrupted(runs(absent), MINUTE):
            length = sum(end - start for start, end in group)
            absence = Sample(len(absent) - length, int((~absent).sum())).absence
            others = lengths[1:] if length == lengths[0] else lengths
            assert not is_too_long(length, absence, others[0], MINUTE, is_interrupted=len(group) > 1)
            found += 1
    assert found > 500


def traded_minutes(path: Path) -> Mask:
    """Return a mask of the minutes with a trade, for all complete days of the file."""
    with gzip.open(path, "rt", newline="") as text:
        rows = list(csv.reader(text))
    times = []
    for row in rows:
        if row[0].isdigit():  # Kraken's format: seconds, and only minutes with trades
            times.append(int(row[0]) // 60)
        elif row[0] != "open_time" and float(row[5]) > 0:
            times.append(int(datetime.fromisoformat(row[0]).replace(tzinfo=UTC).timestamp()) // 60)
    first = times[0] // MINUTES * MINUTES
    traded = np.zeros((times[-1] - first) // MINUTES * MINUTES + MINUTES, np.bool_)
    traded[np.array(times) - first] = True
    return traded


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
    """Draw disjoint gaps on an hourly grid, as `explain` returns them, with any reasons."""
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
