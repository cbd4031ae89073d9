"""Unpack candle files within size limits, and parse their rows.

Four properties are read from the content of each file: whether it has a header, the order of the columns (from the
header), the unit of the times (from seconds to nanoseconds), and the time range that the file covers. These properties
are not assumed, because exchanges changed each property without notice (binance-public-data issues 177, 283,
386; days of OKX and HTX begin at 16:00 UTC).
"""

from __future__ import annotations

import csv
import io
import lzma
import struct
import zipfile
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import mode
from typing import IO

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from titan10_dagster.archives.catalog import ArchiveFile
from titan10_dagster.candles.columns import END_OF_TIME_MS, Candles, Floats
from titan10_dagster.candles.slices import from_datetime64, to_datetime64
from titan10_dagster.errors import MalformedFile
from titan10_dagster.exchanges.archive_record import Format

NAMES = ("time", "open", "high", "low", "close", "volume")
# If a file unpacks to more bytes than this, it is rejected. A month of 1m candles has 5 MB, and a month of 1s candles
# has 300 MB.
MOST_UNPACKED = 512 << 20
_CHUNK = 1 << 20
# For a damaged zip file, zipfile and the decompressors raise many kinds of errors: for example, ValueError if an offset
# in the directory is wrong, IndexError if the name of a file is empty, RuntimeError if a file is marked as encrypted.
ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, IndexError, OSError, RuntimeError, ValueError),
)
_SECONDS_BELOW, _MICROSECONDS_FROM, _NANOSECONDS_FROM = 1e11, 1e14, 1e17
# No exchange had candles before 2009. So an earlier time is not a time: it is a row number, or a date such as 20240301.
_EARLIEST_MS = 1_230_768_000_000
_NOTHING = ("", "None", "null", "NULL", "nan", "NaN")
# The usual names of the six columns in a header, in lower case and with underscores instead of spaces. The record of an
# archive can add other names. If a header has several of the names of a column, the first name in this table counts.
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "time": ("time", "timestamp", "open_time", "opentime", "ts", "unix", "datetime", "date", "date_time_utc", "id"),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "volume": ("volume", "vol", "basevolume", "base_volume"),
}
_OFFSETS = (timedelta(0), timedelta(hours=8))


@dataclass(frozen=True, eq=False)
class ParsedFile:
    """The content of a file.

    candles: the rows, sorted by time. They are not checked yet: two rows can have the same time, and rows can break
        candle rules.
    start, end: the time range that the file covers (aware, UTC).
    unreadable: the number of lines that are not rows (see `read_rows`).
    """

    candles: Candles
    start: datetime
    end: datetime
    unreadable: int = 0


def parse_file(file: ArchiveFile, content: bytes) -> ParsedFile:
    """Return the candles in the content of a file.

    Raises:
        MalformedFile: the file cannot be unpacked, is not a table of candles, or contains candles of other days.
    """
    rows, unreadable = read_rows(unpack(content, file.archive.format), file.archive.columns, file.archive.header)
    candles = Candles.from_rows(rows)
    start, end = _stretch(file, candles)
    return ParsedFile(candles.drop_repeats(), start, end, unreadable)


def unpack(content: bytes, format_: Format) -> bytes:
    """Return the text of an archive file. A zip file must contain exactly one file.

    Raises:
        MalformedFile: the file is damaged, has another format, is a zip file with several files, or unpacks to more
            than MOST_UNPACKED bytes. Also raised for an Excel file if openpyxl is not installed.
    """
    match format_:
        case Format.ZIP_CSV:
            with _zip_member(io.BytesIO(content), (".csv", ".txt")) as member:
                return _limited(member)
        case Format.GZIP_CSV:
            return _gunzip(content)
        case Format.ZIP_XLSX:
            with _zip_member(io.BytesIO(content), (".xlsx",)) as member:
                return _sheet_as_csv(_limited(member))


