from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any

import ccxt
import numpy as np
import pytest

from titan10_dagster.sandbox.faults import FAULT_KINDS
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.sandbox.venues.registry import VENUES
from titan10_dagster_tests.sandbox.clients import DAY_MS, MINUTE_MS, TIMEOUT, TODAY, Clients, Run, spot_only

EXCHANGES = list(VENUES)
FIVE = EXCHANGES[:5]
SINCE = TODAY + 600 * MINUTE_MS  # within Kraken's horizon


def symbol_of(exchange: str) -> str:
    return VENUES[exchange].symbols[0]


def truth_of(sandbox: Sandbox, exchange: str = "binance", rows: int = 100) -> np.ndarray:
    return sandbox.truth(exchange, symbol_of(exchange), SINCE, SINCE + rows * MINUTE_MS)


def page(clients: Clients, exchange: str = "binance", rows: int = 100) -> np.ndarray:
    since = None if exchange == "gemini" else SINCE  # gemini answers any request with a day of rows
    return clients.candles(exchange, symbol_of(exchange), "1m", since, rows)


def fetched(sandbox: Sandbox, rows: int = 100) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of a candle request to binance, for any status."""
    url = f"{sandbox.url('binance')}/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={SINCE}&limit={rows}"
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


STATUSES = {
    "http_429": 429, "http_418": 418, "http_403": 403, "http_451": 451, "http_400": 400, "http_404": 404,
    "http_500": 500, "http_502": 502, "http_504": 504, "maintenance": 503, "unknown_symbol": 400,
    "html_200": 200, "empty_body": 200, "empty_object": 200, "null_data": 200, "truncated": 200,
}  # fmt: skip


@pytest.mark.parametrize(("kind", "status"), STATUSES.items())
def test_an_answer_fault_strikes_once_and_is_gone(kind: str, status: int, sandbox: Sandbox) -> None:
    _, _, good = fetched(sandbox)
    sandbox.fault("binance", kind, count=1)
    struck = fetched(sandbox)
    entry = sandbox.requests("binance")[-1]
    assert struck[0] == status == entry["status"]
    assert struck[2] != good
    assert entry["faults"] == [kind]
    assert fetched(sandbox)[2] == good


def test_throttling_and_bans_say_how_long_to_wait(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "http_429", retry_after=7, count=1)
    sandbox.fault("binance", "http_418", retry_after=300, after=1)
    assert fetched(sandbox)[1]["Retry-After"] == "7"
    assert fetched(sandbox)[1]["Retry-After"] == "300"


def test_any_refusal_can_be_chosen_by_its_name(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "refusal", name="closed_market", count=1)
    status, headers, body = fetched(sandbox)
    assert (status, b"-1122" in body, "Retry-After" in headers) == (400, True, False)


def test_a_bad_gateway_is_html(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "http_502")
    _, headers, body = fetched(sandbox)
    assert headers["Content-Type"].startswith("text/html")
    assert body.startswith(b"<html>")


MAINTENANCE = {
    "binance": "-1008", "coinbase": "UNAVAILABLE", "kraken": "EService:Unavailable", "okx": "50001", "bybit": "10016",
    "binanceus": "-1008", "bingx": "maintenance", "bitfinex": "20060|maintenance", "bitget": "40200",
    "bithumb": "maintenance", "bitrue": "maintenance", "bitstamp": "maintenance", "cryptocom": "9010001",
    "gate": "TOO_BUSY", "gemini": "maintenance", "htx": "system-maintenance", "hyperliquid": "503", "kucoin": "503000",
    "mexc": "maintenance", "phemex": "503", "upbit": "maintenance",
}  # fmt: skip


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_maintenance_is_announced_in_the_exchanges_own_words(exchange: str, sandbox: Sandbox, clients: Clients) -> None:
    clients.get(exchange)
    sandbox.fault(exchange, "maintenance")
    with pytest.raises((ccxt.NetworkError, ccxt.ExchangeError), match=MAINTENANCE[exchange]):
        page(clients, exchange)


@pytest.mark.parametrize("exchange", FIVE)
@pytest.mark.parametrize("kind", ["html_200", "truncated", "empty_body"])
def test_ccxt_takes_junk_for_no_data(exchange: str, kind: str, sandbox: Sandbox, clients: Clients) -> None:
    clients.get(exchange)
    sandbox.fault(exchange, kind)
    assert len(page(clients, exchange)) == 0


@pytest.mark.parametrize("kind", ["reset", "outage", "stall", "short_body"])
def test_a_broken_connection_raises(kind: str, sandbox: Sandbox, clients: Clients) -> None:
    clients.get("binance")
    sandbox.fault("binance", kind, **({"seconds": 0.1} if kind == "stall" else {}))
    with pytest.raises((ccxt.NetworkError, ccxt.ExchangeError)):
        page(clients)
    assert sandbox.requests("binance")[-1]["faults"] == [kind]
    sandbox.clear_faults("binance")
    assert len(page(clients)) == 100


def test_aiohttp_repeats_a_request_that_a_kept_connection_lost(sandbox: Sandbox, clients: Clients) -> None:
    assert len(page(clients)) == 100
    sandbox.fault("binance", "reset", count=1)
    before = len(sandbox.requests("binance"))
    assert len(page(clients)) == 100
    assert len(sandbox.requests("binance")) == before + 2


def test_a_reset_resets(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "reset")
    with pytest.raises(ConnectionResetError):
        fetched(sandbox)


def test_a_stall_outlasts_the_clients_patience(sandbox: Sandbox, clients: Clients) -> None:
    client = clients.get("binance")
    sandbox.fault("binance", "stall", seconds=20)
    client.timeout = 300
    try:
        with pytest.raises(ccxt.RequestTimeout):
            page(clients)
    finally:
        client.timeout = TIMEOUT


def test_latency_makes_every_answer_slower(sandbox: Sandbox, clients: Clients) -> None:
    clients.get("binance")
    sandbox.fault("binance", "latency", ms=200)
    started = time.monotonic()
    assert len(page(clients)) == 100
    assert time.monotonic() - started > 0.2


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_duplicated_rows_come_twice(exchange: str, sandbox: Sandbox, clients: Clients) -> None:
    clients.get(exchange)
    sandbox.fault(exchange, "duplicates", rows=5)
    rows = sandbox.requests(exchange)
    found = page(clients, exchange)
    assert sandbox.requests(exchange)[-1]["rows"] > 80
    assert len(sandbox.requests(exchange)) == len(rows) + 1
    # gemini's rows in the middle are half a day old, and ccxt returns only the last hundred rows
    if exchange != "gemini":
        _, counts = np.unique(found[:, 0], return_counts=True)
        assert (counts == 2).sum() == 5


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_disorder_shuffles_the_wire_only(exchange: str, sandbox: Sandbox, clients: Clients) -> None:
    clients.get(exchange)
    sandbox.fault(exchange, "disorder", seed=1)
    found = page(clients, exchange)
    there = sandbox.truth(exchange, symbol_of(exchange), TODAY - 2 * DAY_MS, TODAY + DAY_MS)[:, 0]
    assert set(found[:, 0]) <= set(there) | {found[:, 0].max()}
    assert len(found) > 10


def test_the_unfinished_row_has_hardly_begun(sandbox: Sandbox, clients: Clients) -> None:
    sandbox.fault("binance", "unfinished")
    found, wanted = page(clients), truth_of(sandbox)
    np.testing.assert_array_equal(found[:-1], wanted[:-1])
    assert found[-1, 5] < wanted[-1, 5]
    assert set(found[-1, 1:5]) == {wanted[-1, 1]}


@pytest.mark.parametrize(("exchange", "rows"), [("binance", 333), ("bybit", 333), ("okx", 100), ("coinbase", 100)])
def test_a_lowered_page_limit_gives_a_third(exchange: str, rows: int, sandbox: Sandbox, clients: Clients) -> None:
    limit = VENUES[exchange].page_limit
    since = TODAY - 20 * DAY_MS
    clients.get(exchange)
    sandbox.fault(exchange, "page_third")
    found = clients.candles(exchange, symbol_of(exchange), "1m", since, limit)
    whole = sandbox.truth(exchange, symbol_of(exchange), since, since + limit * MINUTE_MS)
    # Exchanges that answer [start, end) keep the newest rows. The other exchanges keep the oldest rows.
    kept = whole[-rows:] if exchange in {"okx", "coinbase"} else whole[:rows]
    np.testing.assert_array_equal(found, kept)


def test_a_horizon_ignores_since(sandbox: Sandbox, clients: Clients) -> None:
    sandbox.fault("binance", "horizon", rows=720)
    found = clients.candles("binance", "BTC/USDT", "1m", TODAY - 30 * DAY_MS, 1_000)
    assert len(found) == 720
    assert found[0, 0] > TODAY - DAY_MS


def broken(sandbox: Sandbox, clients: Clients, kind: str, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the only row that differs from the truth, and the correct row."""
    sandbox.fault("binance", kind, **options)
    found, wanted = page(clients), truth_of(sandbox)
    differs = ~np.isclose(found, wanted, rtol=0, atol=0, equal_nan=False).all(axis=1)
    assert differs.sum() == 1
    return found[differs][0], wanted[differs][0]


