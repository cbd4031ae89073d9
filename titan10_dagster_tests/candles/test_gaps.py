from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titan10_dagster.candles.gaps import (
    CONFIRMED_ABSENT,
    OBSERVATION_SPACING,
    REASONS,
    Evidence,
    Gap,
    Reason,
    count,
    explain,
    missing_runs,
    resumed,
)
from titan10_dagster.candles.slices import Series, Slice, Times, to_datetime64
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster_tests.candles import strategies as some

SLICE = some.HOURLY
STEP = SLICE.series.timeframe.delta
GRID = [SLICE.start + n * STEP for n in range(SLICE.expected)]
NEXT_DAY = SLICE.end + timedelta(hours=2, microseconds=1)

NO_CANDLES = np.empty(0, "datetime64[ms]")

# --- a model that decides candle by candle, without the arithmetic of the real code -----------------------------


@dataclass(frozen=True)
class Known:
    reason: Reason
    observations: int
    first_seen: datetime
    last_seen: datetime


def model(present: set[datetime], evidence: Evidence, previous: Sequence[Gap]) -> dict[datetime, Known]:
    return {t: model_of(t, present, evidence, previous) for t in GRID if t not in present}


def model_of(t: datetime, present: set[datetime], evidence: Evidence, previous: Sequence[Gap]) -> Known:
    now = evidence.observed_at
    was = next((gap for gap in previous if gap.start <= t < gap.end), None)
    broken = any(to_datetime64(t) <= q < to_datetime64(t + STEP) for q in evidence.quarantined)
    twice = any(to_datetime64(t) <= q < to_datetime64(t + STEP) for q in evidence.broken_twice)
    beyond = evidence.horizon is not None and t < evidence.horizon
    heard = evidence.answered and t + STEP <= now and not beyond and not broken
    known = Known(Reason.UNKNOWN, 0, now, now)
    if was:
        known = Known(was.reason, was.observations, was.first_seen, was.last_seen)
    reported_delisted = evidence.delisted is not None and t >= evidence.delisted
    delisted_still = not any(p > t for p in present) and (evidence.delisted is None or reported_delisted)
    if known.reason is Reason.DELISTED and not delisted_still:
        known = replace(known, observations=0)
    if known.reason is Reason.BROKEN_AT_SOURCE and heard:
        known = replace(known, observations=0)
    reported_unlisted = evidence.listed is not None and t + STEP <= evidence.listed
    unlisted = reported_unlisted and not any(p < t for p in present)
    twice = twice and not unlisted and not (reported_delisted and delisted_still)
    if (heard or twice) and (known.observations == 0 or now - known.last_seen >= OBSERVATION_SPACING):
        known = replace(known, observations=known.observations + 1, last_seen=now)
    if twice:
        known = replace(known, observations=max(known.observations, 2))
    return replace(known, reason=model_reason(t, present, evidence, known, broken, twice, beyond, heard))


def model_reason(
    t: datetime,
    present: set[datetime],
    evidence: Evidence,
    known: Known,
    broken: bool,
    twice: bool,
    beyond: bool,
    heard: bool,
) -> Reason:
    traded_before, traded_after = any(p < t for p in present), any(p > t for p in present)
    reported_unlisted = evidence.listed is not None and t + STEP <= evidence.listed
    reported_delisted = evidence.delisted is not None and t >= evidence.delisted
    if reported_unlisted and not traded_before:
        return Reason.PRE_LISTING
    if reported_delisted and not traded_after:
        return Reason.DELISTED
    if broken:
        return Reason.BROKEN_AT_SOURCE if twice else Reason.QUARANTINED
    if known.reason in CONFIRMED_ABSENT:
        return known.reason
    unlisted_still = known.reason is Reason.PRE_LISTING and not traded_before and evidence.listed is None
    delisted_still = known.reason is Reason.DELISTED and not traded_after and evidence.delisted is None
    if unlisted_still or delisted_still:
        return known.reason
    kept_if_unheard = (Reason.BROKEN_AT_SOURCE,) if beyond else (Reason.QUARANTINED, Reason.BROKEN_AT_SOURCE)
    if known.reason in kept_if_unheard and not heard:
        return known.reason
    if known.observations >= 2:
        return Reason.NO_TRADES
    if beyond:
        return Reason.BEYOND_HORIZON
    if known.reason is Reason.BEYOND_HORIZON and not heard and evidence.horizon is None:
        return known.reason
    return Reason.UNKNOWN


