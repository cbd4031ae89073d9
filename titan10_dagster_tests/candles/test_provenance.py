"""Stretches of a series and their files: at most one file for each candle, and as few stretches as possible."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.candles.fetched import FetchRecord, Source
from titan10_dagster.candles.provenance import Stretch, covered_stretches, cut, files_at, replaced, stretches_of
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.candles.source_files import SourceFile
from titan10_dagster.candles.timeframes import TIMEFRAMES

SLICE = Slice(Series("okx", "BTC/USDT", TIMEFRAMES["1m"]), date(2024, 3, 1))
NOON = SLICE.start + timedelta(hours=12)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def file(start: datetime, end: datetime) -> SourceFile:
    return SourceFile("http://127.0.0.1/a.zip", 1, "sha256:1", None, None, None, None, NOON, start, end)


def record(*files: SourceFile, answered: bool = True) -> FetchRecord:
    return FetchRecord(
        slice=SLICE, fetched_at=SLICE.end, source=Source.ARCHIVE, requests=1, retries=0, seconds=0.0,
        answered=answered, horizon=None, files=files,
    )  # fmt: skip


def test_two_files_share_a_day() -> None:
    first, second = file(SLICE.start - 8 * HOUR, NOON), file(NOON, SLICE.end + 8 * HOUR)
    found = covered_stretches(record(second, first), SLICE.grid())
    assert [(start, end) for start, end, _ in found] == [(NOON, SLICE.end), (SLICE.start, NOON)]


def test_a_file_of_an_incomplete_day_accounts_for_the_candles_that_it_brought() -> None:
    grid = SLICE.grid()
    times = np.concatenate((grid[:60], grid[120:121]))
    found = covered_stretches(record(file(SLICE.start, SLICE.end), answered=False), times)
    assert [(start - SLICE.start, end - SLICE.start) for start, end, _ in found] == [
        (0 * HOUR, HOUR),
        (2 * HOUR, 2 * HOUR + timedelta(minutes=1)),
    ]


def test_a_day_without_files_accounts_for_nothing() -> None:
    assert covered_stretches(record(), SLICE.grid()) == []


def test_neighbouring_days_of_one_file_are_one_stretch() -> None:
    day = timedelta(days=1)
    known = [Stretch(SLICE.start, SLICE.end, 7)]
    assert replaced(known, [Stretch(SLICE.end, SLICE.end + day, 7)]) == [Stretch(SLICE.start, SLICE.end + day, 7)]
    assert len(replaced(known, [Stretch(SLICE.end, SLICE.end + day, 8)])) == 2


def test_a_new_stretch_cuts_an_old_one() -> None:
    old, new = Stretch(SLICE.start, SLICE.end, 1), Stretch(NOON, NOON + HOUR, 2)
    assert replaced([old], [new]) == [replace(old, end=NOON), new, replace(old, start=NOON + HOUR)]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10), st.integers(1, 3)), max_size=12))
def test_each_minute_has_the_file_that_was_read_last(stretches: list[tuple[int, int, int]]) -> None:
    minute = timedelta(minutes=1)
    origin = datetime(2024, 1, 1, tzinfo=UTC)
    known: list[Stretch] = []
    expected: dict[int, int] = {}
    for start, length, number in stretches:
        known = replaced(known, [Stretch(origin + start * minute, origin + (start + length) * minute, number)])
        expected.update(dict.fromkeys(range(start, start + length), number))
    found: dict[int, int] = {}
    for stretch in known:
        for place in range((stretch.start - origin) // minute, (stretch.end - origin) // minute):
            assert place not in found
            found[place] = stretch.file
    assert found == expected


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), max_size=5),
    st.sets(st.integers(0, 59), max_size=20),
)
def test_a_cut_leaves_all_other_minutes_to_their_files(marks: list[tuple[int, int]], taken: set[int]) -> None:
    known: list[Stretch] = []
    for number, (start, length) in enumerate(marks, 1):
        first = SLICE.start + start * MINUTE
        known = replaced(known, [Stretch(first, first + length * MINUTE, number)])
    times = SLICE.grid()[:60]
    before = files_at(known, times)
    left = cut(known, stretches_of(times[sorted(taken)], TIMEFRAMES["1m"]))
    expected = [0 if place in taken else file for place, file in enumerate(before.tolist())]
    assert files_at(left, times).tolist() == expected


def test_of_new_stretches_that_overlap_the_later_one_counts() -> None:
    whole, part = Stretch(SLICE.start, SLICE.end, 1), Stretch(NOON, NOON + HOUR, 2)
    assert replaced([], [whole, part]) == [replace(whole, end=NOON), part, replace(whole, start=NOON + HOUR)]
    assert replaced([], [part, whole]) == [whole]
