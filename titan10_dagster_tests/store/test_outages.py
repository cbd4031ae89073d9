from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from titan10_dagster.candles.fetched import JudgedSlice
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.store import outages
from titan10_dagster.store.audit import unaccounted
from titan10_dagster.store.database import Database
from titan10_dagster.store.locks import lock_exchange
from titan10_dagster.store.outages import classify_outages
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import (
    DAY,
    FETCHED,
    LATER,
    NO_ROWS,
    Sql,
    a_slice,
    candles,
    judged,
    versions,
    without,
)

SYMBOLS = ("BTC/USDT", "ETH/USDT", "XRP/USDT")
ONE = timedelta(days=1)
DOWN = range(600, 630)


def lacking(
    symbols: Iterable[str] = SYMBOLS,
    minutes: Iterable[int] = DOWN,
    *,
    exchange: str = "binance",
    at: datetime = FETCHED,
    timeframe: str = "1m",
    **record: Any,
) -> list[JudgedSlice]:
    """Return the day of each symbol without these minutes."""
    slices = [a_slice(symbol, exchange=exchange, timeframe=timeframe) for symbol in symbols]
    return [judged(slice_, without(candles(slice_), *minutes), fetched_at=at, **record) for slice_ in slices]


def whole(exchange: str = "okx", timeframe: str = "1m") -> list[JudgedSlice]:
    return lacking(["BTC/USDT"], [], exchange=exchange, timeframe=timeframe)


def write(db: Database, judged: Sequence[JudgedSlice]) -> None:
    write_slices(db, judged)
    classify_outages(db)


def reasons(sql: Sql, exchange: str = "binance") -> set[tuple[str, int]]:
    return set(
        sql("SELECT reason, sum(candles)::int FROM gaps WHERE exchange = %s GROUP BY reason, symbol", [exchange])
    )


def of_symbol(sql: Sql, symbol: str) -> set[tuple[str, int]]:
    return set(sql("SELECT reason, sum(candles)::int FROM gaps WHERE symbol = %s GROUP BY reason", [symbol]))


@pytest.fixture
def _adds_up(db: Database) -> Any:
    """Classify outages, and check that ledger, gaps and candles agree and that no day stays flagged."""
    yield
    for exchange in ("binance", "okx"):
        for timeframe in ("1m", "1h"):
            assert unaccounted(db, exchange, TIMEFRAMES[timeframe], DAY - ONE, DAY + ONE) == []
    sql = Sql(db)
    assert sql("SELECT * FROM outage_evidence") == []
    counted = "SELECT reason, sum(candles) FROM gaps GROUP BY 1 ORDER BY 1"
    columns = ", ".join(f"('{reason}', {reason})" for reason in Reason)
    ledger = (
        "SELECT reason, sum(n) FROM slice_ledger CROSS JOIN LATERAL "
        f"(VALUES {columns}) AS counts (reason, n) GROUP BY 1 HAVING sum(n) > 0 ORDER BY 1"
    )
    assert sql(counted) == sql(ledger)


pytestmark = pytest.mark.usefixtures("_adds_up")


def test_candles_that_all_series_lack_while_another_exchange_trades_are_an_outage_after_the_second_observation(
    db: Database, sql: Sql
) -> None:
    write(db, whole())
    write(db, lacking())
    assert reasons(sql) == {("unknown", 30)}
    write(db, lacking(at=FETCHED + timedelta(hours=5)))
    assert reasons(sql) == {("unknown", 30)}
    write(db, lacking(at=FETCHED + LATER))
    assert reasons(sql) == {("outage", 30)}
    assert sql("SELECT DISTINCT observations, first_seen, last_seen FROM gaps") == [(2, FETCHED, FETCHED + LATER)]
    assert sql("SELECT DISTINCT no_trades, outage, present FROM slice_ledger WHERE exchange = 'binance'") == [
        (0, 30, 1410)
    ]


@pytest.mark.parametrize("symbols", [SYMBOLS, SYMBOLS[:2]])
def test_a_hole_that_all_series_share_is_a_halt_even_if_no_other_exchange_is_stored(
    db: Database, sql: Sql, symbols: Sequence[str]
) -> None:
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(symbols, at=at))
    assert reasons(sql) == {("halted", 30)}
    evidence = sql(
        "SELECT DISTINCT reason, silence_start, silence_end, silent_series, listed_series, witness FROM silences"
    )
    start = a_slice().start + timedelta(minutes=600)
    assert evidence == [("halted", start, start + timedelta(minutes=30), len(symbols), len(symbols), None)]