def read_rows(
    text: bytes, columns: Sequence[str], header: Mapping[str, Sequence[str]] | None = None
) -> tuple[Floats, int]:
    """Return the rows of a CSV text, sorted by time, and the number of lines that are not rows.

    The rows are an array of shape (n, 6) and type float64: time in ms since 1970 UTC, open, high, low, close, volume. A
    price or volume that is absent or not a number is NaN. A line is not a row if it has no usable time, or a wrong
    number of columns. Empty lines, and lines of empty columns, are left out and do not count.

    `columns`: the column names of a text without a header. If the text has a header, the header is used instead.
    `header`: additional spellings of the six names, for a text with a header.

    Raises:
        MalformedFile: a column is missing, or the text is not a table.
    """
    text = _beginning_with_a_line(text)
    if not text:
        return np.empty((0, 6)), 0
    fields = _fields_of_first_line(text)
    has_header = _is_header(fields)
    names = names_in_header(fields, header or {}) if has_header else _padded(columns, text)
    if has_header and not text.partition(b"\n")[2]:
        return np.empty((0, 6)), 0
    table, unreadable = _table(text, names, skip=int(has_header))
    rows, without_time = rows_of([table.column(name) for name in NAMES])
    return rows, unreadable + without_time


def header_of(text: bytes) -> bytes:
    """Return the header line of a CSV text, with its line end; b"" if the text begins with a row, or is empty.

    Raises:
        MalformedFile: the first line is not a line of a CSV file.
    """
    text = _beginning_with_a_line(text)
    if not text or not _is_header(_fields_of_first_line(text)):
        return b""
    line, end, _ = text.partition(b"\n")
    return line + end


def header_for(text: bytes, columns: Sequence[str]) -> bytes:
    """Return a header line, with its line end, for a CSV text that has no header.

    `columns`: see `read_rows`.

    Raises:
        MalformedFile: the rows have too few columns.
    """
    return ",".join(_padded(columns, _beginning_with_a_line(text))).encode() + b"\n"


def rows_of(columns: Sequence[pa.ChunkedArray]) -> tuple[Floats, int]:
    """Return the rows of a table as `read_rows` does, and the number of its rows without a usable time.

    `columns`: the columns of NAMES. They contain numbers or texts; times can also be timestamps or dates.

    Raises:
        MalformedFile: a column has a type that is neither a number nor a text.
    """
    rows = np.column_stack([_times(columns[0]), *map(_numbers, columns[1:])])
    usable = (rows[:, 0] >= _EARLIEST_MS) & (rows[:, 0] < END_OF_TIME_MS)
    unusable = int((~usable & ~np.isnan(rows).all(axis=1)).sum())  # a row without any number is an empty line
    rows = rows[usable]
    return rows[np.argsort(rows[:, 0], kind="stable")], unusable


def _beginning_with_a_line(text: bytes) -> bytes:
    """Return the text without a byte order mark, and without empty lines at its beginning."""
    return text.removeprefix(BOM_UTF8).lstrip()


def _fields_of_first_line(text: bytes) -> list[str]:
    if text.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise MalformedFile("the text is UTF-16: save the file as UTF-8")
    line = text.partition(b"\n")[0].decode("utf-8", "replace").strip()
    try:
        return next(csv.reader([line]))
    except csv.Error as error:
        raise MalformedFile(f"the first line is not a line of a CSV file: {error}") from error


def _is_header(fields: Sequence[str]) -> bool:
    """Return whether the fields of the first line are names. A line with a number is a row, maybe a broken row."""
    if fields[0].strip()[:1].isdigit():
        return False
    return not any(field.strip() in _NOTHING[1:] or not np.isnan(_number(field)) for field in fields)


def names_in_header(fields: Sequence[str], header: Mapping[str, Sequence[str]]) -> list[str]:
    """Return, for each column, its name in NAMES, or "" if the column is not one of the six columns.

    `fields`: the names in the file. `header`: see `read_rows`.

    Raises:
        MalformedFile: a column is missing.
    """
    spelled = [field.strip().strip("\ufeff").lower().replace(" ", "_") for field in fields]
    places: dict[int, str] = {}
    for name in NAMES:
        found = next(
            (spelled.index(text) for text in (*header.get(name, ()), *_SPELLINGS[name]) if text in spelled), None
        )
        if found is None:
            raise MalformedFile(f"the header has no column for {name}: {', '.join(fields)[:120]}{_separator(fields)}")
        places[found] = name
    return [places.get(place, "") for place in range(len(fields))]


