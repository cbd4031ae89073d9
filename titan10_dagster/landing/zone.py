"""The landing zone: the candles as the exchange sent them, in one Parquet file for each slice.

    <root>/<exchange>/<timeframe>/<YYYY-MM-DD>/<symbol>.parquet

A file has the columns exchange, symbol, timeframe, time (UTC, milliseconds), open, high, low, close and volume. Its
key-value metadata "titan10" describes the fetch of the slice as JSON. Any Parquet reader can read the file. A new file
is written under a temporary name and then renamed. Therefore a file with its final name is complete, even if the
process is killed while it writes.

A power failure can destroy the content of files that were not synced to the disk. The checksums in a file show the
damage, and the candles are requested again. But an exchange that serves only recent candles possibly no longer serves
the lost candles. Therefore a file is synced at once if the retention horizon of its slice is known. All other files are
synced together at the end of a fetch, which takes a third of the CPU time of separate syncs. `landing/names.py` creates
the file names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from errno import EDQUOT, ENOSPC
from functools import lru_cache
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
from titan10_dagster.landing.disk import put, sync_disk_of, sync_folder
from titan10_dagster.landing.names import (
    file_name,
    files_of,
    former_file_name,
    readable_name,
    superseded_name,
    symbol_name,
    unreadable_name,
)
from titan10_dagster.landing.records import from_json, to_json

METADATA_KEY = b"titan10"

_KEYS = ("exchange", "symbol", "timeframe")
_COMPRESSION = {**dict.fromkeys((*_KEYS, "time"), "none"), **dict.fromkeys(VALUES, "zstd")}
_EXCHANGE = re.compile(r"[a-z0-9_]+")
_UNREADABLE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError)


# The device, inode, size and time of change of a file. If the file is replaced, its identity changes.
FileIdentity = tuple[int, int, int, int]


class LandingZone:
    """The landed slices in the folder `root`. The first write creates the folder. Threads can share an instance."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._creating = Lock()
        self._on_disk: set[Path] = set()  # folders that this process has synced to the disk

    def path(self, slice_: Slice) -> Path:
        """Return the path to which the slice is written.

        Raises LandingError if no file name can be made from the slice's exchange or symbol.
        """
        return self.root / _place(slice_)

    def identity(self, slice_: Slice) -> FileIdentity | None:
        """Return the identity of the slice's file, or None if the slice has no file.

        If the file is replaced, its identity changes.

        Raises:
            LandingError: the file cannot be accessed.
        """
        path = self._located(slice_)
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LandingError(f"cannot open {path}: {error}") from error
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def write(self, fetched: FetchedSlice) -> FetchedSlice:
        """Write the slice, replace its earlier file, and return the slice as it is stored on the disk.

        No row that an exchange sent is lost. The exchange no longer serves candles before the horizon of the new fetch.
        If the earlier file has valid candles before this horizon that the new fetch does not have, they are copied to
        the new file. The note of the record contains their number. Therefore the new file alone is sufficient to store
        the slice in the database again.

        If the new file still lacks a candle of the earlier file, the earlier file is kept as evidence. The evidence has
        the name `<symbol>.<time of the earlier fetch>.<digest>.parquet.old`.

        Raises LandingError if the slice cannot be written or synced. The earlier file is replaced only by a complete
        new file.
        """
        slice_ = fetched.record.slice
        durable = fetched.record.horizon is not None
        path = self.path(slice_)
        former = self.read_or_quarantine(slice_)
        former_path = self._located(slice_)
        try:
            self._create_folder(path.parent, durable=durable)
            if former is not None:
                fetched = _with_unreachable_rows(fetched, former)
                if np.setdiff1d(former.candles.times, fetched.candles.times).size:
                    content = former_path.read_bytes()
                    evidence = superseded_name(path.name, former.record.fetched_at, content)
                    put(path.with_name(evidence), pa.py_buffer(content), durable=True)
            put(path, _encoded(fetched), durable=durable)
            if former_path != path:
                former_path.unlink(missing_ok=True)
        except OSError as error:
            raise LandingError(f"cannot land {slice_} as {path}: {error}{_advice(error)}") from error
        return fetched

    def sync(self) -> None:
        """Sync all written files to the disk. They then keep their content after a power failure.

        Raises LandingError if the disk reports an error.
        """
        try:
            sync_disk_of(self.root)
        except FileNotFoundError:  # the root does not exist, because nothing was written
            return
        except OSError as error:
            raise LandingError(f"cannot sync {self.root} to the disk: {error}") from error

    def read(self, slice_: Slice) -> FetchedSlice | None:
        """Return the slice as it was written, or None if it has no file.

        Raises LandingError if the file is unreadable.
        """
        path = self._located(slice_)
        with _opened(path) as file:
            if file is None:
                return None
            try:
                return _decoded(file, slice_)
            except _UNREADABLE as error:
                raise _unreadable(path, slice_, error) from error

    def read_file(self, path: Path) -> FetchedSlice | None:
        """Return the slice in a file of the zone, or None if the file does not exist or is unreadable.

        Files that are kept as evidence can be read too.
        """
        with _opened(path) as file:
            if file is None:
                return None
            try:
                return _decoded(file)
            except _UNREADABLE:
                return None

    def record_of(self, path: Path) -> FetchRecord | None:
        """Return the record of the slice in a file of the zone, or None if the file does not exist or is unreadable."""
        with _opened(path) as file:
            if file is None:
                return None
            try:
                return _record(parquet.read_metadata(file).metadata)
            except _UNREADABLE:
                return None

    def read_or_quarantine(self, slice_: Slice) -> FetchedSlice | None:
        """Return the slice as `read` does. But if the file is unreadable, rename it to `*.corrupt` and return None."""
        try:
            return self.read(slice_)
        except _UnreadableFile as error:
            _quarantine(error)
            return None

    def record(self, slice_: Slice) -> FetchRecord | None:
        """Return the record of the slice, or None if it has no file. Only the footer of the file is read.

        Raises LandingError if the file is unreadable.
        """
        path = self._located(slice_)
        with _opened(path) as file:
            if file is None:
                return None
            try:
                return _record(parquet.read_metadata(file).metadata, slice_)
            except _UNREADABLE as error:
                raise _unreadable(path, slice_, error) from error

    def records(self, slices: Iterable[Slice]) -> dict[Slice, FetchRecord]:
        """Return the records of the slices that have a file, in the given order.

        If a file is unreadable, the file is renamed to `*.corrupt`, and the slice is left out. Raises LandingError if a
        file cannot be opened.
        """
        found = {}
        for slice_ in slices:
            record = self._record_or_quarantine(slice_)
            if record is not None:
                found[slice_] = record
        return found

    def remove(self, exchange: str, symbol: str) -> int:
        """Remove all files of the symbol's series, including evidence. Return the number of removed files.

        A file from an older version may have a name without a digest (see `former_file_name`). Such a file is removed
        only if it can be read and its record has this symbol.
        """
        if not _EXCHANGE.fullmatch(exchange):
            raise LandingError(f"{exchange!r} is not the id of an exchange")
        own, former = files_of(symbol_name(exchange, symbol)), files_of(readable_name(exchange, symbol))
        removed = 0
        for path in (self.root / exchange).glob("*/*/*"):
            is_own = own.fullmatch(path.name) is not None
            if is_own or (former.fullmatch(path.name) and _symbol_of(self.record_of(path)) == symbol):
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def _create_folder(self, folder: Path, *, durable: bool) -> None:
        """Create the folder and its parents. If `durable` is True, sync them to the disk."""
        if not durable and self.root.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            return
        with self._creating:  # one thread must not use a folder that another thread has created but not synced yet
            for part in (*reversed(folder.parents), folder):
                is_new = not part.is_dir()
                # A folder below the root was possibly created by another process that did not sync it. So this process
                # syncs each existing folder below the root once.
                is_below_root = self.root in part.parents
                if is_new or (is_below_root and part not in self._on_disk):
                    part.mkdir(exist_ok=True)
                    sync_folder(part.parent)
                    self._on_disk.add(part)

    def _record_or_quarantine(self, slice_: Slice) -> FetchRecord | None:
        try:
            return self.record(slice_)
        except _UnreadableFile as error:
            _quarantine(error)
            return None

    def _located(self, slice_: Slice) -> Path:
        """Return the path of the slice's file, which can still have the name that an older version gave it."""
        path = self.path(slice_)
        former_name = former_file_name(slice_.series)
        if former_name is None or path.exists():
            return path
        former = path.with_name(former_name)
        record = self.record_of(former)
        return former if record is not None and record.slice == slice_ else path


