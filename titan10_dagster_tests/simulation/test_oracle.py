"""The oracle finds every fault that is added to the tables of a quiet week."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from titan10_dagster_tests.simulation.away import hurry
from titan10_dagster_tests.simulation.oracle import MOST_REQUESTS, judge
from titan10_dagster_tests.simulation.story import DAY, EXCHANGES, HOUR, QUIET_END, SETTLE, START, TAIL, Story, quote_of
from titan10_dagster_tests.simulation.week import Week


def quiet() -> Story:
    """A week without events, in a few steps. It is settled every day, and polled often enough for Kraken."""
    settlements = [START + n * DAY + SETTLE for n in range((QUIET_END - START).days + 1)]
    steps = sorted({settlement + hours * HOUR for settlement in settlements for hours in (0, 7, 14)})
    symbols = {name: (f"ALGO/{quote_of(name)}",) for name in EXCHANGES}
    return Story(0, symbols, (*(step for step in steps if step < QUIET_END), QUIET_END, *TAIL), ())


@pytest.fixture
def week(database_url: str, tmp_path: Path) -> Iterator[Week]:
    hurry(database_url)
    with Week(quiet(), database_url, tmp_path) as week:
        yield week


def test_a_quiet_week_has_no_faults_and_every_later_change_is_found(week: Week) -> None:
    def complaints_after(exchange: str, statement: str) -> str:
        """Return the complaints about an exchange after a change of its tables."""
        with week.titan10.database.transaction() as cursor:
            cursor.execute(statement)
            assert cursor.rowcount > 0
        return "\n".join(map(str, judge(week, exchange)))

    week.live()
    assert not judge(week)
    minute = "exchange = 'okx' AND \"time\" = '2024-03-06 10:00+00'"
    assert "stored (" in complaints_after("okx", f"UPDATE candles SET volume = volume + 1 WHERE {minute}")
    without = complaints_after("okx", f"DELETE FROM candles WHERE {minute}")
    assert "could have been had and is not stored" in without
    assert "is missing without a gap" in without
    assert "the ledger counts 1440 candles, 1439 are stored" in without
    assert "is called delisted, not" in complaints_after(
        "coinbase", "UPDATE gaps SET reason = 'delisted' WHERE exchange = 'coinbase' AND reason = 'no_trades'"
    )
    assert "live" in complaints_after(
        "bybit", "UPDATE slice_ledger SET state = 'live' WHERE exchange = 'bybit' AND day = '2024-03-07'"
    )
    assert "never fetched" in complaints_after(
        "kraken", "DELETE FROM slice_ledger WHERE exchange = 'kraken' AND day = '2024-03-08'"
    )
    doubled = complaints_after(
        "okx",
        "INSERT INTO gaps SELECT 'okx', 'ALGO/USDT', '1m', '2024-03-06 11:00Z', '2024-03-06 11:02Z', 2, 'no_trades', 2,"
        " now(), now()",
    )
    assert "is stored and lies in a gap" in doubled
    assert "is filled, and no proven absence" in complaints_after(
        "okx",
        "UPDATE gaps SET gap_start = '2024-03-06 10:00Z', gap_end = '2024-03-06 10:01Z', candles = 1"
        " WHERE exchange = 'okx' AND gap_start = '2024-03-06 11:00Z'",
    )
    assert "is not called halted, although the evidence says so" in complaints_after(
        "okx",
        "INSERT INTO silences VALUES"
        " ('okx', 'ALGO/USDT', '1m', '2024-03-06 12:00Z', '2024-03-06 13:00Z', 'halted', 1, 1, 1)",
    )
    assert "nothing configured it" in complaints_after(
        "okx",
        "INSERT INTO candles SELECT exchange, 'OTHER/USDT', timeframe, \"time\", open, high, low, close, volume,"
        " price_scale, volume_scale FROM candles WHERE exchange = 'okx'",
    )
    sliced = ("okx", "ALGO/USDT", START.date())
    week.record.requests[sliced] = MOST_REQUESTS + 1
    week.record.requested_last[sliced] = week.story.end
    week.record.open_until[sliced] = week.story.end
    endless = "\n".join(map(str, judge(week, "okx")))
    assert f"was requested {MOST_REQUESTS + 1} times" in endless
    assert "is still requested at" in endless
    assert "is still open at the end" in endless
