"""Every query of the dashboard returns the columns that its panel needs, for the role that Grafana should have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg2 import sql as sql_names

from titan10_dagster.store import rollups
from titan10_dagster.store.breakers import HealthStore
from titan10_dagster.store.database import Cursor, Database
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import DAY, a_slice, candles, judged, without

DASHBOARD = json.loads((Path(__file__).parents[2] / "docs/grafana.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
BTC = a_slice()

# Grafana's replacements of its macros: https://grafana.com/docs/grafana/latest/datasources/postgres/#macros
FROM, TO = f"'{BTC.start:%FT%TZ}'", f"'{BTC.end + timedelta(days=1):%FT%TZ}'"
CHOSEN = {"exchange": "binance", "symbol": "BTC/USDT"}


def expanded(query: str, bars: str = "ohlcv_1h") -> str:
    query = re.sub(r"\$__timeFilter\(([^)]+)\)", rf"\1 BETWEEN {FROM} AND {TO}", query)
    query = query.replace("$__timeFrom()", FROM).replace("$__timeTo()", TO)
    for name, value in {**CHOSEN, "bars": bars}.items():
        query = query.replace(f"${{{name}}}", value).replace(f"${name}", value)
    assert "$" not in query
    return query


@pytest.fixture
def reader(db: Database) -> Iterator[Cursor]:
    """A cursor of the role titan10_reader on two days of candles with a hole."""
    for day in (DAY, DAY + timedelta(days=1)):
        slice_ = a_slice(day=day)
        write_slices(db, [judged(slice_, without(candles(slice_), 5, 6))])
        write_slices(db, [judged(a_slice(day=day, exchange="okx"))])
    rollups.catch_up(db)
    HealthStore(db).load("binance")
    with db.transaction() as cursor:
        cursor.execute("INSERT INTO exchange_health (exchange) VALUES ('binance') ON CONFLICT DO NOTHING")
        for kind, is_due in (("gaps", True), ("live", False)):
            cursor.execute(
                "INSERT INTO alerts (kind, subject, since, last_seen, message, due)"
                " VALUES (%s, 'binance', now(), now(), 'Look.', %s)",
                [kind, is_due],
            )
        cursor.execute("GRANT titan10_reader TO CURRENT_USER")
        cursor.execute("SET LOCAL ROLE titan10_reader")
        yield cursor
        cursor.execute("RESET ROLE")


def rows(cursor: Cursor, query: str) -> list[dict[str, Any]]:
    cursor.execute(query)
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def test_every_panel_shows_something_to_the_reader(reader: Cursor) -> None:
    for title, panel in PANELS.items():
        (target,) = panel["targets"]
        found = rows(reader, expanded(target["rawSql"]))
        assert found, title
        if target["format"] == "time_series" or panel["type"] == "candlestick":
            times = [row["time"] for row in found]
            assert times == sorted(times)
            assert all(time.tzinfo is not None for time in times)


def test_what_the_panels_name_is_in_their_rows(reader: Cursor) -> None:
    for title, panel in PANELS.items():
        found = rows(reader, expanded(panel["targets"][0]["rawSql"]))
        named = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
        assert named <= set(found[0]), title


def test_the_numbers_are_right(reader: Cursor) -> None:
    def of(title: str) -> list[dict[str, Any]]:
        return rows(reader, expanded(PANELS[title]["targets"][0]["rawSql"]))

    assert len(of("$exchange $symbol")) == 48
    (covered,) = of("Coverage of $exchange by symbol")
    assert (covered["stored"], covered["unknown"], float(covered["percent"])) == (2876, 4, 99.861)
    assert [float(row["percent"]) for row in of("Coverage of $exchange by day")] == [99.86, 99.86]
    missing = [(row["metric"], row["candles"]) for row in of("Missing candles of $exchange by reason")]
    assert missing == [("unknown", 2), ("unknown", 2)]
    assert [row["kind"] for row in of("Problems that need you")] == ["gaps"]


def test_the_variables_offer_what_there_is(reader: Cursor) -> None:
    reader.execute("RESET ROLE")
    reader.execute("INSERT INTO series SELECT exchange, symbol, '1h', market_id, first_candle, last_candle FROM series")
    reader.execute("SET LOCAL ROLE titan10_reader")
    assert rows(reader, VARIABLES["exchange"]["query"]) == [{"exchange": "binance"}, {"exchange": "okx"}]
    assert rows(reader, expanded(VARIABLES["symbol"]["query"])) == [{"symbol": "BTC/USDT"}]
    views = [option["value"] for option in VARIABLES["bars"]["options"]]
    assert views == [rollup.view for rollup in rollups.ROLLUPS.values()]
    for view in views:
        reader.execute(sql_names.SQL("SELECT count(*) FROM {}").format(sql_names.Identifier(view)))


def test_the_panels_do_not_overlap() -> None:
    cells = [
        (x, y)
        for panel in PANELS.values()
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
