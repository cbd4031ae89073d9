"""The file formats of `titan10 export`, in the table FORMATS.

Each file contains one series. A file is written in pieces, and gets its final name when it is complete. The format
`freqtrade` has the columns of freqtrade's FeatherDataHandler (freqtrade/data/history/datahandlers, 2026.9). The format
`vectorbt` has the columns that vectorbt's CCXTData downloads (vectorbt/data/custom.py, 1.2).
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Protocol

import orjson
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from titan10_dagster.landing.names import symbol_name


class Writer(Protocol):
    """The interface that pyarrow's writers share."""

    def write_table(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Format:
    """A file format.

    `file` returns the file name for an exchange, a symbol and a timeframe. `shape` converts a table to the columns of
    the format. The given table has the columns time (timestamp[ms, UTC]), open, high, low, close, volume and, for
    rollups, candles (the number of 1m candles). `open` returns a writer of the format.
    """

    name: str
    file: Callable[[str, str, str], str]
    shape: Callable[[pa.Table], pa.Table]
    open: Callable[[BinaryIO, pa.Schema], Writer]

    def write(self, path: Path, tables: Iterable[pa.Table], about: Mapping[str, Any] | None = None) -> bool:
        """Write the tables to one file, and replace an existing file. If no table has a row, only return False.

        `about`: JSON values for the key `titan10` of the schema's metadata. A CSV file has no metadata.
        """
        shaped = (_described(self.shape(table), about or {}) for table in tables if table.num_rows)
        first = next(shaped, None)
        if first is None:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        # The temporary name is unique, because two exports must not write into one file.
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            self._write(temporary, first, shaped)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return True

    def _write(self, path: Path, first: pa.Table, rest: Iterable[pa.Table]) -> None:
        with path.open("xb") as file:
            with closing(self.open(file, first.schema)) as writer:
                writer.write_table(first)
                for table in rest:
                    writer.write_table(table)
            file.flush()
            os.fsync(file.fileno())


def _described(table: pa.Table, about: Mapping[str, Any]) -> pa.Table:
    """Return the table with the key `titan10` in its metadata. Other keys, such as `pandas`, are kept."""
    return table.replace_schema_metadata({**(table.schema.metadata or {}), b"titan10": orjson.dumps(about)})


def _named(ending: str) -> Callable[[str, str, str], str]:
    def file(exchange: str, symbol: str, timeframe: str) -> str:
        return f"{exchange}-{symbol_name(exchange, symbol)}-{timeframe}.{ending}"

    return file


def _freqtrade_file(exchange: str, symbol: str, timeframe: str) -> str:
    """Return the same file name as freqtrade's pair_to_filename.

    The name does not contain the exchange, because freqtrade has a folder for each exchange.
    """
    return f"{re.sub(r'[/ .@$+:]', '_', symbol)}-{timeframe}.feather"


def _freqtrade(table: pa.Table) -> pa.Table:
    return table.rename_columns(["date", *table.column_names[1:]]).select(_FREQTRADE)


def _vectorbt(table: pa.Table) -> pa.Table:
    """Return a table that pandas reads as a frame with an index of times in nanoseconds, as in vectorbt's files."""
    values = table.select(_FREQTRADE[1:]).rename_columns([name.title() for name in _FREQTRADE[1:]]).to_pandas()
    frame = values.set_index(table["time"].to_pandas().dt.as_unit("ns").rename("Open time"))
    return pa.Table.from_pandas(frame)


def _csv(table: pa.Table) -> pa.Table:
    """Return the table with times in seconds and numbers as plain decimals.

    By default, pyarrow writes very large and very small numbers with an exponent, such as 1e+10 and 1e-7. Many programs
    do not accept an exponent.
    """
    table = table.set_column(0, "time", table["time"].cast(pa.timestamp("s", "UTC")))
    for number, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            table = table.set_column(number, field.name, _plain_decimals(table[field.name]))
    return table


def _plain_decimals(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return each number as the shortest decimal that reads back as the same double, without an exponent."""
    texts = column.cast(pa.string())
    if not pa.compute.any(pa.compute.match_substring(texts, "e")).as_py():
        return texts
    plain = []
    for text in texts.to_pylist():
        has_exponent = text is not None and "e" in text
        plain.append(f"{Decimal(text):f}" if has_exponent else text)
    return pa.chunked_array([pa.array(plain, pa.string())])


def _csv_writer(file: BinaryIO, schema: pa.Schema) -> Writer:
    options = pa.csv.WriteOptions(quoting_style="none")  # the texts are numbers, so they need no quotes
    writer: Writer = pa.csv.CSVWriter(file, schema, write_options=options)
    return writer


def _feather(file: BinaryIO, schema: pa.Schema) -> Writer:
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    writer: Writer = pa.ipc.new_file(file, schema, options=options)
    return writer


def _parquet(file: BinaryIO, schema: pa.Schema) -> Writer:
    writer: Writer = pa.parquet.ParquetWriter(file, schema, compression="zstd")
    return writer


_FREQTRADE = ["date", "open", "high", "low", "close", "volume"]

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        form.name: form
        for form in (
            Format("parquet", _named("parquet"), lambda table: table, _parquet),
            Format("csv", _named("csv"), _csv, _csv_writer),
            Format("freqtrade", _freqtrade_file, _freqtrade, _feather),
            Format("vectorbt", _named("vectorbt.parquet"), _vectorbt, _parquet),
        )
    }
)