def test_another_exchange_stored_later_still_proves_the_outage(db: Database, sql: Sql) -> None:
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(at=at))
    write(db, whole())
    assert reasons(sql) == {("outage", 30)}


def test_one_halt_is_one_stretch_if_a_quiet_pair_of_another_exchange_traded_within_it(db: Database, sql: Sql) -> None:
    """Binance's halt of 2023-03-24.

    A quiet pair of another exchange traded in the first and the last minute of the halt.
    """
    write(db, lacking(["BTC/USDT"], range(601, 629), exchange="okx"))
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(at=at))
    assert reasons(sql) == {("outage", 30)}
    assert sql.one("SELECT count(*) FROM gaps WHERE exchange = 'binance'") == len(SYMBOLS)
    assert sql("SELECT DISTINCT witness FROM silences") == [("okx BTC/USDT 1m",)]


def test_a_witness_that_did_not_trade_within_the_stretch_does_not_count(db: Database, sql: Sql) -> None:
    write(db, lacking(["BTC/USDT"], range(600, 630), exchange="okx"))
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(at=at))
    assert reasons(sql) == {("halted", 30)}
    write(db, lacking(["BTC/USDT"], range(600, 629), exchange="okx", at=FETCHED + LATER))
    assert reasons(sql) == {("outage", 30)}


def test_a_quiet_pair_stays_without_trades_and_shares_in_the_outage(db: Database, sql: Sql) -> None:
    write(db, whole())
    quiet = [*range(0, 1440, 3), *DOWN]
    for at in (FETCHED, FETCHED + LATER):
        write(db, [*lacking(at=at), *lacking(["ALGO/USDT"], quiet, at=at)])
    assert reasons(sql) == {("outage", 30), ("no_trades", 470)}


def test_quiet_pairs_alone_are_never_an_outage(db: Database, sql: Sql) -> None:
    write(db, whole())
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(minutes=range(0, 1440, 3), at=at))
    assert reasons(sql) == {("no_trades", 480)}


def test_a_series_alone_is_never_an_outage(db: Database, sql: Sql) -> None:
    write(db, whole())
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(["BTC/USDT"], at=at))
    assert reasons(sql) == {("halted", 30)}


@pytest.mark.parametrize("minutes", [5, 26])
def test_a_busy_series_may_be_silent_for_minutes(db: Database, sql: Sql, minutes: int) -> None:
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(["BTC/USDT"], range(100, 100 + minutes), at=at))
    assert reasons(sql) == {("no_trades", minutes)}


@pytest.mark.parametrize("prints", [[20, 30], [5, 20, 21, 40], [16, 33]])
def test_a_few_candles_do_not_hide_a_halt(db: Database, sql: Sql, prints: Sequence[int]) -> None:
    """Fifty minutes have only a few candles. Hours later, there are five minutes without trades."""
    halted = [100 + n for n in range(50) if n not in prints]
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(["BTC/USDT"], [*halted, *range(900, 905)], at=at))
    assert reasons(sql) == {("halted", 50 - len(prints)), ("no_trades", 5)}
    silences = sql("SELECT silence_start, silence_end FROM silences ORDER BY 1")
    assert sum((end - start for start, end in silences), timedelta()) == (50 - len(prints)) * timedelta(minutes=1)


@pytest.mark.parametrize("minutes", [30, 45, 59, 60, 300, 1000])
def test_a_busy_series_that_is_silent_alone_for_half_an_hour_was_halted(db: Database, sql: Sql, minutes: int) -> None:
    write(db, whole())
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(["BTC/USDT"], range(100, 100 + minutes), at=at))
    assert reasons(sql) == {("halted", minutes)}
    ((share, silent),) = sql("SELECT traded_share, silent_series FROM silences")
    assert share > 0.999 or minutes == 1000
    assert silent == 1


def test_a_whole_day_is_an_outage_when_the_day_before_shows_that_the_series_trade(db: Database, sql: Sql) -> None:
    write(db, whole())
    for at in (FETCHED, FETCHED + LATER):
        write(db, [judged(a_slice(symbol), NO_ROWS, fetched_at=at) for symbol in SYMBOLS])
    assert reasons(sql) == {("no_trades", 1440)}
    write(db, [judged(a_slice(symbol, DAY - ONE)) for symbol in SYMBOLS])
    assert reasons(sql) == {("outage", 1440)}


