from __future__ import annotations

from typing import Any

import pytest

from titan10_dagster.exchanges.decoding import decode, last_finished
from titan10_dagster_tests.exchanges.harness import wire_of


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
def test_unusual_answers_are_left_to_ccxt(text: str) -> None:
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


def test_an_error_that_comes_with_an_empty_list_is_recognized() -> None:
    answer = decode('{"code":"51001","msg":"Instrument ID does not exist","data":[]}', wire_of("okx"))
    assert answer == {"code": "51001", "msg": "Instrument ID does not exist", "data": []}


def test_kraken_states_its_last_finished_candle_in_seconds() -> None:
    answer = {"error": [], "result": {"XXBTZUSD": [], "last": 1700000040}}
    assert last_finished(answer, wire_of("kraken")) == 1700000040000


@pytest.mark.parametrize(
    "answer", [{}, {"result": None}, {"result": []}, {"result": {"last": None}}, {"result": {"last": "x"}}, None, [1]]
)
def test_an_answer_without_a_last_finished_candle_states_none(answer: Any) -> None:
    assert last_finished(answer, wire_of("kraken")) is None


@pytest.mark.parametrize("value", ["NaN", "Infinity", float("nan")])
def test_a_last_finished_candle_must_be_a_finite_number(value: Any) -> None:
    assert last_finished({"result": {"last": value}}, wire_of("kraken")) is None


def test_the_answers_of_most_exchanges_state_no_last_finished_candle() -> None:
    assert last_finished({"result": {"last": 1700000040}}, wire_of("binance")) is None
