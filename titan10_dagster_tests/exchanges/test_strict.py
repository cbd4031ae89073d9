from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from ccxt import async_support
from ccxt.base.errors import BadResponse

from titan10_dagster.exchanges.strict import Answer, content_of, current_answer, strict_class
from titan10_dagster_tests.exchanges.harness import FIVE, run

RECEIVED = datetime(2024, 6, 20, 2, 0, 5, tzinfo=UTC)
SECOND = timedelta(seconds=1)
_BY_INSTANCE = ("origin",)


@pytest.mark.parametrize("exchange", FIVE)
def test_a_strict_class_is_ccxts_own_and_made_once(exchange: str) -> None:
    class_ = strict_class(exchange)
    assert class_ is strict_class(exchange)
    assert exchange in [base.__name__ for base in class_.__mro__[1:6]]
    assert class_.__name__ == f"Strict{exchange.capitalize()}"


@pytest.mark.parametrize("exchange", FIVE)
def test_a_later_instance_of_a_class_has_all_that_ccxt_gives_the_first_one(exchange: str) -> None:
    async def work() -> None:
        made = [strict_class(exchange)({"timeout": 5_000}) for _ in range(2)]
        plain = getattr(async_support, exchange)({"timeout": 5_000})
        for instance in made:
            added = vars(instance).keys() - vars(plain).keys()
            assert vars(plain).keys() <= vars(instance).keys()
            assert not added
            assert instance.fetchOHLCV.__func__ is type(plain).fetch_ohlcv
            for name, value in vars(plain).items():
                if isinstance(value, str | int | float | list | dict | None) and name not in _BY_INSTANCE:
                    assert vars(instance)[name] == value, name
            await instance.close()
        assert {name for name in object.__dir__(plain) if not hasattr(made[1], name)} == set()
        await plain.close()

    run(work())


@pytest.mark.parametrize("junk", ["<html></html>", "", "null", "12", '"text"', '{"cut": ['])
def test_a_good_answer_must_hold_an_object_or_a_list(junk: str) -> None:
    async def work() -> None:
        exchange = strict_class("kraken")()
        token = current_answer.set(Answer(status=200))
        try:
            with pytest.raises(BadResponse, match="not JSON"):
                exchange.parse_json(junk)
        finally:
            current_answer.reset(token)
            await exchange.close()

    run(work())


def test_rows_that_ccxt_parsed_become_a_table() -> None:
    table = content_of(Answer(), [[1_700_000_000_000, 1.0, 2.0, 0.5, 1.5, None]], 60_000).candles
    assert table.shape == (1, 6)
    assert np.isnan(table[0, 5])
    assert content_of(Answer(), [], 60_000).candles.shape == (0, 6)


@pytest.mark.parametrize(
    ("made", "age", "skew"), [(0, 0, 0), (-300, 0, 300), (-300, 300, 0), (60, 0, -60), (0, 3600, 0)]
)
def test_the_skew_is_the_difference_of_two_clocks(made: int, age: int, skew: int) -> None:
    answer = Answer(dated=RECEIVED + made * SECOND, age=age * SECOND, received=RECEIVED)
    assert answer.skew == skew * SECOND


def test_an_answer_without_a_date_shows_no_skew() -> None:
    assert Answer(received=RECEIVED).skew == timedelta(0)
    assert Answer(received=RECEIVED).staleness == timedelta(0)


@pytest.mark.parametrize(("made", "took", "stale"), [(0, 1.0, 0), (-2, 0.0, 0), (-10, 4.0, 6), (-10, 10.0, 0)])
def test_an_answer_made_before_its_request_is_stale_by_that_much(made: int, took: float, stale: int) -> None:
    answer = Answer(dated=RECEIVED + made * SECOND, received=RECEIVED, seconds=took)
    assert answer.staleness == stale * SECOND


@pytest.mark.parametrize(("precision", "amount"), [("8", "0.00000001"), ("0", "1"), ("-2", "100"), (None, None)])
def test_usual_precisions_are_parsed_by_ccxt(precision: str | None, amount: str | None) -> None:
    async def work() -> None:
        exchange = strict_class("kraken")()
        assert exchange.parse_precision(precision) == amount
        assert exchange.integer_precision_to_amount(precision) == amount
        for huge in (10**400, "-1000000000"):
            assert exchange.parse_precision(huge) is None
            assert exchange.integer_precision_to_amount(huge) is None
        await exchange.close()

    run(work())