def test_an_outage_is_taken_back_when_most_series_turn_out_to_have_traded(db: Database, sql: Sql) -> None:
    write(db, whole())
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(minutes=range(600, 620), at=at))
    write(db, lacking(["BTC/USDT"], [], at=FETCHED + 2 * LATER))
    assert reasons(sql) == {("outage", 20)}
    write(db, lacking(["ETH/USDT"], [], at=FETCHED + 2 * LATER))
    assert reasons(sql) == {("no_trades", 20)}


@pytest.mark.parametrize("timeframe", ["1m", "1h"])
def test_hours_have_outages_too_and_a_witness_of_another_timeframe_counts(
    db: Database, sql: Sql, timeframe: str
) -> None:
    symbols = [f"S{n}/USDT" for n in range(5)]
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(symbols, [7], at=at, timeframe="1h"))
    assert reasons(sql) == {("halted", 1)}
    write(db, whole(timeframe=timeframe))
    assert reasons(sql) == {("outage", 1)}


def test_classifying_again_writes_nothing(db: Database, sql: Sql) -> None:
    write(db, whole())
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(at=at))
    before = versions(sql, "gaps"), versions(sql, "slice_ledger")
    sql("INSERT INTO outage_evidence (exchange, timeframe, day) VALUES ('okx', '1m', %s)", [DAY])
    classify_outages(db)
    classify_outages(db)
    assert (versions(sql, "gaps"), versions(sql, "slice_ledger")) == before


def test_evidence_left_by_a_killed_run_is_classified_by_the_next(db: Database, sql: Sql) -> None:
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(at=at))
    write_slices(db, whole())
    assert reasons(sql) == {("halted", 30)}
    write(db, [judged(a_slice("BTC/USDT", DAY + 100 * ONE, "kraken"), fetched_at=FETCHED + 200 * ONE)])
    assert reasons(sql) == {("outage", 30)}


def test_evidence_written_during_a_classification_is_not_lost(
    db: Database, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(at=at))
    unflag = outages._unflag

    def late(database: Database, numbers: Sequence[int]) -> None:
        monkeypatch.undo()
        write_slices(db, whole())
        unflag(database, numbers)

    monkeypatch.setattr(outages, "_unflag", late)
    write(db, lacking(at=FETCHED + 2 * LATER))
    assert reasons(sql) == {("halted", 30)}
    classify_outages(db)
    assert reasons(sql) == {("outage", 30)}


def test_classification_waits_for_the_writer_of_the_exchange(db: Database, sql: Sql) -> None:
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(at=at))
    write_slices(db, whole())
    weighing = threading.Thread(target=classify_outages, args=(db,))
    with db.transaction() as cursor:
        lock_exchange(cursor, "binance")
        weighing.start()
        weighing.join(timeout=1)
        assert weighing.is_alive()
    weighing.join()
    assert reasons(sql) == {("outage", 30)}


def test_an_unfinished_day_leaves_nothing_to_classify(db: Database, sql: Sql) -> None:
    noon = a_slice().start + timedelta(hours=12)
    write_slices(db, lacking(minutes=range(720, 1440), at=noon, answered=False), live=True)
    assert sql("SELECT * FROM outage_evidence") == []


def test_a_delisting_found_days_later_revokes_the_evidence_of_the_series(db: Database, sql: Sql) -> None:
    write(db, whole())
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(["BTC/USDT", "ETH/USDT"], range(1350, 1440), at=at))
    assert reasons(sql) == {("outage", 90)}
    later = a_slice("ETH/USDT", DAY + 10 * ONE)
    gone = {"fetched_at": FETCHED + 2 * LATER, "delisted": a_slice().start + timedelta(minutes=1350)}
    write(db, [judged(later, NO_ROWS, **gone)])
    assert reasons(sql) == {("halted", 90), ("delisted", 90 + 1440)}


