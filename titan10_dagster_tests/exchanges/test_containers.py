from __future__ import annotations

from typing import Any

import pytest

from titan10_dagster.exchanges.containers import container_of

RECORD = {"id": "BTCUSDT", "base": "BTC", "filters": [{"a": 1}], "limits": {"min": 1}, "tick": 1, "lot": 2, "type": 3}


@pytest.mark.parametrize(
    ("answer", "path"),
    [
        ([RECORD, None, RECORD], ()),
        (["btcusd", None, "ethusd"], ()),
        ({"code": "0", "data": [RECORD, RECORD, RECORD]}, ("data",)),
        ({"result": {"category": "spot", "list": [RECORD, RECORD]}}, ("result", "list")),
        ({"error": [], "result": {"XXBTZUSD": RECORD, "XETHZUSD": RECORD, "BAD": None}}, ("result",)),
        ([[["BTCUSD", [None, 1]], ["ETHUSD", [None, 1]], ["XRPUSD", [None, 1]]], [], []], (0,)),
    ],
)
def test_the_longest_list_of_records_is_found(answer: Any, path: tuple[Any, ...]) -> None:
    container = container_of(answer)
    assert container is not None
    assert container.path == path


def test_records_can_be_taken_out_and_the_answer_stays_as_it_was() -> None:
    answer = {"code": "0", "data": {"list": [RECORD, None, RECORD]}}
    container = container_of(answer)
    assert container is not None
    assert container.with_items(container.items[:1]) == {"code": "0", "data": {"list": [RECORD]}}
    assert container.with_items([]) == {"code": "0", "data": {"list": []}}
    assert answer == {"code": "0", "data": {"list": [RECORD, None, RECORD]}}


def test_an_object_of_records_stays_an_object() -> None:
    container = container_of({"result": {"A": RECORD, "B": None, "C": RECORD}})
    assert container is not None
    assert container.with_items(container.items[:2]) == {"result": {"A": RECORD, "B": None}}


@pytest.mark.parametrize("answer", [{}, [], {"code": 1, "msg": "no"}, [1, 2, 3], "text", None])
def test_an_answer_without_records_has_no_container(answer: Any) -> None:
    assert container_of(answer) is None
