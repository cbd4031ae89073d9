"""`titan10 export`: write stored candles to files, and report the missing candles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from titan10_dagster.candles.completeness import Completeness, whole_candles
from titan10_dagster.candles.slices import Series, midnight
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.errors import SettingsError, StoreError, Titan10Error
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.maintenance import catch_up_rollups
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.local.exit_codes import DONE, FAILED
from titan10_dagster.local.export_formats import Format
from titan10_dagster.local.instance import Say, open_tables
from titan10_dagster.local.tables import counts, print_json, print_table
from titan10_dagster.settings import Settings
from titan10_dagster.settings_errors import unknown_name
from titan10_dagster.store import ledger, reader
from titan10_dagster.store.database import Database
from titan10_dagster.store.rollups import BASE, ROLLUPS
from titan10_dagster.store.series import stored_series

# A file is written in pieces of this many candles (about a month of 1m candles), so that only one piece is in memory.
CANDLES_A_PIECE = 45_000


@dataclass(frozen=True)
class Request:
    """An export request: the candles of the UTC days from `first` to `last` (included), and the folder of the files.

    If `symbols` is empty, all stored symbols are exported.
    """

    exchange: str
    first: date
    last: date
    symbols: tuple[str, ...]
    timeframe: str
    format: Format
    folder: Path
    as_of: datetime | None = None
    force: bool = False


@dataclass(frozen=True)
class Source:
    """The origin of candles of `timeframe`: the stored `series`, or its rollup if the series has another timeframe."""

    series: Series
    timeframe: str

    @property
    def is_rollup(self) -> bool:
        return self.series.timeframe.name != self.timeframe

    @property
    def step(self) -> timedelta:
        return ROLLUPS[self.timeframe].delta if self.is_rollup else self.series.timeframe.delta


@dataclass
class Counted:
    """The counts of a file.

    `rows`: the number of rows of the file. `candles`: the number of stored candles from which these rows are built.
    `holed`: the number of rollup candles with missing minutes.
    """

    rows: int = 0
    candles: int = 0
    holed: int = 0

    def count(self, table: pa.Table, source: Source) -> pa.Table:
        self.rows += table.num_rows
        if source.is_rollup:
            minutes = table["candles"].to_numpy()
            self.candles += int(minutes.sum())
            self.holed += int((minutes < source.step // source.series.timeframe.delta).sum())
        else:
            self.candles += table.num_rows
        return table


@dataclass(frozen=True)
class Exported:
    """The result of the export of a series.

    `path` is None if there was no candle to write. `holed`: the number of rollup candles with missing minutes.
    `completeness` counts candles of the stored series: 1m candles if the file contains a rollup. `files`: a JSON object
    for each stretch of time in which the candles came from a candle file. All other candles came by REST.
    """

    symbol: str
    path: Path | None
    start: datetime
    end: datetime
    rows: int
    holed: int
    completeness: Completeness
    files: Sequence[Mapping[str, Any]] = ()


def run_export(settings: Settings, request: Request, say: Say, *, now: datetime, as_json: bool) -> int:
    """Write a file for each symbol, and print a summary of each file. Return the exit code: 1 if a file is incomplete.

    Raises:
        SettingsError: the request is not possible, for example because a symbol is not stored, or because a file exists
            already. Nothing was written.
        Titan10Error: a file cannot be written.
    """
    if request.first > now.astimezone(UTC).date():
        raise SettingsError(f"--from {request.first} is in the future, so there are no candles yet.")
    with open_tables(settings, say) as db:
        sources = _sources(db, request)
        _refuse_shared_files(request, sources)
        _refuse_to_overwrite(request, sources)
        if any(source.is_rollup for source in sources):
            catch_up(IngestContext(settings, db, LandingZone(settings.landing)), say)
        exported = [_export(db, request, source, now) for source in sources]
    for series, source in zip(exported, sources, strict=True):
        path = _path(request, source)
        if series.path is None and path.exists():
            say(f"{path} is from an earlier export. It stays, because this export has no candle of {series.symbol}.")
    if as_json:
        print_json([_as_json(series) for series in exported])
    else:
        print_table(("symbol", "rows", "first", "end", "missing", "file"), [_row(series) for series in exported])
    incomplete = [series for series in exported if not series.completeness.whole]
    if incomplete:
        say(_warning(request, incomplete))
    return FAILED if incomplete else DONE


def catch_up(titan10: IngestContext, say: Say) -> None:
    """Refresh the rollups before an export reads them. Otherwise the rollups may lack the last minutes."""
    try:
        catch_up_rollups(titan10)
    except StoreError as error:
        say(f"The last minutes may be missing in longer candles, because the rollups cannot be refreshed: {error}.")


def _sources(db: Database, request: Request) -> list[Source]:
    stored = {row.series for row in ledger.coverage(db, request.exchange)}
    symbols = request.symbols or tuple(sorted({series.symbol for series in stored}))
    if not symbols:
        exchanges = {row.series.exchange for row in ledger.coverage(db)}
        if not exchanges:
            raise SettingsError("Nothing is stored yet: run `titan10 backfill` first.")
        raise SettingsError(unknown_name(request.exchange, request.exchange, exchanges, "nothing of it is stored"))
    return [_source(request, symbol, stored) for symbol in symbols]


def _source(request: Request, symbol: str, stored: set[Series]) -> Source:
    """Return the stored series of the requested timeframe. If it is not stored, return the rollup of the 1m series."""
    for name in (request.timeframe, BASE):
        series = Series(request.exchange, symbol, TIMEFRAMES[name]) if name in TIMEFRAMES else None
        if series in stored and (name == request.timeframe or request.timeframe in ROLLUPS):
            return _as_it_was(request, Source(series, request.timeframe))
    there = sorted({series.timeframe for series in stored if series.symbol == symbol})
    if not there:
        symbols = {series.symbol for series in stored}
        raise SettingsError(unknown_name(f"{request.exchange} {symbol}", symbol, symbols, "nothing of it is stored"))
    known = ", ".join(str(timeframe) for timeframe in there)
    if BASE in [timeframe.name for timeframe in there]:
        choices = ", ".join([BASE, *ROLLUPS])
        raise SettingsError(f"--timeframe {request.timeframe} cannot be built from {BASE}; choose one of {choices}.")
    raise SettingsError(
        f"--timeframe {request.timeframe}: only {known} of {symbol} is stored, and longer candles are "
        f"built from {BASE} only; choose {known}."
    )


def _as_it_was(request: Request, source: Source) -> Source:
    if request.as_of is not None and source.is_rollup:
        raise SettingsError(
            f"--as-of: {request.timeframe} candles are built from the current values of {BASE} candles; use "
            f"--timeframe {BASE} with --as-of."
        )
    return source


def _path(request: Request, source: Source) -> Path:
    return request.folder / request.format.file(request.exchange, source.series.symbol, request.timeframe)


def _refuse_shared_files(request: Request, sources: Sequence[Source]) -> None:
    """Reject an export that would write two series to one file.

    Only a format that prescribes the file names, such as freqtrade's, can have one name for two series. Names that
    differ only in upper and lower case count as one name, because some disks ignore case.
    """
    symbols: dict[str, str] = {}
    for source in sources:
        path, symbol = _path(request, source), source.series.symbol
        other = symbols.setdefault(path.name.casefold(), symbol)
        if other != symbol:
            raise SettingsError(
                f"{other} and {symbol} of {request.exchange} would share the file {path}, because the format "
                f"{request.format.name} prescribes this name. Nothing was written. Export each symbol to a folder of "
                "its own, with --symbol and --out."
            )


def _refuse_to_overwrite(request: Request, sources: Sequence[Source]) -> None:
    there = []
    for source in sources:
        path = _path(request, source)
        try:
            if path.exists():
                there.append(str(path))
        except OSError as error:  # for example, the name is too long
            raise _unwritable(path, error) from None
    if there and not request.force:
        raise SettingsError(f"{', '.join(there)}: the file exists. Nothing was written; --force replaces it.")


def _export(db: Database, request: Request, source: Source, now: datetime) -> Exported:
    # The current candle is not finished, so it is left out.
    now = now.astimezone(UTC)
    ended = min(midnight(min(request.last, now.date()) + timedelta(days=1)), now)
    until = max(ended, midnight(request.first))
    start, end = whole_candles(midnight(request.first), until, source.step)
    counted, path, series = Counted(), _path(request, source), source.series
    pieces = (counted.count(table, source) for table in _pieces(db, request, source, start, end))
    files = _files(db, series, start, end)
    about = {"exchange": series.exchange, "symbol": series.symbol, "timeframe": request.timeframe, "files": files}
    try:
        written = request.format.write(path, pieces, about)
    except OSError as error:
        raise _unwritable(path, error) from None
    room = (end - start) // series.timeframe.delta
    completeness = Completeness(room, counted.candles, reader.missing(db, series, start, end))
    written_to = path if written else None
    return Exported(series.symbol, written_to, start, end, counted.rows, counted.holed, completeness, files)


def _unwritable(path: Path, error: OSError) -> Titan10Error:
    reason = f"{path.parent} is not a folder" if isinstance(error, FileExistsError) else error.strerror
    return Titan10Error(f"{path} cannot be written: {reason}. Choose another folder with --out.")


def _files(db: Database, series: Series, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return a JSON object for each stretch of time in which the candles came from a candle file.

    Instants are ISO 8601 texts.
    """
    found = []
    for row in reader.provenance(db, series, start, end).to_dict("records"):
        found.append(
            {
                "from": row["stretch_start"].isoformat(),
                "to": row["stretch_end"].isoformat(),
                "source": row["source"],
                "url": row["url"],
                "digest": row["digest"],
                "checked_against": row["checked_against"],
            }
        )
    return found