def test_a_market_delisted_during_an_outage_was_silent_because_of_the_outage(db: Database, sql: Sql) -> None:
    """ETH/USDT trades no more after an outage of the exchange. BTC/USDT trades again after the outage."""
    write(db, whole())
    write(db, [judged(a_slice(symbol, DAY - ONE)) for symbol in ("BTC/USDT", "ETH/USDT")])
    for at in (FETCHED, FETCHED + LATER):
        write(db, [*lacking(["BTC/USDT"], range(600, 690), at=at), *lacking(["ETH/USDT"], range(600, 1440), at=at)])
    gone = {"fetched_at": FETCHED + 2 * LATER, "delisted": a_slice().start + timedelta(minutes=600)}
    for _ in range(2):
        write(db, [judged(a_slice("ETH/USDT", DAY + ONE), NO_ROWS, **gone)])
        assert of_symbol(sql, "BTC/USDT") == {("outage", 90)}
        assert of_symbol(sql, "ETH/USDT") == {("outage", 90), ("delisted", 750 + 1440)}


def test_markets_delisted_together_are_delisted_from_their_last_candles_on(db: Database, sql: Sql) -> None:
    write(db, whole())
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(["BTC/USDT", "ETH/USDT"], range(600, 1440), at=at))
    gone = {"fetched_at": FETCHED + 2 * LATER, "delisted": a_slice().start + timedelta(minutes=600)}
    write(db, [judged(a_slice(symbol, DAY + ONE), NO_ROWS, **gone) for symbol in ("BTC/USDT", "ETH/USDT")])
    assert of_symbol(sql, "BTC/USDT") == of_symbol(sql, "ETH/USDT") == {("delisted", 840 + 1440)}


# --- silences of days and months -----------------------------------------------------------------------------------

FIRST = DAY - 20 * ONE
WEEKS = 30  # in days: the series trades for 8 days, is silent for 14 days, and trades again


def history(days: Iterable[int], *, silent: range, at: datetime, symbol: str = "BTC/USDT") -> list[JudgedSlice]:
    """Return some days of a series.

    The `silent` days have no candle. The day before these days has candles only until 03:00.
    """
    found = []
    for n in days:
        slice_ = a_slice(symbol, FIRST + n * ONE)
        rows = candles(slice_)
        if n in silent:
            rows = NO_ROWS
        elif n == silent.start - 1:
            rows = without(rows, *range(180, 1440))
        found.append(judged(slice_, rows, fetched_at=at))
    return found


def reasons_by_day(sql: Sql) -> list[tuple[int, str, int]]:
    rows = sql(
        "SELECT (gap_start AT TIME ZONE 'UTC')::date AS day, reason, sum(candles)::int FROM gaps GROUP BY 1, 2"
        " ORDER BY 1"
    )
    return [((day - FIRST).days, reason, count) for day, reason, count in rows]


def test_a_pair_that_was_off_the_list_for_two_weeks_is_one_stretch_of_its_own_reason(db: Database, sql: Sql) -> None:
    """USDC pairs of Binance were like this from 2022-09-29 to 2023-03-12: the market is active, and two answers have no
    candles.
    """
    silent = range(8, 22)
    for at in (FETCHED, FETCHED + LATER):
        write(db, history(range(WEEKS), silent=silent, at=at))
    assert reasons_by_day(sql) == [(7, "not_listed", 1260), *((n, "not_listed", 1440) for n in silent)]
    start, end = a_slice(day=FIRST + 7 * ONE).start + timedelta(hours=3), a_slice(day=FIRST + 22 * ONE).start
    assert sql("SELECT symbol, reason, silence_start, silence_end FROM silences") == [
        ("BTC/USDT", "not_listed", start, end)
    ]


@pytest.mark.parametrize("order", [range(WEEKS), range(WEEKS)[::-1], [*range(0, WEEKS, 2), *range(1, WEEKS, 2)]])
@pytest.mark.parametrize("at_once", [1, 7])
def test_the_outcome_does_not_depend_on_how_days_are_cut_into_runs(
    db: Database, sql: Sql, order: Sequence[int], at_once: int
) -> None:
    silent = range(8, 13)
    for at in (FETCHED, FETCHED + LATER):
        for n in range(0, WEEKS, at_once):
            write(db, history(order[n : n + at_once], silent=silent, at=at))
    assert reasons_by_day(sql) == [(7, "halted", 1260), *((n, "halted", 1440) for n in silent)]


