"""The candle files that exchanges publish, built from the sandbox's own candles.

Each exchange with an archive has a `Shelf`: the paths of its files, the format of files and rows, and the form of the
digests. The table `SHELVES` and Titan-10's own records of archives were written separately, from the same public facts.
So a mistake in one of these two places makes a test fail.

A defect is a fault of a file that a test can switch on. `DEFECTS` lists all defects. Each defect was seen in a real
archive, or imitates an attack.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from itertools import chain
from string import ascii_uppercase
from threading import Lock
from xml.sax.saxutils import escape

import numpy as np

from titan10_dagster.sandbox.site import Site

_DAY_MS = 86_400_000
_MINUTE_MS = 60_000
_US_SINCE = 1_735_689_600_000  # 2025-01-01: the times in Binance's spot files are in microseconds from this day on

_KEPT = 100  # the maximum number of cached candle lists, each for one symbol and time range
_FILES_KEPT = 24  # the maximum number of cached files; a file with a month of 1m candles has 2 MB
_packed_files: dict[object, bytes] = {}
_caching = Lock()  # protects the caches, because several threads answer requests for files
_FAST = 1  # zlib's compression level; it takes a third of the time of the default level
_NO_ROWS = re.compile(rb"<sheetData ?(/>|></sheetData>)")  # an empty sheet of an Excel workbook has this element
_NONES = 10  # the number of rows in which the defect "none" replaces the volume by the text None
_BOMB_MEGABYTES = 544  # the unpacked size of a zip bomb or gzip bomb; Titan-10 unpacks at most 512 MB
Row = list[float]  # [ms, open, high, low, close, volume]

DEFECTS: Mapping[str, str] = {
    "missing": "The file does not exist.",
    "missing_digest": "The file exists, but its digest file does not.",
    "stale_digest": "The digest belongs to an earlier version of the file.",
    "replaced": "All volumes are changed, as if the exchange had replaced the file and its digest.",
    "truncated_rows": "The second half of the rows is missing; the digest belongs to the shorter file.",
    "truncated_bytes": "The second half of the bytes is missing; the digest belongs to the complete file.",
    "hole": "An hour is missing in the middle; the digest belongs to the shorter file.",
    "no_day": "A monthly file lacks a day, a daily file half of its rows; the digest belongs to the shorter file.",
    "mixed_units": "The second half of the times is in microseconds.",
    "unsorted": "The newest row comes first.",
    "duplicates": "The file contains every row twice.",
    "conflicts": "The file contains ten rows a second time, with another volume.",
    "off_grid": "Ten rows begin 14.789 seconds late.",
    "none": "Ten rows have the text None instead of a volume.",
    "header": "The file has a header if the archive's other files have none, and no header if they have one.",
    "microseconds": "All times are in microseconds.",
    "other_day": "The file contains the rows of another time range, which is one day earlier.",
    "html": "An HTML page with status 200.",
    "bomb": "A small file that unpacks to 544 MB.",
    "two_members": "The zip file has two members.",
    "forbidden": "HTTP 403 with the text Forbidden.",
    "unavailable": "HTTP 503.",
}


@dataclass(frozen=True)
class Shelf:
    """The format of the archive files of one exchange.

    paths: regular expressions of the paths, with the groups `symbol` and `label` (YYYYMMDD, YYYY-MM-DD or YYYY-MM).
    symbol: a function that builds the symbol in a path from the exchange's ids of base and quote.
    row: a function that returns the fields of one candle. Its second argument says whether the time is in microseconds.
    header: the first line of each file; None if the files have no header.
    hours: the exchange's day begins this many hours before the UTC day of the same date.
    packing: zip (a zip file with a CSV file), gzip (a compressed CSV file) or xlsx (a zip file with an Excel workbook).
    digest: the text that is added to the path of a file to get the path of its digest; None if there are no digests.
    algorithm: the hash function of the digest.
    named: whether the digest file also contains the name of the data file.
    lag: the time from the end of a day to the publication of its files.
    absent: status and body of the answer if a file does not exist.
    """

    paths: tuple[str, ...]
    symbol: Callable[[str, str], str]
    row: Callable[[Row, bool], Sequence[object]]
    header: str | None = None
    hours: int = 0
    packing: str = "zip"
    digest: str | None = ".CHECKSUM"
    algorithm: str = "sha256"
    named: bool = True
    lag: timedelta = timedelta(hours=9)
    absent: tuple[int, bytes] = (404, b"<Error><Code>NoSuchKey</Code></Error>")


def _plain(value: float) -> str:
    """Return a double as a decimal text without an exponent."""
    text = repr(value)
    return text if "e" not in text else f"{value:.20f}".rstrip("0")


def _binance(row: Row, micro: bool) -> Sequence[object]:
    ms, *values = row
    unit = 1000 if micro or ms >= _US_SINCE else 1
    opened = int(ms) * unit
    prices = [f"{value:.8f}" for value in values[:4]]
    volume, close = values[4], values[3]
    quote = f"{volume * close:.8f}"
    return [opened, *prices, f"{volume:.8f}", opened + _MINUTE_MS * unit - 1, quote, 7, f"{volume:.8f}", quote, 0]


def _okx(row: Row, micro: bool) -> Sequence[object]:
    ms, o, h, low, c, v = row
    return ["X", *map(_plain, (o, h, low, c, v)), _plain(v), _plain(v * c), int(ms) * (1000 if micro else 1), 1]


def _seconds(order: str) -> Callable[[Row, bool], Sequence[object]]:
    """Return a function that formats a row: the time in seconds, then the values in the order of `order`.

    The letters of `order` are o, h, l, c, v, and q for the quote volume. The time is in microseconds if the second
    argument of the returned function is True.
    """

    def row_of(row: Row, micro: bool) -> Sequence[object]:
        ms, o, h, low, c, v = row
        values = {"o": o, "h": h, "l": low, "c": c, "v": v, "q": v * c}
        time = int(ms) * 1000 if micro else ms / 1000
        written = int(time) if time == int(time) else time
        return [written, *(_plain(values[name]) for name in order)]

    return row_of


def _upbit(row: Row, micro: bool) -> Sequence[object]:
    ms, o, h, low, c, v = row
    instant = datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None).isoformat()
    time = int(ms) * 1000 if micro else instant
    return [time, *map(_plain, (o, h, low, c, v * c, v))]


def _htx(row: Row, micro: bool) -> Sequence[object]:
    ms, o, h, low, c, v = row
    return ["X", *map(_plain, (o, h, low, c)), _plain(v), _plain(v), _plain(v * c), int(ms) * (1000 if micro else 1)]


_JOINED: Callable[[str, str], str] = lambda base, quote: base + quote  # noqa: E731
_DASHED: Callable[[str, str], str] = lambda base, quote: f"{base}-{quote}"  # noqa: E731
_S, _D, _M = r"(?P<symbol>[A-Z0-9_-]+)", r"(?P<label>\d{4}-\d\d-\d\d)", r"(?P<label>\d{4}-\d\d)"
_D8 = r"(?P<label>\d{8})"

SHELVES: Mapping[str, Shelf] = {
    "binance": Shelf(
        (
            rf"data/spot/daily/klines/{_S}/1m/(?P=symbol)-1m-{_D}\.zip",
            rf"data/spot/monthly/klines/{_S}/1m/(?P=symbol)-1m-{_M}\.zip",
        ),
        _JOINED,
        _binance,
    ),
    "binanceus": Shelf(
        (
            rf"public_data/spot/daily/klines/{_S}/1m/(?P=symbol)-1m-{_D}\.zip",
            rf"public_data/spot/monthly/klines/{_S}/1m/(?P=symbol)-1m-{_M}\.zip",
        ),
        _JOINED,
        _binance,
        digest=None,
    ),
    "okx": Shelf(
        (
            rf"cdn/okex/traderecords/candlesticks/daily/\d{{8}}/{_S}-candlesticks-{_D}\.zip",
            rf"cdn/okex/traderecords/candlesticks/monthly/\d{{6}}/{_S}-candlesticks-{_M}\.zip",
        ),
        _DASHED,
        _okx,
        header="instrument_name,open,high,low,close,vol,vol_ccy,vol_quote,open_time,confirm",
        hours=8,
        digest=None,
    ),
    "gate": Shelf(
        (rf"spot/candlesticks_1m/\d{{6}}/{_S}-{_D8}\.csv\.gz",),
        lambda base, quote: f"{base}_{quote}",
        _seconds("vchlo"),
        packing="gzip",
        digest=None,
    ),
    "kucoin": Shelf(
        (rf"data/spot/daily/klines/{_S}/1m/(?P=symbol)-1m-{_D}\.zip",),
        _JOINED,
        _seconds("ochlvq"),
        header="time,open,close,high,low,volume,turnover",
        algorithm="md5",
    ),
    "htx": Shelf(
        (rf"data/historical_data/spot/daily/klines/{_S}/1m/(?P=symbol)-klines-1m-{_D}\.zip",),
        _DASHED,
        _htx,
        header="instId,open,high,low,close,vol,volCcy,volCcyQuote,ts",
        hours=8,
    ),
    "bitget": Shelf(
        (rf"online/kline/{_S}/SP/{_D8}\.zip",),
        _JOINED,
        _seconds("ohlcvq"),
        header="timestamp,open,high,low,close,basevolume,usdtvolume",
        hours=8,
        packing="xlsx",
        digest=None,
        absent=(403, b"<Error><Code>AccessDenied</Code></Error>"),
    ),
    "upbit": Shelf(
        (rf"candle/{_S}/daily/1m/\d{{4}}/(?P=symbol)_candle-1m_{_D8}\.zip",),
        lambda base, quote: f"{quote}-{base}",
        _upbit,
        header="date_time_utc,open,high,low,close,acc_trade_price,acc_trade_volume",
        digest=".checksum",
        named=False,
    ),
}


@dataclass(frozen=True)
class FileReply:
    """The answer to a request for a path of the archive."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Defect:
    kind: str
    match: str
    left: int | None