# --- strategies ------------------------------------------------------------------------------------------------

whenever = st.integers(-90, 26 * 60).map(lambda minutes: some.after(SLICE, minutes=minutes))
perhaps = st.none() | whenever
presence = st.sets(st.sampled_from(GRID)) | st.sets(st.sampled_from(GRID), min_size=18)
looked_at = st.integers(-3, 60).map(lambda hours: some.after(SLICE, hours=hours, microseconds=1))
broken_starts = st.lists(st.integers(-30, 25 * 60), max_size=4).map(
    lambda minutes: np.array([to_datetime64(some.after(SLICE, minutes=m)) for m in minutes], "datetime64[ms]")
)


@st.composite
def some_evidence(draw: st.DrawFn) -> Evidence:
    """Draw the evidence of a fetch. Rows that were broken twice are a subset of the broken rows."""
    broken = draw(broken_starts)
    twice = broken[: draw(st.integers(0, len(broken)))]
    return Evidence(
        draw(looked_at),
        answered=draw(st.booleans()),
        horizon=draw(perhaps),
        listed=draw(perhaps),
        delisted=draw(perhaps),
        quarantined=broken,
        broken_twice=twice,
    )


evidences = some_evidence()
looks = st.tuples(presence, evidences)
histories = st.lists(looks, min_size=1, max_size=5)


@st.composite
def known_gaps(draw: st.DrawFn) -> list[Gap]:
    """Draw gaps that a database can contain: disjoint gaps with any reason and any count."""
    edges = sorted(draw(st.sets(st.integers(0, SLICE.expected), max_size=10)))
    gaps = []
    for a, b in pairwise(edges):
        first, last = sorted((draw(looked_at), draw(looked_at)))
        reason, observations = draw(st.sampled_from(Reason)), draw(st.integers(0, 3))
        gaps.append(Gap(SLICE.start + a * STEP, SLICE.start + b * STEP, reason, observations, first, last))
    return [gap for gap in gaps if draw(st.booleans())]


def starts(instants: Iterable[datetime]) -> Times:
    return np.array([to_datetime64(t) for t in instants], "datetime64[ms]")


def by_candle(gaps: Sequence[Gap]) -> dict[datetime, Known]:
    cells: dict[datetime, Known] = {}
    for gap in gaps:
        for t in (t for t in GRID if gap.start <= t < gap.end):
            assert t not in cells, "two gaps over one candle"
            cells[t] = Known(gap.reason, gap.observations, gap.first_seen, gap.last_seen)
    return cells


def story(history: Sequence[tuple[set[datetime], Evidence]]) -> list[list[Gap]]:
    """Return the gaps after each observation. Each observation starts with the gaps of the previous observation."""
    explained: list[list[Gap]] = [[]]
    for present, evidence in history:
        explained.append(explain(starts(present), SLICE, evidence, explained[-1]))
    return explained[1:]


# --- properties ------------------------------------------------------------------------------------------------


@settings(max_examples=400)
@given(presence, evidences, known_gaps())
def test_every_missing_candle_is_explained_as_the_model_does(
    present: set[datetime], evidence: Evidence, previous: list[Gap]
) -> None:
    assert by_candle(explain(starts(present), SLICE, evidence, previous)) == model(present, evidence, previous)


