"""Forecasts: costs add up, a slow pace takes longer, and forecast and result are compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.candles.fetched import Source
from titan10_dagster.planning.forecast import (
    BYTES_COMPRESSED,
    Cost,
    Forecast,
    Speed,
    forecast_runs,
    joined,
    result_sentence,
    seconds_at_pace,
    sentence,
    side_by_side,
)
from titan10_dagster.planning.pace import FULL, Pace

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
SPEED = Speed(pages=1_000, files=1_000, stored=100, run_seconds=2)


def test_the_costs_of_two_runs_add_up_source_by_source() -> None:
    runs = [{Source.REST: Cost(requests=3, seconds=1)}, {Source.REST: Cost(4), Source.ARCHIVE: Cost(2, 1, 0, 500, 9)}]
    assert joined(runs) == {Source.REST: Cost(7, seconds=1), Source.ARCHIVE: Cost(2, 1, 0, 500, 9)}


def test_a_forecast_counts_time_to_store_and_the_runs_themselves() -> None:
    runs = [{Source.REST: Cost(requests=3, seconds=10)}, {Source.REST: Cost(requests=4, seconds=20)}]
    forecast = forecast_runs(runs, 2, 1_000, is_compressed=True, speed=SPEED)
    assert forecast.cost == Cost(requests=7, seconds=30)
    assert forecast.seconds == 30 + 1_000 / 100 + 2 * 2
    assert forecast.stored_bytes == 1_000 * BYTES_COMPRESSED
    assert forecast.ends_at(NOW) == NOW + timedelta(seconds=44)


def test_a_busy_machine_is_slower_and_an_idle_one_is_not_faster() -> None:
    assert SPEED.under(0.2, cores=2) == SPEED
    assert SPEED.under(6, cores=2) == Speed(pages=500, files=500, stored=50, run_seconds=4)


def test_a_faster_machine_needs_less_time_for_all_work() -> None:
    assert SPEED.times(2) == Speed(pages=2_000, files=2_000, stored=200, run_seconds=1)


def test_candles_need_more_room_without_compression() -> None:
    plain = forecast_runs([], 1, 1_440, is_compressed=False)
    assert plain.stored_bytes > 10 * forecast_runs([], 1, 1_440, is_compressed=True).stored_bytes


def test_at_full_pace_each_request_takes_its_spacing() -> None:
    assert seconds_at_pace(100, 0.5, FULL, NOW) == 50
    assert seconds_at_pace(0, 0.5, Pace(rest_until=NOW + timedelta(hours=1)), NOW) == 0


def test_a_rest_comes_first() -> None:
    assert seconds_at_pace(10, 1, Pace(rest_until=NOW + timedelta(seconds=30)), NOW) == 40


def test_half_a_pace_recovers_on_the_way() -> None:
    halved = Pace(0.5, NOW)
    assert seconds_at_pace(1, 1, halved, NOW) == pytest.approx(2, rel=0.01)
    # Five minutes of recovery at three quarters of the pace on average, then the full pace.
    assert seconds_at_pace(1_000, 1, halved, NOW) == pytest.approx(300 + 1_000 - 225)


@given(
    requests=st.integers(1, 5_000),
    spacing=st.floats(0.01, 2),
    share=st.floats(0.0625, 1),
    ago=st.floats(0, 700),
)
def test_the_time_makes_exactly_so_many_requests(requests: int, spacing: float, share: float, ago: float) -> None:
    """Adding up the pace second by second gives the number of requests."""
    pace = Pace(share, NOW - timedelta(seconds=ago))
    seconds = seconds_at_pace(requests, spacing, pace, NOW)
    steps = 2_000
    made = 0.0
    for step in range(steps):
        middle = NOW + timedelta(seconds=(step + 0.5) * seconds / steps)
        made += pace.as_of(middle) * seconds / steps / spacing
    assert made == pytest.approx(requests, rel=0.01, abs=0.01)


def test_a_sentence_names_requests_files_time_space_and_end() -> None:
    forecast = Forecast(31, 44_640, 1, {Source.ARCHIVE: Cost(2, 1, 0, 1_800_000, 3)}, 2.0, 580_320)
    assert sentence(forecast, NOW) == (
        "Forecast for 31 slices in 1 run(s): 2 requests, 1 archive files with 1.8 MB, 3.0 s of fetching at the present "
        "pace, 5.0 s in all, 0.6 MB in the database; done at 2024-03-10 12:00 UTC."
    )


def test_a_result_is_a_sentence_too() -> None:
    costs = {Source.REST: Cost(requests=40, seconds=2), Source.ARCHIVE: Cost(2, 3, 2, 1_800_000, 3)}
    assert result_sentence(costs, 44_640) == (
        "Result: 42 requests, 3 (2 of them from the cache) archive files with 1.8 MB, 44,640 candles in 5.0 s of "
        "fetching."
    )


def test_without_slices_the_forecast_says_that_nothing_is_left() -> None:
    assert sentence(Forecast(), NOW) == "Forecast: no requests, because all days are fetched already."


def test_forecast_and_result_stand_side_by_side() -> None:
    forecast = Forecast(31, 44_640, 1, {Source.ARCHIVE: Cost(2, 1, 1, 1_800_000, 3)}, 2.0, 580_320)
    result = {Source.ARCHIVE: Cost(4, 2, 0, 1_700_000, 5.5)}
    rows = side_by_side(forecast, result, candles=44_600, seconds=6.44)
    assert rows == [
        ("requests", "2", "4"),
        ("files", "1 (1 of them from the cache)", "2"),
        ("downloaded", "1.8 MB", "1.7 MB"),
        ("candles", "44,640", "44,600"),
        ("seconds of fetching", "3.0", "5.5"),
        ("seconds in all", "5.0", "6.4"),
    ]


def test_a_forecast_is_json() -> None:
    forecast = forecast_runs([{Source.REST: Cost(requests=3, seconds=10)}], 2, 1_000, is_compressed=True, speed=SPEED)
    assert forecast.to_json() == {
        "slices": 2,
        "candles": 1_000,
        "runs": 1,
        "sources": {"rest": {"requests": 3, "files": 0, "cached": 0, "bytes": 0, "seconds": 10}},
        "seconds": 22.0,
        "stored_bytes": 13_000,
    }