def test_high_below_low(sandbox: Sandbox, clients: Clients) -> None:
    found, wanted = broken(sandbox, clients, "high_below_low")
    assert found[2] < found[3]
    assert (found[2], found[3]) == (wanted[3], wanted[2])


@pytest.mark.parametrize("kind", ["null_value", "nan_value"])
def test_a_value_that_is_none(kind: str, sandbox: Sandbox, clients: Clients) -> None:
    found, _ = broken(sandbox, clients, kind, index=3)
    assert np.isnan(found[4])


def test_a_negative_volume(sandbox: Sandbox, clients: Clients) -> None:
    found, _ = broken(sandbox, clients, "negative_volume", index=-1)
    assert found[5] == -1.5


def test_a_price_of_zero(sandbox: Sandbox, clients: Clients) -> None:
    found, _ = broken(sandbox, clients, "zero_price")
    assert found[3] == 0


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_time_off_the_grid(exchange: str, sandbox: Sandbox, clients: Clients) -> None:
    clients.get(exchange)
    sandbox.fault(exchange, "off_grid", ms=7_000, index=-3 if exchange == "gemini" else 5)
    found = page(clients, exchange)
    assert (found[:, 0] % MINUTE_MS != 0).sum() == 1


def test_conflicting_duplicates_have_one_time_and_two_values(sandbox: Sandbox, clients: Clients) -> None:
    sandbox.fault("binance", "conflicting_duplicate")
    found = page(clients)
    times, counts = np.unique(found[:, 0], return_counts=True)
    twins = found[found[:, 0] == times[counts == 2][0]]
    assert twins[0, 5] != twins[1, 5]