@given(presence, evidences, known_gaps())
def test_gaps_are_sorted_disjoint_and_as_long_as_they_can_be(
    present: set[datetime], evidence: Evidence, previous: list[Gap]
) -> None:
    gaps = explain(starts(present), SLICE, evidence, previous)
    assert all(gap.start < gap.end for gap in gaps)
    for gap, following in pairwise(gaps):
        assert gap.end <= following.start
        joined = replace(following, start=gap.start, end=gap.end)
        assert gap.end < following.start or gap != joined, "two gaps that are one"


@given(presence, evidences, known_gaps())
def test_the_same_evidence_twice_changes_nothing(
    present: set[datetime], evidence: Evidence, previous: list[Gap]
) -> None:
    once = explain(starts(present), SLICE, evidence, previous)
    assert explain(starts(present), SLICE, evidence, once) == once


@given(histories)
def test_observations_never_fall_and_rise_by_one_after_six_hours(
    history: list[tuple[set[datetime], Evidence]],
) -> None:
    explained = [by_candle(gaps) for gaps in story(history)]
    for before, now in pairwise(explained):
        for t in before.keys() & now.keys():
            if (before[t].reason, now[t].reason) == (Reason.DELISTED, Reason.PRE_LISTING):
                # After a revoked delisting, the count starts again. The gaps do not show whether a delisting was
                # revoked.
                assert now[t].observations in {0, 1, before[t].observations, before[t].observations + 1}
                continue
            if Reason.BROKEN_AT_SOURCE in (before[t].reason, now[t].reason):
                # A second broken answer counts as two observations. After it, the observations of an absent candle
                # start at one.
                assert now[t].observations in {1, 2, before[t].observations, before[t].observations + 1}
                continue
            resumes = before[t].reason is Reason.DELISTED is not now[t].reason
            counted = 0 if resumes else before[t].observations
            grown = now[t].observations - counted
            assert grown in (0, 1)
            assert now[t].first_seen == before[t].first_seen
            if grown and counted:
                assert now[t].last_seen - before[t].last_seen >= OBSERVATION_SPACING
            if not grown:
                assert now[t].last_seen == before[t].last_seen


@given(histories)
def test_nothing_is_called_no_trades_without_two_good_answers_six_hours_apart(
    history: list[tuple[set[datetime], Evidence]],
) -> None:
    for n, gaps in enumerate(story(history), 1):
        answered = [evidence.observed_at for _, evidence in history[:n] if evidence.answered]
        if any(gap.reason is Reason.NO_TRADES for gap in gaps):
            assert max(answered) - min(answered) >= OBSERVATION_SPACING


@given(histories, known_gaps())
def test_a_received_candle_is_in_no_gap(history: list[tuple[set[datetime], Evidence]], previous: list[Gap]) -> None:
    for present, evidence in history:
        previous = explain(starts(present), SLICE, evidence, previous)
        assert not by_candle(previous).keys() & present
        assert by_candle(previous).keys() | present == set(GRID)


@given(presence)
def test_missing_runs_are_the_complement_of_the_candles(present: set[datetime]) -> None:
    runs = missing_runs(starts(present), SLICE)
    assert [t for t in GRID if any(a <= t < b for a, b in runs)] == [t for t in GRID if t not in present]
    assert all(a < b for a, b in runs)
    assert all(b < c for (_, b), (c, _) in pairwise(runs))


@given(presence, st.lists(whenever, max_size=5), evidences)
def test_times_off_the_grid_or_of_other_days_fill_nothing(
    present: set[datetime], strays: list[datetime], evidence: Evidence
) -> None:
    strays = [t for t in strays if t not in GRID]
    assert missing_runs(starts([*strays, *present]), SLICE) == missing_runs(starts(present), SLICE)
    assert explain(starts([*strays, *present]), SLICE, evidence) == explain(starts(present), SLICE, evidence)


# --- single cases ----------------------------------------------------------------------------------------------


