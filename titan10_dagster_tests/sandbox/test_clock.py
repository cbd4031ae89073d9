from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from titan10_dagster.sandbox.clock import Clock, instant_ms

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
NEW_YEAR_MS = 1_767_225_600_000


def test_instants_are_read_from_numbers_text_and_datetimes() -> None:
    for given in (NEW_YEAR_MS, float(NEW_YEAR_MS), NEW_YEAR, "2026-01-01", "2026-01-01T01:00:00+01:00"):
        assert instant_ms(given) == NEW_YEAR_MS


def test_time_stands_still_moves_and_runs_on() -> None:
    clock = Clock(NEW_YEAR)
    assert clock.now_ms() == NEW_YEAR_MS
    clock.shift(1.5)
    assert clock.now_ms() == NEW_YEAR_MS + 1_500
    clock.run_from(NEW_YEAR_MS)
    assert NEW_YEAR_MS <= clock.now_ms() < NEW_YEAR_MS + 60_000
    clock.real()
    assert abs(clock.now_ms() - time.time() * 1_000) < 60_000


def test_time_can_come_from_a_function() -> None:
    now = [NEW_YEAR]
    clock = Clock(lambda: now[0])
    now[0] += timedelta(hours=1)
    assert clock.now_ms() == NEW_YEAR_MS + 3_600_000
    clock.shift(60)
    assert clock.now_ms() == NEW_YEAR_MS + 3_660_000
