from __future__ import annotations

import json
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titan10_dagster.sandbox.instruments import instrument
from titan10_dagster.sandbox.pages import BlockCache, PageCutter
from titan10_dagster.sandbox.series import ServedSeries
from titan10_dagster.sandbox.truth import DAY_MS
from titan10_dagster.sandbox.venues.registry import VENUES
from titan10_dagster.sandbox.venues.wire import CandleRequest

MINUTE_MS = 60_000
START = 20_000 * DAY_MS
NOW_MS = START + 3 * DAY_MS + 30_000


def cutter(exchange: str) -> tuple[PageCutter, ServedSeries]:
    venue = VENUES[exchange]
    return PageCutter(venue, BlockCache()), ServedSeries(venue, instrument(venue, venue.symbols[15]))


@settings(max_examples=40)
@given(first=st.integers(0, 4 * 1_440), length=st.integers(0, 2 * 1_440), limit=st.integers(1, 1_000), data=st.data())
def test_a_page_is_what_a_search_through_all_rows_finds(
    first: int, length: int, limit: int, data: st.DataObject
) -> None:
    pages, series = cutter(data.draw(st.sampled_from(["binance", "coinbase"])))
    keep: Literal["oldest", "newest"] = data.draw(st.sampled_from(["oldest", "newest"]))
    start, end = START + first * MINUTE_MS, START + (first + length) * MINUTE_MS
    request = CandleRequest("X", 60, limit, start, end, keep, unfinished=False)
    rows = series.rows(START, NOW_MS // MINUTE_MS * MINUTE_MS, 60)[:, 0]
    inside = rows[(rows >= start) & (rows < end)]
    wanted = inside[:limit] if keep == "oldest" else inside[-limit:]
    found = pages.select(series, request, NOW_MS)
    assert [row.time for row in pages.rows(series, request, found)] == wanted.tolist()
    assert pages.times(series, request, found) == ((wanted[0], wanted[-1]) if len(wanted) else (None, None))


def test_the_body_holds_the_rows_in_the_exchanges_order() -> None:
    for exchange, descending in (("binance", False), ("bybit", True)):
        pages, series = cutter(exchange)
        request = CandleRequest("X", 60, 10, START, START + 10 * MINUTE_MS)
        rows = json.loads(b"[" + pages.body(series, request, pages.select(series, request, NOW_MS)) + b"]")
        times = [int(row[0]) for row in rows]
        assert times == sorted(times, reverse=descending)


def test_the_cache_drops_a_symbol_and_the_oldest_blocks() -> None:
    pages, series = cutter("binance")
    request = CandleRequest("X", 60, 10, START, START + 10 * MINUTE_MS)
    before = pages.body(series, request, pages.select(series, request, NOW_MS))
    series.changes.restate(START, series.source.units([1, 1, 1, 1, 1]))
    assert pages.body(series, request, pages.select(series, request, NOW_MS)) == before
    pages.cache.forget(series.instrument.symbol)
    assert pages.body(series, request, pages.select(series, request, NOW_MS)) != before
    small = BlockCache(max_bytes=1)
    blocks = [small.get(series, 60, 20_000 + day) for day in range(3)]
    assert len(small._blocks) == 1
    np.testing.assert_array_equal(small.get(series, 60, 20_000).times, blocks[0].times)


@pytest.mark.parametrize(
    ("end", "unfinished", "wanted"), [(None, True, 1), (None, False, 0), (NOW_MS - 60_000, True, 0)]
)
def test_the_forming_candle_is_part_of_an_answer_that_reaches_now(
    end: int | None, unfinished: bool, wanted: int
) -> None:
    pages, series = cutter("binance")
    request = CandleRequest("X", 60, 10, NOW_MS // MINUTE_MS * MINUTE_MS, end, "oldest", unfinished)
    assert pages.select(series, request, NOW_MS).count == wanted
