from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from ccxt import async_support
from ccxt.base.errors import BadResponse
from hypothesis import example, given
from hypothesis import strategies as st

from titan10_dagster.candles.rules import judge
from titan10_dagster.candles.slices import Series, Slice, to_ms
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.exchanges.decoding import decode
from titan10_dagster.exchanges.rows import ParsedRows, parse, split
from titan10_dagster.exchanges.strict import Answer, content_of
from titan10_dagster.exchanges.venues.venue import Wire
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster_tests.exchanges.harness import NOW, fetch, fetch_from, slices, symbols, wire_of
from titan10_dagster_tests.exchanges.serving import Handler

MINUTE, DAY_MS = 60_000, 86_400_000
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
    rows = parse(rows_of(answer, wire), wire, by_ccxt, MINUTE).candles
    assert rows.tolist() == [[1700000040000, 1.5, 2.5, 0.5, 1.25, 10]]


@pytest.mark.parametrize("exchange", ANSWERS)
@pytest.mark.parametrize("count", [1, 15, 16, 65_536])
def test_a_page_of_any_length_comes_as_numbers(exchange: str, count: int) -> None:
    wire = wire_of(exchange)
    answer = json.loads(json.dumps(ANSWERS[exchange]))
    [row] = rows_of(answer, wire)
    rows_of(answer, wire)[:] = [row] * count
    rows = parse(rows_of(decode(json.dumps(answer), wire), wire), wire, by_ccxt, MINUTE).candles
    assert rows.shape == (count, 6)
    assert (rows == [1700000040000, 1.5, 2.5, 0.5, 1.25, 10]).all()


@given(st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.decimals(allow_nan=False, allow_infinity=False))
@example("0.1")
@example("2.2250738585072011e-308")
@example("9007199254740993.0000000000000000000000000001")
@example("1e400")
def test_a_number_in_an_answer_is_the_double_that_python_takes_it_for(number: Any) -> None:
    wire = wire_of("binance")
    answer = decode(json.dumps([[1700000040000, str(number), "2", "1", "1", "1"]]), wire)
    if answer is not None:  # if msgspec does not read the value as a number, ccxt parses the answer
        assert parse(answer, wire, by_ccxt, MINUTE).candles[0, 1] == float(number)


def test_rows_are_sorted_by_time_in_any_order_of_sending() -> None:
    sent = [minute(number) for number in (3, 2, 1)]
    answer = decode(json.dumps(sent), wire_of("binance"))
    assert minutes(parse(answer, wire_of("binance"), by_ccxt, MINUTE)) == [1, 2, 3]


# -- rows fail one by one

START = 1700000040000


def minute(number: int, *values: Any) -> list[Any]:
    """Return a row of binance: the number of the minute, then the given values or usual ones."""
    start = START + number * MINUTE
    return [start, *(values or BINANCE[1:6]), start + MINUTE - 1, "12", 7, "5", "6", "0"]


CCXT = {name: getattr(async_support, name)() for name in ("binance", "okx", "kraken", "bybit", "coinbase")}


def parsed(exchange: str, raw: list[Any]) -> ParsedRows:
    """Return the rows as the client parses them: with msgspec if possible, else with ccxt."""
    wire = wire_of(exchange)
    text = json.dumps(raw) if exchange == "binance" else ""
    decoded = decode(text, wire) if text else None
    return parse(raw if decoded is None else decoded, wire, lambda row: CCXT[exchange].parse_ohlcv(row), MINUTE)


def minutes(rows: ParsedRows) -> list[int]:
    return ((rows.candles[:, 0] - START) / MINUTE).astype(int).tolist()


