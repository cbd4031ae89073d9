from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titan10_dagster.candles.slices import Series, Slice, Window, midnight, windows
from titan10_dagster.errors import Titan10Error
from titan10_dagster.local.cli import export
from titan10_dagster.store import reader, rollups
from titan10_dagster.store.database import Database
from titan10_dagster.store.migrations import migrate
from titan10_dagster.store.rollups import ROLLUPS, Rollup
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import DAY, FETCHED, NO_ROWS, Sql, a_slice, candles, judged, with_value, without

_numbers = itertools.count(1)

AGGREGATES = {
    "open": ("open", "first"),
    "high": ("high", "max"),
    "low": ("low", "min"),
    "close": ("close", "last"),
    "volume": ("exact", lambda exact: float(sum(exact))),
    "candles": ("open", "size"),
}
FREQUENCIES = {"5m": "5min", "15m": "15min", "1h": "1h", "4h": "4h", "1d": "1D", "1w": "W-MON"}

START, END = midnight(DAY - timedelta(days=60)), midnight(DAY + timedelta(days=60))


def resampled(minutes: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the rollup of the minutes, computed by pandas. Volumes are added as decimals and rounded once."""
    exact = minutes.assign(exact=[Fraction(repr(float(volume))) for volume in minutes["volume"]]).set_index("time")
    groups = exact.resample(FREQUENCIES[name], label="left", closed="left")
    made = groups.agg(**AGGREGATES)
    filled = made[made["candles"] > 0].reset_index()
    filled["time"] = filled["time"].astype("datetime64[ms, UTC]")
    return filled


def assert_rollups_are_right(db: Database, series: Series) -> None:
    minutes = reader.candles(db, series, START, END)
    for name in ROLLUPS:
        pd.testing.assert_frame_equal(reader.bars(db, series, name, START, END), resampled(minutes, name))


def write(db: Database, *given: tuple[Slice, pd.DataFrame]) -> None:
    """Write slices and refresh the rollups, like the pipeline."""
    write_slices(db, [judged(slice_, rows) for slice_, rows in given])
    rollups.refresh(db, windows(slice_ for slice_, _ in given))


@dataclass(frozen=True)
class Fetch:
    """A fetch of a part of a day. Another seed gives other values for the same minutes."""

    day: int
    seed: int
    decimals: int
    holes: Sequence[tuple[int, int]]

    def rows(self, symbol: str) -> tuple[Slice, pd.DataFrame]:
        slice_ = a_slice(symbol, DAY + timedelta(days=self.day))
        whole = candles(slice_, seed=self.seed, decimals=self.decimals)
        keep = np.ones(len(whole), np.bool_)
        for start, length in self.holes:
            keep[start : start + length] = False
        return slice_, whole[keep].reset_index(drop=True)


# The fetches are for a few days, so that days are fetched again. They are out of order, and cross the ends of weeks and
# of chunks.
fetches = st.builds(
    Fetch,
    day=st.sampled_from([0, 1, 4, 5, 12, -20]),
    seed=st.integers(0, 2),
    decimals=st.sampled_from([0, 2, 8]),
    holes=st.lists(st.tuples(st.integers(0, 1439), st.sampled_from([1, 4, 7, 70, 900])), max_size=5),
)


@settings(max_examples=8)
@given(runs=st.lists(st.lists(fetches, min_size=1, max_size=3, unique_by=lambda fetch: fetch.day), max_size=3))
def test_rollups_equal_those_of_pandas_after_any_sequence_of_writes(db: Database, runs: list[list[Fetch]]) -> None:
    symbol = f"S{next(_numbers)}/USDT"
    for run in runs:
        write(db, *(fetch.rows(symbol) for fetch in run))
        assert_rollups_are_right(db, a_slice(symbol).series)


def test_a_bar_says_how_many_minutes_went_into_it(db: Database) -> None:
    slice_ = a_slice()
    write(db, (slice_, without(candles(slice_), *range(3, 10), 700)))
    hours = reader.bars(db, slice_.series, "1h", slice_.start, slice_.end)
    assert hours["candles"].tolist() == [53] + 10 * [60] + [59] + 12 * [60]
    fives = reader.bars(db, slice_.series, "5m", slice_.start, slice_.start + timedelta(minutes=20))
    assert fives["candles"].tolist() == [3, 5, 5]


def test_volumes_of_every_scale_add_up_without_an_error(db: Database, sql: Sql) -> None:
    slice_ = a_slice()
    rows = candles(slice_)
    random = np.random.default_rng(7)
    rows["volume"] = random.exponential(1.0, len(rows)) * 10.0 ** random.integers(-25, 18, len(rows))
    for place, volume in enumerate([1e22, 0.0, 3e-40, 2.0**70, 1e-80, 0.1, 0.2, 0.30000000000000004]):
        rows = with_value(rows, place * 5, volume=volume)
    write(db, (slice_, rows))
    stored = sql("SELECT volume, volume_scale FROM candles ORDER BY time")
    assert len({scale for _, scale in stored}) > 20
    exact = [Fraction(volume) / Fraction(scale) for volume, scale in stored]
    for name, rollup in ROLLUPS.items():
        bars = reader.bars(db, slice_.series, name, START, END)
        size = min(rollup.delta // timedelta(minutes=1), 1440)
        assert bars["volume"].tolist() == [float(sum(exact[n : n + size])) for n in range(0, 1440, size)], name


def test_a_scale_that_changes_within_a_bar_changes_no_price(db: Database) -> None:
    slice_ = a_slice()
    rows = candles(slice_)
    cheap = candles(slice_, price=4e-7, decimals=12)
    write(db, (slice_, without(rows, *range(1, 1440, 2))))
    write(db, (slice_, without(cheap, *range(0, 1440, 2))))
    assert_rollups_are_right(db, slice_.series)


def test_other_timeframes_do_not_go_into_rollups(db: Database) -> None:
    hourly = a_slice(timeframe="1h")
    write(db, (hourly, candles(hourly)), (a_slice(), candles(a_slice()).iloc[:5]))
    day = reader.bars(db, a_slice().series, "1d", START, END)
    assert day["candles"].tolist() == [5]


def test_exchanges_and_symbols_stay_apart(db: Database) -> None:
    slices = [a_slice(symbol, exchange=exchange) for exchange in ("binance", "kraken") for symbol in ("A/B", "B/A")]
    for n, slice_ in enumerate(slices):
        write(db, (slice_, candles(slice_, seed=n)))
    for slice_ in slices:
        assert_rollups_are_right(db, slice_.series)


def test_days_and_weeks_are_utc_in_every_time_zone_of_the_session(db: Database) -> None:
    """In New York, 5 November 2023 has 25 hours, because the clocks change."""
    slices = [a_slice(day=date(2023, 11, day)) for day in (2, 5, 6, 7)]
    write(db, *((slice_, candles(slice_)) for slice_ in slices))
    with db.transaction() as cursor:
        cursor.execute("SET LOCAL timezone = 'America/New_York'")
        cursor.execute("SELECT time, candles FROM ohlcv_1d ORDER BY time")
        assert cursor.fetchall() == [(slice_.start, 1440) for slice_ in slices]
        cursor.execute("SELECT time, candles FROM ohlcv_1w ORDER BY time")
        assert cursor.fetchall() == [(midnight(date(2023, 10, 30)), 2880), (midnight(date(2023, 11, 6)), 2880)]


def test_changes_not_yet_in_the_rollups_are_caught_up(db: Database) -> None:
    slices = [a_slice(day=DAY + timedelta(days=n)) for n in (0, 30)]
    write_slices(db, [judged(slice_) for slice_ in slices])
    rollups.catch_up(db)
    assert_rollups_are_right(db, slices[0].series)
    write_slices(db, [judged(slices[0], candles(slices[0], seed=3))])
    rollups.catch_up(db)
    rollups.catch_up(db)
    assert_rollups_are_right(db, slices[0].series)


def test_two_that_refresh_at_once_do_not_disturb_each_other(db: Database) -> None:
    slices = [a_slice(day=DAY + timedelta(days=n)) for n in range(4)]
    write_slices(db, [judged(slice_) for slice_ in slices])
    failures: list[Titan10Error] = []

    def refresh(run: Callable[[], None]) -> None:
        try:
            run()
        except Titan10Error as error:
            failures.append(error)

    wanted = [lambda n=n: rollups.refresh(db, windows(slices[n : n + 2])) for n in range(3)]
    threads = [threading.Thread(target=refresh, args=(run,)) for run in [*wanted, lambda: rollups.catch_up(db)]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
    assert_rollups_are_right(db, slices[0].series)


FEW_ROWS = """
DO $$
BEGIN
    EXECUTE format(
        'ALTER DATABASE %I SET timescaledb.max_tuples_decompressed_per_dml_transaction = 100', current_database()
    );
END
$$
"""


def test_days_that_are_compressed_are_refreshed_too(timescaledb: Database) -> None:
    slices = [a_slice(f"S{n}/USDT", DAY + timedelta(days=day)) for n in range(3) for day in (0, 6, 9)]
    write(timescaledb, *((slice_, candles(slice_)) for slice_ in slices))
    compressed = "SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed"
    with timescaledb.session() as session:
        session.execute("CALL compress_rollups()")
    assert Sql(timescaledb).one(compressed) >= 3
    # The days have more rows than a statement may decompress, like days of hundreds of series.
    Sql(timescaledb)(FEW_ROWS)
    timescaledb.close()
    write(timescaledb, *((slice_, candles(slice_, seed=1)) for slice_ in slices[:4]))
    for slice_ in slices:
        assert_rollups_are_right(timescaledb, slice_.series)


def test_the_compression_of_rollups_finds_its_tables_without_the_search_path(
    empty_timescaledb_database_url: str,
) -> None:
    url = empty_timescaledb_database_url
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA other")
    in_schema = f"{url}?options=-csearch_path%3Dother,public"
    migrate(in_schema)
    db = Database(in_schema)
    slices = [a_slice("BTC/USDT", DAY + timedelta(days=day)) for day in (0, 6, 9)]
    write(db, *((slice_, candles(slice_)) for slice_ in slices))
    db.close()
    # A job of TimescaleDB has the default search path of its role.
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("CALL other.compress_rollups()")
        cursor.execute("SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed")
        assert cursor.fetchone()[0] >= 3


def test_a_database_that_gains_timescaledb_shows_the_same_bars(empty_timescaledb_database_url: str) -> None:
    url = empty_timescaledb_database_url
    migrate(url, timescaledb=False)
    db = Database(url)
    slice_ = a_slice()
    write(db, (slice_, without(candles(slice_), 5, 6)))
    Sql(db)("CREATE VIEW users_view AS SELECT sum(candles) AS candles FROM ohlcv_1d")
    before = {name: reader.bars(db, slice_.series, name, START, END) for name in ROLLUPS}
    migrate(url)
    rollups.catch_up(db)
    for name, bars in before.items():
        pd.testing.assert_frame_equal(reader.bars(db, slice_.series, name, START, END), bars)
    assert Sql(db)("SELECT * FROM users_view") == [(1438,)]
    assert Sql(db).one("SELECT count(*) FROM timescaledb_information.continuous_aggregates") == len(ROLLUPS)
    db.close()


NEW = Rollup("30m", timedelta(minutes=30))


NEW_SQL = "SELECT create_rollup('30m', interval '30 minutes', '15m', '30 minutes')"


def add_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a rollup of 30m to the table in Python."""
    by_length = sorted([*ROLLUPS.values(), NEW], key=lambda rollup: rollup.delta)
    rows = {rollup.name: rollup for rollup in by_length}
    monkeypatch.setattr(rollups, "ROLLUPS", rows)
    monkeypatch.setattr(reader, "ROLLUPS", rows)
    monkeypatch.setitem(FREQUENCIES, "30m", "30min")


def test_a_new_rollup_is_a_row_in_python_and_a_line_of_sql(
    db: Database, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    slice_ = a_slice()
    write(db, (slice_, without(candles(slice_), *range(3, 40), 700)))
    sql(NEW_SQL)
    add_row(monkeypatch)
    rollups.catch_up(db)
    for name in ("30m", "15m", "1h"):
        bars = reader.bars(db, slice_.series, name, START, END)
        pd.testing.assert_frame_equal(bars, resampled(reader.candles(db, slice_.series, START, END), name))
    write(db, (slice_, candles(slice_, seed=1)))
    bars = reader.bars(db, slice_.series, "30m", START, END)
    pd.testing.assert_frame_equal(bars, resampled(reader.candles(db, slice_.series, START, END), "30m"))


def test_a_rollup_added_on_plain_postgresql_is_kept_once_there_is_timescaledb(
    empty_timescaledb_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(empty_timescaledb_database_url, timescaledb=False)
    db = Database(empty_timescaledb_database_url)
    slice_ = a_slice()
    write(db, (slice_, candles(slice_)))
    Sql(db)(NEW_SQL)
    add_row(monkeypatch)
    before = reader.bars(db, slice_.series, "30m", START, END)
    migrate(empty_timescaledb_database_url)
    rollups.catch_up(db)
    assert Sql(db).one("SELECT count(*) FROM timescaledb_information.continuous_aggregates") == len(rollups.ROLLUPS)
    pd.testing.assert_frame_equal(reader.bars(db, slice_.series, "30m", START, END), before)
    db.close()


def test_a_rollup_is_made_from_one_whose_step_divides_it(sql: Sql) -> None:
    for source in ("1m", "4h", "1d", "nothing"):
        with pytest.raises(Titan10Error, match="name a rollup whose step divides"):
            sql(f"SELECT create_rollup('2h', interval '2 hours', '{source}', '2 hours')")


def test_python_sql_the_command_line_and_grafana_know_the_same_rollups(sql: Sql) -> None:
    assert sql("SELECT name, step FROM rollups ORDER BY step") == [
        (rollup.name, rollup.delta) for rollup in ROLLUPS.values()
    ]
    views = sql("SELECT viewname FROM pg_views WHERE schemaname = current_schema() AND viewname LIKE 'ohlcv\\_%'")
    assert {view for (view,) in views} == {rollup.view for rollup in ROLLUPS.values()}
    (help_text,) = [option.help for option in export.params if option.name == "timeframe"]
    assert re.findall(r"\d+\w", help_text)[:-1] == list(ROLLUPS)
    dashboard = json.loads((Path(__file__).parents[2] / "docs" / "grafana.json").read_text())
    (bars,) = [variable for variable in dashboard["templating"]["list"] if variable["name"] == "bars"]
    assert [option["value"] for option in bars["options"]] == [rollup.view for rollup in ROLLUPS.values()]


def test_a_run_without_rollups_sends_no_query() -> None:
    nowhere = Database("postgresql://nobody@127.0.0.1:1/nothing")
    rollups.refresh(nowhere, [])
    rollups.refresh(nowhere, windows([a_slice(timeframe="1h")]))


def test_only_the_touched_days_are_refreshed_and_contiguous_ones_together() -> None:
    days = [date(2024, 1, day) for day in (1, 2, 3, 7, 20)]
    touched = windows(a_slice(symbol, day) for day in days for symbol in ("A/B", "C/D"))
    assert spans(touched, "5m") == [
        ("2024-01-01", "2024-01-04"),
        ("2024-01-07", "2024-01-08"),
        ("2024-01-20", "2024-01-21"),
    ]
    assert spans(touched, "1w") == [("2024-01-01", "2024-01-08"), ("2024-01-15", "2024-01-22")]


def test_a_part_of_a_day_is_widened_to_the_day() -> None:
    minutes = Window(a_slice().series, midnight(DAY) + timedelta(hours=5), midnight(DAY) + timedelta(hours=6))
    assert spans([minutes], "15m") == [("2024-01-10", "2024-01-11")]
    assert spans([minutes], "1w") == [("2024-01-08", "2024-01-15")]


@pytest.mark.parametrize("rollup", ROLLUPS.values(), ids=list(ROLLUPS))
def test_every_instant_lies_in_the_candle_it_is_floored_to(rollup: Rollup) -> None:
    for instant in (FETCHED, midnight(date(1999, 12, 31)), midnight(DAY)):
        assert rollup.floor(instant) <= instant < rollup.floor(instant) + rollup.delta
        assert rollup.floor(rollup.floor(instant)) == rollup.floor(instant)
    assert ROLLUPS["1w"].floor(FETCHED).weekday() == 0


def spans(touched: list[Window], name: str) -> list[tuple[str, str]]:
    return [(str(start.date()), str(end.date())) for start, end in rollups.spans(touched, ROLLUPS[name])]


def test_the_bars_are_a_candle_frame_with_a_count(db: Database) -> None:
    bars = reader.bars(db, a_slice().series, "1h", START, END)
    pd.testing.assert_frame_equal(bars, NO_ROWS.assign(candles=np.empty(0, np.int64)))
