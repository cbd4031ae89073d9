"""Reads candles from the archive of an exchange."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta

from titan10_dagster.archives.catalog import daily_file_published_at, labels_of
from titan10_dagster.archives.download import Downloader
from titan10_dagster.archives.fetch import ArchiveReport, fetch_archive
from titan10_dagster.candles.fetched import FetchedSlice
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Slice
from titan10_dagster.exchanges.archive_record import Archive, Cadence
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.store.ledger import LedgerRow
from titan10_dagster.store.reopened import Tried

log = logging.getLogger(__name__)

# A note in the ledger that begins with this text says why the archive did not have the slice completely.
NOTE = "archive: "
# If the note also contains one of these texts, the archive may have the slice later.
_PASSING = (
    "not published",
    "could not be downloaded",
    "could not be verified",
    "refuses this address",
    "refuses to serve",
    # The content was damaged on its way, or a proxy answered with a page of its own.
    "digest is not the published one",
    "is damaged",
    "is not a usable",
)
# The end of a slice's note if the archive is the only source and does not have all candles of the slice. The missing
# candles then have the final reason beyond_horizon.
_ONLY_SOURCE = "the settings list no other source"
_TRIED_AGAIN_AFTER = timedelta(days=1)


def archive_of(titan10: IngestContext, exchange: str) -> Archive | None:
    """Return the exchange's archive if the settings list it as a source, or else None."""
    if exchange not in titan10.settings.exchanges or "archive" not in titan10.exchange(exchange).sources:
        return None
    return venue_of(exchange).archive


def rest_is_a_source(titan10: IngestContext, exchange: str) -> bool:
    """Return whether the settings list REST as a source of the exchange."""
    return "rest" in titan10.exchange(exchange).sources


def open_downloader(titan10: IngestContext, exchange: str, archive: Archive) -> Downloader:
    """Return a downloader for the archive's files. To make requests, use it in `async with`.

    The files are requested from `archive_url` in the settings. If `archive_url` is not set, `base_url` is used instead.
    If neither of these settings is set, the archive's own address is used.
    """
    settings = titan10.exchange(exchange)
    return Downloader(
        settings.archive_url or settings.base_url or archive.base_url,
        titan10.settings.archives,
        proxy=settings.proxy.get_secret_value() if settings.proxy else None,
        now=titan10.now,
        on_file=lambda file: titan10.on_file(0 if file.cached else len(file.content)),
    )


async def read_archive(
    titan10: IngestContext,
    exchange: str,
    archive: Archive,
    markets: Sequence[Market],
    slices: Sequence[Slice],
    land: Callable[[FetchedSlice], None],
    *,
    beside: Iterable[Slice] = (),
) -> ArchiveReport:
    """Fetch the slices that the archive has, and pass each slice to `land`.

    `beside`: more slices, which are not fetched. They only influence the choice between a monthly file and daily files;
        see `plan_units`.
    """
    async with open_downloader(titan10, exchange, archive) as downloader:
        report = await fetch_archive(
            archive,
            slices,
            {market.symbol: market for market in markets},
            downloader=downloader,
            land=land,
            now=titan10.now,
            warn=log.warning,
            beside=beside,
        )
    log.info(
        "%s: %d of %d slices came from %d archive files (%d from the cache, %.1f MB)",
        *(exchange, len(slices) - len(report.left), len(slices), report.files, report.cached, report.bytes / 1e6),
    )
    return report


def reopened_by_archive(titan10: IngestContext, exchange: str, rows: Mapping[Slice, LedgerRow]) -> set[Slice]:
    """Return the slices to fetch again, because a source that was not tried yet possibly has their missing candles.

    The missing candles of these slices are `beyond_horizon`. Either the archive is now a source, or REST is now a
    source and the archive was the only source before.

    `rows`: the ledger rows of the slices.
    """
    found: set[Slice] = set()
    for first_day, tried in reopening_rules(titan10, exchange):
        for slice_, row in rows.items():
            is_beyond = row.missing.get(Reason.BEYOND_HORIZON, 0) and slice_.day >= first_day
            if is_beyond and tried.reopens(row.note, row.fetched_at):
                found.add(slice_)
    return found


def reopening_rules(titan10: IngestContext, exchange: str) -> list[tuple[date, Tried]]:
    """Return the rules that decide, from notes in the ledger, for which slices of an exchange to try the sources again.

    Each rule has the first day to which it applies. No note fits two rules. If the archive is a source, one rule is for
    the archive. If REST is a source, one rule is for the slices for which the archive was formerly the only source.
    """
    rules: list[tuple[date, Tried]] = []
    archive = archive_of(titan10, exchange)
    if archive is not None:
        rules.append((archive.first_day, Tried(NOTE, _PASSING, titan10.now() - _TRIED_AGAIN_AFTER)))
    if exchange in titan10.settings.exchanges and rest_is_a_source(titan10, exchange):
        rules.append((date.min, Tried(NOTE, (_ONLY_SOURCE,), titan10.now(), untried=False)))
    return rules


def final_note(titan10: IngestContext, exchange: str, reason: str) -> str | None:
    """Return the note for a slice with candles that no source has. Return None if a source possibly has them.

    `reason`: why the archive does not have all candles of the slice.
    """
    if titan10.has_own_sources or rest_is_a_source(titan10, exchange) or any(part in reason for part in _PASSING):
        return None
    return f"{NOTE}{reason}; {_ONLY_SOURCE}"


def has_its_files(titan10: IngestContext, exchange: str, day: date) -> bool:
    """Return whether the archive should have published the files of a day by now. It may publish them days late."""
    archive = archive_of(titan10, exchange)
    if archive is None:
        return False
    published = daily_file_published_at(archive, labels_of(day, archive.label_offset)[-1])
    return titan10.now() >= published + archive.missing_for_good_after[Cadence.DAILY]