def _active(defects: Iterable[_Defect], path: str) -> set[str]:
    """Return the kinds of the active defects of a file.

    `FileServer._striking` returns the same kinds, but it also counts the request, because a defect ends after a number
    of requests (its option `times`).
    """
    kinds = set()
    for defect in defects:
        if defect.match in path and defect.left != 0:
            kinds.add(defect.kind)
    return kinds


class FileServer:
    """The archive of one exchange of the sandbox. Tests can add defects to its files."""

    def __init__(self, site: Site, shelf: Shelf) -> None:
        self.site = site
        self.shelf = shelf
        self.served: list[str] = []  # the paths of all requests, in the order of arrival
        self._paths = [re.compile(path) for path in shelf.paths]
        names = {
            shelf.symbol(series.instrument.name.base_id, series.instrument.name.quote_id).upper(): symbol
            for symbol, series in site.series.items()
        }
        self._symbols = names
        self._defects: list[_Defect] = []
        self._kept: dict[tuple[str, int, int], list[Row]] = {}
        self._rewritten: dict[str, set[int]] = {}

    def defect(self, kind: str, match: str = "", times: int | None = None) -> None:
        """Add a defect to all files with `match` in their path.

        `times`: the number of requests that the defect affects; None: all requests.
        Raises ValueError if the kind is unknown.
        """
        if kind not in DEFECTS:
            raise ValueError(f"{kind!r} is not a defect of a file; choose one of {', '.join(DEFECTS)}")
        self._defects.append(_Defect(kind, match, times))

    def rewrite(self, symbol: str, times_ms: Iterable[int]) -> None:
        """Change the volume of the given candles in all files; the exchange's API keeps the old volume.

        `times_ms`: the starts of the candles in epoch ms.
        """
        self._rewritten.setdefault(symbol, set()).update(times_ms)

    def clear(self) -> None:
        """Remove all defects and rewritten volumes."""
        self._defects.clear()
        self._rewritten.clear()

    def owns(self, path: str) -> bool:
        """Return whether the path belongs to the archive."""
        return self._data_path(path.lstrip("/")) is not None

    def note(self, path: str) -> None:
        """Add the path of a request to `served`. The server calls this when it receives the request."""
        self.served.append(path.lstrip("/"))

    def answer(self, path: str) -> FileReply:
        """Return the data file or the digest file at the path, with the active defects."""
        path = path.lstrip("/")
        data_path = self._data_path(path)
        defects = self._striking(path)
        if data_path is None or "missing" in defects:
            return self._absent()
        if "forbidden" in defects:
            return FileReply(403, b"Forbidden")
        if "unavailable" in defects:
            return FileReply(503, b"Slow Down")
        if "html" in defects:
            return FileReply(200, b"<!DOCTYPE html><html><body>Please enable JavaScript</body></html>")
        if path != data_path:
            return self._digest(data_path)
        content = self._content(path, defects)
        if content is None:
            return self._absent()
        whole = content
        if "truncated_bytes" in defects:
            content = content[: len(content) // 2]
        etag = hashlib.md5(whole, usedforsecurity=False).hexdigest()
        return FileReply(200, content, {"ETag": f'"{etag}"', "Last-Modified": "Mon, 01 Jan 2024 08:32:00 GMT"})

    def _striking(self, path: str) -> set[str]:
        kinds = set[str]()
        for defect in self._defects:
            if defect.match in path and defect.left != 0:
                kinds.add(defect.kind)
                defect.left = None if defect.left is None else defect.left - 1
        return kinds

    def _absent(self) -> FileReply:
        return FileReply(*self.shelf.absent)

    def _data_path(self, path: str) -> str | None:
        """Return the path of a data file. `path` is the path of the data file itself, or of its digest file.

        Return None if the path does not belong to the archive.
        """
        suffix = self.shelf.digest
        candidates = [path]
        if suffix and path.endswith(suffix):
            stem = path.removesuffix(suffix)
            candidates.append(stem)
        for candidate in candidates:
            if any(pattern.fullmatch(candidate) for pattern in self._paths):
                return candidate
        return None

    def _digest(self, data_path: str) -> FileReply:
        defects = _active(self._defects, data_path)
        content = self._content(data_path, defects)
        if content is None or "missing_digest" in defects:
            return self._absent()
        described = content if "stale_digest" not in defects else b"a former file"
        digest = hashlib.new(self.shelf.algorithm, described, usedforsecurity=False).hexdigest()
        name = data_path.rpartition("/")[2]
        return FileReply(200, f"{digest}  {name}\n".encode() if self.shelf.named else digest.encode())

    def _content(self, path: str, defects: set[str]) -> bytes | None:
        found = next(filter(None, (pattern.fullmatch(path) for pattern in self._paths)), None)
        if found is None or found["symbol"] not in self._symbols:
            return None
        start, end = _stretch(found["label"], self.shelf.hours)
        lag = int(self.shelf.lag.total_seconds() * 1000)
        if self.site.clock.now_ms() < end + lag:
            return None
        if "other_day" in defects:
            start, end = start - _DAY_MS, end - _DAY_MS
        rows = self._rows(self._symbols[found["symbol"]], start, end)
        if not rows and "other_day" not in defects:
            return None
        rewritten = self._rewritten.get(self._symbols[found["symbol"]])
        if rewritten:
            rows = [[*row[:5], row[5] + 1] if row[0] in rewritten else row for row in rows]
        return self._packed_once(path, _with_defects(rows, defects), defects)

    def _rows(self, symbol: str, start: int, end: int) -> list[Row]:
        """Return the candles of a symbol in [start, end), in epoch ms.

        Results are cached, because a file and its digest need the same candles.
        """
        key = (symbol, start, end)
        with _caching:
            if key not in self._kept:
                if len(self._kept) >= _KEPT:
                    del self._kept[next(iter(self._kept))]
                self._kept[key] = self.site.truth(symbol, start, end).tolist()
            return self._kept[key]

    def _packed_once(self, path: str, rows: list[Row], defects: set[str]) -> bytes:
        """Return the packed file. Packed files are cached, because packing the file of a month takes a second.

        The answer to a request for the digest needs the packed file, too. All servers of the process share the cache,
        because sandboxes with the same candles have the same files.
        """
        digest = hashlib.blake2b(np.asarray(rows).tobytes()).digest()
        key = (self.site.venue.id, path, frozenset(defects), digest)
        with _caching:
            packed = _packed_files.get(key)
            if packed is None:
                packed = _packed(self.site, self.shelf, path, rows, defects)
                if len(_packed_files) >= _FILES_KEPT:
                    del _packed_files[next(iter(_packed_files))]
                _packed_files[key] = packed
            return packed


def _packed(site: Site, shelf: Shelf, path: str, rows: list[Row], defects: set[str]) -> bytes:
    """Return the file at the path, with the given rows and defects."""
    name = path.rpartition("/")[2].rpartition(".")[0]
    header: list[object] = [*shelf.header.split(",")] if shelf.header else []
    if "header" in defects:
        header = [] if header else [*_USUAL_HEADER]
    if shelf.packing == "xlsx":
        fields = _fields(shelf, rows, defects)
        return _zipped({f"{name}.xlsx": _workbook([header, *fields] if header else fields)}, defects)
    lines = _lines(site, shelf, rows, defects)
    if header:
        lines.insert(0, ",".join(map(str, header)))
    text = "".join(f"{line}\n" for line in lines).encode()
    if shelf.packing == "gzip":
        return _gzip_bomb() if "bomb" in defects else gzip.compress(text, _FAST, mtime=0)
    return _zipped({f"{name}.csv": text}, defects)


def _fields(shelf: Shelf, rows: list[Row], defects: set[str]) -> list[list[object]]:
    """Return the fields of each row."""
    fields = []
    for number, row in enumerate(rows):
        fields.append(list(shelf.row(row, _is_micro(number, len(rows), defects))))
    if "none" in defects:
        for line in fields[:_NONES]:
            line[_volume_place(shelf)] = "None"
    return fields


def _lines(site: Site, shelf: Shelf, rows: list[Row], defects: set[str]) -> list[str]:
    """Return each row as a line of CSV.

    Lines are cached, because a file with a defect often has the same rows as the file without the defect.
    """
    lines = []
    for number, row in enumerate(rows):
        lines.append(_line(site.venue.id, tuple(row), _is_micro(number, len(rows), defects)))
    if "none" in defects:
        place = _volume_place(shelf)
        for number, line in enumerate(lines[:_NONES]):
            fields = line.split(",")
            fields[place] = "None"
            lines[number] = ",".join(fields)
    return lines


def _is_micro(number: int, rows: int, defects: set[str]) -> bool:
    """Return whether the time of a row is in microseconds because of a defect."""
    return "microseconds" in defects or ("mixed_units" in defects and number >= rows // 2)


@lru_cache(maxsize=50_000)  # a month of 1m candles has 44,640 lines, which fit
def _line(exchange: str, row: tuple[float, ...], micro: bool) -> str:
    return ",".join(map(str, SHELVES[exchange].row(list(row), micro)))


_USUAL_HEADER = (
    *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count"),
    *("taker_buy_volume", "taker_buy_quote_volume", "ignore"),
)


def _volume_place(shelf: Shelf) -> int:
    marked = shelf.row([0.0, 1.0, 1.0, 1.0, 1.0, 77.0], False)
    return next(place for place, value in enumerate(marked) if str(value).startswith("77"))


def _with_defects(rows: list[Row], defects: set[str]) -> list[Row]:
    if "truncated_rows" in defects:
        rows = rows[: len(rows) // 2]
    if "hole" in defects:
        middle = len(rows) // 2
        rows = rows[:middle] + rows[middle + 60 :]
    if "no_day" in defects:
        middle, missing = len(rows) // 2, min(1440, len(rows) // 2)
        rows = rows[: middle - missing // 2] + rows[middle + missing - missing // 2 :]
    if "unsorted" in defects:
        rows = rows[::-1]
    if "off_grid" in defects:
        rows = [[row[0] + 14_789, *row[1:]] if place < 10 else row for place, row in enumerate(rows)]
    if "conflicts" in defects:
        rows = rows + [[*row[:5], row[5] + 1] for row in rows[20:30]]
    if "replaced" in defects:
        rows = [[*row[:5], row[5] * 2 + 1] for row in rows]
    if "duplicates" in defects:
        rows = list(chain.from_iterable(zip(rows, rows, strict=True)))
    return rows


def _stretch(label: str, hours: int) -> tuple[int, int]:
    """Return the time range [start, end) of the day or month that a label names, in epoch ms.

    Both bounds are `hours` hours earlier than the bounds of the UTC day or month.
    """
    digits = label.replace("-", "")
    first = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8] or 1))
    after = first + timedelta(days=1) if len(digits) == 8 else (first + timedelta(days=32)).replace(day=1)
    start, end = (int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000) for day in (first, after))
    return start - hours * 3_600_000, end - hours * 3_600_000


