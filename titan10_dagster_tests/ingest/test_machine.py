"""The speed of this machine is measured once, and follows the load."""

from __future__ import annotations

import os

import pytest

from titan10_dagster.ingest.machine import seconds_of_work, speed_now


def test_the_work_is_measured_once_and_quickly() -> None:
    assert 0.000_05 < seconds_of_work() < 0.1
    assert seconds_of_work.cache_info().misses == 1


def test_a_machine_under_load_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    idle = speed_now()
    monkeypatch.setattr(os, "getloadavg", lambda: (6.0, 0.0, 0.0))
    busy = speed_now()
    assert busy.stored == pytest.approx(idle.stored / 2)
    assert busy.run_seconds == pytest.approx(2 * idle.run_seconds)