@lru_cache(4096)  # results are cached, because each step of a run needs the paths of the same files again
def _place(slice_: Slice) -> str:
    """Return the path of the slice's file below the root."""
    series = slice_.series
    if not _EXCHANGE.fullmatch(series.exchange):
        raise LandingError(f"{series.exchange!r} is not the id of an exchange: cannot land {series}")
    return f"{series.exchange}/{series.timeframe.name}/{slice_.day.isoformat()}/{file_name(series)}"


def _symbol_of(record: FetchRecord | None) -> str | None:
    return None if record is None else record.slice.series.symbol


def _advice(error: OSError) -> str:
    return ". Free some space on this disk" if error.errno in (ENOSPC, EDQUOT) else ""


class _UnreadableFile(LandingError):
    """The error for a landed file that can be opened, but contains damaged data or another slice."""

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


def _quarantine(error: _UnreadableFile) -> None:
    """Rename an unreadable file. If the file no longer exists, another process has already renamed it."""
    with suppress(FileNotFoundError):
        quarantined = error.path.with_name(unreadable_name(error.path.name, error.path.read_bytes()))
        error.path.replace(quarantined)
        structlog.get_logger().warning("landed_file_corrupt", file=str(quarantined), error=str(error.__cause__))


def _with_unreachable_rows(fetched: FetchedSlice, former: FetchedSlice) -> FetchedSlice:
    """Return the fetched slice, with the candles of the earlier file that the exchange no longer serves.

    A candle of the earlier file is added if it is valid, begins before the horizon of the new fetch, and is absent from
    the new fetch.
    """
    record = fetched.record
    if record.horizon is None or record.horizon <= record.slice.start:
        return fetched
    valid = judge(former.candles, record.slice, former.record.fetched_at).valid
    unreachable = valid.between(record.slice.start, record.horizon)
    lost = unreachable.where(~np.isin(unreachable.times, fetched.candles.times))
    if not len(lost):
        return fetched
    candles = Candles.joined(lost, fetched.candles).sorted()
    note = f"{len(lost)} candles before the horizon were kept from earlier fetches"
    if record.note:
        note = f"{record.note}; {note}"
    return FetchedSlice(replace(record, note=note), candles)