def test_lost_rows_are_lost_once(sandbox: Sandbox, clients: Clients) -> None:
    sandbox.fault("binance", "lost_rows", rows=10, count=1)
    assert len(page(clients)) == 90
    np.testing.assert_array_equal(page(clients), truth_of(sandbox))


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_an_empty_page_is_well_formed(exchange: str, sandbox: Sandbox, clients: Clients) -> None:
    clients.get(exchange)
    sandbox.fault(exchange, "empty_page", count=1)
    assert len(page(clients, exchange)) == 0
    assert len(page(clients, exchange)) > 50


def test_a_fault_can_wait_take_chances_and_choose_its_symbol(sandbox: Sandbox, clients: Clients) -> None:
    clients.get("binance")
    sandbox.fault("binance", "empty_page", symbol="ETH/USDT", after=1, count=1)
    eth = [len(clients.candles("binance", "ETH/USDT", "1m", SINCE, 10)) for _ in range(3)]
    assert eth == [10, 0, 10]
    assert len(page(clients)) == 100
    sandbox.fault("binance", "empty_page", probability=0.5, seed=3)
    struck = [len(page(clients)) == 0 for _ in range(20)]
    assert 3 < sum(struck) < 17


def test_a_fault_ends_after_its_time(sandbox: Sandbox, clients: Clients) -> None:
    clients.get("binance")
    sandbox.fault("binance", "empty_page", lasts=3_600)
    assert len(page(clients)) == 0
    sandbox.clear_faults("binance")
    sandbox.fault("binance", "empty_page", lasts=0.05)
    time.sleep(0.06)
    assert len(page(clients)) == 100


