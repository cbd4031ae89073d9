from __future__ import annotations

from datetime import date, timedelta

import pytest

from titan10_dagster.candles.fetched import Source
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import Slice, SliceState, midnight
from titan10_dagster.store.ledger import LedgerRow
from titan10_dagster.store.series_days import Days, SeriesDays, around_silence, has_long_gap, may_be_interrupted
from titan10_dagster_tests.store.making import DAY, FETCHED, MINUTE, a_slice

ONE = timedelta(days=1)
SPAN = Days(DAY - 10 * ONE, DAY + 10 * ONE, MINUTE)
SERIES = a_slice().series


def row(day: date, missing: dict[Reason, int]) -> LedgerRow:
    present = 1440 - sum(missing.values())
    slice_ = Slice(SERIES, day)
    return LedgerRow(slice_, SliceState.SETTLED, 1440, present, missing, 0, FETCHED, Source.REST, 1, 0, 0.1)


def series_days(missing: dict[int, dict[Reason, int]]) -> SeriesDays:
    """Return stored days around DAY with their missing candles by reason. The days are numbered from DAY."""
    rows = {DAY + n * ONE: row(DAY + n * ONE, missing.get(n, {})) for n in range(-9, 10)}
    return SeriesDays.of(SERIES, rows, SPAN)


def test_cells_and_times_and_days_agree() -> None:
    assert (SPAN.count, SPAN.size) == (21, 21 * 1440)
    cells = SPAN.cells(DAY)
    assert SPAN.time_of(cells.start) == midnight(DAY)
    assert SPAN.day_of(cells.start) == SPAN.day_of(cells.stop - 1) == DAY


def test_one_bad_day_does_not_make_a_busy_series_quiet() -> None:
    line = series_days({0: {Reason.NO_TRADES: 1440}})
    assert line.absence(10) < 0.001
    assert not line.is_traded(10)
    assert line.is_traded(9)
    assert not line.is_traded(99)


def test_candles_that_were_never_offered_say_nothing_about_how_often_a_series_trades() -> None:
    line = series_days({n: {Reason.PRE_LISTING: 1400} for n in range(-9, 10)})
    assert line.sample(10, 10).expected == 40
    assert line.absence(10) < 0.01


def test_a_broken_candle_counts_as_traded() -> None:
    assert series_days({0: {Reason.QUARANTINED: 700, Reason.BROKEN_AT_SOURCE: 40}}).sample(10, 10).present == 1440


@pytest.mark.parametrize(
    ("lengths", "long"), [({0: 10}, False), ({0: 22}, False), ({0: 30}, True), ({0: 61}, True), ({0: 15, 1: 15}, True)]
)
def test_a_gap_of_a_busy_series_is_long_also_across_midnight(lengths: dict[int, int], long: bool) -> None:
    line = series_days({n: {Reason.NO_TRADES: length} for n, length in lengths.items()})
    longest = {(SERIES.symbol, DAY + n * ONE): length for n, length in lengths.items()}
    assert has_long_gap(line, SPAN, DAY, longest) is long


@pytest.mark.parametrize(("absent", "longest", "long"), [(48, 16, True), (48, 5, False), (22, 11, False)])
def test_a_gap_of_a_busy_series_that_single_candles_interrupt_is_long(absent: int, longest: int, long: bool) -> None:
    line = series_days({0: {Reason.NO_TRADES: absent}})
    assert has_long_gap(line, SPAN, DAY, {(SERIES.symbol, DAY): longest}) is long
    assert line.absent(DAY) == absent


def test_a_silence_is_judged_by_the_days_around_it_without_itself() -> None:
    line = series_days({0: {Reason.NO_TRADES: 1440}, 1: {Reason.NO_TRADES: 700}, 3: {Reason.NO_TRADES: 5}})
    start = SPAN.cells(DAY).start
    absence, other = around_silence(line, SPAN, [(start, start + 1440 + 700)], {(SERIES.symbol, DAY + 3 * ONE): 5})
    assert absence < 0.001
    assert other == 5


def test_candles_within_a_silence_count_as_traded() -> None:
    line = series_days({0: {Reason.NO_TRADES: 48}})
    start = SPAN.cells(DAY).start + 600
    runs = [(start, start + 16), (start + 17, start + 33), (start + 34, start + 50)]
    absence, _ = around_silence(line, SPAN, runs, {})
    assert absence < 0.0001


def test_another_halt_after_a_silence_does_not_make_a_busy_series_quiet() -> None:
    """Two of the seven days after the silence are missing.

    This is more than a tenth of all candles around the silence.
    """
    line = series_days({0: {Reason.NO_TRADES: 310}, **{n: {Reason.HALTED: 1440} for n in (3, 4)}})
    start = SPAN.cells(DAY).start
    longest = {(SERIES.symbol, DAY + n * ONE): 1440 for n in (3, 4)}
    absence, other = around_silence(line, SPAN, [(start, start + 310)], longest)
    assert absence < 0.001
    assert other == 1440


QUIET = {Reason.NO_TRADES: 1400}


@pytest.mark.parametrize(
    ("missing", "hours", "expected"),
    [
        ({0: {Reason.NO_TRADES: 300}}, 6, True),
        (dict.fromkeys(range(2), QUIET), 47, True),
        (dict.fromkeys(range(0, 7), QUIET), 160, False),
        (dict.fromkeys(range(0, 10), QUIET), 6, False),
        (dict.fromkeys(range(-9, 1), QUIET), 6, False),
    ],
    ids=["hours", "two days", "a week", "quiet after it", "quiet before it"],
)
def test_only_a_silence_between_busy_days_may_contain_candles(
    missing: dict[int, dict[Reason, int]], hours: int, expected: bool
) -> None:
    line, start = series_days(missing), SPAN.cells(DAY).start + 60
    end = start + 60 * hours
    runs = [(start, start + 30), (start + 31, end)]
    assert may_be_interrupted(line, SPAN, runs) is expected
