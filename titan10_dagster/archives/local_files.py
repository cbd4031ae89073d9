"""Read candle files that a user downloaded: CSV (plain, gzipped or inside a zip file) or Parquet.

Kraken's OHLCVT archive is one zip file of several gigabytes with a CSV file for each pair and timeframe. The zip file
is never unpacked as a whole. A CSV file is read in pieces of 16 MB, and its days are returned one by one. A compressed
file is first read to its end, because its checksum is there.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import zipfile
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from math import log
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from titan10_dagster.archives.parsing import (
    NAMES,
    ZIP_ERRORS,
    header_for,
    header_of,
    names_in_header,
    read_rows,
    rows_of,
)
from titan10_dagster.candles.columns import Candles, Floats
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.timeframes import TIMEFRAMES, Timeframe
from titan10_dagster.errors import MalformedFile

# The usual columns of a CSV file without a header. Kraken's OHLCVT files have exactly these columns. Binance's kline
# files begin with the same six columns, and then have others.
USUAL_COLUMNS = (*NAMES, "")
_PIECE = 16 << 20  # bytes of text that are parsed in one step
# A piece with lines that are not rows is divided into parts of about this many bytes. Only the days of the parts with
# these lines are possibly incomplete.
_SMALL_PIECE = 64 << 10
_LONGEST_LINE = 1 << 20  # bytes
# The accepted probability that the timeframe of a file is misjudged (see `_check_timeframe`).
_IMPROBABLE = 1e-9
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class LocalFile:
    """A file, or one file inside a zip file. `member`: the name inside the zip file; None for a plain file."""

    path: Path
    member: str | None = None

    @property
    def name(self) -> str:
        """Return the file's name without folders."""
        return Path(self.member or self.path).name

    @property
    def url(self) -> str:
        """Return the location of the file, for the provenance of its candles."""
        return self.path.resolve().as_uri() + (f"#{self.member}" if self.member else "")

    def __str__(self) -> str:
        return f"{self.path}: {self.member}" if self.member else f"{self.path}"


def list_files(path: Path) -> list[LocalFile]:
    """Return the candle files at a path: the file itself, or the .csv and .txt files inside a zip file.

    Raises:
        MalformedFile: the file cannot be opened, is a damaged zip file, or is a zip file without such a file.
    """
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb"):
                return [LocalFile(path)]
        with zipfile.ZipFile(path) as archive:
            members = [member.filename for member in archive.infolist() if not member.is_dir()]
    except ZIP_ERRORS as error:
        raise MalformedFile(f"{path} cannot be read: {error}") from error
    found = [LocalFile(path, member) for member in members if _is_candle_file(member)]
    if not found:
        listed = ", ".join(members[:3]) or "nothing"
        raise MalformedFile(f"{path} is a zip file without a .csv or .txt file. It contains {listed[:200]}")
    return found


def _is_candle_file(member: str) -> bool:
    """Return whether a file in a zip file can be a file of candles. macOS adds files with other data to a zip file."""
    is_of_macos = member.startswith("__MACOSX/") or Path(member).name.startswith("._")
    return member.lower().endswith((".csv", ".txt")) and not is_of_macos


