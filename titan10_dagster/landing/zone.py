"""The landing zone: raw candles as the exchange gave them, one Parquet file a slice.

    <root>/<exchange>/<timeframe>/<YYYY-MM-DD>/<symbol>.parquet

A file holds the columns exchange, symbol, timeframe, time (UTC, milliseconds) and the five values, and how
it was fetched as JSON in its key-value metadata under "titan10". Anything that reads Parquet reads it. A
file that is there is whole: it is written beside its place, synced and renamed, so a process killed at any
instant leaves the old file, the new one, or none.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock

import numpy as np
import pyarrow as pa
import structlog
from pyarrow import parquet

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import FetchedSlice, FetchRecord
from titan10_dagster.candles.frame import COLUMNS, VALUES
from titan10_dagster.candles.rules import judge
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.errors import LandingError
from titan10_dagster.landing.records import from_json, to_json

METADATA_KEY = b"titan10"

_KEYS = ("exchange", "symbol", "timeframe")
_COMPRESSION = {**dict.fromkeys((*_KEYS, "time"), "none"), **dict.fromkeys(VALUES, "zstd")}
_SUFFIX = ".parquet"
_LONGEST_NAME = 200  # bytes; file systems allow 255, and the temporary name is longer
_EXCHANGE = re.compile(r"[a-z0-9_]+")
# "/" and ":" get signs of their own below; these signs themselves must then be told apart from them.
_ESCAPED = re.compile(r'[-_%\\*?"<>|]')
_UNREADABLE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError)


FileIdentity = tuple[int, int, int, int]  # of a file's content: device, inode, size and time of change


class LandingZone:
    """Landed slices under `root`, which is made when the first one is written. Threads may share it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._making = Lock()

    def path(self, slice_: Slice) -> Path:
        """Where the slice lies, or would. LandingError if its exchange or symbol makes no file name."""
        series = slice_.series
        if not _EXCHANGE.fullmatch(series.exchange):
            raise LandingError(f"{series.exchange!r} is not an exchange's name: cannot land {series}")
        place = (series.exchange, series.timeframe.name, slice_.day.isoformat())
        return self.root.joinpath(*place, _file_name(series) + _SUFFIX)

    def identity(self, slice_: Slice) -> FileIdentity | None:
        """Return what changes whenever another file takes the slice's place; None if the slice is not landed.

        Raises:
            LandingError: the file cannot be reached.
        """
        path = self.path(slice_)
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LandingError(f"cannot open {path}: {error}") from error
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def write(self, fetched: FetchedSlice) -> FetchedSlice:
        """Lands the slice, in place of what was landed of it; it is on the disk when this returns, as it is returned.

        No row that an exchange gave is lost. What lies before the new fetch's horizon nobody can ask for again: the
        former rows that keep the candle rules are carried over, and the record's note says how many, so that the file
        alone replays the slice. Where the new file still lacks a candle of the former one, that
        file is kept beside it as `<symbol>.<its time of fetching>.parquet.old`: evidence, which nothing reads.

        LandingError if it cannot be written; what was there before is then still there.
        """
        path = self.path(fetched.record.slice)
        former = self.read_or_aside(fetched.record.slice)
        try:
            with self._making:  # a folder that is seen is on the disk
                _make_folder(path.parent)
            if former is not None:
                fetched = _with_unreachable_rows(fetched, former)
                if np.setdiff1d(former.candles.times, fetched.candles.times).size:
                    _put(_old(path, former.record), pa.py_buffer(path.read_bytes()))
            _put(path, _encoded(fetched))
        except OSError as error:
            raise LandingError(f"cannot land {fetched.record.slice} as {path}: {error}") from error
        return fetched

    def read(self, slice_: Slice) -> FetchedSlice | None:
        """The slice exactly as it was written; None if there is none, LandingError if it is unreadable."""
        path = self.path(slice_)
        with _opened(path) as file:
            if file is None:
                return None
            try:
                return _decoded(file, slice_)
            except _UNREADABLE as error:
                raise _unreadable(path, slice_, error) from error

    def read_file(self, path: Path) -> FetchedSlice | None:
        """What a file of the zone holds, one set aside by `write` included; None if it is gone or unreadable."""
        with _opened(path) as file:
            if file is None:
                return None
            try:
                return _decoded(file)
            except _UNREADABLE:
                return None

    def record_of(self, path: Path) -> FetchRecord | None:
        """How the slice in a file of the zone was fetched; None if it is gone or unreadable."""
        with _opened(path) as file:
            if file is None:
                return None
            try:
                return _record(parquet.read_metadata(file).metadata)
            except _UNREADABLE:
                return None

    def read_or_aside(self, slice_: Slice) -> FetchedSlice | None:
        """As `read`, but an unreadable file counts as not landed: it is logged and moved aside to `*.corrupt`."""
        try:
            return self.read(slice_)
        except _UnreadableFile as error:
            _move_aside(error)
            return None

    def record(self, slice_: Slice) -> FetchRecord | None:
        """How the slice was fetched, from the file's footer alone; None and LandingError as in `read`."""
        path = self.path(slice_)
        with _opened(path) as file:
            if file is None:
                return None
            try:
                return _record(parquet.read_metadata(file).metadata, slice_)
            except _UNREADABLE as error:
                raise _unreadable(path, slice_, error) from error

    def records(self, slices: Iterable[Slice]) -> dict[Slice, FetchRecord]:
        """The records of those slices that are landed, in the order asked.

        A file that is unreadable counts as not landed, so the slice is fetched again: it is logged and
        moved aside to `*.corrupt`. A file that cannot be opened at all raises LandingError.
        """
        found = ((slice_, self._record_or_aside(slice_)) for slice_ in slices)
        return {slice_: record for slice_, record in found if record is not None}

    def _record_or_aside(self, slice_: Slice) -> FetchRecord | None:
        try:
            return self.record(slice_)
        except _UnreadableFile as error:
            _move_aside(error)
            return None


