"""A process reads a landed file and checks it against the candle rules only once. A replaced file is checked again."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import FetchedSlice, FetchRecord
from titan10_dagster.candles.rules import Concern
from titan10_dagster.candles.slices import Slice
from titan10_dagster.ingest.judge import JudgedFiles, exceeds_broken_limit, judge_slice, summary_of, verdict_of
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.settings import CheckSettings
from titan10_dagster_tests.candles import strategies as some

SLICE = some.MINUTELY


class CountingZone(LandingZone):
    """A landing zone that counts how often a file or a footer is read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.files = 0
        self.footers = 0

    def read(self, slice_: Slice) -> FetchedSlice | None:
        self.files += 1
        return super().read(slice_)

    def record(self, slice_: Slice) -> FetchRecord | None:
        self.footers += 1
        return super().record(slice_)


@pytest.fixture
def zone(tmp_path: Path) -> CountingZone:
    return CountingZone(tmp_path / "landing")


def fetched(slice_: Slice = SLICE, *, broken: int = 0) -> FetchedSlice:
    """Return a slice with a negative volume in the first `broken` candles."""
    candles = some.whole_slice(slice_)
    values = candles.values.copy()
    values[4, :broken] = -1.0
    record = FetchRecord(slice_, some.LATER, "rest", 2, 0, 0.1, answered=True, horizon=None)
    return FetchedSlice(record, Candles(candles.times, values))


def of_day(day: int) -> Slice:
    return replace(SLICE, day=date(2024, 3, day))


def test_what_this_process_landed_is_not_read_at_all(zone: CountingZone) -> None:
    files = JudgedFiles(zone)
    files.add(zone.write(fetched(broken=3)))
    zone.files = zone.footers = 0
    assert files.records([SLICE])[SLICE] == fetched().record
    verdict = files.verdict(SLICE)
    assert verdict is not None
    assert (verdict.valid, verdict.broken, verdict.counts) == (1437, 3, {"volume_negative": 3})
    judged = files.take(SLICE)
    assert judged is not None
    some.assert_same(judged.verdict.valid, verdict_of(fetched(broken=3)).valid)
    assert (zone.files, zone.footers) == (0, 0)


def test_what_an_earlier_run_landed_is_read_once(zone: CountingZone) -> None:
    zone.write(fetched())
    zone.files = 0
    files = JudgedFiles(zone)
    for _ in range(3):
        assert files.records([SLICE])
        assert files.verdict(SLICE) is not None
    assert files.take(SLICE) is not None
    assert (zone.files, zone.footers) == (1, 1)


def test_candles_are_given_up_when_they_are_taken(zone: CountingZone) -> None:
    files = JudgedFiles(zone)
    files.add(zone.write(fetched()))
    zone.files = 0
    first, second = files.take(SLICE), files.take(SLICE)
    assert first is not None
    assert second is not None
    assert zone.files == 1
    some.assert_same(first.verdict.valid, second.verdict.valid)


def test_a_file_that_another_process_replaced_is_judged_again(zone: CountingZone) -> None:
    files = JudgedFiles(zone)
    files.add(zone.write(fetched()))
    LandingZone(zone.root).write(fetched(broken=5))
    verdict = files.verdict(SLICE)
    assert verdict is not None
    assert verdict.broken == 5


def test_a_file_that_is_gone_is_not_remembered(zone: CountingZone) -> None:
    files = JudgedFiles(zone)
    files.add(zone.write(fetched()))
    zone.path(SLICE).unlink()
    assert (files.records([SLICE]), files.verdict(SLICE), files.take(SLICE)) == ({}, None, None)


def test_a_damaged_file_counts_as_not_landed(zone: CountingZone) -> None:
    zone.write(fetched())
    os.truncate(zone.path(SLICE), 100)
    files = JudgedFiles(zone)
    assert (files.records([SLICE]), files.verdict(SLICE), files.take(SLICE)) == ({}, None, None)


def test_candles_beyond_the_room_are_read_again_and_the_verdict_is_not(zone: CountingZone) -> None:
    days = [of_day(day) for day in range(1, 4)]
    room = 2 * fetched().candles.bytes
    files = JudgedFiles(zone, most_bytes=room)
    for day in days:
        files.add(zone.write(fetched(day)))
    zone.files = 0
    assert all(files.verdict(day) is not None for day in days)
    assert zone.files == 0
    assert all(files.take(day) is not None for day in days)
    assert zone.files == 1


def test_the_oldest_file_leaves_the_cache_first(zone: CountingZone) -> None:
    days = [of_day(day) for day in range(1, 4)]
    files = JudgedFiles(zone, most_files=2)
    for day in days:
        files.add(zone.write(fetched(day)))
    zone.footers = 0
    assert list(files.records(days)) == days
    assert zone.footers >= 1


@pytest.mark.parametrize(("broken", "over_limit"), [(0, False), (14, False), (15, True)])
def test_the_limit_of_broken_rows_is_their_share(broken: int, over_limit: bool) -> None:
    given = fetched(broken=broken)
    verdict = summary_of(given.record, verdict_of(given))
    assert exceeds_broken_limit(verdict, CheckSettings()) is over_limit
    assert verdict.broken_share == broken / 1440


def test_broken_rows_never_take_valid_rows_with_them() -> None:
    judged = judge_slice(fetched(broken=1300))
    assert (len(judged.verdict.valid), len(judged.verdict.broken)) == (140, 1300)
    assert judged.record.answered


def test_a_row_counts_once_for_each_concern() -> None:
    candles = some.whole_slice(SLICE)
    values, times = candles.values.copy(), candles.times.copy()
    values[4, :2] = -1.0
    values[0, :2] = -1.0
    times[1:4] += np.timedelta64(14_789, "ms")
    given = FetchedSlice(fetched().record, Candles(times, values))
    verdict = summary_of(given.record, verdict_of(given))
    assert verdict.by_concern == {Concern.VALUE: 2, Concern.TIME: 3}
    assert (verdict.broken, verdict.shift) == (4, timedelta(milliseconds=14_789))
