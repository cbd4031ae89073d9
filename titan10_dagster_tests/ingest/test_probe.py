from __future__ import annotations

from datetime import date

import pytest

from titan10_dagster.errors import FetchError
from titan10_dagster.exchanges.probing import MOST_REQUESTS
from titan10_dagster.ingest.probe import probe_exchange
from titan10_dagster.planning.probe import Property
from titan10_dagster.store.probes import ProbeStore
from titan10_dagster_tests.world import MakeWorld

SYMBOLS = {"binance": ("BTC/USDT", "ALGO/USDT"), "kraken": ("BTC/USD", "ALGO/USD")}
FIRST, LAST = date(2024, 3, 4), date(2024, 3, 6)


def test_a_probe_requests_settled_candles_and_is_stored(make_world: MakeWorld) -> None:
    world = make_world(SYMBOLS)
    world.backfill("binance", FIRST, LAST)
    probe = probe_exchange(world.titan10, "binance")
    measured = {finding.subject: finding.measured for finding in probe.findings}
    assert probe.differences == []
    assert 0 < probe.requests <= MOST_REQUESTS
    assert measured[Property.PAGE_SIZE] == "1000"
    assert measured[Property.VALUES] == "as stored"
    assert measured[Property.EMPTY_MINUTES] == "filled"
    assert ProbeStore(world.titan10.database).history("binance") == [probe]


def test_a_change_is_found_by_the_stored_candles(make_world: MakeWorld) -> None:
    world = make_world(SYMBOLS)
    world.backfill("binance", FIRST, LAST)
    probe_exchange(world.titan10, "binance")
    world.sandbox.fault("binance", "page_third")
    world.sandbox.fault("binance", "half_markets")
    found = {finding.subject: finding.measured for finding in probe_exchange(world.titan10, "binance").differences}
    assert found == {Property.PAGE_SIZE: "333", Property.MARKETS: "12"}


def test_an_exchange_without_stored_candles_is_probed_too(make_world: MakeWorld) -> None:
    world = make_world(SYMBOLS)
    probe = probe_exchange(world.titan10, "kraken")
    measured = {finding.subject: finding.measured for finding in probe.findings}
    assert probe.differences == []
    assert (measured[Property.DEPTH], measured[Property.ORDER]) == ("720", "oldest first")


def test_an_exchange_that_lists_none_of_its_symbols_cannot_be_probed(make_world: MakeWorld) -> None:
    world = make_world({"binance": ("NO/SUCH",)})
    with pytest.raises(FetchError, match="cannot be probed"):
        probe_exchange(world.titan10, "binance")