def _zipped(members: Mapping[str, bytes], defects: set[str]) -> bytes:
    packed = io.BytesIO()
    if "bomb" in defects:
        return _zip_bomb(next(iter(members)))
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))  # a fixed date, so that the bytes are always equal
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, _FAST)
        if "two_members" in defects:
            archive.writestr("another.csv", b"1,2,3")
    return packed.getvalue()


@cache
def _bomb() -> tuple[bytes, int]:
    """Return the compressed data of a zip or gzip bomb, without any header. Also return the CRC of the unpacked data.

    Only one megabyte is compressed, and the result is repeated. Compressing all megabytes would take two seconds.
    """
    megabyte, checksum = b"0" * (1 << 20), 0
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(megabyte) + packer.flush(zlib.Z_FULL_FLUSH)
    for _ in range(_BOMB_MEGABYTES):
        checksum = zlib.crc32(megabyte, checksum)
    return packed * _BOMB_MEGABYTES + packer.flush(), checksum


def _zip_bomb(name: str) -> bytes:
    content, checksum = _bomb()
    entry = zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.CRC, entry.compress_size, entry.file_size = checksum, len(content), _BOMB_MEGABYTES << 20
    local = entry.FileHeader(zip64=False)
    version, flags, method, *rest = struct.unpack("<5H3L2H", local[4:30])
    central = (
        struct.pack("<4s6H3L5H2L", b"PK\1\2", version, version, flags, method, *rest, 0, 0, 0, 0, 0) + name.encode()
    )
    size, start = len(central), len(local) + len(content)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, size, start, 0)
    return local + content + central + end


