"""A simulated year of one exchange: a month by default, the whole year in `make nightly`.

`TITAN10_TEST_YEAR_DAYS`  how many days
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from titan10_dagster_tests.simulation.away import hurry
from titan10_dagster_tests.simulation.events import Delisting, Halt, Late, Listing, Redenominated, Relisting, Renamed
from titan10_dagster_tests.simulation.oracle import judge
from titan10_dagster_tests.simulation.requests import distribution, most_requested
from titan10_dagster_tests.simulation.week import Week
from titan10_dagster_tests.simulation.year import write

DAYS = int(os.environ.get("TITAN10_TEST_YEAR_DAYS", "30"))
SEED = int(os.environ.get("TITAN10_TEST_FIRST_SEED", "1"))


@pytest.fixture
def year(database_url: str, tmp_path: Path) -> Iterator[Week]:
    hurry(database_url)
    with Week(write(SEED, DAYS), database_url, tmp_path) as year:
        yield year


@pytest.mark.timeout(3600)
def test_after_a_year_every_missing_candle_has_its_reason_and_no_slice_is_requested_without_end(year: Week) -> None:
    record = year.live()
    wrong = judge(year)
    print(f"\nrequests of {DAYS} days: {distribution(record.requests.values())}")  # noqa: T201
    print(f"most requested: {most_requested(record.requests, 5)}")  # noqa: T201
    assert not wrong, "\n".join([*map(str, wrong), year.story.described()])


def test_a_year_has_every_kind_of_change_and_all_of_them_end_within_it() -> None:
    for days in (30, 365):
        for seed in range(20):
            story = write(seed, days)
            for kind in (Delisting, Halt, Late, Listing, Redenominated, Relisting, Renamed):
                assert story.of(kind)
            assert all(event.span.end < story.judged_end for event in (*story.of(Relisting), *story.of(Halt)))
            assert all(event.span.end < story.end - timedelta(days=8) for event in story.of(Late))