def digest_of(path: Path) -> str:
    """Return the SHA-256 digest of a file, as "sha256:<hex>"."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def belongs_to(file: LocalFile, market: Market, timeframe: Timeframe) -> bool:
    """Return whether the file's name contains the market and the timeframe.

    Two patterns are known: Kraken's `XBTUSD_1.csv` (1 is the timeframe in minutes) and Binance's
    `BTCUSDT-1m-2024-03.csv`.
    """
    stem = file.name.partition(".")[0].upper()
    for name in _names_of(market):
        if stem == f"{name}_{timeframe.seconds // 60}":
            return True
        if stem == f"{name}-{timeframe.name}".upper() or stem.startswith(f"{name}-{timeframe.name}-".upper()):
            return True
    return False


# Kraken's files use another spelling for these assets.
_OTHER_SPELLINGS = {"BTC": "XBT", "DOGE": "XDG"}


def _names_of(market: Market) -> set[str]:
    """Return the upper-case names that file names use for a market.

    For Kraken's BTC/USD these are XXBTZUSD, XBTUSD and BTCUSD.
    """
    market_id = market.market_id.upper().replace("/", "").replace("-", "")
    base, quote = market.base.upper(), market.quote.upper()
    names = {market_id, f"{market.base_id}{market.quote_id}".upper(), base + quote}
    names.add(_OTHER_SPELLINGS.get(base, base) + _OTHER_SPELLINGS.get(quote, quote))
    # Kraken puts X before a crypto asset and Z before a currency.
    if len(market_id) == 8 and market_id[0] in "XZ" and market_id[4] in "XZ":
        names.add(market_id[1:4] + market_id[5:])
    return names


@dataclass(frozen=True, eq=False)
class FileDay:
    """The candles of one UTC day in a file.

    `whole`: whether the file covers the whole day. This is the case if the file has the day's first candle or an
        earlier row, and also the day's last candle or a later row. A day is not whole if the file has a line near the
        rows of the day that is not a row, because this line is possibly a candle of the day.
    `unreadable`: the number of lines since the day before that are not rows.
    """

    day: date
    candles: Candles
    whole: bool
    unreadable: int = 0


def read_days(
    file: LocalFile,
    columns: Sequence[str],
    timeframe: Timeframe,
    spellings: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[FileDay]:
    """Yield each day from the first to the last row of a file. A day without rows is yielded too.

    `columns`: the column names of a file without a header: time, open, high, low, close, volume. The name "" marks a
        column that is not used.
    `spellings`: for a column name, the other names that the header lines of the exchange's own files use for it.

    Raises:
        MalformedFile: the file is damaged, is not a table of candles, is not sorted by time, or has candles of another
            timeframe.
    """
    reading = _Reading(file, timeframe)
    for rows, unreadable in _pieces(file, columns, spellings or {}):
        yield from reading.read(rows, unreadable)
    yield from reading.end()


@dataclass
class _Reading:
    """The state of reading the days of a file.

    waiting: the rows that were read but not yielded yet.
    next_day: the next day to yield, in days since 1970; None before the first day.
    unreadable: the number of lines that are not rows, since the last yielded day.
    doubtful: the days (in days since 1970) that such a line possibly belongs to.
    was_lost: whether such a line is after the last row.
    """

    file: LocalFile
    timeframe: Timeframe
    waiting: Floats = field(default_factory=lambda: np.empty((0, 6)))
    next_day: int | None = None
    unreadable: int = 0
    doubtful: set[int] = field(default_factory=set)
    was_lost: bool = False

    def read(self, rows: Floats, unreadable: int) -> Iterator[FileDay]:
        """Add the rows of a piece, and yield the days before the day of its last row."""
        if self.next_day is not None and len(rows) and rows[0, 0] < self.next_day * _DAY_MS:
            raise MalformedFile(f"{self.file} is not in order of time: sort its rows by time and import it again")
        if self.next_day is None and not len(self.waiting):
            _check_timeframe(self.file, rows, self.timeframe)
        self._doubt(rows, unreadable)
        self.waiting = np.concatenate((self.waiting, rows))
        if not len(self.waiting):
            return
        last = _day_of(self.waiting[-1])
        complete = self.waiting[self.waiting[:, 0] < last * _DAY_MS]
        self.waiting = self.waiting[len(complete) :]
        if self.next_day is None and not len(complete):
            return
        first = self.next_day if self.next_day is not None else _day_of(complete[0])
        by_day: Mapping[date, Candles] = Candles.from_rows(complete).by_day()
        for number in range(first, last):
            is_whole = self.next_day is not None or complete[0, 0] < first * _DAY_MS + self.timeframe.ms
            yield self._day(number, by_day.get(_date(number), Candles.empty()), bool(is_whole))
            self.next_day = number + 1

    def end(self) -> Iterator[FileDay]:
        """Yield the day of the last row.

        Raises:
            MalformedFile: the file has lines, but none of them is a row.
        """
        if not len(self.waiting):
            if self.unreadable:
                raise MalformedFile(
                    f"{self.file}: none of its rows ({self.unreadable:,}) has a time that can be read. A time is a"
                    " number of seconds, milliseconds, microseconds or nanoseconds since 1970, or a UTC date and time"
                    " such as 2024-03-01 00:00:00"
                )
            return
        last = _day_of(self.waiting[-1])
        starts = self.next_day is not None or self.waiting[0, 0] < last * _DAY_MS + self.timeframe.ms
        ends = self.waiting[-1, 0] >= (last + 1) * _DAY_MS - self.timeframe.ms
        yield self._day(last, Candles.from_rows(self.waiting), bool(starts and ends))

    def _doubt(self, rows: Floats, unreadable: int) -> None:
        """Record the days to which the lines of a piece that are not rows possibly belong."""
        self.unreadable += unreadable
        if unreadable or self.was_lost:
            around = [self.waiting[-1:], rows[:1] if not unreadable else rows]
            found = [_day_of(row) for part in around for row in part[[0, -1] if len(part) else []]]
            if found:
                self.doubtful.update(range(min(found), max(found) + 1))
        self.was_lost = bool(unreadable) or (self.was_lost and not len(rows))

    def _day(self, number: int, candles: Candles, is_whole: bool) -> FileDay:
        unreadable, self.unreadable = self.unreadable, 0
        return FileDay(_date(number), candles, is_whole and number not in self.doubtful, unreadable)


def _check_timeframe(file: LocalFile, rows: Floats, timeframe: Timeframe) -> None:
    """Raise MalformedFile if the rows are candles of another timeframe.

    Shorter candles would be stored as if they were longer, and missing candles between longer candles would look like
    candles without trades.
    """
    times = np.unique(rows[:, 0].astype(np.int64))
    if len(times) < 3:
        return
    steps = np.diff(times)
    typical, grid = int(np.median(steps)), int(np.gcd.reduce(steps))
    is_shorter = typical < timeframe.ms
    # In a quiet series, the times of a few candles can be on a coarser grid by accident.
    is_longer = grid > timeframe.ms and -len(steps) * log(grid / timeframe.ms) < log(_IMPROBABLE)
    if is_shorter or is_longer:
        found = typical if is_shorter else grid
        name = next((known.name for known in TIMEFRAMES.values() if known.ms == found), f"{found / 1000:g} s")
        raise MalformedFile(
            f"{file} has {name} candles, but the timeframe in the settings is {timeframe}: import a file with"
            f" {timeframe} candles"
        )


def _day_of(row: Floats) -> int:
    """Return the day of a row, in days since 1970."""
    return int(row[0]) // _DAY_MS


def _date(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=number)


def _pieces(
    file: LocalFile, columns: Sequence[str], spellings: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Floats, int]]:
    """Yield the rows of a file in pieces, each with the number of its lines that are not rows.

    A piece of a CSV file has about 16 MB of text.
    """
    try:
        if file.path.suffix.lower() == ".parquet":
            yield _parquet_rows(file.path, spellings)
        else:
            yield from _csv_pieces(file, columns, spellings)
    except MalformedFile as error:
        raise MalformedFile(f"{file}: {error}") from error


def _csv_pieces(
    file: LocalFile, columns: Sequence[str], spellings: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Floats, int]]:
    _check_whole(file)
    header: bytes | None = None  # None before the first line with text
    rest = b""
    with _opened(file) as text:
        while True:
            piece = text.read(_PIECE)
            lines = rest + piece
            end = len(lines) if not piece else lines.rfind(b"\n") + 1
            if header is None and lines[:end].strip():
                found = header_of(lines[:end])
                # Each piece is read with a header, because a piece can begin with a line that is not a row.
                header = found or header_for(lines[:end], columns)
                # if the line is not the header of a candle file, this raises MalformedFile
                read_rows(header, columns, spellings)
                start = lines.find(found) + len(found) if found else len(lines) - len(lines.removeprefix(BOM_UTF8))
                lines, end = lines[start:], end - start
            if end:
                yield from _rows_of_lines(header or b"", lines[:end], columns, spellings)
            rest = lines[end:]
            if len(rest) > _LONGEST_LINE:
                raise MalformedFile(f"a line is longer than {_LONGEST_LINE:,} bytes")
            if not piece:
                return


def _rows_of_lines(
    header: bytes, lines: bytes, columns: Sequence[str], spellings: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Floats, int]]:
    """Yield the rows of some lines. Lines that are not rows are searched for in smaller and smaller parts."""
    rows, unreadable = read_rows(header + lines, columns, spellings)
    middle = lines.find(b"\n", len(lines) // 2) + 1
    if unreadable and len(lines) > _SMALL_PIECE and 0 < middle < len(lines):
        yield from _rows_of_lines(header, lines[:middle], columns, spellings)
        yield from _rows_of_lines(header, lines[middle:], columns, spellings)
    else:
        yield rows, unreadable


def _check_whole(file: LocalFile) -> None:
    """Read a compressed file to its end, where its checksum is. So no day of a damaged file is used.

    Raises:
        MalformedFile: the file is damaged.
    """
    if file.member is not None or file.path.suffix.lower() == ".gz":
        with _opened(file) as text:
            while text.read(_PIECE):
                pass


@contextmanager
def _opened(file: LocalFile) -> Iterator[IO[bytes]]:
    try:
        if file.member is not None:
            with zipfile.ZipFile(file.path) as archive, _member(archive, file.member) as member:
                yield member
        elif file.path.suffix.lower() == ".gz":
            with gzip.open(file.path) as unpacked:
                yield unpacked  # type: ignore[misc]
        else:
            with file.path.open("rb") as plain:
                yield plain
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise MalformedFile(f"the file cannot be read: {error}") from error


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    try:
        return archive.open(name)
    except ZIP_ERRORS as error:
        raise MalformedFile(f"the file cannot be read: {error}") from error


def _parquet_rows(path: Path, spellings: Mapping[str, Sequence[str]]) -> tuple[Floats, int]:
    """Return all rows of a Parquet file, sorted by time, and the number of its rows without a usable time.

    The columns have the same names as in the header of a CSV file.
    """
    try:
        table = parquet.read_table(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise MalformedFile(f"the file cannot be read: {error}") from error
    names = names_in_header(table.column_names, spellings)
    return rows_of([table.column(names.index(name)) for name in NAMES])
