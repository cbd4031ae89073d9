from __future__ import annotations

from typing import Any

import pytest

from titan10_dagster.exchanges.refusals import is_error


@pytest.mark.parametrize(
    "answer",
    [
        {"success": False, "data": []},
        {"status": "error", "data": []},
        {"status": "err", "response": "x"},
        {"result": "false", "error_code": 10008},
        {"result": "error", "reason": "Maintenance"},
        {"error": "busy", "data": []},
        {"error": {"code": 5}, "data": []},
        {"errors": ["x"], "data": []},
        {"code": 1, "msg": "down", "data": []},
        {"code": "40034", "msg": "Parameter does not exist", "data": []},
        {"retCode": 10016, "retMsg": "Server error.", "result": {"list": []}},
        {"label": "SERVER_ERROR", "message": "x", "data": []},
    ],
    ids=repr,
)
def test_an_answer_that_says_so_is_an_error(answer: Any) -> None:
    assert is_error(answer)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"data": []},
        {"code": 0, "msg": "", "data": []},
        {"code": "00000", "msg": "success", "requestTime": 1, "data": []},
        {"code": "200000", "data": []},
        {"code": 200, "message": "OK", "data": []},
        {"code": 1000, "message": "OK", "data": []},
        {"code": 1, "msg": "success", "data": []},
        {"status": "ok", "ch": "market.btcusdt.kline.1min", "data": []},
        {"status": "0000", "data": []},
        {"success": True, "message": "", "result": []},
        {"error": [], "result": {"XXBTZUSD": [], "last": 0}},
        {"error": None, "data": []},
        {"retCode": 0, "retMsg": "OK", "result": {"list": []}},
        {"result": "true", "error_code": 0, "data": []},
        {"rc": 0, "mc": "SUCCESS", "result": []},
    ],
    ids=repr,
)
def test_an_answer_without_candles_is_no_error_by_itself(answer: Any) -> None:
    assert not is_error(answer)
