"""Binance's history of 2017-12 and 2018-02: hours without candles, and days with rows that start off the minute.

The rows have the times of BTCUSDT in the issues binance-public-data#14 and #77. In February 2018, the rows are on the
minute until 02-08 00:28, and absent until 02-09 09:28:14.789. Then they are 14.789 seconds late until 02-10 05:59. From
06:15 on, they are on the minute again. December 2017 has such rows too. A row that starts at :14.789 has trades of two
minutes. It is not a candle of either minute, so it is quarantined.
"""

from __future__ import annotations

import csv
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from titan10_dagster.candles.gaps import REASONS, Reason
from titan10_dagster.candles.slices import SliceState, days, from_ms, midnight, to_ms
from titan10_dagster.defs.partitions import RANGE_END, RANGE_START
from titan10_dagster.ingest.days import ledger_rows
from titan10_dagster.ingest.inspection import unaccounted_slices
from titan10_dagster_tests.contracts.sources import ROOT
from titan10_dagster_tests.integration.driving import go_to, run, tick
from titan10_dagster_tests.world import NOW, MakeWorld, World

DEFAULTS = tomllib.loads((ROOT / "titan10.toml").read_text())["exchanges"]["binance"]
SYMBOLS = DEFAULTS["symbols"][:2]  # two symbols that Binance had listed at that time
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class History:
    """Days of rows: on the minute in [first, stop) and [back, last], `shift` late in [shifted, shifted_until)."""

    first: date
    last: date
    stop: datetime
    shifted: datetime
    shifted_until: datetime
    back: datetime
    shift: timedelta

    def starts(self) -> Iterator[datetime]:
        """Yield the times of all rows."""
        yield from steps(midnight(self.first), self.stop)
        yield from steps(self.shifted + self.shift, self.shifted_until)
        yield from steps(self.back, midnight(self.last) + DAY)

    def on_the_minute(self) -> list[datetime]:
        return [start for start in self.starts() if start.second == start.microsecond == 0]

    def days(self) -> list[date]:
        return days(self.first, self.last)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def steps(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += MINUTE


FEBRUARY = History(
    date(2018, 2, 7), date(2018, 2, 11), at("2018-02-08 00:28"), at("2018-02-09 09:28"), at("2018-02-10 06:00"),
    at("2018-02-10 06:15"), timedelta(seconds=14.789),
)  # fmt: skip
DECEMBER = History(
    date(2017, 12, 4), date(2017, 12, 17), at("2017-12-04 06:00"), at("2017-12-04 06:10"), at("2017-12-17 11:30"),
    at("2017-12-17 11:40"), timedelta(seconds=1.5),
)  # fmt: skip
# 360 rows of a day are off the minute, and 1,080 rows around them are on the minute.
A_QUARTER = History(
    date(2018, 2, 7), date(2018, 2, 7), at("2018-02-07 06:00"), at("2018-02-07 06:00"), at("2018-02-07 12:00"),
    at("2018-02-07 12:00"), timedelta(seconds=14.789),
)  # fmt: skip
# Each row of two days starts at second :01.
ALWAYS = History(
    date(2018, 2, 7), date(2018, 2, 8), at("2018-02-07 00:00"), at("2018-02-07 00:00"), at("2018-02-09 00:00"),
    at("2018-02-09 00:00"), timedelta(seconds=1),
)  # fmt: skip


def write(history: History, path: Path) -> Path:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["timestamp", "open", "high", "low", "close", "volume"])
        for number, start in enumerate(history.starts()):
            price = 8000 + number % 97
            rows.writerow([to_ms(start), price, price + 2, price - 2, price + 1, 1 + number % 7])
    return path


def world_of(make_world: MakeWorld, folder: Path, history: History, symbols: Sequence[str] = SYMBOLS) -> World:
    path = write(history, folder / "history.csv")
    return make_world(
        {"binance": list(symbols)},
        settings={"binance": {"start": history.first, "timeframe": DEFAULTS["timeframe"]}},
        replay={("binance", symbol): path for symbol in symbols},
    )


def let_repairs_work(world: World, history: History, *, until: timedelta) -> Counter[date]:
    """Tick the repair sensor for this long, execute its requests, and count the runs of each day of the history."""
    requested: Counter[date] = Counter()
    for pause in (10 * MINUTE, 7 * HOUR, 14 * HOUR, 2 * DAY, 4 * DAY, 10 * DAY, 20 * DAY, 30 * DAY, 60 * DAY):
        if pause > until:
            break
        go_to(world, NOW + pause)
        for request in tick(world):
            first, last = (date.fromisoformat(request.tags[tag]) for tag in (RANGE_START, RANGE_END))
            requested.update(day for day in days(first, last) if history.first <= day <= history.last)
            assert run(world, request)
    return requested


