from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from titan10_dagster.exchanges.rows import decode, parse
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.exchanges.venues.venue import Wire

BINANCE = [1700000040000, "1.5", "2.5", "0.5", "1.25", "10", 1700000099999, "12", 7, "5", "6", "0"]
ANSWERS: dict[str, Any] = {
    "binance": [BINANCE],
    "okx": {"code": "0", "msg": "", "data": [["1700000040000", "1.5", "2.5", "0.5", "1.25", "10", "1", "2", "1"]]},
    "bybit": {
        "retCode": 0,
        "retMsg": "OK",
        "result": {"symbol": "BTCUSDT", "list": [["1700000040000", "1.5", "2.5", "0.5", "1.25", "10", "12"]]},
        "time": 1700000100000,
    },
    "coinbase": {
        "candles": [
            {"start": "1700000040", "low": "0.5", "high": "2.5", "open": "1.5", "close": "1.25", "volume": "10"}
        ]
    },
}


def wire_of(exchange: str) -> Wire:
    wire = venue_of(exchange).wire
    assert wire is not None
    return wire


def by_ccxt(row: Any) -> list[Any]:
    raise AssertionError(f"ccxt was asked to parse {row}")


def rows_of(answer: Any, wire: Wire) -> Any:
    for name in wire.envelope or ():
        answer = answer[name]
    return answer


@pytest.mark.parametrize("exchange", ANSWERS)
def test_the_candles_of_an_answer_come_as_numbers(exchange: str) -> None:
    wire = wire_of(exchange)
    answer = decode(json.dumps(ANSWERS[exchange]), wire)
    rows = parse(rows_of(answer, wire), wire, by_ccxt)
    assert rows.tolist() == [[1700000040000, 1.5, 2.5, 0.5, 1.25, 10]]


@given(st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.decimals(allow_nan=False, allow_infinity=False))
@example("0.1")
@example("2.2250738585072011e-308")
@example("9007199254740993.0000000000000000000000000001")
@example("1e400")
def test_a_number_in_an_answer_is_the_double_that_python_takes_it_for(number: Any) -> None:
    wire = wire_of("binance")
    answer = decode(json.dumps([[1700000040000, str(number), "2", "1", "1", "1"]]), wire)
    if answer is not None:  # what msgspec does not take for a number is left to ccxt
        assert parse(answer, wire, by_ccxt)[0, 1] == float(number)


@pytest.mark.parametrize(
    "text",
    [
        '[[1700000040000,"","2","1","1","1"]]',
        '[[1700000040000,null,"2","1","1","1"]]',
        '[[1700000040000,"1","2","1","1"]]',
        '[[1700000040000,"1","2","1","1","1"]',
        '{"code":-1121,"msg":"Invalid symbol."}',
        "<html>",
        "",
    ],
)
def test_what_is_no_list_of_whole_candles_is_left_to_ccxt(text: str) -> None:
    assert decode(text, wire_of("binance")) is None


@pytest.mark.parametrize(
    ("exchange", "text"),
    [
        ("okx", '{"code":"50011","msg":"Too Many Requests"}'),
        ("bybit", '{"retCode":10006,"retMsg":"Too many visits!","result":{}}'),
        ("coinbase", '{"error":"NOT_FOUND","message":"not found"}'),
        ("kraken", '{"error":[],"result":{"XXBTZUSD":[[1,"1","1","1","1","1","1",1]],"last":1}}'),
    ],
)
def test_an_answer_without_the_list_is_left_to_ccxt(exchange: str, text: str) -> None:
    assert decode(text, wire_of(exchange)) is None


def test_an_error_that_comes_with_an_empty_list_can_be_told() -> None:
    answer = decode('{"code":"51001","msg":"Instrument ID does not exist","data":[]}', wire_of("okx"))
    assert answer == {"code": "51001", "msg": "Instrument ID does not exist", "data": []}


def test_rows_come_by_time_whatever_order_they_were_sent_in() -> None:
    sent = [[minute * 60_000, *BINANCE[1:]] for minute in (3, 2, 1)]
    answer = decode(json.dumps(sent), wire_of("binance"))
    assert np.array_equal(parse(answer, wire_of("binance"), by_ccxt)[:, 0], [60_000, 120_000, 180_000])
