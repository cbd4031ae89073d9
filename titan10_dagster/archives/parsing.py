"""The rows of a candle file: unpacked within size limits, and parsed by the evidence in the file itself.

The file itself shows whether it has a header, the order of its columns, the unit of its times (seconds, milliseconds,
microseconds) and which 24 hours its label stands for. None of these is assumed. Exchanges changed each of these without
notice (facts: binance-public-data issues 177, 283, 386; OKX and HTX days begin at 16:00 UTC).
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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
MOST_UNPACKED = 512 << 20  # bytes; a month of 1m candles is 5 MB, one of 1s candles 300 MB
_CHUNK = 1 << 20
_SECONDS_BELOW, _MICROSECONDS_FROM = 1e11, 1e14
_NOTHING = ("", "None", "null", "NULL", "nan", "NaN")
# The usual names of the six columns in a header. An archive's record may name others.
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "time": ("time", "timestamp", "open_time", "opentime", "ts", "id", "unix", "date", "date_time_utc"),
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

    candles: its rows by time; they may break rules, be repeated or contradict each other.
    start, end: the stretch that the file covers (aware, UTC).
    unreadable: the number of lines that are not rows.
    """

    candles: Candles
    start: datetime
    end: datetime
    unreadable: int = 0


def parse_file(file: ArchiveFile, content: bytes) -> ParsedFile:
    """Return the candles in the content of a file.

    Raises:
        MalformedFile: it cannot be unpacked, does not contain candles, or contains candles of another day.
    """
    rows, unreadable = read_rows(unpack(content, file.archive.format), file.archive.columns, file.archive.header)
    candles = Candles.from_rows(rows)
    start, end = _stretch(file, candles)
    return ParsedFile(candles.drop_repeats(), start, end, unreadable)


def unpack(content: bytes, format_: Format) -> bytes:
    """Return the text of the only member of an archive file. At most MOST_UNPACKED bytes are in memory.

    Raises:
        MalformedFile: it is damaged, is not of the format, has several members, or unpacks to more than that.
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
    """Return (n, 6) float64 [ms, open, high, low, close, volume] by time, and the number of lines that are not rows.

    `columns` names the columns of a text without a header. If the text has a header, the header is used instead;
    `header` has the possible spellings of each of the six names. A value that is absent or not a number is NaN.

    Raises:
        MalformedFile: a column is missing, or there are rows without a usable time.
    """
    text = text.removeprefix(b"\xef\xbb\xbf")
    first = text[: text.find(b"\n")].decode("utf-8", "replace").strip()
    if not first:
        return np.empty((0, 6)), 0
    fields = next(csv.reader([first]))
    has_header = not fields[0][:1].isdigit()
    names = _from_header(fields, header or {}) if has_header else _padded(columns, len(fields))
    table, unreadable = _table(text, names, skip=int(has_header))
    values = [_times(table.column("time")), *(_numbers(table.column(name)) for name in NAMES[1:])]
    rows = np.column_stack(values)
    usable = (rows[:, 0] >= 0) & (rows[:, 0] < END_OF_TIME_MS)
    unreadable += int((~usable).sum())
    rows = rows[usable]
    return rows[np.argsort(rows[:, 0], kind="stable")], unreadable


def _from_header(fields: Sequence[str], header: Mapping[str, Sequence[str]]) -> list[str]:
    spelled = [field.strip().strip("\ufeff").lower() for field in fields]
    places: dict[int, str] = {}
    for name in NAMES:
        found = next(
            (spelled.index(text) for text in (*header.get(name, ()), *_SPELLINGS[name]) if text in spelled), None
        )
        if found is None:
            raise MalformedFile(f"its header has no column for {name}: {', '.join(fields)[:120]}")
        places[found] = name
    return [places.get(place, "") for place in range(len(fields))]


def _padded(columns: Sequence[str], width: int) -> list[str]:
    if width < max(columns.index(name) for name in NAMES) + 1:
        raise MalformedFile(f"its rows have {width} columns, at least {len(NAMES)} were expected")
    return [columns[place] if place < len(columns) else "" for place in range(width)]


def _table(text: bytes, names: Sequence[str], skip: int) -> tuple[pa.Table, int]:
    """Return the six columns: as numbers if all values are numbers, else as text."""
    unique = [name or f"unused_{place}" for place, name in enumerate(names)]
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
        return table, len(skipped)
    raise MalformedFile(f"it is not a table of candles: {reason[:160]}")


def _numbers(column: pa.ChunkedArray) -> Floats:
    if pa.types.is_floating(column.type):
        return column.to_numpy()  # type: ignore[no-any-return]
    return np.array([_number(text) for text in column.to_pylist()], np.float64)


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else float("nan")
    except ValueError:
        return float("nan")


def _times(column: pa.ChunkedArray) -> Floats:
    """Return milliseconds since 1970, UTC; NaN for a time that cannot be read."""
    numbers = _numbers(column)
    if not pa.types.is_floating(column.type) and np.isnan(numbers).any():
        numbers = np.array([_instant(text) for text in column.to_pylist()], np.float64)
    # The magnitude of a number shows its unit; this holds for the years 1973 to 2286.
    milliseconds = np.where(numbers < _SECONDS_BELOW, numbers * 1000, numbers)
    return np.where(milliseconds >= _MICROSECONDS_FROM, np.floor(milliseconds / 1000), np.floor(milliseconds))


def _instant(text: str | None) -> float:
    """Return the milliseconds of an ISO date and time in UTC, or of a number."""
    number = _number(text)
    if text is None or not np.isnan(number):
        return number
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        return float("nan")
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp() * 1000


def _stretch(file: ArchiveFile, candles: Candles) -> tuple[datetime, datetime]:
    """Return the stretch that the file covers: the declared 24 hours or month, or the stretch that its rows show."""
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
        f"its rows go from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, which does not match its name"
    )


def _zip_member(packed: IO[bytes], suffixes: tuple[str, ...]) -> IO[bytes]:
    try:
        with zipfile.ZipFile(packed) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) != 1 or not members[0].filename.lower().endswith(suffixes):
                listed = ", ".join(member.filename[:60] for member in members[:3])
                raise MalformedFile(f"it holds {listed or 'nothing'} instead of one {suffixes[0]} file")
            if members[0].file_size > MOST_UNPACKED:
                raise MalformedFile(f"it would unpack to {members[0].file_size:,} bytes, more than {MOST_UNPACKED:,}")
            return archive.open(members[0])
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise MalformedFile(f"it is no usable zip file: {error}") from error


def _limited(member: IO[bytes]) -> bytes:
    """Return the whole member. Raises MalformedFile if it is longer than its zip entry says, or longer than allowed."""
    parts: list[bytes] = []
    length = 0
    try:
        while part := member.read(_CHUNK):
            parts.append(part)
            length += len(part)
            if length > MOST_UNPACKED:
                raise MalformedFile(f"it unpacks to more than {MOST_UNPACKED:,} bytes")
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise MalformedFile(f"it is damaged: {error}") from error
    return b"".join(parts)


def _gunzip(content: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(content, MOST_UNPACKED)
    except zlib.error as error:
        raise MalformedFile(f"it is no usable gzip file: {error}") from error
    if unpacker.unconsumed_tail:
        raise MalformedFile(f"it unpacks to more than {MOST_UNPACKED:,} bytes")
    if not unpacker.eof:
        raise MalformedFile("it is damaged: it ends too early")
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
    except (zipfile.BadZipFile, KeyError, IndexError, ValueError, OSError) as error:
        raise MalformedFile(f"it is no usable workbook: {error}") from error
    return text.getvalue().encode()