def reasons(gaps: Sequence[Gap]) -> list[tuple[int, Reason, int]]:
    """Candles, reason and observations of each gap."""
    return [(count(gap, SLICE.series.timeframe), gap.reason, gap.observations) for gap in gaps]


def test_a_whole_slice_has_no_gaps() -> None:
    assert explain(SLICE.grid(), SLICE, Evidence(NEXT_DAY)) == []


def test_an_absent_candle_is_unknown_until_the_second_observation_six_hours_later() -> None:
    first = explain(NO_CANDLES, SLICE, Evidence(NEXT_DAY))
    early = explain(NO_CANDLES, SLICE, Evidence(NEXT_DAY + timedelta(hours=5, minutes=59)), first)
    late = explain(NO_CANDLES, SLICE, Evidence(NEXT_DAY + OBSERVATION_SPACING), early)
    assert reasons(first) == [(24, Reason.UNKNOWN, 1)]
    assert early == first
    assert reasons(late) == [(24, Reason.NO_TRADES, 2)]


def test_observations_without_an_answer_prove_nothing() -> None:
    gaps: list[Gap] = []
    for hours in range(0, 72, 12):
        gaps = explain(NO_CANDLES, SLICE, Evidence(NEXT_DAY + timedelta(hours=hours), answered=False), gaps)
    assert gaps == [Gap(SLICE.start, SLICE.end, Reason.UNKNOWN, 0, NEXT_DAY, NEXT_DAY)]


def test_a_day_beyond_the_horizon_never_becomes_no_trades() -> None:
    gaps: list[Gap] = []
    for hours in range(0, 72, 12):
        evidence = Evidence(NEXT_DAY + timedelta(hours=hours), horizon=SLICE.end)
        gaps = explain(NO_CANDLES, SLICE, evidence, gaps)
    assert reasons(gaps) == [(24, Reason.BEYOND_HORIZON, 0)]


def test_a_gap_proven_before_the_horizon_passed_it_stays_proven() -> None:
    proven = Gap(SLICE.start, SLICE.end, Reason.NO_TRADES, 2, NEXT_DAY, NEXT_DAY)
    evidence = Evidence(NEXT_DAY + timedelta(days=9), horizon=SLICE.end)
    assert explain(NO_CANDLES, SLICE, evidence, [proven]) == [proven]


def test_the_hours_still_to_come_are_not_seen_absent() -> None:
    gaps: list[Gap] = []
    for hour in (1, 8, 15, 22):
        gaps = explain(NO_CANDLES, SLICE, Evidence(some.after(SLICE, hours=hour)), gaps)
    assert reasons(gaps) == [
        (1, Reason.NO_TRADES, 4),
        (7, Reason.NO_TRADES, 3),
        (7, Reason.NO_TRADES, 2),
        (7, Reason.UNKNOWN, 1),
        (2, Reason.UNKNOWN, 0),
    ]


def test_a_candle_in_the_middle_parts_a_gap_and_both_parts_remember() -> None:
    whole = explain(NO_CANDLES, SLICE, Evidence(NEXT_DAY))
    parted = explain(SLICE.grid()[10:11], SLICE, Evidence(NEXT_DAY + timedelta(hours=1)), whole)
    assert reasons(parted) == [(10, Reason.UNKNOWN, 1), (13, Reason.UNKNOWN, 1)]
    assert {gap.first_seen for gap in parted} == {NEXT_DAY}


