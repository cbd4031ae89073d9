from __future__ import annotations

from dataclasses import replace

import numpy as np

from titan10_dagster.sandbox.instruments import instrument
from titan10_dagster.sandbox.series import ServedSeries
from titan10_dagster.sandbox.truth import DAY_MS
from titan10_dagster.sandbox.venues.registry import VENUES

START = 20_000 * DAY_MS
MINUTE_MS = 60_000


def served(exchange: str = "binance", index: int = 0) -> ServedSeries:
    venue = VENUES[exchange]
    return ServedSeries(venue, instrument(venue, venue.symbols[index]))


def test_the_forming_candle_begins_like_the_final_one_and_has_less_volume() -> None:
    series = served()
    final = series.rows(START, START + MINUTE_MS, 60)[0]
    forming = series.forming(START + 30_000, 60)
    assert forming is not None
    row = series.source.rows(forming)[0]
    assert row[:2].tolist() == final[:2].tolist()
    assert row[5] < final[5]
    assert row[3] >= final[3]
    assert row[2] <= final[2]


def test_there_is_no_forming_candle_before_the_first_trade() -> None:
    series = served("coinbase", 15)
    times = series.rows(START, START + DAY_MS, 60)[:, 0]
    missing = sorted(set(range(START, START + DAY_MS, MINUTE_MS)) - set(times.astype(int).tolist()))
    assert series.forming(missing[0] + 30_000, 60) is None


def test_the_forming_day_of_htx_began_at_16_utc() -> None:
    series = served("htx")
    forming = series.forming(START + 2 * 3_600_000, 86_400)
    assert forming is not None
    assert forming.times.tolist() == [START - 8 * 3_600_000]


def test_a_series_takes_another_name_and_other_periods_of_trading() -> None:
    series = served()
    series.become(replace(series.instrument, spells=((START, START + 3_600_000), (START + 7_200_000, None))))
    times = series.rows(START - DAY_MS, START + DAY_MS, 60)[:, 0]
    assert times[0] == START
    assert np.diff(times).max() == 3_600_000 + MINUTE_MS


def test_texts_are_padded_or_trimmed_as_the_exchange_does() -> None:
    for exchange, shape in (("binance", 8), ("okx", None)):
        series = served(exchange)
        texts = series.texts(series.raw(20_000, 60))[3]
        if shape is not None:
            assert {len(text.split(".")[1]) for text in texts} == {shape}
        else:
            assert not any(text.endswith("0") and "." in text for text in texts)
