"""Reads the SQL files of the project: the migrations, and the statements that the package `store` runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.errors import StoreError

_PACKAGE = Path(__file__).parents[1]


def folder(name: str) -> Path:
    """Return the folder sql/<name>. It is inside the installed package, or next to the package in a checkout."""
    for root in (_PACKAGE / "sql", _PACKAGE.parent / "sql"):
        if (root / name).is_dir():
            return root / name
    raise StoreError(f"the folder sql/{name} is missing from the package: install titan10-dagster again")


@cache
def statement(name: str) -> str:
    """Return the text of sql/statements/<name>.sql. Parameters have the form `%(name)s`, as psycopg2 expects."""
    return (folder("statements") / f"{name}.sql").read_text(encoding="utf-8")


def of_slices(slices: Sequence[Slice]) -> dict[str, Any]:
    """Return the parameters for statements about slices.

    `slices`: at least one slice. All slices belong to one exchange.
    """
    return {
        "exchange": slices[0].series.exchange,
        "symbols": [slice_.series.symbol for slice_ in slices],
        "timeframes": [slice_.series.timeframe.name for slice_ in slices],
        "days": [slice_.day for slice_ in slices],
        "starts": [slice_.start for slice_ in slices],
        "ends": [slice_.end for slice_ in slices],
        "first": min(slice_.start for slice_ in slices),
        "last": max(slice_.end for slice_ in slices),
    }


def key(series: Series) -> tuple[str, str, str]:
    """Return the values of the columns exchange, symbol and timeframe for a series."""
    return series.exchange, series.symbol, series.timeframe.name
