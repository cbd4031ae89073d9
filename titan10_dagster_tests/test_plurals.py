"""Counts in sentences."""

from __future__ import annotations

from titan10_dagster.plurals import counted


def test_only_one_thing_is_in_the_singular() -> None:
    assert [counted(number, "line") for number in (0, 1, 2, 1440)] == ["0 lines", "1 line", "2 lines", "1,440 lines"]