def _separator(fields: Sequence[str]) -> str:
    """Return a sentence for a line that has another separator than the comma, or ""."""
    for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if any(separator in field for field in fields):
            return f". Its columns are separated by {name}: save the file with commas"
    return ""


def _padded(columns: Sequence[str], text: bytes) -> list[str]:
    """Return `columns` with as many names as the rows of the text have. The first row can be broken."""
    fields = _fields_of_first_line(text)
    width = mode(line.count(b",") + 1 for line in text.split(b"\n", 3)[:3] if line.strip())
    if width < max(columns.index(name) for name in NAMES) + 1:
        raise MalformedFile(
            f"the rows have only {width} columns, so at least one of the {len(NAMES)} needed columns is missing"
            f"{_separator(fields)}"
        )
    return [columns[place] if place < len(columns) else "" for place in range(width)]


def _table(text: bytes, names: Sequence[str], skip: int) -> tuple[pa.Table, int]:
    """Return the six columns, and the number of lines with a wrong number of columns.

    If all values are numbers, the six columns are read as numbers. Otherwise all six are read as text.
    """
    unique = [name or f"unused_{place}" for place, name in enumerate(names)]
    text, unbalanced = _without_open_quotes(_as_utf8(text))
    for type_ in (pa.float64(), pa.string()):
        skipped: list[object] = []

        def skip_row(row: object, skipped: list[object] = skipped) -> str:
            skipped.append(row)
            return "skip"

        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(text),
                read_options=arrow_csv.ReadOptions(
                    column_names=unique, skip_rows=skip, use_threads=False, block_size=max(len(text), 1)
                ),
                parse_options=arrow_csv.ParseOptions(invalid_row_handler=skip_row),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(NAMES, type_),
                    include_columns=list(NAMES),
                    null_values=list(_NOTHING),
                    strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid as error:
            reason = str(error)
            continue
        return table, len(skipped) + unbalanced
    raise MalformedFile(f"the file is not a table of candles: {reason[:160]}")


def _as_utf8(text: bytes) -> bytes:
    """Return the text with the replacement character instead of bytes that are not UTF-8.

    pyarrow refuses a whole text because of such a byte. With the replacement, only the line of the byte is not a row.
    """
    try:
        text.decode()
    except UnicodeDecodeError:
        return text.decode("utf-8", "replace").encode()
    return text


def _without_open_quotes(text: bytes) -> tuple[bytes, int]:
    """Return the text without the lines that have an odd number of quotes, and the number of these lines.

    To a CSV parser, all lines up to the next quote would be one value.
    """
    if b'"' not in text:
        return text, 0
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if line.count(b'"') % 2 == 0]
    return b"".join(kept), len(lines) - len(kept)


def _numbers(column: pa.ChunkedArray) -> Floats:
    """Return a column of numbers or texts as numbers. A value that is absent or not a number becomes NaN."""
    if _is_text(column.type):
        return np.array([_number(text) for text in column.to_pylist()], np.float64)
    return _cast(column, pa.float64()).to_numpy()  # type: ignore[no-any-return]