def test_a_halt_recorded_as_a_delisting_needs_two_observations_again() -> None:
    closed = Evidence(NEXT_DAY, delisted=GRID[20])
    gaps = explain(starts(GRID[:20]), SLICE, closed)
    gaps = explain(starts(GRID[:20]), SLICE, replace(closed, observed_at=NEXT_DAY + OBSERVATION_SPACING), gaps)
    assert [(gap.reason, gap.observations) for gap in gaps] == [(Reason.DELISTED, 2)]
    reopened = resumed(gaps, SLICE, GRID[22])
    assert [(gap.start, gap.reason, gap.observations) for gap in reopened] == [
        (GRID[20], Reason.UNKNOWN, 0),
        (GRID[22], Reason.DELISTED, 2),
    ]
    for hours, reason in ((7, Reason.UNKNOWN), (14, Reason.NO_TRADES)):
        evidence = Evidence(NEXT_DAY + timedelta(hours=hours))
        gaps = explain(starts([*GRID[:20], *GRID[22:]]), SLICE, evidence, gaps)
        assert [gap.reason for gap in gaps] == [reason]


def test_the_edges_of_listing_and_delisting_part_a_gap() -> None:
    evidence = Evidence(NEXT_DAY, listed=GRID[5], delisted=GRID[20])
    assert reasons(explain(SLICE.grid()[8:10], SLICE, evidence)) == [
        (5, Reason.PRE_LISTING, 1),
        (3, Reason.UNKNOWN, 1),
        (10, Reason.UNKNOWN, 1),
        (4, Reason.DELISTED, 1),
    ]


def test_the_candle_during_which_the_listing_was_is_expected() -> None:
    evidence = Evidence(NEXT_DAY, listed=GRID[5] + STEP / 2)
    assert reasons(explain(NO_CANDLES, SLICE, evidence))[0] == (5, Reason.PRE_LISTING, 1)


def test_a_candle_before_the_reported_listing_proves_the_listing_wrong() -> None:
    explained = explain(NO_CANDLES, SLICE, Evidence(NEXT_DAY, listed=SLICE.end))
    assert reasons(explained) == [(24, Reason.PRE_LISTING, 1)]
    shown = explain(SLICE.grid()[3:4], SLICE, Evidence(NEXT_DAY, listed=SLICE.end), explained)
    assert reasons(shown) == [(3, Reason.PRE_LISTING, 1), (20, Reason.UNKNOWN, 1)]


def test_an_outage_stays_an_outage_after_further_observations() -> None:
    outage = Gap(GRID[2], GRID[4], Reason.OUTAGE, 1, NEXT_DAY, NEXT_DAY)
    there = np.delete(SLICE.grid(), [2, 3])
    later = explain(there, SLICE, Evidence(NEXT_DAY + timedelta(days=1)), [outage])
    assert reasons(later) == [(2, Reason.OUTAGE, 2)]


def test_a_broken_candle_is_quarantined_and_does_not_prove_absence() -> None:
    gaps: list[Gap] = []
    broken = SLICE.grid()[7:8] + np.timedelta64(1, "s")
    for hours in (0, 12, 24):
        evidence = Evidence(NEXT_DAY + timedelta(hours=hours), quarantined=broken)
        gaps = explain(np.delete(SLICE.grid(), 7), SLICE, evidence, gaps)
    assert reasons(gaps) == [(1, Reason.QUARANTINED, 0)]
    gone = explain(np.delete(SLICE.grid(), 7), SLICE, Evidence(NEXT_DAY + timedelta(hours=36)), gaps)
    assert reasons(gone) == [(1, Reason.UNKNOWN, 1)]


def test_a_broken_candle_that_the_exchange_no_longer_serves_is_final() -> None:
    broken, present = SLICE.grid()[7:8], np.delete(SLICE.grid(), 7)
    gaps = explain(present, SLICE, Evidence(NEXT_DAY, quarantined=broken))
    assert reasons(gaps) == [(1, Reason.QUARANTINED, 0)]
    later = NEXT_DAY + timedelta(hours=6)
    again = explain(present, SLICE, Evidence(later, quarantined=broken, horizon=SLICE.end), gaps)
    assert reasons(again) == [(1, Reason.QUARANTINED, 0)]
    gone = explain(present, SLICE, Evidence(later, horizon=SLICE.end), gaps)
    assert reasons(gone) == [(1, Reason.BEYOND_HORIZON, 0)]


