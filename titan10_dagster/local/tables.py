"""Functions that print tables, texts and JSON on standard output. Control characters are written as escapes."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Literal

import click
import orjson
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from titan10_dagster.local.printable import printable, printable_lines

PIPE_WIDTH = 250  # characters of a line if the output is not a terminal; this is enough for whole lines

MOST_WIDTH = 10_000  # characters; a table is measured as if a terminal were as wide as this


def print_json(value: Any) -> None:
    """Print one JSON document, indented."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def print_lines(text: str) -> None:
    """Print a text of one or more lines. Control characters from exchanges or the database have no effect."""
    click.echo(printable_lines(text))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: Collection[str] = ()) -> None:
    """Print rows below headers. A column with a header in `numbers` is aligned to the right.

    If the terminal is too narrow for the table, print a block of lines for each row.
    """
    table = Table(box=None, pad_edge=False)
    for header in headers:
        justify: Literal["left", "right"] = "right" if header in numbers else "left"
        table.add_column(header, justify=justify, no_wrap=True)
    rows = list(rows)
    for row in rows:
        table.add_row(*(cell_text(cell) for cell in row))
    if not sys.stdout.isatty():
        Console(width=PIPE_WIDTH).print(table)
        return
    console = Console()
    if Measurement.get(console, console.options.update(max_width=MOST_WIDTH), table).maximum <= console.width:
        console.print(table)
    else:
        print_lines(_as_blocks(headers, rows))


def _as_blocks(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return the rows as text for a terminal that is too narrow for a table.

    Each row is a block: its first cell, and then a line for each other cell that is not empty.
    """
    width = max(map(len, headers))
    lines = []
    for first, *others in rows:
        lines.append(cell_text(first).plain)
        for header, cell in zip(headers[1:], others, strict=True):
            if text := cell_text(cell).plain:
                lines.append(f"  {header:<{width}}  {text}")
    return "\n".join(lines)


def cell_text(cell: Any) -> Text:
    """Return a cell as text in which neither markup nor control characters have an effect."""
    return Text(f"{cell:,}" if isinstance(cell, int) else printable(str(cell)))


def counts(numbers: Mapping[str, int]) -> str:
    """Return named counts as a phrase, such as "1,440 unknown, 3 outage"."""
    return ", ".join(f"{count:,} {name}" for name, count in numbers.items())


def day_range(first: date | None, last: date | None) -> str:
    """Return two days as a phrase. Return an empty text if `first` is None."""
    return f"{first} to {last}" if first else ""


def share(part: int, whole: int) -> str:
    """Return a share in percent. Return an empty text if `whole` is zero.

    The share is rounded down. Therefore the text is "100.00%" only if `part` equals `whole`.
    """
    return f"{int(part * 10_000 / whole) / 100:.2f}%" if whole else ""
