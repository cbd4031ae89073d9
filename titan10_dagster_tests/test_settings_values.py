"""Single setting values: accepted values, and refused values with a message that says what to write."""

from __future__ import annotations

import pytest

from titan10_dagster import settings_values as values
from titan10_dagster.candles.timeframes import TIMEFRAMES


@pytest.mark.parametrize("text", ["A,B", " A , B ", "A,,B,", '["A", "B"]', ' ["A","B"] '])
def test_names_are_separated_by_commas_or_are_json(text: str) -> None:
    assert values.parse_names(text) == ["A", "B"]


def test_a_list_of_names_stays_as_it_is() -> None:
    assert values.parse_names(["A,B"]) == ["A,B"]


def test_a_comma_inside_a_url_stays() -> None:
    assert values.parse_urls("mailto://a,b@c, file:///x") == ["mailto://a,b@c", "file:///x"]
    assert values.parse_urls('["mailto://a,b@c", "file:///x"]') == ["mailto://a,b@c", "file:///x"]


@pytest.mark.parametrize("text", ['["A"', "['A']", '["A", 1]', "[A]", '[["A"]]'])
def test_a_text_that_looks_like_json_and_is_not_a_list_of_texts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a list of texts"):
        values.parse_names(text)


@pytest.mark.parametrize("text", ["1704067200", "20240101", "2024-1-1", "2024-01-01T00:00", "soon"])
def test_a_text_that_is_not_a_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a date, such as 2024-01-31"):
        values.parse_day(text)


@pytest.mark.parametrize(
    "symbol", ["A", "A/B/C", "/B", "A/", "A /B", "A\\/B", "\0/B", "A/\x1b", "../B", "A/.", "A:B/C"]
)
def test_symbols_that_are_not_base_and_quote_are_refused(symbol: str) -> None:
    with pytest.raises(ValueError, match=r"BTC/USDT") as refused:
        values.check_symbols([symbol])
    assert str(refused.value).isprintable()


def test_symbols_of_many_scripts_are_allowed() -> None:
    values.check_symbols(["1000SATS/USDT", "USDC.E/USDT", "币安人生/USDT", "$ALT/USDT", "A-B/C", f"{'B' * 59}/USDT"])


@pytest.mark.parametrize("url", ["mysql://x", "postgresql://me:sesame/x@host", "postgresql://host:port/x"])
def test_a_database_url_that_cannot_be_read_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://") as refused:
        values.check_database_url(url)
    assert "sesame" not in str(refused.value)


def test_a_timeframe_must_exist_and_lie_on_the_utc_grid() -> None:
    values.check_timeframe("htx", TIMEFRAMES["4h"])
    with pytest.raises(
        ValueError, match="begin at 16:00 UTC and not on the UTC grid, so they cannot be stored; it has 1m, 5m"
    ):
        values.check_timeframe("htx", TIMEFRAMES["1d"])
    with pytest.raises(ValueError, match="it has no 3m candles; it has 1m, 5m"):
        values.check_timeframe("coinbase", TIMEFRAMES["3m"])