def _is_text(type_: pa.DataType) -> bool:
    if pa.types.is_dictionary(type_):
        return _is_text(type_.value_type)
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def _cast(column: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    try:
        return column.cast(type_, safe=False)
    except pa.ArrowException as error:
        raise MalformedFile(f"a column has the type {column.type}, which is neither a number nor a text") from error


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else float("nan")
    except ValueError:
        return float("nan")


def _times(column: pa.ChunkedArray) -> Floats:
    """Return the times in milliseconds since 1970 UTC. A time that cannot be read becomes NaN."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        # Arrow stores a timestamp with a time zone in UTC. A timestamp without a time zone is taken as UTC.
        zone = getattr(column.type, "tz", None)
        return _numbers(_cast(column, pa.timestamp("ms", zone)).cast(pa.int64()))
    numbers = _numbers(column)
    if _is_text(column.type) and np.isnan(numbers).any():
        numbers = np.array([_instant(text) for text in column.to_pylist()], np.float64)
    # For times from 1973 to 5138, the size of a number shows its unit (from seconds to nanoseconds). A double has an
    # error of up to 128 nanoseconds there, so nanoseconds are rounded to whole microseconds first.
    milliseconds = np.where(numbers < _SECONDS_BELOW, numbers * 1000, numbers)
    milliseconds = np.where(numbers >= _MICROSECONDS_FROM, numbers / 1000, milliseconds)
    milliseconds = np.where(numbers >= _NANOSECONDS_FROM, np.round(numbers / 1e6, 3), milliseconds)
    return np.floor(milliseconds)


def _instant(text: str | None) -> float:
    """Return the text as a number. An ISO date and time becomes milliseconds since 1970 UTC.

    A date and time without a time zone is taken as UTC. Any other text becomes NaN.
    """
    number = _number(text)
    if text is None or not np.isnan(number):
        return number
    try:
        instant = datetime.fromisoformat(text.strip().removesuffix("UTC").strip())
    except ValueError:
        return float("nan")
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp() * 1000


def _stretch(file: ArchiveFile, candles: Candles) -> tuple[datetime, datetime]:
    """Return the start and end of the time range that the file covers.

    Usually this is the range that the file's label denotes. A range fits if it contains more than 99.9 % of the rows.
    The days of some archives begin eight hours before 00:00 UTC. So if the label's range does not fit, the range is
    shifted by such an offset.

    Raises:
        MalformedFile: no range fits.
    """
    if not len(candles):
        return file.start, file.end
    declared = file.archive.label_offset
    for offset in dict.fromkeys((declared, *_OFFSETS)):
        start, end = file.start + declared - offset, file.end + declared - offset
        inside = (candles.times >= to_datetime64(start)) & (candles.times < to_datetime64(end))
        if inside.mean() > 0.999:
            return start, end
    first, last = (from_datetime64(candles.times[place]) for place in (0, -1))
    raise MalformedFile(
        f"the rows go from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, which does not match the file's name"
    )


def _zip_member(packed: IO[bytes], suffixes: tuple[str, ...]) -> IO[bytes]:
    try:
        with zipfile.ZipFile(packed) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) != 1 or not members[0].filename.lower().endswith(suffixes):
                listed = ", ".join(member.filename[:60] for member in members[:3])
                raise MalformedFile(f"the file contains {listed or 'nothing'} instead of one {suffixes[0]} file")
            if members[0].file_size > MOST_UNPACKED:
                size = f"{members[0].file_size:,}"
                raise MalformedFile(f"the file would unpack to {size} bytes, more than {MOST_UNPACKED:,}")
            return archive.open(members[0])
    except ZIP_ERRORS as error:
        raise MalformedFile(f"the file is not a usable zip file: {error}") from error


def _limited(member: IO[bytes]) -> bytes:
    """Return the content of a file inside a zip file.

    Raises:
        MalformedFile: the content is damaged, or is longer than MOST_UNPACKED bytes.
    """
    parts: list[bytes] = []
    length = 0
    try:
        while part := member.read(_CHUNK):
            parts.append(part)
            length += len(part)
            if length > MOST_UNPACKED:
                raise MalformedFile(f"the file unpacks to more than {MOST_UNPACKED:,} bytes")
    except ZIP_ERRORS as error:
        raise MalformedFile(f"the file is damaged: {error}") from error
    return b"".join(parts)


def _gunzip(content: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(content, MOST_UNPACKED)
    except zlib.error as error:
        raise MalformedFile(f"the file is not a usable gzip file: {error}") from error
    if unpacker.unconsumed_tail:
        raise MalformedFile(f"the file unpacks to more than {MOST_UNPACKED:,} bytes")
    if not unpacker.eof:
        raise MalformedFile("the file is damaged: it ends too early")
    return text


def _sheet_as_csv(workbook: bytes) -> bytes:
    """Return the first sheet of an Excel workbook as CSV text."""
    try:
        import openpyxl
    except ImportError as error:
        raise MalformedFile("reading .xlsx files needs openpyxl: pip install 'titan10-dagster[xlsx]'") from error
    try:
        book = openpyxl.load_workbook(io.BytesIO(workbook), read_only=True, data_only=True)
        rows: Iterable[tuple[object, ...]] = book.worksheets[0].iter_rows(values_only=True)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
    except Exception as error:  # openpyxl raises nearly every kind of error for a damaged workbook
        raise MalformedFile(f"the file is not a usable workbook: {error}") from error
    return text.getvalue().encode()