def _unreadable(path: Path, slice_: Slice, error: BaseException) -> _UnreadableFile:
    message = f"the landed file of {slice_} is unreadable ({error}): remove {path} and fetch the slice again"
    return _UnreadableFile(message, path=path)


def _encoded(fetched: FetchedSlice) -> pa.Buffer:
    table, sink = _table(fetched), pa.BufferOutputStream()
    # These options were measured on 24 slices of real 1m candles. With plain values, a slice takes 29.7 kB and 0.77 ms.
    # With dictionaries, a slice takes 38 kB and 1.1 ms. With values that are split by byte, it takes 38.6 kB and
    # 0.6 ms. zstd level -1 takes 60 % of the time of level 1 and 2 % more space. Level 6 saves 5 % of the space and
    # takes twice the time. LZ4 saves a quarter of the time and takes 9 to 26 % more space. The columns without
    # compression are small because of their encoding. Compressing them would save no space and take a quarter of the
    # time.
    with parquet.ParquetWriter(
        sink,
        table.schema,
        compression=_COMPRESSION,
        compression_level=dict.fromkeys(VALUES, -1),
        use_dictionary=list(_KEYS),
        column_encoding={"time": "DELTA_BINARY_PACKED"},
        write_statistics=["time"],
        write_page_checksum=True,
        store_schema=False,  # Arrow's schema takes 2 kB in each file, and readers do not need it
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({METADATA_KEY: to_json(fetched.record)})
    return sink.getvalue()


def _table(fetched: FetchedSlice) -> pa.Table:
    candles = fetched.candles
    arrays = [
        *_key_columns(fetched.record.slice.series, len(candles)),
        pa.array(candles.times.view(np.int64)).view(pa.timestamp("ms", tz="UTC")),
        *(pa.array(values) for values in candles.values),
    ]
    return pa.Table.from_arrays(arrays, names=[*_KEYS, *COLUMNS])


@lru_cache(1024)  # slices of the same series and length have the same columns
def _key_columns(series: Series, length: int) -> list[pa.DictionaryArray]:
    """Return the columns with the exchange, the symbol and the timeframe. Readers of the file see string columns."""
    same = np.zeros(length, np.int8)
    keys = (series.exchange, series.symbol, series.timeframe.name)
    return [pa.DictionaryArray.from_arrays(same, [key]) for key in keys]


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
        raise ValueError(f"it contains {record.slice}")
    return record