def test_faults_strike_candles_only_by_default(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "http_500")
    with urllib.request.urlopen(f"{sandbox.url('binance')}/api/v3/exchangeInfo") as answer:
        assert answer.status == 200
    sandbox.fault("binance", "http_500", path="markets")
    with pytest.raises(urllib.error.HTTPError, match="500") as caught:
        urllib.request.urlopen(f"{sandbox.url('binance')}/api/v3/exchangeInfo")
    caught.value.close()


def test_an_unknown_fault_or_option_is_refused_with_a_list_of_those_that_exist(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="choose one of latency, reset"):
        sandbox.fault("binance", "flood")
    with pytest.raises(ValueError, match=r"it has count, probability.*retry_after"):
        sandbox.fault("binance", "http_429", often=3)


def test_every_kind_of_fault_has_a_sentence() -> None:
    assert all(kind.sentence.endswith(".") for kind in FAULT_KINDS.values())


def changed(sandbox: Sandbox, clients: Clients, exchange: str, kind: str, **options: Any) -> tuple[np.ndarray, ...]:
    """Return a page without and with a fault."""
    before = page(clients, exchange)
    sandbox.fault(exchange, kind, **options)
    return before, page(clients, exchange)


def test_many_rows_can_be_off_the_grid(sandbox: Sandbox, clients: Clients) -> None:
    before, after = changed(sandbox, clients, "binance", "off_grid", rows=30, ms=14_789)
    assert (after[:, 0] % MINUTE_MS == 14_789).sum() == 30
    np.testing.assert_array_equal(after[:, 1:], before[:, 1:])


@pytest.mark.parametrize(("kind", "text"), [("null_row", b",null,"), ("empty_row", b",[],")])
def test_junk_stands_in_place_of_a_row(kind: str, text: bytes, sandbox: Sandbox) -> None:
    _, _, good = fetched(sandbox)
    sandbox.fault("binance", kind, index=50)
    _, _, body = fetched(sandbox)
    assert text in body
    assert body.count(b"],[") == good.count(b"],[") - (2 if kind == "null_row" else 0)


def test_a_row_can_have_a_negative_time(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "negative_time", index=3)
    assert json.loads(fetched(sandbox)[2])[3][0] == -1_000


def test_a_candle_that_was_cut_short_has_an_early_close_time(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "cut_short", index=0, ms=14_000)
    row = json.loads(fetched(sandbox)[2])[0]
    assert row[6] == row[0] + 13_999


QUIET = "ALGO/USDT"


def quiet_rows(sandbox: Sandbox) -> list[Any]:
    url = f"{sandbox.url('binance')}/api/v3/klines?symbol=ALGOUSDT&interval=1m&startTime={TODAY}&limit=700"
    with urllib.request.urlopen(url) as answer:
        return json.loads(answer.read())