@pytest.mark.parametrize("touched", [1, 2, 3, 13, 14, 15, 16])
def test_a_silence_stays_one_stretch_when_a_day_near_it_is_written_again(db: Database, sql: Sql, touched: int) -> None:
    """For some of these days, the days around the written day begin or end within the silence."""
    silent = range(8, 10)
    for at in (FETCHED, FETCHED + LATER):
        write(db, history(range(WEEKS), silent=silent, at=at))
    write(db, history([touched], silent=silent, at=FETCHED + 2 * LATER))
    start, end = a_slice(day=FIRST + 7 * ONE).start + timedelta(hours=3), a_slice(day=FIRST + 10 * ONE).start
    assert sql("SELECT reason, silence_start, silence_end FROM silences") == [("halted", start, end)]
    assert reasons_by_day(sql) == [(7, "halted", 1260), *((n, "halted", 1440) for n in silent)]


def test_a_pair_that_fell_silent_and_did_not_come_back_was_halted_then_taken_off_the_list(
    db: Database, sql: Sql
) -> None:
    """ADA/BTC is an example: its candles ended on 2023-05-01 at 16:16, and the exchange still lists it as trading."""
    for last, reason in ((9, "halted"), (20, "not_listed")):
        for at in (FETCHED, FETCHED + LATER):
            write(db, history(range(last), silent=range(8, 100), at=at))
        assert {found for _, found, _ in reasons_by_day(sql)} == {reason}


def test_a_pair_that_trades_now_and_then_may_be_silent_for_a_day(db: Database, sql: Sql) -> None:
    for at in (FETCHED, FETCHED + LATER):
        for n in range(10):
            slice_ = a_slice(day=FIRST + n * ONE)
            rows = NO_ROWS if n == 5 else without(candles(slice_), *(m for m in range(1440) if m % 60))
            write(db, [judged(slice_, rows, fetched_at=at)])
    assert {reason for _, reason, _ in reasons_by_day(sql)} == {"no_trades"}


@pytest.mark.parametrize(("every", "reason"), [(30, "no_trades"), (1, "halted")])
def test_a_quiet_pair_may_trade_on_weekends_only_but_a_busy_one_is_halted_between_them(
    db: Database, sql: Sql, every: int, reason: str
) -> None:
    for at in (FETCHED, FETCHED + LATER):
        found = []
        for n in range(3, 28):
            slice_ = a_slice(day=FIRST + n * ONE)
            rows = without(candles(slice_), *(m for m in range(1440) if m % every)) if n % 7 > 4 else NO_ROWS
            found.append(judged(slice_, rows, fetched_at=at))
        write(db, found)
    between = {found for n, found, _ in reasons_by_day(sql) if 6 < n < 26 and n % 7 <= 4}
    assert between == {reason}


def test_candles_that_come_late_take_a_halt_back(db: Database, sql: Sql) -> None:
    """During maintenance, two answers do not have these rows. The third answer has the rows."""
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(SYMBOLS[:2], range(1080, 1380), at=at))
    assert reasons(sql) == {("halted", 300)}
    write(db, lacking(SYMBOLS[:2], [], at=FETCHED + 2 * LATER))
    assert reasons(sql) == set()
    assert sql("SELECT * FROM silences") == []


@pytest.mark.parametrize("symbols", [SYMBOLS[:2], SYMBOLS])
@pytest.mark.parametrize(("timeframe", "candles_a_day"), [("1d", 1), ("12h", 2), ("4h", 6)])
@pytest.mark.parametrize(("exchange", "reason"), [("okx", Reason.OUTAGE), (None, Reason.HALTED)])
def test_a_day_that_all_busy_series_lack_is_not_a_day_without_trades(
    db: Database,
    sql: Sql,
    symbols: tuple[str, ...],
    timeframe: str,
    candles_a_day: int,
    exchange: str | None,
    reason: Reason,
) -> None:
    """Two weeks of daily candles are few, but they show that the series trade every day."""
    for days in range(-6, 7):
        for at in (FETCHED, FETCHED + LATER):
            slices = [a_slice(symbol, DAY + days * ONE, timeframe=timeframe) for symbol in symbols]
            write(db, [judged(slice_, candles(slice_) if days else NO_ROWS, fetched_at=at) for slice_ in slices])
    if exchange:
        write(db, whole(exchange, timeframe))
    assert reasons(sql) == {(reason, candles_a_day)}


def of_minutes(db: Database, traded: Any) -> None:
    """Write the minutes of one series twice. `traded`: for each minute since FIRST, whether it has a candle."""
    for at in (FETCHED + 70 * ONE, FETCHED + 70 * ONE + LATER):
        found = []
        for n, of_day in enumerate(traded.reshape(-1, 1440)):
            slice_ = a_slice(day=FIRST + n * ONE)
            found.append(judged(slice_, candles(slice_)[of_day].reset_index(drop=True), fetched_at=at))
        write(db, found)