def _pieces(db: Database, request: Request, source: Source, start: datetime, end: datetime) -> Iterator[pa.Table]:
    start, end = _without_empty_years(db, source, start, end)
    while start < end:
        until = min(start + CANDLES_A_PIECE * source.step, end)
        if source.is_rollup:
            yield reader.bars_arrow(db, source.series, source.timeframe, start, until)
        else:
            yield reader.candles_arrow(db, source.series, start, until, as_of=request.as_of)
        start = until


def _without_empty_years(db: Database, source: Source, start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """Return the range from `start` to `end`, shortened to the time between the first and the last stored candle.

    `start` moves by whole candles of the file's timeframe. If no candle is stored, the range is empty.
    """
    series = source.series
    for row in stored_series(db, series.exchange):
        if (row.symbol, row.timeframe) == (series.symbol, series.timeframe.name):
            skipped = max(0, (row.first_candle - start) // source.step)
            return start + skipped * source.step, min(end, row.last_candle + source.step)
    return start, start


def _warning(request: Request, incomplete: Sequence[Exported]) -> str:
    symbols = ", ".join(exported.symbol for exported in incomplete)
    days = f"--from {request.first} --to {request.last}"
    return (
        f"INCOMPLETE: {symbols}. Candles that {request.exchange} probably has are missing from the files. "
        f"`titan10 backfill {request.exchange} {days}` fetches candles that the exchange still serves. While "
        "`titan10 up` runs, gaps without a final reason are fetched again automatically."
    )


def _row(exported: Exported) -> tuple[Any, ...]:
    missing = counts(exported.completeness.absent)
    holes = f"{exported.holed:,} of the candles span a gap" if exported.holed else ""
    path = exported.path if exported.path else "(nothing to write)"
    return (
        exported.symbol,
        exported.rows,
        f"{exported.start:%F %R}",
        f"{exported.end:%F %R}",
        "; ".join(filter(None, (missing, holes))),
        path,
    )


def _as_json(exported: Exported) -> Mapping[str, Any]:
    return {
        "symbol": exported.symbol,
        "file": str(exported.path) if exported.path else None,
        "start": exported.start,
        "end": exported.end,
        "rows": exported.rows,
        "with_holes": exported.holed,
        "expected": exported.completeness.expected,
        "present": exported.completeness.present,
        "missing": exported.completeness.absent,
        "whole": exported.completeness.whole,
        "files": list(exported.files),
    }