def test_a_candle_received_broken_twice_is_counted_until_its_last_check() -> None:
    broken = SLICE.grid()[7:8]
    present = np.delete(SLICE.grid(), 7)
    first = explain(present, SLICE, Evidence(NEXT_DAY, quarantined=broken))
    gaps = first
    counted = []
    for hours in (6, 8, 30, 198):
        evidence = Evidence(NEXT_DAY + timedelta(hours=hours), quarantined=broken, broken_twice=broken)
        gaps = explain(present, SLICE, evidence, gaps)
        counted.append(reasons(gaps))
    # Two hours after the last observation is too early to count.
    assert counted == [[(1, Reason.BROKEN_AT_SOURCE, n)] for n in (2, 2, 3, 4)]
    failed = explain(present, SLICE, Evidence(NEXT_DAY + timedelta(hours=210), answered=False), gaps)
    assert reasons(failed) == [(1, Reason.BROKEN_AT_SOURCE, 4)]
    absent = explain(present, SLICE, Evidence(NEXT_DAY + timedelta(hours=210)), gaps)
    assert reasons(absent) == [(1, Reason.UNKNOWN, 1)]
    assert explain(SLICE.grid(), SLICE, Evidence(NEXT_DAY + timedelta(hours=210)), gaps) == []


def test_a_gap_of_another_day_or_reaching_beyond_it_is_cut_to_the_day() -> None:
    day = timedelta(days=1)
    wide = Gap(SLICE.start - day, SLICE.end + day, Reason.OUTAGE, 1, NEXT_DAY, NEXT_DAY)
    other = replace(wide, end=SLICE.start, reason=Reason.DELISTED)
    gaps = explain(NO_CANDLES, SLICE, Evidence(NEXT_DAY, answered=False), [wide, other])
    assert gaps == [replace(wide, start=SLICE.start, end=SLICE.end)]


@pytest.mark.parametrize("days", [-400, -1, 1, 400])
def test_evidence_of_a_distant_time_is_not_an_error(days: int) -> None:
    far = SLICE.start + timedelta(days=days)
    evidence = Evidence(far, horizon=far, listed=far, delisted=far)
    assert by_candle(explain(NO_CANDLES, SLICE, evidence)) == model(set(), evidence, [])


def test_every_reason_has_a_sentence() -> None:
    assert set(REASONS) == set(Reason)
    assert all(facts.sentence.endswith(".") for facts in REASONS.values())
    assert not REASONS[Reason.UNKNOWN].settled


@pytest.mark.skipif("TITAN10_TEST_DATA" not in os.environ, reason="real candles: set TITAN10_TEST_DATA")
def test_every_missing_minute_of_real_candles_is_explain() -> None:
    folder = Path(os.environ["TITAN10_TEST_DATA"])
    timeframe = Timeframe.parse("1m")
    gaps: list[Gap] = []
    for day, candles in some.real_candles(folder, "binance_XRP-ETH_1m_2019-10.csv.gz").by_day().items():
        slice_ = Slice(Series("binance", "XRP/ETH", timeframe), day)
        found = explain(candles.times, slice_, Evidence(some.LATER))
        assert sum(count(gap, timeframe) for gap in found) == slice_.expected - len(candles)
        gaps += found
    absent_inside = sum(count(gap, timeframe) for gap in gaps[:-1])
    assert absent_inside == 1091


def test_one_observation_of_a_published_file_is_enough() -> None:
    absent = SLICE.grid()[:-10]
    (seen_once,) = explain(absent, SLICE, Evidence(NEXT_DAY))
    (published,) = explain(absent, SLICE, Evidence(NEXT_DAY, finished=True))
    assert (seen_once.reason, published.reason) == (Reason.UNKNOWN, Reason.NO_TRADES)
