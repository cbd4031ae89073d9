"""Candle files that a user downloaded: CSV or Parquet, plain, gzipped or inside a zip archive; read as a stream.

Kraken's OHLCVT archive is one zip file of several gigabytes with a CSV file for each pair and timeframe. It is never
unpacked: a member is read piece by piece, and only one day at a time is kept in memory.
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

# Columns of a CSV file without a header: Kraken's OHLCVT, and the first columns of Binance's klines.
USUAL_COLUMNS = (*NAMES, "")
_PIECE = 16 << 20  # bytes of text that are parsed in one step
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class LocalFile:
    """A file, or one member of a zip archive."""

    path: Path
    member: str | None = None

    @property
    def name(self) -> str:
        """Return the name without folders."""
        return Path(self.member or self.path).name

    @property
    def url(self) -> str:
        """Return the location of the file, for the provenance of its candles."""
        return self.path.resolve().as_uri() + (f"#{self.member}" if self.member else "")

    def __str__(self) -> str:
        return f"{self.path}: {self.member}" if self.member else f"{self.path}"


def list_files(path: Path) -> list[LocalFile]:
    """Return the candle files at a path: the file itself, or the members of a zip archive.

    Raises:
        MalformedFile: the path cannot be opened, or is a damaged zip archive.
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
    """Return whether the file's name denotes the market and the timeframe.

    Two patterns are known: Kraken's `XBTUSD_1.csv` (minutes) and Binance's `BTCUSDT-1m-2024-03.csv`.
    """
    stem = file.name.partition(".")[0].upper()
    for name in _names_of(market):
        if stem == f"{name}_{timeframe.seconds // 60}":
            return True
        if stem == f"{name}-{timeframe.name}".upper() or stem.startswith(f"{name}-{timeframe.name}-".upper()):
            return True
    return False


# Assets that Kraken's files spell differently.
_OTHER_SPELLINGS = {"BTC": "XBT", "DOGE": "XDG"}


def _names_of(market: Market) -> set[str]:
    """Return the spellings of a market in file names, upper case: XXBTZUSD, XBTUSD and BTCUSD for Kraken's BTC/USD."""
    market_id = market.market_id.upper().replace("/", "").replace("-", "")
    base, quote = market.base.upper(), market.quote.upper()
    names = {market_id, f"{market.base_id}{market.quote_id}".upper(), base + quote}
    names.add(_OTHER_SPELLINGS.get(base, base) + _OTHER_SPELLINGS.get(quote, quote))
    if len(market_id) == 8 and market_id[0] in "XZ" and market_id[4] in "XZ":  # with class prefixes
        names.add(market_id[1:4] + market_id[5:])
    return names


@dataclass(frozen=True, eq=False)
class FileDay:
    """The candles of one UTC day in a file.

    `whole`: the file covers the day, with rows before and after it or at its ends.
    """

    day: date
    candles: Candles
    whole: bool


def read_days(file: LocalFile, columns: Sequence[str], timeframe: Timeframe) -> Iterator[FileDay]:
    """Yield the days from the first to the last row of a file, days without a row included.

    `columns` names the columns of a file without a header: time, open, high, low, close, volume, "" for others.

    Raises:
        MalformedFile: the file is damaged, is not a table of candles, or is not sorted by time.
    """
    waiting = np.empty((0, 6))
    after: int | None = None  # the day after the last one that was yielded, in days since 1970
    for rows in _pieces(file, columns):
        if after is not None and len(rows) and rows[0, 0] < after * _DAY_MS:
            raise MalformedFile(f"{file} is not in order of time: sort it first")
        waiting = np.concatenate((waiting, rows))
        if not len(waiting):
            continue
        last = int(waiting[-1, 0]) // _DAY_MS
        complete = waiting[waiting[:, 0] < last * _DAY_MS]
        yield from _days(complete, after, last, timeframe)
        if len(complete) or after is not None:
            after = last
        waiting = waiting[len(complete) :]
    if len(waiting):
        last = int(waiting[-1, 0]) // _DAY_MS
        is_whole = waiting[-1, 0] >= (last + 1) * _DAY_MS - timeframe.ms
        is_first = after is None
        starts = waiting[0, 0] < last * _DAY_MS + timeframe.ms
        yield FileDay(_date(last), Candles.from_rows(waiting), bool(is_whole and (starts or not is_first)))


def _days(rows: Floats, after: int | None, end: int, timeframe: Timeframe) -> Iterator[FileDay]:
    """Yield the days before `end`, starting with `after` or, if it is None, with the day of the first row."""
    if after is None and not len(rows):
        return
    first = int(rows[0, 0]) // _DAY_MS if after is None else after
    by_day: Mapping[date, Candles] = Candles.from_rows(rows).by_day()
    for number in range(first, end):
        whole = after is not None or number > first or rows[0, 0] < first * _DAY_MS + timeframe.ms
        yield FileDay(_date(number), by_day.get(_date(number), Candles.empty()), bool(whole))


def _date(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=number)


def _pieces(file: LocalFile, columns: Sequence[str]) -> Iterator[Floats]:
    """Yield the rows of a file, some megabytes at a time."""
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
                read_rows(header, columns)  # raises if the line is not a header
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
    """Return all rows of a Parquet file with columns time (or timestamp), open, high, low, close and volume."""
    try:
        table = parquet.read_table(path)
    except (OSError, ValueError) as error:
        raise MalformedFile(f"{path} cannot be read: {error}") from error
    names = {name.lower(): name for name in table.column_names}
    time = next((names[name] for name in ("time", "timestamp", "open_time", "date") if name in names), None)
    missing = [name for name in NAMES[1:] if name not in names]
    if time is None or missing:
        raise MalformedFile(
            f"{path} has no column {', '.join(missing) or 'time'}: it has {', '.join(table.column_names)}"
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
