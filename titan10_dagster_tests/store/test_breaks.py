"""Breaks and mass restatements are recorded as slices are written."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest

from titan10_dagster.candles.breaks import BreakKind
from titan10_dagster.candles.slices import Slice
from titan10_dagster.store import reader, rollups
from titan10_dagster.store.database import Database
from titan10_dagster.store.identities import EventKind, breaks_of, events_at
from titan10_dagster.store.markets import MarketStore
from titan10_dagster.store.migrations import migrate
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import DAY, FETCHED, LATER, Sql, a_slice, candles, judged
from titan10_dagster_tests.store.test_identities import NEW, NEXT, OLD, REP
from titan10_dagster_tests.store.test_rollups import NEW_SQL, add_row

LUNA = a_slice("LUNA/USDT")


def on(days: int) -> Slice:
    return a_slice("LUNA/USDT", DAY + timedelta(days=days))


def rows(slice_: Slice, factor: float = 1.0) -> pd.DataFrame:
    """Return a day of trading at 8.0, or the same day in another unit."""
    frame = candles(slice_, price=8.0, decimals=6)
    for name in ("open", "high", "low", "close"):
        frame[name] = (frame[name] * factor).round(6)
    frame["volume"] = ((frame["volume"] + 1) / factor).round(6)
    return frame


def breaks(db: Database) -> list[object]:
    return list(breaks_of(db, LUNA.series, LUNA.start - timedelta(days=1), on(30).end))


@pytest.mark.parametrize("order", [(0, 2), (2, 0)], ids=["forward", "backward"])
def test_a_redenomination_between_two_runs_is_a_break(db: Database, sql: Sql, order: tuple[int, int]) -> None:
    """After 36 hours of silence, the price is multiplied by a thousand, and the volume is divided by a thousand
    (freqtrade#7407).
    """
    frames = {0: rows(on(0)).head(720), 2: rows(on(2), 1000.0)}
    for days in order:
        write_slices(db, [judged(on(days), frames[days])])
    assert breaks(db) == [on(2).start]
    ((kind, price, volume),) = sql("SELECT kind, price_factor, volume_factor FROM series_breaks")
    assert kind == BreakKind.REDENOMINATION
    assert (price, volume) == (pytest.approx(1000, rel=0.1), pytest.approx(1e-3, rel=0.9))
    (event,) = events_at(db, "binance", on(2).start, on(2).end)
    assert event.kind is EventKind.BREAK
    assert "LUNA/USDT 1m breaks at 2024-01-12 00:00 UTC (redenomination)" in event.detail


def test_a_break_within_a_run_and_within_a_day_is_found(db: Database) -> None:
    middle = pd.concat([rows(on(1)).iloc[:600], rows(on(1), 100.0).iloc[700:]])
    write_slices(db, [judged(on(0), rows(on(0))), judged(on(1), middle), judged(on(2), rows(on(2), 100.0))])
    assert breaks(db) == [on(1).start + timedelta(minutes=700)]


def test_ordinary_days_have_no_break_and_a_wrong_day_that_is_corrected_leaves_none(db: Database, sql: Sql) -> None:
    write_slices(db, [judged(on(n), rows(on(n), 1000.0 if n == 1 else 1.0)) for n in range(3)])
    assert breaks(db) == [on(1).start, on(2).start]
    write_slices(db, [judged(on(1), rows(on(1)), fetched_at=FETCHED + LATER)])
    assert breaks(db) == []
    assert sql.one("SELECT count(*) FROM series_events WHERE kind = 'break'") == 2  # the events stay recorded


def test_live_polls_find_a_break_as_it_comes(db: Database) -> None:
    write_slices(db, [judged(on(0), rows(on(0)))])
    for minutes in (5, 10, 40):
        write_slices(db, [judged(on(1), rows(on(1), 1000.0).head(minutes))], live=True)
    assert breaks(db) == [on(1).start]


def test_longer_candles_do_not_bridge_a_break(db: Database) -> None:
    """The hour with the break is left out. The hours next to this hour are complete."""
    middle = pd.concat([rows(on(0)).iloc[:630], rows(on(0), 1000.0).iloc[630:]])
    write_slices(db, [judged(on(0), middle)])
    rollups.catch_up(db)
    hours = reader.bars(db, LUNA.series, "1h", on(0).start, on(0).end)
    assert len(hours) == 23
    assert (hours["high"] / hours["low"]).max() < 2
    assert reader.bars(db, LUNA.series, "1d", on(0).start, on(0).end).empty


def test_the_views_do_not_bridge_a_break_either(db: Database, sql: Sql) -> None:
    middle = pd.concat([rows(on(0)).iloc[:630], rows(on(0), 1000.0).iloc[630:]])
    write_slices(db, [judged(on(0), middle), judged(on(1), rows(on(1), 1000.0))])
    rollups.catch_up(db)
    counts = {view: sql.one(f"SELECT count(*) FROM ohlcv_{view}") for view in ("5m", "15m", "1h", "4h", "1d", "1w")}
    assert counts == {"5m": 576, "15m": 192, "1h": 47, "4h": 11, "1d": 1, "1w": 0}


def test_a_week_in_which_the_market_changed_is_left_out(db: Database, sql: Sql) -> None:
    """The week has candles of REPUSDT at 10.0, and then of REPV2USDT at 99.0. The days are whole."""
    store = MarketStore(db)
    store.replace("binance", [OLD], FETCHED - timedelta(days=9))
    write_slices(db, [judged(REP, candles(REP, price=10.0))])
    rollups.catch_up(db)
    assert sql.one("SELECT count(*) FROM ohlcv_1w") == 1
    store.replace("binance", [NEW], FETCHED + LATER)
    write_slices(db, [judged(NEXT, candles(NEXT, price=99.0))])
    rollups.catch_up(db)
    assert sql("SELECT at, kind FROM series_breaks") == [(NEXT.start, BreakKind.MARKET)]
    for timeframe, count in (("1d", 2), ("1w", 0)):
        assert sql.one(f"SELECT count(*) FROM ohlcv_{timeframe}") == count
        assert len(reader.bars(db, REP.series, timeframe, REP.start - timedelta(days=9), on(9).end)) == count


def test_a_rollup_that_is_added_later_does_not_bridge_a_break(
    db: Database, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql(NEW_SQL)  # 30m
    add_row(monkeypatch)
    middle = pd.concat([rows(on(0)).iloc[:635], rows(on(0), 1000.0).iloc[635:]])
    write_slices(db, [judged(on(0), middle)])
    rollups.catch_up(db)
    assert sql.one("SELECT count(*) FROM ohlcv_30m") == 47


def test_a_database_that_gets_timescaledb_later_does_not_bridge_a_break(empty_timescaledb_database_url: str) -> None:
    migrate(empty_timescaledb_database_url, timescaledb=False)
    db = Database(empty_timescaledb_database_url)
    middle = pd.concat([rows(on(0)).iloc[:630], rows(on(0), 1000.0).iloc[630:]])
    write_slices(db, [judged(on(0), middle)])
    assert len(reader.bars(db, LUNA.series, "1h", on(0).start, on(0).end)) == 23
    migrate(empty_timescaledb_database_url)
    rollups.catch_up(db)
    assert len(reader.bars(db, LUNA.series, "1h", on(0).start, on(0).end)) == 23
    db.close()


def test_a_close_is_not_carried_to_a_break(db: Database, sql: Sql) -> None:
    """Minutes 300 to 309 and 600 to 699 have no trades. The break is at minute 700."""
    day = pd.concat([rows(on(0)).iloc[:300], rows(on(0)).iloc[310:600], rows(on(0), 1000.0).iloc[700:]])
    write_slices(db, [judged(on(0), day)])
    sql("UPDATE gaps SET reason = 'no_trades'")
    assert breaks(db) == [on(0).start + timedelta(minutes=700)]
    filled = reader.filled(db, LUNA.series, on(0).start, on(0).end)
    assert len(filled) == 1340
    assert filled["synthetic"].sum() == 10
    # The same holds for a stretch that begins or ends within the silence.
    for first, last in ((650, 1440), (0, 650), (640, 660)):
        bounds = (on(0).start + timedelta(minutes=first), on(0).start + timedelta(minutes=last))
        part = reader.filled(db, LUNA.series, *bounds)
        inside = filled[(filled["time"] >= bounds[0]) & (filled["time"] < bounds[1])]
        assert part["time"].tolist() == inside["time"].tolist()


def test_a_rewrite_of_most_of_a_day_is_an_event_with_both_values(db: Database) -> None:
    """The same day is fetched again, with volumes divided by 27,000 (ccxt PR 14757)."""
    first, second = rows(on(0)), rows(on(0))
    second["volume"] = (first["volume"] / 27_000).round(8)
    write_slices(db, [judged(on(0), first)])
    report = write_slices(db, [judged(on(0), second, fetched_at=FETCHED + LATER)])
    assert report.restated == 1440
    (event,) = events_at(db, "binance", on(0).start, on(0).end)
    assert event.kind is EventKind.MASS_RESTATEMENT
    assert event.detail.startswith("binance rewrote 1,440 of 1,440 candles of binance LUNA/USDT 1m 2024-01-10")
    before, after = first["volume"].median(), second["volume"].median()
    assert f"the typical volume was {before:.10g} and is {after:.10g}" in event.detail


def test_a_few_restated_candles_record_no_event(db: Database) -> None:
    first, second = rows(on(0)), rows(on(0))
    second.loc[:700, "volume"] += 1
    write_slices(db, [judged(on(0), first)])
    write_slices(db, [judged(on(0), second, fetched_at=FETCHED + LATER)])
    assert events_at(db, "binance", on(0).start, on(0).end) == []