class _UnreadableFile(LandingError):
    """A landed file that is there and can be opened, but is not what was written."""

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


def _move_aside(error: _UnreadableFile) -> None:
    aside = error.path.with_name(error.path.name + ".corrupt")
    with suppress(FileNotFoundError):  # another process moved it first
        error.path.replace(aside)
    structlog.get_logger().warning("landed_file_corrupt", file=str(aside), error=str(error.__cause__))


def _with_unreachable_rows(fetched: FetchedSlice, former: FetchedSlice) -> FetchedSlice:
    """The new fetch, with the good rows of the former one from before its horizon that it has not."""
    record = fetched.record
    if record.horizon is None or record.horizon <= record.slice.start:
        return fetched
    valid = judge(former.candles, record.slice, former.record.fetched_at).valid
    good = valid.between(record.slice.start, record.horizon)
    lost = good.where(~np.isin(good.times, fetched.candles.times))
    if not len(lost):
        return fetched
    candles = Candles.joined(lost, fetched.candles).sorted()
    told = f"{len(lost)} candles from before the horizon are of earlier fetches"
    return FetchedSlice(replace(record, note=f"{record.note}; {told}" if record.note else told), candles)


def _old(path: Path, record: FetchRecord) -> Path:
    return path.with_name(f"{path.stem}.{record.fetched_at:%Y%m%dT%H%M%S%f}Z{_SUFFIX}.old")


def _unreadable(path: Path, slice_: Slice, error: BaseException) -> _UnreadableFile:
    told = f"the landed file of {slice_} is unreadable ({error}): remove {path} and fetch the slice again"
    return _UnreadableFile(told, path=path)


def _file_name(series: Series) -> str:
    """The symbol with "/" as "-" and ":" as "_". No two symbols share a name, and none leaves its folder."""
    escaped = _ESCAPED.sub(lambda sign: f"%{ord(sign[0]):02X}", series.symbol)
    name = escaped.replace("/", "-").replace(":", "_")
    if not name.isprintable() or name != name.strip(" .") or not 0 < len(name.encode()) <= _LONGEST_NAME:
        raise LandingError(f"{series.symbol!r} of {series.exchange} makes no file name; leave it out")
    return name


def _make_folder(folder: Path) -> None:
    """Makes the folder and those above it; a folder's entry is on the disk once the one above is synced."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _put(path: Path, content: pa.Buffer) -> None:
    # The name is new each time: two processes that land the same slice must not write into one file.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _encoded(fetched: FetchedSlice) -> pa.Buffer:
    table, sink = _table(fetched), pa.BufferOutputStream()
    # Measured on 24 days of real candles at 1m: a day takes 29.7 kB and 0.77 ms with plain values, 38 kB and
    # 1.1 ms with dictionaries, 38.6 kB and 0.6 ms split by byte; zstd 6 saves 5 % for twice the time. What is not a
    # value is small by its encoding: to compress it as well takes a quarter of the time and saves nothing.
    with parquet.ParquetWriter(
        sink,
        table.schema,
        compression=_COMPRESSION,
        compression_level=dict.fromkeys(VALUES, 1),
        use_dictionary=list(_KEYS),
        column_encoding={"time": "DELTA_BINARY_PACKED"},
        write_statistics=["time"],
        write_page_checksum=True,
        store_schema=False,  # the readers need no Arrow, and it would take 2 kB a file
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({METADATA_KEY: to_json(fetched.record)})
    return sink.getvalue()


def _table(fetched: FetchedSlice) -> pa.Table:
    series = fetched.record.slice.series
    candles = fetched.candles
    keys = (series.exchange, series.symbol, series.timeframe.name)
    arrays = [
        *(pa.repeat(key, len(candles)) for key in keys),
        pa.array(candles.times.view(np.int64)).view(pa.timestamp("ms", tz="UTC")),
        *(pa.array(values) for values in candles.values),
    ]
    return pa.Table.from_arrays(arrays, names=[*_KEYS, *COLUMNS])


@contextmanager
def _opened(path: Path) -> Iterator[pa.NativeFile | None]:
    try:
        file = pa.OSFile(os.fspath(path))
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise LandingError(f"cannot open {path}: {error}") from error
    with file:
        yield file


def _decoded(file: pa.NativeFile, slice_: Slice | None = None) -> FetchedSlice:
    with parquet.ParquetFile(file, page_checksum_verification=True) as landed:
        record = _record(landed.metadata.metadata, slice_)
        table = landed.read(columns=list(COLUMNS), use_threads=False)
    times, *values = (column.to_numpy() for column in table.columns)
    return FetchedSlice(record, Candles(times.astype("datetime64[ms]"), np.stack(values)))


def _record(metadata: dict[bytes, bytes] | None, slice_: Slice | None = None) -> FetchRecord:
    record = from_json((metadata or {})[METADATA_KEY])
    if slice_ is not None and record.slice != slice_:
        raise ValueError(f"it holds {record.slice}")
    return record
