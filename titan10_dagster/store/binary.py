"""Converts between PostgreSQL's binary COPY format and numpy arrays, without making a Python object for each row.

The format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format". Every field consists of its size
(int32) and its bytes, big-endian. In this module, a row begins with constants, which are the same in all rows and can
have any size. All other fields have 8 bytes: bigint, double precision or timestamptz.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from titan10_dagster.store.database import Cursor

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"  # the size -1 means NULL
_EPOCH = np.datetime64("2000-01-01", "us")  # the epoch of PostgreSQL's microseconds
_BUFFER = 1 << 18


def rows(constants: Sequence[str | int | None], columns: Sequence[NDArray[Any]]) -> bytes:
    """Return rows in COPY's binary format. Each row has the constants, and then its values from the columns.

    constants: each constant is a string, an int (stored as bigint), or None (stored as NULL).
    columns: arrays of equal length. datetime64[ms] and datetime64[us] (naive, UTC) are stored as timestamptz, int64 as
        bigint, and float64 as double precision.
    """
    head = (len(constants) + len(columns)).to_bytes(2, "big") + b"".join(map(_field, constants))
    blank = head + (b"\0\0\0\x08" + bytes(8)) * len(columns)
    names = [f"value{n}" for n in range(len(columns))]
    layout = np.dtype(
        {
            "names": names,
            "formats": [_wire(column.dtype) for column in columns],
            "offsets": [len(head) + 4 + 12 * n for n in range(len(columns))],
            "itemsize": len(blank),
        }
    )
    buffer = bytearray(blank * len(columns[0]))
    table = np.frombuffer(buffer, layout)
    for name, column in zip(names, columns, strict=True):
        table[name] = _to_postgres(column)
    return bytes(buffer)


def _field(constant: str | int | None) -> bytes:
    if constant is None:
        return _NULL
    data = constant.encode() if isinstance(constant, str) else constant.to_bytes(8, "big", signed=True)
    return len(data).to_bytes(4, "big") + data


def copy_in(cursor: Cursor, copy: str, rows: Iterable[bytes]) -> int:
    """Run `COPY .. FROM STDIN (FORMAT binary)` and return the number of rows that the server stored."""
    cursor.copy_expert(copy, io.BytesIO(b"".join([_HEADER, *rows, _TRAILER])), _BUFFER)
    return cursor.rowcount


def copy_out(cursor: Cursor, copy: str, dtypes: Sequence[str]) -> list[NDArray[Any]]:
    """Run `COPY .. TO STDOUT (FORMAT binary)` and return one array for each column.

    dtypes: the type of each column: "i8", "f8" or "M8[ms]". The query must not return NULL.
    """
    target = io.BytesIO()
    cursor.copy_expert(copy, target, _BUFFER)
    layout = np.dtype(
        {
            "names": [f"value{n}" for n in range(len(dtypes))],
            "formats": [_wire(np.dtype(dtype)) for dtype in dtypes],
            "offsets": [6 + 12 * n for n in range(len(dtypes))],
            "itemsize": 2 + 12 * len(dtypes),
        }
    )
    data = target.getbuffer()[len(_HEADER) : -len(_TRAILER)]
    table = np.frombuffer(data, layout)
    return [_from_postgres(table[f"value{n}"], dtype) for n, dtype in enumerate(dtypes)]


def _wire(dtype: np.dtype[Any]) -> str:
    return ">f8" if dtype.kind == "f" else ">i8"


def _to_postgres(column: NDArray[Any]) -> NDArray[Any]:
    if column.dtype.kind != "M":
        return column
    return (column - _EPOCH).view(np.int64)


def _from_postgres(column: NDArray[Any], dtype: str) -> NDArray[Any]:
    if np.dtype(dtype).kind != "M":
        return column.astype(dtype)
    return (column.astype("m8[us]") + _EPOCH).astype(dtype)
