"""The notes of the ledger decide for which days beyond the horizon the archive is tried again."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from titan10_dagster.candles.slices import Series
from titan10_dagster.planning.missing_days import Stretch
from titan10_dagster.store import ledger
from titan10_dagster.store.database import Database
from titan10_dagster.store.reopened import Tried, reopened_days, stretches
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import DAY, FETCHED, MINUTE, NO_ROWS, a_slice, judged

ONE = timedelta(days=1)
BTC, ETH = Series("gate", "BTC/USDT", MINUTE), Series("gate", "ETH/USDT", MINUTE)
TRIED = Tried("archive: ", ("not published", "could not be downloaded"), FETCHED + ONE)
NOTES = (
    None,
    "some other note",
    "archive: a.zip is not in the archive",
    "archive: a.zip is not published yet",
    "archive: http://x could not be downloaded (HTTP 503)",
    "archive: 3 of 1440 candles are not in its files",
)


def write(db: Database, symbol: str, day: date, note: str | None, *, beyond: bool = True) -> None:
    slice_ = a_slice(symbol, day, "gate")
    write_slices(db, [judged(slice_, NO_ROWS, horizon=slice_.end if beyond else None, note=note)])


def days_of(db: Database, tried: Tried = TRIED, first: date = DAY) -> list[tuple[str, Stretch]]:
    return [(found.symbols[0], found.stretch) for found in reopened_days(db, {BTC: first, ETH: first}, tried)]


def test_days_beyond_the_horizon_that_no_archive_was_tried_for_are_open(db: Database) -> None:
    for n in (0, 1, 3):
        write(db, "BTC/USDT", DAY + n * ONE, None)
    write(db, "ETH/USDT", DAY, None, beyond=False)
    assert days_of(db) == [
        ("BTC/USDT", Stretch(DAY, DAY + ONE)),
        ("BTC/USDT", Stretch(DAY + 3 * ONE, DAY + 3 * ONE)),
    ]


def test_days_before_the_first_file_stay_final(db: Database) -> None:
    write(db, "BTC/USDT", DAY, None)
    assert days_of(db, first=DAY + ONE) == []


@pytest.mark.parametrize("note", NOTES)
@pytest.mark.parametrize("waited", [False, True])
@pytest.mark.parametrize("untried", [False, True])
def test_sql_and_python_decide_alike(db: Database, note: str | None, waited: bool, untried: bool) -> None:
    tried = Tried(TRIED.prefix, TRIED.passing, FETCHED if waited else FETCHED - timedelta(seconds=1), untried)
    write(db, "BTC/USDT", DAY, note)
    (row,) = ledger.slices(db, "gate", MINUTE, ["BTC/USDT"], DAY, DAY)
    assert bool(days_of(db, tried)) == tried.reopens(row.note, row.fetched_at)


def test_a_day_without_a_file_is_not_requested_again() -> None:
    assert not TRIED.reopens("archive: a.zip is not in the archive", FETCHED)
    assert not TRIED.reopens("archive: 3 of 1440 candles are not in its files", FETCHED)
    assert TRIED.reopens("archive: a.zip is not published yet", FETCHED)
    assert not TRIED.reopens("archive: a.zip is not published yet", FETCHED + 2 * ONE)


def test_neighbouring_days_are_one_stretch() -> None:
    assert stretches([]) == []
    apart = DAY + 5 * ONE
    assert stretches([DAY, DAY + ONE, apart]) == [Stretch(DAY, DAY + ONE), Stretch(apart, apart)]
