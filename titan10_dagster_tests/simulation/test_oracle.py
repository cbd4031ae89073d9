"""That the oracle sees what is wrong: a quiet week, tampered with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from titan10_dagster_tests.simulation.oracle import judge
from titan10_dagster_tests.simulation.story import DAY, EXCHANGES, HOUR, QUIET_END, SETTLE, START, Story, quote_of
from titan10_dagster_tests.simulation.week import Week, hurry


def quiet() -> Story:
    """A week in which nothing happens, in few steps: settled every day, and polled often enough for Kraken."""
    settlements = [START + n * DAY + SETTLE for n in range((QUIET_END - START).days + 1)]
    steps = sorted({one + hours * HOUR for one in settlements for hours in (0, 7, 14)})
    symbols = {name: (f"ALGO/{quote_of(name)}",) for name in EXCHANGES}
    return Story(0, symbols, (*(step for step in steps if step < QUIET_END), QUIET_END), ())


@pytest.fixture
def week(database_url: str, tmp_path: Path) -> Iterator[Week]:
    hurry(database_url)
    with Week(quiet(), database_url, tmp_path) as week:
        yield week


def test_a_quiet_week_is_not_complained_of_and_whatever_is_changed_afterwards_is(week: Week) -> None:
    def told(statement: str) -> str:
        """What the oracle says after the statement."""
        with week.titan10.database.transaction() as cursor:
            cursor.execute(statement)
            assert cursor.rowcount > 0
        return "\n".join(map(str, judge(week)))

    week.live()
    assert not judge(week)
    minute = "exchange = 'okx' AND \"time\" = '2024-03-06 10:00+00'"
    assert "stored (" in told(f"UPDATE candles SET volume = volume + 1 WHERE {minute}")
    without = told(f"DELETE FROM candles WHERE {minute}")
    assert "could have been had and is not stored" in without
    assert "contradict each other" in without
    assert "is called delisted, not" in told(
        "UPDATE gaps SET reason = 'delisted' WHERE exchange = 'coinbase' AND reason = 'no_trades'"
    )
    assert "live" in told("UPDATE slice_ledger SET state = 'live' WHERE exchange = 'bybit' AND day = '2024-03-07'")
    assert "never fetched" in told("DELETE FROM slice_ledger WHERE exchange = 'kraken' AND day = '2024-03-08'")
