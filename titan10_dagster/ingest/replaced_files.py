"""Finds archive files that were replaced after Titan-10 had read them, and reads their days again.

Archives replace files even years after the publication, mostly without notice (binance-public-data issues 413, 436,
475). Each file from which stored candles were read is checked about once a month with a HEAD request. If the archive
now has a different file at the same address, the days of the file are read again from the archive. If values differ,
restatements are stored. The sources of such a restatement are the old file and the new file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from titan10_dagster.archives.download import Downloader, FileAbsent
from titan10_dagster.candles.fetched import FetchedSlice
from titan10_dagster.candles.slices import Slice
from titan10_dagster.candles.source_files import is_replaced
from titan10_dagster.errors import ArchiveError
from titan10_dagster.exchanges.archive_record import Archive
from titan10_dagster.ingest.archive import archive_of, open_downloader, read_archive
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.event_loop import run_in_event_loop
from titan10_dagster.ingest.markets import stored_or_read
from titan10_dagster.ingest.store import refresh_rollups, store_slices
from titan10_dagster.store.database import retrying
from titan10_dagster.store.identities import EventKind, record_event
from titan10_dagster.store.source_files import UsedFile, files_in_use, note_checked, slices_read_from
from titan10_dagster.store.statements import key
from titan10_dagster.store.writer import WriteReport

log = logging.getLogger(__name__)

# A file is checked again this long after its last check. This is less than a month, so that each monthly run checks it.
CHECKED_AFTER = timedelta(days=25)
MOST_FILES = 20_000  # one run checks at most this many files; the next run continues with the other files
_AT_ONCE = 500  # at most this many HEAD requests are made at the same time


@dataclass(frozen=True)
class ReplacedFile:
    """A file that the archive has replaced.

    `slices`: the slices that were read again. `restated`, `inserted`: the numbers of changed candles and of new candles
    in these slices.
    """

    url: str
    slices: tuple[Slice, ...]
    restated: int
    inserted: int


@dataclass(frozen=True)
class FileCheck:
    """The result of a check of archive files.

    `checked`: the number of checked files. `replaced`: the replaced files. `absent`: the addresses at which the archive
    no longer has a file. `failed`: the addresses that could not be checked, each with the reason.
    """

    checked: int
    replaced: tuple[ReplacedFile, ...]
    absent: tuple[str, ...]
    failed: dict[str, str]


@dataclass
class _Answers:
    """The results of HEAD requests: the checked files by result, and for each failed address the reason."""

    unchanged: list[UsedFile] = field(default_factory=list)
    replaced: list[UsedFile] = field(default_factory=list)
    absent: list[UsedFile] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def check_files(titan10: IngestContext, exchange: str, *, most: int = MOST_FILES) -> FileCheck:
    """Check the archive files from which stored candles of the exchange were read.

    A file is checked if at least CHECKED_AFTER has passed since its last check. At most `most` files are checked. The
    days of replaced files are read again.

    If the settings do not list the archive as a source of the exchange, nothing is checked. Files that do not come from
    the archive's present address, such as files of a former mirror, are left out.
    """
    archive = archive_of(titan10, exchange)
    if archive is None:
        return FileCheck(0, (), (), {})
    now = titan10.now()
    base_url = open_downloader(titan10, exchange, archive).url_of("")
    before = now - CHECKED_AFTER
    files = retrying(
        lambda: files_in_use(titan10.database, exchange, base_url=base_url, checked_before=before, most=most)
    )
    answers = run_in_event_loop(_request(titan10, exchange, archive, files))
    retrying(lambda: note_checked(titan10.database, [*answers.unchanged, *answers.absent], now))
    replaced = [_read_again(titan10, exchange, archive, file) for file in answers.replaced]
    for file in answers.absent:
        log.warning("%s: the archive no longer has the file %s; the candles stay stored", exchange, file.url)
    return FileCheck(
        len(answers.unchanged) + len(answers.replaced) + len(answers.absent),
        tuple(replaced),
        tuple(file.url for file in answers.absent),
        answers.failed,
    )


async def _request(titan10: IngestContext, exchange: str, archive: Archive, files: Sequence[UsedFile]) -> _Answers:
    answers = _Answers()
    async with open_downloader(titan10, exchange, archive) as downloader:
        for first in range(0, len(files), _AT_ONCE):
            batch = files[first : first + _AT_ONCE]
            await asyncio.gather(*(_check(downloader, archive, file, answers) for file in batch))
    return answers


async def _check(downloader: Downloader, archive: Archive, file: UsedFile, answers: _Answers) -> None:
    try:
        found = await downloader.head(archive, file.url)
    except FileAbsent:
        answers.absent.append(file)
    except ArchiveError as error:
        answers.failed[file.url] = str(error)
    else:
        (answers.replaced if is_replaced(file.headers, found) else answers.unchanged).append(file)


def _read_again(titan10: IngestContext, exchange: str, archive: Archive, file: UsedFile) -> ReplacedFile:
    """Read the days of a replaced file from the archive, store their candles, and record an event."""
    slices = retrying(lambda: slices_read_from(titan10.database, exchange, file.url))
    open_downloader(titan10, exchange, archive).forget(file.url)
    landed: list[Slice] = []

    def land(fetched: FetchedSlice) -> None:
        titan10.land(fetched)
        landed.append(fetched.record.slice)

    run_in_event_loop(read_archive(titan10, exchange, archive, stored_or_read(titan10, exchange), slices, land))
    report = store_slices(titan10, sorted(landed)) if landed else WriteReport({})
    refresh_rollups(titan10, report)
    found = ReplacedFile(file.url, tuple(sorted(landed)), report.restated, report.inserted)
    _record(titan10, exchange, found)
    return found


def _record(titan10: IngestContext, exchange: str, replaced: ReplacedFile) -> None:
    """Record an event for each series of a replaced file."""
    detail = sentence(exchange, replaced)
    log.warning("%s", detail)

    def write() -> None:
        with titan10.database.transaction() as cursor:
            for series in sorted({slice_.series for slice_ in replaced.slices}):
                record_event(cursor, key(series), EventKind.FILE_REPLACED, detail, at=None, seen_at=titan10.now())

    retrying(write)


def sentence(exchange: str, replaced: ReplacedFile) -> str:
    """Return a text that says which file was replaced, and how many candles changed."""
    if not replaced.slices:
        return f"{exchange} replaced its file {replaced.url}, and the new file could not be read: see the run's log."
    days = [slice_.day for slice_ in replaced.slices]
    return (
        f"{exchange} replaced its file {replaced.url}, and {_span(days)} was read again. Candles with other"
        f" values: {replaced.restated:,}; new candles: {replaced.inserted:,}. The former values are in the table"
        " restatements."
    )


def _span(days: Sequence[date]) -> str:
    first, last = min(days), max(days)
    return f"the day {first}" if first == last else f"the time from {first} to {last}"