@pytest.mark.parametrize(("spelling", "text"), [("zero", "0"), ("null", None), ("empty", "")])
def test_empty_minutes_can_be_spelled_otherwise(spelling: str, text: str | None, sandbox: Sandbox) -> None:
    empty = [row[0] for row in quiet_rows(sandbox) if float(row[5]) == 0]
    sandbox.fault("binance", "empty_spelling", spelling=spelling)
    rows = quiet_rows(sandbox)
    assert [row[0] for row in rows if row[1:6] == [text] * 5] == empty
    assert empty


def test_empty_minutes_can_be_dropped_or_filled(sandbox: Sandbox, clients: Clients) -> None:
    rows = quiet_rows(sandbox)
    sandbox.fault("binance", "empty_dropped")
    assert [row[0] for row in quiet_rows(sandbox)] == [row[0] for row in rows if float(row[5]) > 0]
    quiet = VENUES["kucoin"].symbols[15]
    before = clients.candles("kucoin", quiet, "1m", SINCE, 100)
    sandbox.fault("kucoin", "empty_filled")
    after = clients.candles("kucoin", quiet, "1m", SINCE, 100)
    assert len(after) > len(before)
    assert set(np.diff(after[:, 0])) == {MINUTE_MS}


def test_rows_can_come_in_the_opposite_order(sandbox: Sandbox) -> None:
    _, _, good = fetched(sandbox)
    sandbox.fault("binance", "reversed")
    assert json.loads(fetched(sandbox)[2]) == json.loads(good)[::-1]


@pytest.mark.parametrize(("kind", "first", "last"), [("since_exclusive", 1, 5), ("end_inclusive", 0, 6)])
def test_the_edges_of_a_request_can_change(kind: str, first: int, last: int, sandbox: Sandbox) -> None:
    start, end = SINCE // 1_000, SINCE // 1_000 + 360
    url = f"{sandbox.url('kucoin')}/api/v1/market/candles?symbol=BTC-USDT&type=1min&startAt={start}&endAt={end}"
    sandbox.fault("kucoin", kind)
    with urllib.request.urlopen(url) as answer:
        times = [int(row[0]) for row in json.loads(answer.read())["data"]]
    assert (times[-1], times[0]) == (start + first * 60, start + last * 60)


def test_the_fault_forgets_hides_old_candles(sandbox: Sandbox, clients: Clients) -> None:
    clients.get("binance")
    sandbox.fault("binance", "forgets", rows=60)
    assert len(clients.candles("binance", "BTC/USDT", "1m", TODAY, 100)) == 60


def test_a_stale_answer_ends_earlier(sandbox: Sandbox, clients: Clients) -> None:
    clients.get("binance")
    sandbox.fault("binance", "stale", minutes=70)
    found = clients.candles("binance", "BTC/USDT", "1m", SINCE, 1_000)
    assert found[-1, 0] == TODAY + (720 - 70) * MINUTE_MS


def test_another_symbols_candles_can_come(sandbox: Sandbox, clients: Clients) -> None:
    wanted = clients.candles("binance", "XRP/USDT", "1m", SINCE, 100)
    sandbox.fault("binance", "other_symbol", other="XRP/USDT")
    np.testing.assert_array_equal(page(clients), wanted)
    assert sandbox.requests("binance")[-1]["symbol"] == "BTC/USDT"


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_half_a_list_of_markets_can_come(exchange: str, sandbox: Sandbox, run: Run[Any]) -> None:
    async def listed() -> int:
        async with spot_only(sandbox.url(exchange), exchange) as client:
            return len(await client.load_markets())

    whole = run(listed())
    sandbox.fault(exchange, "half_markets")
    assert run(listed()) == round(whole / 2)


def test_broken_records_stand_among_good_markets(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "bad_markets")
    with urllib.request.urlopen(f"{sandbox.url('binance')}/api/v3/exchangeInfo") as answer:
        records = json.loads(answer.read())["symbols"]
    assert len(records) == len(VENUES["binance"].symbols) + 4
    assert [record for record in records if not record] == [None, {}, "", []]
