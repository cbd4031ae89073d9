"""`titan10 import`: read candle files that a user downloaded. Check and store the candles like fetched candles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import orjson

from titan10_dagster.ingest.context import open_context
from titan10_dagster.ingest.importing import ImportedFile, import_files
from titan10_dagster.local.commands.backfill import Request, run_backfill
from titan10_dagster.local.exit_codes import DONE, FAILED
from titan10_dagster.local.instance import Say, open_instance
from titan10_dagster.local.tables import day_range
from titan10_dagster.plurals import counted
from titan10_dagster.settings import Settings, load


@dataclass(frozen=True)
class ImportRequest:
    """The files to import.

    If `symbol` is None, the name of each file contains the symbol. `columns`: the columns of CSV files without a
    header.
    """

    exchange: str
    paths: Sequence[Path]
    symbol: str | None
    columns: Sequence[str]


def run_import(settings: Settings, home: Path, request: ImportRequest, say: Say, *, as_json: bool) -> int:
    """Write the days of the files into the landing zone, then run a backfill of these days. Return the exit code.

    The exit code is FAILED if no day of the files was used, or if a file could not be read completely.
    """
    with open_instance(settings, home, say):
        done = import_files(
            open_context(load(home)),
            request.exchange,
            request.paths,
            symbol=request.symbol,
            columns=request.columns,
        )
    for imported in done:
        say(_sentence(imported))
    files = {"files": _as_json(done)}
    landed = [imported for imported in done if imported.landed]
    has_errors = any(imported.error is not None for imported in done)
    if not landed:
        if as_json:
            click.echo(orjson.dumps(files).decode())
        return DONE if any(imported.skipped for imported in done) and not has_errors else FAILED
    first = min(imported.first for imported in landed if imported.first is not None)
    last = max(imported.last for imported in landed if imported.last is not None)
    symbols = sorted({imported.symbol for imported in landed if imported.symbol is not None})
    backfill = Request(request.exchange, first, last, symbols)
    return run_backfill(settings, home, backfill, say, as_json=as_json, more=files, failed_before=has_errors)


def _sentence(imported: ImportedFile) -> str:
    if imported.error is not None:
        used = day_range(imported.first, imported.last)
        return f"{imported.error}. " + (f"Only days before the fault are used: {used}." if used else "Nothing is used.")
    days = day_range(imported.first, imported.last) or "no day"
    candles = counted(imported.candles, "candle")
    skipped = f"; {counted(imported.skipped, 'day')} already complete" if imported.skipped else ""
    left_out = ""
    if imported.left_out:
        left_out = (
            f"; days left out: {imported.left_out} (they are before the exchange's start in the settings,"
            f" {imported.start}, or have not ended)"
        )
    unreadable = (
        f"; left out: {counted(imported.unreadable, 'line')} that cannot be read" if imported.unreadable else ""
    )
    return f"{imported.file}: {imported.symbol}, {days}, {candles}{skipped}{left_out}{unreadable}."


def _as_json(done: Sequence[ImportedFile]) -> list[dict[str, Any]]:
    return [
        {
            "file": str(imported.file),
            "symbol": imported.symbol,
            "from": imported.first,
            "to": imported.last,
            "days": imported.landed,
            "days_complete_before": imported.skipped,
            "candles": imported.candles,
            "days_left_out": imported.left_out,
            "unreadable_lines": imported.unreadable,
            "error": imported.error,
        }
        for imported in done
    ]
