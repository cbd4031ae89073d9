"""Imports candle files that a user has downloaded. The import writes the candles of these files into the landing zone.

Afterwards a backfill of the same days checks the candles and writes them to the database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import numpy as np

from titan10_dagster.archives.local_files import FileDay, LocalFile, belongs_to, digest_of, list_files, read_days
from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import FetchedSlice, FetchRecord, Source
from titan10_dagster.candles.markets import Market, guessed_market
from titan10_dagster.candles.provenance import stretches_of
from titan10_dagster.candles.slices import Series, Slice, from_datetime64
from titan10_dagster.candles.source_files import SourceFile
from titan10_dagster.errors import MalformedFile
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import ledger_rows
from titan10_dagster.ingest.markets import stored_or_read
from titan10_dagster.store.ledger import LedgerRow

_SLICES_AT_ONCE = 366


@dataclass(frozen=True)
class ImportedFile:
    """The result of the import of one file.

    `first`, `last`: the first and last day that was written, or None if no day was written. `landed`: the number of
    days that were written. `skipped`: the number of days that were not written, because the ledger already shows all
    candles as stored. `candles`: the number of candles that were written. `left_out`: the number of days with candles
    that were not written, because they are before the exchange's start or have not ended. `start`: the exchange's
    start. `unreadable`: the number of lines that are not rows. `error`: why the file, or the rest of the file, could
    not be read; None if the whole file was read. `symbol`: None if the file is a zip archive that cannot be opened.
    """

    file: LocalFile
    symbol: str | None
    first: date | None
    last: date | None
    landed: int
    skipped: int
    candles: int
    left_out: int
    start: date
    unreadable: int
    error: str | None = None


def import_files(
    titan10: IngestContext, exchange: str, paths: Sequence[Path], *, symbol: str | None, columns: Sequence[str]
) -> list[ImportedFile]:
    """Write the candles of configured symbols from the given files into the landing zone.

    If a file cannot be read, or its symbol is not known, its result has an error, and the import continues with the
    next file. A slice is skipped if all its candles are stored, if it is before the exchange's `start`, or if its day
    has not ended.

    Args:
        paths: files, or zip archives with files.
        symbol: the symbol of the files. If a zip archive contains several files, a file is used only if its name
            belongs to this symbol. If `symbol` is None, the symbol is read from the name of each file, such as
            `XBTUSD_1.csv` or `BTCUSDT-1m-2024-03.csv`.
        columns: the names of the columns in CSV files without a header.
    """
    markets = {market.symbol: market for market in stored_or_read(titan10, exchange)}
    done: list[ImportedFile] = []
    for path in paths:
        try:
            matching = list(_matching(titan10, exchange, path, symbol, markets))
            if not matching:
                raise MalformedFile(f"{path}: {_no_symbol(titan10, exchange, symbol)}")
            digest = digest_of(path)
        except MalformedFile as error:
            start = titan10.exchange(exchange).start
            done.append(ImportedFile(LocalFile(path), symbol, None, None, 0, 0, 0, 0, start, 0, str(error)))
            continue
        for file, name in matching:
            series = Series(exchange, name, titan10.exchange(exchange).timeframe)
            done.append(_import_file(titan10, series, file, digest, columns))
    return done


def _no_symbol(titan10: IngestContext, exchange: str, symbol: str | None) -> str:
    """Return why no file at a path is imported."""
    configured = titan10.exchange(exchange)
    if symbol is not None:
        return (
            f"no name of a file in it contains {symbol} and the timeframe {configured.timeframe}; unpack it, and import"
            " each file with --symbol"
        )
    return (
        f"no file belongs to a configured symbol of {exchange} ({', '.join(configured.symbols)}), because the name of a"
        f" file must contain the symbol and the timeframe {configured.timeframe}; choose the symbol with --symbol, or"
        " add the symbol to titan10.toml"
    )


def _matching(
    titan10: IngestContext, exchange: str, path: Path, symbol: str | None, markets: dict[str, Market]
) -> Iterator[tuple[LocalFile, str]]:
    """Yield the file at the path (or the files in the zip archive), each with its symbol.

    Files that belong to no wanted symbol are left out.
    """
    configured = titan10.exchange(exchange)
    files = list_files(path)
    if symbol is not None and len(files) == 1:
        yield files[0], symbol
        return
    wanted = configured.symbols if symbol is None else (symbol,)
    for file in files:
        for name in wanted:
            market = markets.get(name) or guessed_market(exchange, name, active=False)  # for example delisted
            if belongs_to(file, market, configured.timeframe):
                yield file, name
                break


def _import_file(
    titan10: IngestContext, series: Series, file: LocalFile, digest: str, columns: Sequence[str]
) -> ImportedFile:
    start = titan10.exchange(series.exchange).start
    done = ImportedFile(file, series.symbol, None, None, 0, 0, 0, 0, start, 0)
    archive = venue_of(series.exchange).archive
    spellings = archive.header if archive is not None else {}
    try:
        for batch in _batches(read_days(file, columns, series.timeframe, spellings)):
            done = _import_days(titan10, series, batch, digest, done)
    except MalformedFile as error:
        return replace(done, error=str(error))
    return done


def _import_days(
    titan10: IngestContext, series: Series, batch: Sequence[FileDay], digest: str, done: ImportedFile
) -> ImportedFile:
    """Write the days into the landing zone. Return `done` with the counts of these days added."""
    slices = [Slice(series, day.day) for day in batch]
    known = ledger_rows(titan10, slices)
    for slice_, day in zip(slices, batch, strict=True):
        done = replace(done, unreadable=done.unreadable + day.unreadable)
        if slice_.day < done.start or slice_.end > titan10.now():
            done = replace(done, left_out=done.left_out + bool(len(day.candles)))
            continue
        if _is_complete(known.get(slice_)):
            done = replace(done, skipped=done.skipped + 1)
            continue
        fetched = _with_earlier_files(titan10, _fetched(titan10, slice_, day, done.file, digest))
        titan10.land(fetched)
        titan10.on_landed(fetched)
        done = replace(
            done,
            first=done.first or slice_.day,
            last=slice_.day,
            landed=done.landed + 1,
            candles=done.candles + len(day.candles),
        )
    return done


def _batches(days: Iterator[FileDay]) -> Iterator[list[FileDay]]:
    batch: list[FileDay] = []
    for day in days:
        batch.append(day)
        if len(batch) == _SLICES_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _is_complete(row: LedgerRow | None) -> bool:
    """Return whether every candle of the slice is stored, according to the ledger."""
    return row is not None and row.state == "settled" and row.present == row.expected


def _with_earlier_files(titan10: IngestContext, fetched: FetchedSlice) -> FetchedSlice:
    """Return the slice, with the candles of files that were imported before and contain other candles of the day.

    A day can be in two files, for example if the days of the files begin at midnight of another time zone. If the new
    file is complete, or if the slice in the landing zone was not imported, the slice does not change.
    """
    record = fetched.record
    if record.answered:
        return fetched
    former = titan10.landing.read_or_quarantine(record.slice)
    if former is None or former.record.source is not Source.IMPORT:
        return fetched
    others = former.candles.where(~np.isin(former.candles.times, fetched.candles.times))
    if not len(others):
        return fetched
    candles = Candles.joined(others, fetched.candles).sorted()
    missing = _count_missing(record.slice, candles)
    (new,) = record.files
    # The candles of the new file replace those of the earlier files. Where the new file has no candle, the others stay.
    files = [file for file in former.record.files if file.url != new.url]
    for start, end in stretches_of(fetched.candles.times, record.slice.series.timeframe):
        files.append(replace(new, start=start, end=end))
    complete = former.record.answered or not missing
    note = None if complete else _note(record.slice, missing)
    return FetchedSlice(replace(record, answered=complete, note=note, files=tuple(files)), candles)


def _count_missing(slice_: Slice, candles: Candles) -> int:
    return int(np.setdiff1d(slice_.grid(), candles.times).size)


def _note(slice_: Slice, missing: int) -> str:
    return f"{missing} of {slice_.expected} candles are not in the imported file"


def _fetched(titan10: IngestContext, slice_: Slice, day: FileDay, file: LocalFile, digest: str) -> FetchedSlice:
    """Return the slice to write into the landing zone.

    The file is a complete answer for the day if it covers the whole day and contains all candles. If the exchange's
    files leave out minutes without trades, missing candles do not matter.
    """
    omits_empty = venue_of(slice_.series.exchange).files_omit_empty_minutes
    missing = _count_missing(slice_, day.candles)
    complete = day.whole and (omits_empty or not missing)
    note = None if complete else _note(slice_, missing)
    now, (start, end) = titan10.now(), _covered(slice_, day)
    source = SourceFile(
        url=file.url,
        size=file.path.stat().st_size,
        digest=digest,
        published_digest=None,
        checked_against=None,
        etag=None,
        last_modified=None,
        read_at=now,
        start=start,
        end=end,
    )
    record = FetchRecord(
        slice=slice_,
        fetched_at=now,
        source=Source.IMPORT,
        requests=0,
        retries=0,
        seconds=0.0,
        answered=complete,
        horizon=None,
        note=note,
        files=(source,),
    )
    return FetchedSlice(record, day.candles.drop_repeats())


def _covered(slice_: Slice, day: FileDay) -> tuple[datetime, datetime]:
    """Return the stretch of a day that the file covers: the whole day, or from its first to its last row."""
    if day.whole or not len(day.candles):
        return slice_.start, slice_.end
    first, last = from_datetime64(day.candles.times.min()), from_datetime64(day.candles.times.max())
    return first, min(last + slice_.series.timeframe.delta, slice_.end)