@pytest.mark.parametrize("history", [FEBRUARY, DECEMBER, A_QUARTER, ALWAYS], ids=["2018-02", "2017-12", "360", "all"])
def test_every_valid_minute_is_stored_and_the_ledger_accounts_for_the_others(
    make_world: MakeWorld, tmp_path: Path, history: History
) -> None:
    world = world_of(make_world, tmp_path, history)
    done = world.backfill("binance", history.first, history.last)
    assert not done.failed, done.messages
    valid = [to_ms(start) for start in history.on_the_minute()]
    broken = sum(1 for _ in history.starts()) - len(valid)
    assert broken > 0
    for symbol in SYMBOLS:
        stored = world.stored("binance", symbol, history.first, history.last)
        assert stored[:, 0].astype(int).tolist() == valid
    slices = world.titan10.slices("binance", history.days())
    rows = ledger_rows(world.titan10, slices)
    assert set(rows) == set(slices)
    for row in rows.values():
        assert row.present + sum(row.missing.values()) == row.expected == 1440
    assert sum(row.quarantined for row in rows.values()) == broken * len(SYMBOLS)
    assert unaccounted_slices(world.titan10, "binance", history.days()) == []


@pytest.mark.parametrize("history", [FEBRUARY, DECEMBER, ALWAYS], ids=["2018-02", "2017-12", "all"])
def test_what_is_broken_at_the_source_becomes_final_and_is_not_requested_for_ever(
    make_world: MakeWorld, tmp_path: Path, history: History
) -> None:
    world = world_of(make_world, tmp_path, history)
    assert not world.backfill("binance", history.first, history.last).failed
    requested = let_repairs_work(world, history, until=20 * DAY)
    rows = ledger_rows(world.titan10, world.titan10.slices("binance", history.days()))
    reasons = Counter[Reason]()
    for row in rows.values():
        assert row.state is SliceState.SETTLED
        reasons.update(row.missing)
    assert all(REASONS[reason].settled for reason, count in reasons.items() if count), reasons
    assert reasons[Reason.BROKEN_AT_SOURCE] > 0
    # The runs are a second observation, and two later checks of the days with a silence.
    assert max(requested.values()) <= 3, requested
    assert let_repairs_work(world, history, until=60 * DAY)[history.first] == 0
    for pause in (90 * DAY, 120 * DAY):
        go_to(world, NOW + pause)
        for request in tick(world):
            assert date.fromisoformat(request.tags[RANGE_START]) > history.last


def test_the_shifted_days_alone_leave_the_same_ledger(make_world: MakeWorld, tmp_path: Path) -> None:
    world = world_of(make_world, tmp_path, FEBRUARY)
    first, last = date(2018, 2, 9), date(2018, 2, 10)
    assert not world.backfill("binance", first, last).failed
    rows = ledger_rows(world.titan10, world.titan10.slices("binance", [first, last]))
    good = {first: 0, last: 1065}
    assert {(slice_.day, row.present) for slice_, row in rows.items()} == set(good.items())
    assert all(row.quarantined > 0 for row in rows.values())
    with world.titan10.database.transaction() as cursor:
        cursor.execute("SELECT count(*), min(rules[1]), max(rules[1]) FROM quarantine")
        (found,) = cursor.fetchall()
    assert found == (2 * (872 + 360), "off_grid", "off_grid")


def test_a_refresh_requests_final_days_again(make_world: MakeWorld, tmp_path: Path) -> None:
    world = world_of(make_world, tmp_path, A_QUARTER)
    assert not world.backfill("binance", A_QUARTER.first).failed
    let_repairs_work(world, A_QUARTER, until=20 * DAY)
    world.sandbox.clear_requests("binance")
    assert not world.backfill("binance", A_QUARTER.first).failed
    assert world.candle_requests("binance") == []
    assert not world.backfill("binance", A_QUARTER.first, refresh=True).failed
    assert {from_ms(entry["since"]).date() for entry in world.candle_requests("binance")} == {A_QUARTER.first}
    stored = world.stored("binance", SYMBOLS[0], A_QUARTER.first, A_QUARTER.last)
    assert np.array_equal(stored[:, 0], [to_ms(start) for start in A_QUARTER.on_the_minute()])