NO_TIME: list[Any] = [
    None,
    [],
    {},
    17,
    "row",
    [None, "1", "1", "1", "1", "1"],
    [-1, "1", "1", "1", "1", "1"],
    ["soon", "1", "1", "1", "1", "1"],
    [9e99, "1", "1", "1", "1", "1"],
    [True, "1", "1", "1", "1", "1"],
    [1, "1", "1", "1", "1", "1"],
    [START // 1000, "1", "1", "1", "1", "1"],
    [START * 1000, "1", "1", "1", "1", "1"],
    [10**400, "1", "1", "1", "1", "1"],
]


@pytest.mark.parametrize("row", NO_TIME, ids=repr)
def test_a_row_without_a_time_costs_its_own_minute_only(row: Any) -> None:
    rows = parsed("binance", [minute(0), minute(1), row, minute(3)])
    assert minutes(rows) == [0, 1, 2, 3]
    assert rows.candles[[0, 1, 3], 1:].tolist() == [[1.5, 2.5, 0.5, 1.25, 10]] * 3
    assert np.isnan(rows.candles[2, 1:]).all()  # the candle rules quarantine it
    assert rows.dropped == 0


@pytest.mark.parametrize("row", NO_TIME, ids=repr)
@pytest.mark.parametrize("place", [0, 3])
def test_a_row_without_a_time_at_the_edge_of_a_page_is_dropped_and_counted(row: Any, place: int) -> None:
    raw = [minute(0), minute(1), minute(2)]
    raw.insert(place, row)
    rows = parsed("binance", raw)
    assert minutes(rows) == [0, 1, 2]
    assert rows.dropped == 1
    assert rows.untimed.tolist() == [minute(3)[0] if place else minute(-1)[0]]


@pytest.mark.parametrize(
    "row", [None, [], [None, "1", "1", "1", "1", "1", "1", 1], [-1, "1", "1", "1", "1", "1", "1", 1]]
)
def test_a_row_of_kraken_without_a_time_costs_its_own_minute_only(row: Any) -> None:
    start = START // 1000
    raw: list[Any] = [[start + 60 * number, "1.5", "2.5", "0.5", "1.25", "1", "10", 7] for number in range(4)]
    raw[2] = row
    rows = parsed("kraken", raw)
    assert minutes(rows) == [0, 1, 2, 3]
    assert rows.candles[[0, 1, 3], 1:].tolist() == [[1.5, 2.5, 0.5, 1.25, 10]] * 3
    assert np.isnan(rows.candles[2, 1:]).all()


@pytest.mark.parametrize("row", [None, True, 17, 1.5, "x", {}, []], ids=repr)
def test_a_row_that_is_no_row_costs_its_own_minute_only(row: Any) -> None:
    """Gemini's class in ccxt has no parser of its own. ccxt's general parser returns such a row as it is."""
    raw = [[START + place * MINUTE, 1.5, 2.5, 0.5, 1.25, 10.0] for place in (3, 2, 1, 0)]
    raw[1] = row
    rows = parse(raw, None, async_support.gemini().parse_ohlcv, MINUTE)
    assert minutes(rows) == [0, 1, 2, 3]
    assert np.isnan(rows.candles[:, 1:]).all(axis=1).tolist() == [False, False, True, False]


def test_rows_without_a_time_beside_a_gap_have_no_likely_minute() -> None:
    rows = parsed("binance", [None, minute(0), minute(2), minute(3), minute(7), None])
    assert (rows.dropped, rows.untimed.tolist()) == (2, [])


def test_likely_minutes_of_rows_without_a_time_in_descending_order() -> None:
    rows = parsed("binance", [None, minute(2), minute(1), None, None])
    assert sorted(rows.untimed.tolist()) == [minute(place)[0] for place in (-1, 0, 3)]


def test_a_row_without_a_time_is_not_placed_where_more_than_its_minute_is_open() -> None:
    rows = parsed("binance", [minute(0), None, minute(5)])
    assert minutes(rows) == [0, 5]
    assert rows.dropped == 1


def test_rows_without_a_time_find_their_place_in_descending_order_too() -> None:
    raw = [
        ["1700000220000", "1", "1", "1", "1", "1", "1", "1", "1"],
        [None, "1", "1", "1", "1", "1", "1", "1", "1"],
        [],
        ["1700000040000", "1", "1", "1", "1", "1", "1", "1", "1"],
    ]
    assert minutes(parsed("okx", raw)) == [0, 1, 2, 3]


@pytest.mark.parametrize("shift", [-28_800_000, 86_400_000, -31_536_000_000, 31_536_000_000])
def test_a_time_far_from_a_free_minute_between_its_neighbours_is_wrong(shift: int) -> None:
    wrong = minute(2)
    wrong[0] += shift
    rows = parsed("binance", [minute(0), minute(1), wrong, minute(3)])
    assert minutes(rows) == [0, 1, 2, 3]
    assert np.isnan(rows.candles[2, 1:]).all()


def test_rows_that_are_not_in_order_keep_their_times() -> None:
    rows = parsed("binance", [minute(0), minute(4), minute(2), minute(3), minute(1), minute(6)])
    assert minutes(rows) == [0, 1, 2, 3, 4, 6]
    assert not np.isnan(rows.candles).any()


@given(st.permutations([*range(20), *range(62, 82)]))
@example([*range(0, 20, 2), 70, *range(1, 20, 2), *range(62, 70), *range(71, 82)])
def test_rows_in_random_order_keep_their_times_and_values(order: list[int]) -> None:
    """In an answer in random order with an outage, some rows are far from their neighbours by chance."""
    rows = parsed("binance", [minute(number) for number in order])
    assert minutes(rows) == sorted(order)
    assert not np.isnan(rows.candles).any()


def test_an_answer_in_which_no_row_has_a_time_is_malformed() -> None:
    with pytest.raises(BadResponse, match="no candle in the answer has a usable time"):
        parsed("binance", [[None, "1", "1", "1", "1", "1"], []])


def test_a_row_whose_values_are_text_is_kept_for_quarantine_and_its_neighbours_are_whole() -> None:
    rows = parsed("binance", [minute(0), minute(1, "x", "x", "x", "x", "x"), minute(2)])
    assert minutes(rows) == [0, 1, 2]
    assert np.isnan(rows.candles[1, 1:]).all()


EMPTY: dict[str, list[Any]] = {
    "zero text": ["0", "0", "0", "0", "0"],
    "zero numbers": [0, 0, 0, 0, 0],
    "zero decimals": ["0.00000000", "0.0", "0", "0", "0.00"],
    "nulls": [None, None, None, None, None],
    "nulls, volume 0": [None, None, None, None, "0"],
    "empty text": ["", "", "", "", ""],
    "empty text, volume 0": ["", "", "", "", 0],
}


@pytest.mark.parametrize("spelling", EMPTY)
@pytest.mark.parametrize("exchange", ["binance", "okx", "kraken", "bybit"])
def test_a_row_without_prices_and_volume_is_an_absence_in_every_spelling(exchange: str, spelling: str) -> None:
    values = EMPTY[spelling]
    unit = 1 if exchange != "kraken" else 1000

    def row(number: int, *given: Any) -> list[Any]:
        o, h, lo, c, v = given or ("1.5", "2.5", "0.5", "1.25", "10")
        start = (START + number * MINUTE) // unit
        if exchange == "kraken":
            return [start, o, h, lo, c, "1", v, 7, 1]
        return [start, o, h, lo, c, v, start + MINUTE - 1 if exchange == "binance" else "1", "1", "1"]

    rows = parsed(exchange, [row(0), row(1, *values), row(2)])
    assert minutes(rows) == [0, 2]
    assert rows.empty.tolist() == [START + MINUTE]
    assert rows.dropped == 0


# What ccxt's classes without a `Wire` parse: lists in their own order, and objects.
OWN_ORDER: dict[str, Callable[[int, Sequence[Any]], Any]] = {
    "kucoin": lambda at, v: [str(at // 1000), v[0], v[3], v[1], v[2], v[4], "1"],
    "gate": lambda at, v: [str(at // 1000), "1", v[3], v[1], v[2], v[0], v[4], "true"],
    "upbit": lambda at, v: {
        "market": "KRW-BTC",
        "candle_date_time_utc": datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "opening_price": v[0],
        "high_price": v[1],
        "low_price": v[2],
        "trade_price": v[3],
        "candle_acc_trade_volume": v[4],
    },
}
DAMAGED: dict[str, Sequence[Any]] = {
    "text": ["x"] * 5,
    "thousands": ["1,234.5"] * 5,
    "lists": [["1"]] * 5,
    "objects": [{}] * 5,
    "false": [False] * 5,
}


def by_own_class(exchange: str, raw: list[Any]) -> ParsedRows:
    """Return the rows as the client gets them from a class of ccxt without a `Wire`."""
    class_ = getattr(async_support, exchange)()
    answer = Answer(rows=parse(raw, None, lambda row: class_.parse_ohlcv(row), MINUTE))
    assert answer.rows is not None
    return content_of(answer, answer.rows.candles.tolist(), MINUTE)


@pytest.mark.parametrize("values", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("exchange", OWN_ORDER)
def test_a_damaged_row_is_quarantined_and_no_minute_without_trades(exchange: str, values: Sequence[Any]) -> None:
    row = OWN_ORDER[exchange]
    raw = [row(START + number * MINUTE, values if number == 1 else ORDINARY) for number in range(3)]
    rows = by_own_class(exchange, raw)
    assert minutes(rows) == [0, 1, 2]
    assert np.isnan(rows.candles[1, 1:]).all()
    assert not len(rows.empty)


@pytest.mark.parametrize("row", [None, [], {}, 17, "row"], ids=repr)
@pytest.mark.parametrize("exchange", OWN_ORDER)
def test_a_row_without_a_time_costs_its_own_minute_only_without_a_wire_too(exchange: str, row: Any) -> None:
    raw = [OWN_ORDER[exchange](START + number * MINUTE, ORDINARY) for number in range(3)]
    raw[1] = row
    rows = by_own_class(exchange, raw)
    assert minutes(rows) == [0, 1, 2]
    assert np.isnan(rows.candles[1, 1:]).all()


@pytest.mark.parametrize("spelling", [*EMPTY, "text NaN", "spaces"])
@pytest.mark.parametrize("exchange", OWN_ORDER)
def test_an_empty_minute_is_an_absence_without_a_wire_too(exchange: str, spelling: str) -> None:
    values = {**EMPTY, "text NaN": ["NaN"] * 5, "spaces": [" "] * 5}[spelling]
    row = OWN_ORDER[exchange]
    raw = [row(START + number * MINUTE, values if number == 1 else ORDINARY) for number in range(3)]
    rows = by_own_class(exchange, raw)
    assert minutes(rows) == [0, 2]
    assert rows.empty.tolist() == [START + MINUTE]


@pytest.mark.parametrize("exchange", ["binance", "kraken"])
def test_a_row_that_is_cut_off_after_its_time_is_no_empty_minute(exchange: str) -> None:
    raw: list[Any] = [[START + number * MINUTE, *ORDINARY, "1", 7] for number in range(3)]
    if exchange == "kraken":
        raw = [[at // 1000, *values] for at, *values in raw]
    raw[1] = raw[1][:1]
    rows = parsed(exchange, raw)
    assert minutes(rows) == [0, 1, 2]
    assert np.isnan(rows.candles[1, 1:]).all()


@pytest.mark.parametrize("exchange", ["binance", "kraken"])
def test_true_and_false_are_no_prices(exchange: str) -> None:
    raw = [[START + number * MINUTE, "1", "1", "1", "1", "1", "1", "1"] for number in range(3)]
    if exchange == "kraken":
        raw = [[at // 1000, *values] for at, *values in raw]  # type: ignore[call-overload]
    raw[1][1:5] = [True, True, True, True]  # type: ignore[list-item]
    rows = parsed(exchange, raw)
    assert minutes(rows) == [0, 1, 2]
    assert np.isnan(rows.candles[1, 1:5]).all()


@pytest.mark.parametrize("field", [1, 5, 6])
def test_a_number_that_no_double_holds_costs_its_own_row_only(field: int) -> None:
    raw = [minute(0), minute(1), minute(2)]
    raw[1][field] = 10**400
    rows = parsed("binance", raw)
    assert minutes(rows) == [0, 1, 2]
    assert np.isfinite(rows.candles[[0, 2]]).all()
    # field 6 is the close time, which is not a value of the candle
    assert np.isinf(rows.candles[1]).any() == (field < 6)


@pytest.mark.parametrize("values", [["5", "5", "5", "5", "0"], ["0", "0", "0", "0", "3"], ["1", "0", "0", "0", "0"]])
def test_a_row_with_any_price_or_volume_is_not_an_absence(values: list[str]) -> None:
    rows = parsed("binance", [minute(0), minute(1, *values), minute(2)])
    assert minutes(rows) == [0, 1, 2]
    assert not len(rows.empty)


def test_an_answer_of_empty_minutes_only_is_an_answer() -> None:
    rows = parsed("binance", [minute(number, "0", "0", "0", "0", "0") for number in range(3)])
    assert not len(rows.candles)
    assert rows.empty.tolist() == [START, START + MINUTE, START + 2 * MINUTE]


def test_rows_that_ccxt_parsed_are_split_alike() -> None:
    rows = split([[START, 1, 1, 1, 1, 1], [START + MINUTE, None, None, None, None, 0]], MINUTE)
    assert minutes(rows) == [0]
    assert rows.empty.tolist() == [START + MINUTE]


# -- evidence that ccxt drops


def test_a_candle_that_was_closed_early_is_marked() -> None:
    cut = minute(1)
    cut[6] = cut[0] + 14_000
    rows = parsed("binance", [minute(0), cut, minute(2)])
    assert minutes(rows) == [0, 1, 2]
    assert rows.cut_short.tolist() == [[START + MINUTE, START + MINUTE + 14_001]]


@pytest.mark.parametrize("close_time", [None, "soon", 0, START + 2 * MINUTE - 1, START + 2 * MINUTE, 1700000])
def test_a_close_time_that_is_missing_or_as_expected_marks_nothing(close_time: Any) -> None:
    row = minute(1)
    row[6] = close_time
    rows = parsed("binance", [minute(0), row, minute(2)])
    assert minutes(rows) == [0, 1, 2]
    assert not len(rows.cut_short)


def test_a_row_that_okx_has_not_confirmed_is_not_finished() -> None:
    values = ["1"] * 7
    raw = [[str(START + MINUTE), *values, "0"], [str(START), *values, "1"]]
    assert minutes(parsed("okx", raw)) == [0]
    wire = wire_of("okx")
    answer = decode(json.dumps({"code": "0", "msg": "", "data": raw}), wire)
    assert answer is not None
    assert minutes(parse(rows_of(answer, wire), wire, by_ccxt, MINUTE)) == [0]


TIMES_OF_REQUESTS = (
    (START + 4 * MINUTE, []),
    (START + 62 * MINUTE, [0, 1]),
    (START + 200 * MINUTE, [0, 1, 2]),  # a server that is three hours behind would send the newest row unfinished
    (START + 4 * MINUTE + DAY_MS, [0, 1, 2, 3]),
)


def test_a_row_of_okx_that_was_never_confirmed_is_finished_an_hour_after_its_end_and_the_newest_row_a_day() -> None:
    wire = wire_of("okx")
    raw = [[str(START + number * MINUTE), "1", "1", "1", "1", "1", "1", "1", "0"] for number in (3, 2, 1, 0)]
    answer = decode(json.dumps({"code": "0", "msg": "", "data": raw}), wire)
    assert answer is not None
    for requested_at, finished in TIMES_OF_REQUESTS:
        rows = parse(rows_of(answer, wire), wire, by_ccxt, MINUTE, requested_at)
        assert minutes(rows) == finished
        assert not len(rows.empty)


def test_a_row_of_okx_without_the_flag_counts_as_finished() -> None:
    raw = [[str(START), "1", "1", "1", "1", "1"]]
    answer = decode(json.dumps({"code": "0", "msg": "", "data": raw}), wire_of("okx"))
    assert answer is not None
    assert minutes(parse(rows_of(answer, wire_of("okx")), wire_of("okx"), by_ccxt, MINUTE)) == [0]


# -- a whole day, fetched over HTTP

DAY_START = to_ms(datetime(2024, 6, 19, tzinfo=UTC))
ORDINARY = ("1.5", "2.5", "0.5", "1.25", "10")


def day_of(exchange: str, row_of: Callable[[int], Any], step: int = MINUTE, first: int = 0) -> Handler:
    """Serve one day of rows, beginning at `first`.

    `row_of`: a function that returns the row of the candle with a number.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        query, numbers = request.query, range(first, 2 * DAY_MS // step)
        if exchange == "binance":
            since, limit = int(query["startTime"]), int(query["limit"])
            wanted = [number for number in numbers if DAY_START + number * step >= since][:limit]
            return web.json_response([row_of(number) for number in wanted])
        after, before = int(query.get("before", -1)), int(query["after"])
        wanted = [number for number in numbers if after < DAY_START + number * step < before][::-1]
        return web.json_response({"code": "0", "msg": "", "data": [row_of(number) for number in wanted][:300]})

    return answer


def ordinary(exchange: str, number: int, values: Sequence[Any] = ORDINARY, step: int = MINUTE) -> list[Any]:
    start = DAY_START + number * step
    if exchange == "binance":
        return [start, *values, start + step - 1, "12", 7, "5", "6", "0"]
    return [str(start), *values, "1", "2", "1"]


@pytest.mark.parametrize("spelling", EMPTY)
@pytest.mark.parametrize("exchange", ["binance", "okx"])
def test_a_quiet_pair_keeps_its_144_real_candles_among_1296_empty_minutes(exchange: str, spelling: str) -> None:
    def row_of(number: int) -> list[Any]:
        return ordinary(exchange, number, ORDINARY if number % 10 == 0 else EMPTY[spelling])

    (wanted,) = slices(exchange, ["BTC/USDT"])
    fetched = fetch_from(day_of(exchange, row_of), [wanted])
    assert len(fetched.landed[wanted].candles) == 144
    assert fetched.landed[wanted].record.answered
    assert fetched.reasons(wanted) == {"no_trades": 1296}


def test_a_day_of_okx_that_was_never_confirmed_is_stored() -> None:
    (wanted,) = slices("okx", ["BTC/USDT"], last=date(2024, 6, 18))

    def row_of(number: int) -> list[Any]:
        return [*ordinary("okx", number)[:8], "0"]

    fetched = fetch_from(day_of("okx", row_of, first=-1440), [wanted])
    assert len(fetched.landed[wanted].candles) == 1440


@pytest.mark.parametrize("row", [None, [], [None, *ORDINARY], [-1, *ORDINARY], "row"], ids=repr)
@pytest.mark.parametrize("exchange", ["binance", "okx"])
def test_one_row_without_a_time_costs_one_minute_of_a_day(exchange: str, row: Any) -> None:
    def row_of(number: int) -> Any:
        return row if number == 700 else ordinary(exchange, number)

    (wanted,) = slices(exchange, ["BTC/USDT"])
    fetched = fetch_from(day_of(exchange, row_of), [wanted])
    assert fetched.report is not None
    assert not fetched.report.failed
    verdict = judge(fetched.landed[wanted].candles, wanted, NOW)
    assert len(verdict.valid) == 1439
    assert verdict.counts == {"not_finite": 1}


def test_the_unfinished_newest_row_of_a_server_of_okx_that_is_behind_is_not_a_candle() -> None:
    (wanted,) = slices("okx", symbols("okx", 1))
    with Sandbox(["okx"], clock=NOW, enforce_limits=False) as sandbox:
        sandbox.fault("okx", "stale", minutes=150)  # the running candle of this server belongs to the day
        received = fetch(sandbox, [wanted]).rows(wanted)
        behind = int(received[-1, 0]) + MINUTE
        assert behind == (to_ms(NOW) - 150 * MINUTE) // MINUTE * MINUTE
        assert np.array_equal(received, sandbox.truth("okx", wanted.series.symbol, to_ms(wanted.start), behind))


@pytest.mark.parametrize("fault", ["null_row", "empty_row", "negative_time"])
def test_one_row_without_a_time_costs_one_minute_of_the_last_rows_of_kraken(fault: str) -> None:
    (wanted,) = slices("kraken", symbols("kraken", 1))
    with Sandbox(["kraken"], clock=NOW, enforce_limits=False) as sandbox:
        good = fetch(sandbox, [wanted]).landed[wanted].candles
        sandbox.fault("kraken", fault, index=300)
        fetched = fetch(sandbox, [wanted])
    assert fetched.report is not None
    assert not fetched.report.failed
    candles = fetched.landed[wanted].candles
    assert candles.times.tolist() == good.times.tolist()
    broken = ~np.isfinite(candles.values).all(axis=0)
    assert broken.sum() == 1
    assert np.array_equal(candles.values[:, ~broken], good.values[:, ~broken])
    assert judge(candles, wanted, NOW).counts == {"not_finite": 1}


def test_an_hour_that_a_halt_cut_short_is_stored_and_named_in_the_record() -> None:
    hour = Timeframe.parse("1h")

    def row_of(number: int) -> list[Any]:
        row = ordinary("binance", number, step=hour.ms)
        if number == 3:
            row[6] = row[0] + 14_000 - 1
        return row

    wanted = Slice(Series("binance", "BTC/USDT", hour), date(2024, 6, 19))
    fetched = fetch_from(day_of("binance", row_of, hour.ms), [wanted])
    landed = fetched.landed[wanted]
    assert len(landed.candles) == 24
    assert landed.record.note == "candles that the exchange closed early, as in a halt: 03:00 (after 14 s)"


def test_rows_without_a_time_that_were_dropped_are_named_in_the_record() -> None:
    def row_of(number: int) -> Any:
        return None if number in (0, 1439) else ordinary("binance", number)

    (wanted,) = slices("binance", ["BTC/USDT"])
    fetched = fetch_from(day_of("binance", row_of), [wanted])
    note = fetched.landed[wanted].record.note
    assert note is not None
    assert "received rows had no time and were dropped" in note


def test_two_rows_without_a_time_at_the_end_of_each_page_are_no_minutes_without_trades() -> None:
    whole = day_of("binance", lambda number: ordinary("binance", number))

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = await whole(request)
        assert isinstance(response, web.Response)
        assert isinstance(response.body, bytes)
        page = json.loads(response.body)
        for row in page[-2:]:
            row[0] = None
        return web.json_response(page)

    (wanted,) = slices("binance", ["BTC/USDT"])
    rows = fetch_from(answer, [wanted]).rows(wanted)
    assert len(rows) == 1440
    assert np.isnan(rows[:, 1:]).all(axis=1).sum() <= 2


@pytest.mark.parametrize("last", [0, -1, int(NOW.timestamp()) - 3 * 3_600])
def test_a_wrong_time_of_the_last_finished_candle_loses_no_candle(last: int) -> None:
    start = int(NOW.timestamp()) // 60 * 60 - 660 * 60
    rows = [[start + 60 * minute, "1", "2", "0.5", "1.5", "1.2", "3", 4] for minute in range(661)]

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"error": [], "result": {"BTCUSD": rows, "last": last}})

    [today] = slices("kraken", ["BTC/USD"], last=NOW.date())
    fetched = fetch_from(answer, [today])
    assert len(fetched.rows(today)) == 120