def _gzip_bomb() -> bytes:
    content, checksum = _bomb()
    header = b"\x1f\x8b\x08\0\0\0\0\0\x04\xff"  # a gzip header that contains no file name
    return header + content + struct.pack("<2L", checksum, _BOMB_MEGABYTES << 20)


@cache
def _empty_workbook() -> Mapping[str, bytes]:
    """Return the files in an Excel workbook (which is a zip file) with one empty sheet."""
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    book.create_sheet()
    packed = io.BytesIO()
    book.save(packed)
    with zipfile.ZipFile(packed) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _workbook(lines: Sequence[Sequence[object]]) -> bytes:
    """Return an Excel workbook with these rows.

    openpyxl writes the same cells, but takes ten times as long.
    """
    rows = []
    for number, line in enumerate(lines, start=1):
        cells = [_cell(f"{letter}{number}", value) for letter, value in zip(ascii_uppercase, line, strict=False)]
        rows.append(f'<row r="{number}">{"".join(cells)}</row>')
    sheet = f"<sheetData>{''.join(rows)}</sheetData>".encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=_FAST) as archive:
        for name, content in _empty_workbook().items():
            archive.writestr(name, _NO_ROWS.sub(lambda _: sheet, content))
    return packed.getvalue()


def _cell(place: str, value: object) -> str:
    if isinstance(value, str):
        return f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    return f'<c r="{place}" t="n"><v>{value}</v></c>'
