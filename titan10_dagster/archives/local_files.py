"""Read candle files that a user downloaded: CSV (plain, gzipped or inside a zip file) or Parquet.

Kraken's OHLCVT archive is one zip file of several gigabytes with a CSV file for each pair and timeframe. The zip file
is never unpacked as a whole. A CSV file is read in pieces of 16 MB, and its days are returned one by one.
"""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import IO

import numpy as np
from pyarrow import parquet

from titan10_dagster.archives.parsing import NAMES, read_rows
from titan10_dagster.candles.columns import Candles, Floats
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.errors import MalformedFile

# The usual columns of a CSV file without a header. Kraken's OHLCVT files have exactly these columns. Binance's kline
# files begin with the same six columns, and then have others.
USUAL_COLUMNS = (*NAMES, "")
_PIECE = 16 << 20  # bytes of text that are parsed in one step
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
        MalformedFile: the file cannot be opened, or is a damaged zip file.
    """
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb"):
                return [LocalFile(path)]
        with zipfile.ZipFile(path) as archive:
            members = [member.filename for member in archive.infolist() if not member.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise MalformedFile(f"{path} cannot be read: {error}") from error
    return [LocalFile(path, member) for member in members if member.lower().endswith((".csv", ".txt"))]


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
        earlier row, and also the day's last candle or a later row.
    """

    day: date
    candles: Candles
    whole: bool


def read_days(file: LocalFile, columns: Sequence[str], timeframe: Timeframe) -> Iterator[FileDay]:
    """Yield each day from the first to the last row of a file. A day without rows is yielded too.

    `columns`: the column names of a file without a header: time, open, high, low, close, volume. The name "" marks a
        column that is not used.

    Raises:
        MalformedFile: the file is damaged, is not a table of candles, or is not sorted by time.
    """
    waiting = np.empty((0, 6))
    next_day: int | None = None  # the next day to yield, in days since 1970; None before the first day
    for rows in _pieces(file, columns):
        if next_day is not None and len(rows) and rows[0, 0] < next_day * _DAY_MS:
            raise MalformedFile(f"{file} is not in order of time: sort its rows by time and import it again")
        waiting = np.concatenate((waiting, rows))
        if not len(waiting):
            continue
        last = int(waiting[-1, 0]) // _DAY_MS
        complete = waiting[waiting[:, 0] < last * _DAY_MS]
        yield from _days(complete, next_day, last, timeframe)
        if len(complete) or next_day is not None:
            next_day = last
        waiting = waiting[len(complete) :]
    if len(waiting):
        last = int(waiting[-1, 0]) // _DAY_MS
        is_whole = waiting[-1, 0] >= (last + 1) * _DAY_MS - timeframe.ms
        is_first = next_day is None
        starts = waiting[0, 0] < last * _DAY_MS + timeframe.ms
        yield FileDay(_date(last), Candles.from_rows(waiting), bool(is_whole and (starts or not is_first)))


def _days(rows: Floats, next_day: int | None, end: int, timeframe: Timeframe) -> Iterator[FileDay]:
    """Yield the days before `end`. The first day is `next_day`, or the day of the first row if `next_day` is None.

    `next_day`, `end`: days since 1970.
    """
    if next_day is None and not len(rows):
        return
    first = int(rows[0, 0]) // _DAY_MS if next_day is None else next_day
    by_day: Mapping[date, Candles] = Candles.from_rows(rows).by_day()
    for number in range(first, end):
        whole = next_day is not None or number > first or rows[0, 0] < first * _DAY_MS + timeframe.ms
        yield FileDay(_date(number), by_day.get(_date(number), Candles.empty()), bool(whole))


def _date(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=number)


def _pieces(file: LocalFile, columns: Sequence[str]) -> Iterator[Floats]:
    """Yield the rows of a file in pieces. A piece of a CSV file has about 16 MB of text."""
    if file.path.suffix.lower() == ".parquet":
        yield _parquet_rows(file.path)
        return
    header = b""
    rest = b""
    with _opened(file) as text:
        while True:
            piece = text.read(_PIECE)
            if not header and not rest and piece and not piece[:1].isdigit():
                header = piece[: piece.find(b"\n") + 1]
                piece = piece[len(header) :]
                read_rows(header, columns)  # if the line is not the header of a candle file, this raises MalformedFile
            lines = rest + piece
            end = len(lines) if not piece else lines.rfind(b"\n") + 1
            if end:
                rows, _ = read_rows(header + lines[:end], columns)
                yield rows
            rest = lines[end:]
            if not piece:
                return


@contextmanager
def _opened(file: LocalFile) -> Iterator[IO[bytes]]:
    try:
        if file.member is not None:
            with zipfile.ZipFile(file.path) as archive, archive.open(file.member) as member:
                yield member
        elif file.path.suffix.lower() == ".gz":
            with gzip.open(file.path) as unpacked:
                yield unpacked  # type: ignore[misc]
        else:
            with file.path.open("rb") as plain:
                yield plain
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise MalformedFile(f"{file} cannot be read: {error}") from error


def _parquet_rows(path: Path) -> Floats:
    """Return all rows of a Parquet file, sorted by time.

    The file must have the columns open, high, low, close and volume, and a column time, timestamp, open_time or date.
    """
    try:
        table = parquet.read_table(path)
    except (OSError, ValueError) as error:
        raise MalformedFile(f"{path} cannot be read: {error}") from error
    names = {name.lower(): name for name in table.column_names}
    time = next((names[name] for name in ("time", "timestamp", "open_time", "date") if name in names), None)
    missing = [name for name in NAMES[1:] if name not in names]
    if time is None or missing:
        raise MalformedFile(
            f"{path} has no column {', '.join(missing) or 'time'}. Its columns are {', '.join(table.column_names)}"
        )
    times = table.column(time).to_pandas()
    if times.dtype.kind == "M":
        milliseconds = times.to_numpy().astype("datetime64[ms]").astype(np.int64).astype(np.float64)
    else:
        raw = times.to_numpy(np.float64)
        milliseconds = np.where(raw < 1e11, raw * 1000, np.where(raw >= 1e14, np.floor(raw / 1000), raw))
    values = [table.column(names[name]).to_pandas().to_numpy(np.float64) for name in NAMES[1:]]
    rows = np.column_stack([milliseconds, *values])
    return rows[np.argsort(rows[:, 0], kind="stable")]