@pytest.mark.parametrize("a_day", [5, 20, 100, 200])
@pytest.mark.parametrize("is_busy_first", [True, False])
def test_a_pair_that_was_busy_for_a_week_and_is_quiet_for_weeks_was_not_halted(
    db: Database, sql: Sql, a_day: int, is_busy_first: bool
) -> None:
    """For example, many traders buy a new coin in its first week."""
    random = np.random.default_rng(a_day)
    share = np.repeat([0.95, a_day / 1440], [7 * 1440, 18 * 1440])
    traded = random.random(25 * 1440) < share
    of_minutes(db, traded if is_busy_first else traded[::-1])
    long = [(reason, count) for _, reason, count in reasons_by_day(sql) if reason != "no_trades" and count > 60]
    assert long == []
    assert sql("SELECT DISTINCT reason FROM gaps WHERE reason = 'not_listed'") == []


def test_candles_every_few_hours_do_not_hide_a_halt_of_two_days(db: Database, sql: Sql) -> None:
    traded = np.ones(12 * 1440, np.bool_)
    traded[5 * 1440 + 600 : 7 * 1440 + 600] = False
    traded[5 * 1440 + 700 : 7 * 1440 + 600 : 230] = True
    of_minutes(db, traded)
    assert reasons(sql) == {("halted", int((~traded).sum()))}


def of_one_series(db: Database, timeframe: str, absent: dict[int, list[int]], numbers: Iterable[int]) -> None:
    """Write days of one series twice. `absent`: the absent candles by the number of the day. DAY has the number 0."""
    for at in (FETCHED + 70 * ONE, FETCHED + 70 * ONE + LATER):
        found = []
        for n in numbers:
            slice_ = a_slice(day=DAY + n * ONE, timeframe=timeframe)
            found.append(judged(slice_, without(candles(slice_), *absent.get(n, [])), fetched_at=at))
        write(db, found)


@pytest.mark.parametrize(
    ("timeframe", "absent"),
    [
        ("1d", {0: [0]}),
        ("1d", {0: [0], 1: [0], 2: [0]}),
        ("1d", {70: [0]}),
        ("4h", {0: [3]}),
        ("4h", {0: [5], 1: [0]}),
    ],
)
def test_a_long_candle_of_a_series_that_always_trades_is_not_a_lack_of_trades(
    db: Database, sql: Sql, timeframe: str, absent: dict[int, list[int]]
) -> None:
    of_one_series(db, timeframe, absent, range(-70, 71))
    assert reasons(sql) == {("halted", sum(len(cells) for cells in absent.values()))}


def test_two_days_without_a_candle_are_a_silence_even_if_a_single_day_is_absent_too(db: Database, sql: Sql) -> None:
    of_one_series(db, "1d", {-30: [0], 0: [0], 1: [0]}, range(-70, 71))
    assert reasons_by_day(sql) == [(-10, "no_trades", 1), (20, "halted", 1), (21, "halted", 1)]


@pytest.mark.parametrize(
    ("timeframe", "absent", "numbers"),
    [
        ("1d", {0: [0], 20: [0]}, range(-70, 71)),
        ("1d", {0: [0]}, range(-29, 30)),
        ("1d", {n: [0] for n in range(-70, 71, 9)}, range(-70, 71)),
        ("4h", {0: [3], -40: [1]}, range(-70, 71)),
        ("1h", {0: [3]}, range(-70, 71)),
    ],
    ids=["another day is absent", "too few days", "quiet pair", "another candle is absent", "short candle"],
)
def test_a_long_candle_may_be_absent_for_lack_of_trades_if_the_series_proves_nothing_else(
    db: Database, sql: Sql, timeframe: str, absent: dict[int, list[int]], numbers: range
) -> None:
    of_one_series(db, timeframe, absent, numbers)
    assert reasons(sql) == {("no_trades", sum(len(cells) for cells in absent.values()))}


def test_another_absent_day_that_is_stored_later_revokes_the_silence_of_a_daily_series(db: Database, sql: Sql) -> None:
    of_one_series(db, "1d", {0: [0]}, [n for n in range(-70, 71) if n != 50])
    assert reasons(sql) == {("halted", 1)}
    of_one_series(db, "1d", {50: [0]}, [50])
    assert reasons(sql) == {("no_trades", 2)}
