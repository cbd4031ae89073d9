"""Days of a closed market become final if the exchange does not serve them.

If the market trades again, they are no longer final.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from titan10_dagster.candles.fetched import CLOSED_NOTE
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import Slice, days, midnight, to_ms
from titan10_dagster.errors import FetchError
from titan10_dagster.ingest.backlog import open_slices
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import ledger_rows, read_days
from titan10_dagster.ingest.fetch import fetch_and_land, plan_days
from titan10_dagster.ingest.markets import refresh_markets
from titan10_dagster.ingest.store import store_slices
from titan10_dagster.store import ledger
from titan10_dagster.store.database import all_rows
from titan10_dagster.store.markets import MarketStore
from titan10_dagster_tests.world import DAY, NOW, MakeWorld, World, ticking

SYMBOL = "ETH/USDT"
STORED = date(2024, 3, 5)  # the only day that is stored before the market closes
FIRST, LAST = date(2024, 3, 4), date(2024, 3, 9)
CLOSED = datetime(2024, 3, 6, 0, 0, tzinfo=UTC)


def a_world(make_world: MakeWorld) -> tuple[World, IngestContext]:
    world = make_world({"binance": ["BTC/USDT", SYMBOL]})
    refresh_markets(world.titan10, "binance")
    fetch(world.titan10, slices_of(world.titan10, STORED, STORED))
    return world, world.titan10


def close(world: World) -> None:
    world.sandbox.fault("binance", "delist", symbol=SYMBOL, time=to_ms(CLOSED), candles="unknown_symbol")


def call_inactive(titan10: IngestContext) -> None:
    """Store a market list in which the symbol is inactive."""
    store = MarketStore(titan10.database)
    markets = [replace(market, active=market.symbol != SYMBOL) for market in store.load("binance")]
    store.replace("binance", markets, titan10.now())


def slices_of(titan10: IngestContext, first: date, last: date) -> list[Slice]:
    return titan10.slices("binance", days(first, last), [SYMBOL])


def fetch(titan10: IngestContext, slices: Sequence[Slice]) -> int:
    """Fetch and store the slices that a repair would request. Return the number of these slices."""
    plan = plan_days(titan10, read_days(titan10, slices), repair=True)
    fetch_and_land(titan10, "binance", plan.fetch)
    store_slices(titan10, slices)
    return len(plan.fetch)


def fetch_kraken(titan10: IngestContext, day: date) -> dict[str, FetchError]:
    """Fetch and store the day of all symbols as a repair would, and return the failed symbols."""
    slices = titan10.slices("kraken", [day])
    plan = plan_days(titan10, read_days(titan10, slices), repair=True)
    fetched = fetch_and_land(titan10, "kraken", plan.fetch)
    store_slices(titan10, slices)
    return dict(fetched.failed)


def reasons(titan10: IngestContext) -> list[tuple[Reason, datetime, datetime]]:
    rows = ledger.gaps(titan10.database, "binance", symbol=SYMBOL, start=midnight(FIRST), end=midnight(LAST))
    return [(row.gap.reason, row.gap.start, row.gap.end) for row in rows]


def test_days_around_the_last_candle_of_a_closed_market_are_final(make_world: MakeWorld) -> None:
    world, titan10 = a_world(make_world)
    close(world)
    refresh_markets(titan10, "binance")
    slices = slices_of(titan10, FIRST, LAST)
    assert fetch(titan10, slices) == len(slices) - 1
    assert {row.state for row in ledger_rows(titan10, slices).values()} == {"settled"}
    assert {reason for reason, _, end in reasons(titan10) if end <= midnight(STORED)} == {Reason.BEYOND_HORIZON}
    assert {reason for reason, start, _ in reasons(titan10) if start >= CLOSED} == {Reason.DELISTED}


def test_two_repairs_later_nothing_of_a_closed_market_is_open_or_requested(make_world: MakeWorld) -> None:
    world, titan10 = a_world(make_world)
    close(world)
    refresh_markets(titan10, "binance")
    slices = slices_of(titan10, FIRST, LAST)
    fetch(titan10, slices)
    for hours in (7, 14):
        object.__setattr__(titan10, "now", ticking(titan10.now() + timedelta(hours=hours)))
        before = len(world.candle_requests("binance"))
        assert fetch(titan10, slices) == 0
        assert len(world.candle_requests("binance")) == before
    assert [row for row in open_slices(titan10) if row.slice.series.symbol == SYMBOL] == []


def test_a_market_that_the_list_calls_active_stays_open(make_world: MakeWorld) -> None:
    world, titan10 = a_world(make_world)
    world.sandbox.fault("binance", "unknown_symbol", symbol=SYMBOL)
    slices = slices_of(titan10, FIRST, LAST)
    fetch(titan10, slices)
    assert len([row for row in open_slices(titan10) if row.slice.series.symbol == SYMBOL]) == len(slices) - 1


def test_a_closed_market_without_a_stored_candle_is_final_at_once(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", SYMBOL]})
    titan10 = world.titan10
    close(world)
    refresh_markets(titan10, "binance")
    slices = slices_of(titan10, FIRST, LAST)
    assert fetch(titan10, slices) == len(slices)
    rows = ledger_rows(titan10, slices).values()
    assert {row.state for row in rows} == {"settled"}
    assert {row.missing[Reason.BEYOND_HORIZON] for row in rows} == {1440}
    assert all(row.note is not None and row.note.startswith(CLOSED_NOTE) for row in rows)
    before = len(world.candle_requests("binance"))
    assert fetch(titan10, slices) == 0
    assert len(world.candle_requests("binance")) == before


def test_a_closed_market_of_which_no_candle_is_served_at_all_is_final(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", SYMBOL]})
    titan10 = world.titan10
    refresh_markets(titan10, "binance")
    call_inactive(titan10)
    world.sandbox.fault("binance", "empty_page", symbol=SYMBOL)
    slices = slices_of(titan10, FIRST, LAST)
    fetch(titan10, slices)
    rows = ledger_rows(titan10, slices).values()
    assert {(row.state, row.missing[Reason.BEYOND_HORIZON]) for row in rows} == {("settled", 1440)}
    assert {row.note for row in rows} == {f"{CLOSED_NOTE}binance serves no candles of this market"}


def test_a_market_that_stopped_within_a_day_is_not_called_closed(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", SYMBOL]})
    titan10 = world.titan10
    refresh_markets(titan10, "binance")
    yesterday = titan10.now().date() - timedelta(days=1)
    fetch(titan10, slices_of(titan10, yesterday, yesterday))
    world.sandbox.fault("binance", "delist", symbol=SYMBOL, time=to_ms(titan10.now()), candles="unknown_symbol")
    refresh_markets(titan10, "binance")
    before = slices_of(titan10, yesterday - DAY, yesterday - DAY)
    fetch(titan10, before)
    assert {row.state for row in ledger_rows(titan10, before).values()} == {"partial"}
    object.__setattr__(titan10, "now", ticking(midnight(yesterday) + 2 * DAY))
    fetch(titan10, before)
    assert {row.state for row in ledger_rows(titan10, before).values()} == {"settled"}


def test_days_after_the_last_stored_candle_are_requested_before_they_are_called_delisted(
    make_world: MakeWorld,
) -> None:
    world, titan10 = a_world(make_world)
    world.sandbox.fault("binance", "delist", symbol=SYMBOL, time=to_ms(CLOSED + DAY), candles="candles")
    refresh_markets(titan10, "binance")
    world.sandbox.fault("binance", "unknown_symbol", symbol=SYMBOL, count=1)
    slices = slices_of(titan10, FIRST, LAST)
    fetch(titan10, slices)
    rows = {slice_.day: row for slice_, row in ledger_rows(titan10, slices).items()}
    assert rows[CLOSED.date()].present == 1440
    assert {reason for reason, start, _ in reasons(titan10) if start >= CLOSED} == {Reason.DELISTED}
    assert min(start for _, start, _ in reasons(titan10) if start >= CLOSED) == CLOSED + DAY
    assert rows[FIRST].state == "partial"


def world_with_an_open_gap(make_world: MakeWorld) -> tuple[World, IngestContext, list[Slice]]:
    """Return a world with one stored day. The gap of this day was observed only once, and then the market closed."""
    world = make_world({"binance": ["BTC/USDT", SYMBOL]})
    start = midnight(STORED) + timedelta(hours=17)
    until = start + timedelta(minutes=31)
    world.sandbox.fault("binance", "absent", symbol=SYMBOL, time=to_ms(start), until=to_ms(until))
    refresh_markets(world.titan10, "binance")
    stored = slices_of(world.titan10, STORED, STORED)
    repair(world.titan10, stored)
    assert reasons(world.titan10) == [(Reason.UNKNOWN, start, until)]
    world.sandbox.fault("binance", "unknown_symbol", symbol=SYMBOL)
    call_inactive(world.titan10)
    object.__setattr__(world.titan10, "now", ticking(world.titan10.now() + timedelta(hours=7)))
    return world, world.titan10, stored


def repair(titan10: IngestContext, slices: Sequence[Slice]) -> int:
    """Fetch the slices as a repair would, and store only the files that are not stored yet."""
    plan = plan_days(titan10, read_days(titan10, slices), repair=True)
    fetch_and_land(titan10, "binance", plan.fetch)
    store_slices(titan10, read_days(titan10, slices).unstored())
    return len(plan.fetch)


def test_a_gap_that_was_observed_once_before_the_market_closed_is_final(make_world: MakeWorld) -> None:
    world, titan10, stored = world_with_an_open_gap(make_world)
    file = titan10.landing.identity(stored[0])
    assert repair(titan10, stored) == 1
    assert [reason for reason, _, _ in reasons(titan10)] == [Reason.BEYOND_HORIZON]
    row = ledger_rows(titan10, stored)[stored[0]]
    assert (row.state, row.present, row.unexplained) == ("settled", 1440 - 31, 0)
    assert (row.note or "").startswith(CLOSED_NOTE)
    assert titan10.landing.identity(stored[0]) == file
    assert [open_ for open_ in open_slices(titan10) if open_.slice in stored] == []
    before = len(world.candle_requests("binance"))
    assert repair(titan10, stored) == 0
    assert len(world.candle_requests("binance")) == before


def test_a_later_candle_reopens_the_gap_that_the_closing_made_final(make_world: MakeWorld) -> None:
    world, titan10, stored = world_with_an_open_gap(make_world)
    repair(titan10, stored)
    world.sandbox.clear_faults("binance")
    object.__setattr__(titan10, "now", ticking(midnight(LAST) + 2 * DAY + timedelta(hours=2)))
    world.sandbox.clock.stop_at(to_ms(titan10.now()))
    refresh_markets(titan10, "binance")
    repair(titan10, slices_of(titan10, LAST + DAY, LAST + DAY))
    assert {reason for reason, _, end in reasons(titan10) if end <= midnight(STORED) + DAY} == {Reason.UNKNOWN}


def test_a_refresh_of_a_closed_market_does_not_change_a_stored_day_without_a_gap(make_world: MakeWorld) -> None:
    world, titan10 = a_world(make_world)
    close(world)
    refresh_markets(titan10, "binance")
    stored = slices_of(titan10, STORED, STORED)
    before = ledger_rows(titan10, stored)
    fetch_and_land(titan10, "binance", stored)
    assert ledger_rows(titan10, stored) == before


def test_a_file_that_is_not_stored_yet_keeps_its_candles_when_the_market_closes(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", SYMBOL]})
    titan10 = world.titan10
    refresh_markets(titan10, "binance")
    fetch(titan10, slices_of(titan10, FIRST, FIRST))
    landed = slices_of(titan10, STORED, STORED)
    fetch_and_land(titan10, "binance", landed)
    close(world)
    refresh_markets(titan10, "binance")
    fetch_and_land(titan10, "binance", landed)
    assert read_days(titan10, landed).unstored() == landed
    store_slices(titan10, landed)
    assert ledger_rows(titan10, landed)[landed[0]].present == 1440


def test_a_market_that_trades_again_takes_back_what_its_closing_made_final(make_world: MakeWorld) -> None:
    """A market was closed for days and then listed again. Older holes and the days after its return are fetched."""
    world, titan10 = a_world(make_world)
    world.sandbox.fault("binance", "unknown_symbol", symbol=SYMBOL)
    call_inactive(titan10)
    slices = slices_of(titan10, FIRST, LAST)
    fetch(titan10, slices)
    assert {reason for reason, _, _ in reasons(titan10)} == {Reason.BEYOND_HORIZON, Reason.DELISTED}
    world.sandbox.clear_faults("binance")
    object.__setattr__(titan10, "now", ticking(midnight(LAST) + 2 * DAY + timedelta(hours=2)))
    world.sandbox.clock.stop_at(to_ms(titan10.now()))
    refresh_markets(titan10, "binance")
    after = LAST + DAY
    silent = midnight(LAST - DAY)
    world.sandbox.fault("binance", "absent", symbol=SYMBOL, time=to_ms(silent), until=to_ms(silent + DAY))
    fetch(titan10, slices_of(titan10, after, after))
    assert {reason for reason, _, _ in reasons(titan10)} == {Reason.UNKNOWN}
    assert fetch(titan10, slices) == len(slices) - 1
    rows = {slice_.day: row for slice_, row in ledger_rows(titan10, slices).items()}
    assert [rows[day].present for day in days(FIRST, LAST)] == [1440, 1440, 1440, 1440, 0, 1440]
    object.__setattr__(titan10, "now", ticking(titan10.now() + timedelta(hours=7)))
    fetch(titan10, slices)
    assert [(reason, start) for reason, start, _ in reasons(titan10)] == [(Reason.HALTED, silent)]


@pytest.mark.parametrize("symbols", [("BTC/EUR",), ("BTC/USD", "BTC/EUR")])
def test_yesterday_of_a_market_that_kraken_closed_days_ago_is_delisted(
    make_world: MakeWorld, symbols: Sequence[str]
) -> None:
    """Kraken serves only the newest 720 minutes. So it serves no candle of yesterday for the closed market."""
    now = NOW.replace(hour=2)
    world = make_world({"kraken": symbols}, clock=now)
    titan10 = world.titan10
    object.__setattr__(titan10, "now", ticking(now))
    refresh_markets(titan10, "kraken")
    world.sandbox.fault("kraken", "delist", symbol="BTC/EUR", time=to_ms(now - 3 * DAY), candles="candles")
    refresh_markets(titan10, "kraken")
    yesterday = now.date() - DAY
    assert fetch_kraken(titan10, yesterday) == {}
    row = ledger_rows(titan10, titan10.slices("kraken", [yesterday], ["BTC/EUR"]))
    (euro,) = row.values()
    assert (euro.state, euro.unexplained) == ("settled", 0)
    assert euro.note == f"{CLOSED_NOTE}kraken serves no candles of this market"
    before = len(world.candle_requests("kraken"))
    assert before <= 8
    fetch_kraken(titan10, yesterday)
    asked = [entry for entry in world.candle_requests("kraken")[before:] if entry["symbol"] == "BTC/EUR"]
    assert asked == []


def test_the_words_of_the_note_are_those_of_the_index(make_world: MakeWorld) -> None:
    world = make_world({"binance": [SYMBOL]})
    with world.titan10.database.transaction() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'ledger_closed'")
        ((definition,),) = all_rows(cursor)
    assert f"%{CLOSED_NOTE}%" in definition
