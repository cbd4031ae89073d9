"""docs/titan10.ipynb runs cell by cell. Its small database has all data that the notebook shows."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from titan10_dagster.store import preferences, rollups
from titan10_dagster.store.database import Database
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import DAY, FETCHED, LATER, a_slice, candles, judged, with_value, without

NOTEBOOK = json.loads((Path(__file__).parents[2] / "docs/titan10.ipynb").read_text())
SOURCES = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def fill(db: Database) -> None:
    """Store two days of three exchanges with nearly equal prices. One exchange has holes and a rewritten candle."""
    random = np.random.default_rng(0)
    for exchange in ("binance", "kraken", "okx"):
        for day in (DAY, DAY + timedelta(days=1)):
            rows = near(candles(a_slice(day=day)), random)
            slice_ = a_slice(day=day, exchange=exchange)
            if exchange == "binance":
                rows = without(rows, *range(400, 430), 900, 901)
                write_slices(db, [judged(slice_, rows)])
                rows = with_value(rows, 5, volume=123.0)
            write_slices(db, [judged(slice_, rows, fetched_at=FETCHED + LATER)])
    # The reason of the last hole is not known yet.
    with db.transaction() as cursor:
        cursor.execute("UPDATE gaps SET reason = 'unknown' WHERE candles = 2")
        cursor.execute("UPDATE slice_ledger SET no_trades = 30, unknown = 2 WHERE exchange = 'binance'")
    rollups.catch_up(db)
    preferences.keep(db, {"*": ["binance", "kraken", "okx"]})


def near(rows: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    factor = 1 + random.normal(0, 5e-5, len(rows))
    prices = rows[["open", "high", "low", "close"]].mul(factor, axis=0).round(2)
    return rows.assign(**{name: prices[name] for name in prices})


def run(source: str, names: dict[str, Any]) -> Any:
    """Return the output that a notebook shows below the cell: the value of its last line, if it is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    if isinstance(last, ast.Expr):
        return eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    return None


@pytest.fixture
def no_window() -> Iterator[None]:
    before = mpl.get_backend()
    mpl.use("Agg")
    yield
    mpl.pyplot.close("all")
    mpl.use(before)


@pytest.mark.usefixtures("no_window")
def test_every_cell_runs_and_shows_what_the_text_says(db: Database, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(db)
    monkeypatch.setenv("TITAN10_DATABASE__URL", url)
    names: dict[str, Any] = {}
    shown = [run(source, names) for source in SOURCES]
    assert all("<table" in output._repr_html_() for output in shown if isinstance(output, pd.DataFrame))
    assert (len(names["covered"]), len(names["candles"]), len(names["bars"])) == (3, 1408, 24)
    assert [gap.reason.value for gap in names["gaps"]] == ["no_trades", "unknown"]
    assert (int(names["filled"]["synthetic"].sum()), len(names["guessed"])) == (30, 1440)
    assert names["preferred"]["exchange"].value_counts().to_dict() == {"binance": 1408, "kraken": 32, "okx": 0}
    assert names["consensus"]["exchanges"].max() == 3
    restated = next(output for output in reversed(shown) if isinstance(output, pd.DataFrame))
    assert restated["read_as_of_before"].tolist() == restated["old_volume"].tolist()
    assert restated["read_now"].tolist() == restated["new_volume"].tolist() == [123.0, 123.0]


def test_it_is_small_and_holds_no_path_or_address() -> None:
    text = json.dumps(NOTEBOOK)
    assert len(text) < 200_000
    assert not [word for word in ("/tmp", "/root", "postgresql://", "127.0.0.1") if word in text]
