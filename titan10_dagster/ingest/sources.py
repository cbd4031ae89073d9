"""The sources of candles of an exchange: REST and the exchange's archive.

The settings contain the order of the sources. A source can say, without a request, which slices it cannot serve, and
what it costs to fetch the other slices. A source can also fetch slices into the landing zone. `titan10 import` is not a
source, because the user chooses its files.

A slice is requested from the first source that can serve it. If this source does not have all candles of the slice, the
slice is requested from the next source too. If REST is one of the sources but not the last, the slices that are still
incomplete are passed to REST at the end. REST records why candles are missing, because only the exchange itself can
know the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from titan10_dagster.archives.catalog import ArchiveFile, plan_units
from titan10_dagster.archives.cost import read_cost
from titan10_dagster.candles.fetched import FetchedSlice, Source
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Slice
from titan10_dagster.errors import FetchError
from titan10_dagster.exchanges.archive_record import Archive
from titan10_dagster.exchanges.client import UNPACED_CONCURRENCY, requests_in_flight
from titan10_dagster.exchanges.fetching import FetchReport
from titan10_dagster.exchanges.rehearsal import count_requests
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.ingest.archive import NOTE, archive_of, open_downloader, read_archive
from titan10_dagster.ingest.clients import fetch_by_rest, health_of, page_spacing
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.event_loop import run_in_event_loop
from titan10_dagster.ingest.machine import speed_now
from titan10_dagster.planning.forecast import Cost, joined, seconds_at_pace
from titan10_dagster.store.database import retrying
from titan10_dagster.store.markets import MarketStore

Land = Callable[[FetchedSlice], None]


@dataclass(frozen=True)
class Brought:
    """The result of fetching slices from one or more sources.

    left: the slices that the last source did not fetch completely, each with the reason.
    failed: the symbols that REST could not serve, each with the error.
    report: the report on the REST requests, or None if REST was not used.
    spent: the cost of each source.
    not_in_archive: the slices that were not fetched completely from the archive, each with the reason.
    """

    left: Mapping[Slice, str] = field(default_factory=dict)
    failed: Mapping[str, FetchError] = field(default_factory=dict)
    report: FetchReport | None = None
    spent: Mapping[Source, Cost] = field(default_factory=dict)
    not_in_archive: Mapping[Slice, str] = field(default_factory=dict)

    def then(self, later: Brought) -> Brought:
        """Return this result and a later result as one result. `left` is only taken from the later result."""
        return Brought(
            later.left,
            {**self.failed, **later.failed},
            later.report or self.report,
            joined([self.spent, later.spent]),
            {**self.not_in_archive, **later.not_in_archive},
        )


class CandleSource(Protocol):
    """A source of candles of one exchange."""

    @property
    def source(self) -> Source:
        """The kind of the source, as in records and settings."""

    def refuse(self, slices: Collection[Slice]) -> Mapping[Slice, str]:
        """Return the slices that the source cannot serve, each with the reason. No request is made."""

    def cost(self, slices: Sequence[Slice]) -> Cost:
        """Return the cost of fetching the slices. No request is made.

        All files that earlier calls have counted are assumed to be in the cache. The source must be able to serve all
        slices.
        """

    def bring(self, slices: Sequence[Slice], land: Land) -> Brought:
        """Fetch the slices, and pass each slice to `land`, which stores it.

        Raises:
            FetchError: the exchange as a whole failed.
        """


@dataclass(frozen=True)
class RestSource:
    """The REST interface of the exchange."""

    titan10: IngestContext
    exchange: str
    markets: Sequence[Market]
    source: Source = Source.REST

    def refuse(self, slices: Collection[Slice]) -> Mapping[Slice, str]:
        venue, now = venue_of(self.exchange), self.titan10.now()
        refused = {}
        for slice_ in slices:
            if not venue.reaches(slice_, now):
                refused[slice_] = f"{self.exchange} no longer serves this day"
        return refused

    def cost(self, slices: Sequence[Slice]) -> Cost:
        now, spacing = self.titan10.now(), page_spacing(self.titan10, self.exchange)
        pages = count_requests(
            venue_of(self.exchange),
            slices,
            now=now,
            in_flight=UNPACED_CONCURRENCY if spacing is None else requests_in_flight(spacing),
            listed={market.symbol: market.listed for market in self.markets if market.listed is not None},
        )
        slowest = sum(slice_.expected for slice_ in slices) / speed_now().pages
        if spacing is not None:
            slowest = max(slowest, seconds_at_pace(pages, spacing, health_of(self.titan10, self.exchange).pace, now))
        return Cost(requests=pages, seconds=slowest)

    def bring(self, slices: Sequence[Slice], land: Land) -> Brought:
        beyond: dict[Slice, str] = {}

        def land_and_note(fetched: FetchedSlice) -> None:
            horizon, slice_ = fetched.record.horizon, fetched.record.slice
            if horizon is not None and horizon > slice_.start:
                beyond[slice_] = f"{self.exchange} no longer serves this day"
            land(fetched)

        report = run_in_event_loop(fetch_by_rest(self.titan10, self.exchange, self.markets, slices, land_and_note))
        if report.listed:
            retrying(lambda: MarketStore(self.titan10.database).note_listed(self.exchange, report.listed))
        spent = {Source.REST: Cost(requests=report.requests, seconds=report.seconds)}
        return Brought(beyond, report.failed, report, spent)


@dataclass(frozen=True)
class ArchiveSource:
    """The archive of the exchange: its candle files.

    `foreseen`: the paths of files that an earlier call of `cost` has counted.
    """

    titan10: IngestContext
    exchange: str
    markets: Sequence[Market]
    archive: Archive
    source: Source = Source.ARCHIVE
    foreseen: set[str] = field(default_factory=set, compare=False)

    def refuse(self, slices: Collection[Slice]) -> Mapping[Slice, str]:
        _, refused = plan_units(self.archive, slices, self._by_symbol, self.titan10.now())
        return refused

    def cost(self, slices: Sequence[Slice]) -> Cost:
        now = self.titan10.now()
        units, _ = plan_units(self.archive, slices, self._by_symbol, now)
        downloader = open_downloader(self.titan10, self.exchange, self.archive)

        def is_cached(file: ArchiveFile) -> bool:
            cached = file.path in self.foreseen or downloader.is_cached(file)
            self.foreseen.add(file.path)
            return cached

        return read_cost(self.archive, units, now, is_cached=is_cached, speed=speed_now())

    def bring(self, slices: Sequence[Slice], land: Land) -> Brought:
        report = run_in_event_loop(read_archive(self.titan10, self.exchange, self.archive, self.markets, slices, land))
        spent = Cost(report.requests, report.files, report.cached, report.bytes, report.seconds)
        return Brought(left=report.left, spent={Source.ARCHIVE: spent})

    @property
    def _by_symbol(self) -> dict[str, Market]:
        return {market.symbol: market for market in self.markets}


def sources_of(titan10: IngestContext, exchange: str, markets: Sequence[Market]) -> list[CandleSource]:
    """Return the exchange's sources in the order of the settings."""
    archive = archive_of(titan10, exchange)
    found: list[CandleSource] = []
    for name in titan10.exchange(exchange).sources:
        if name == Source.REST:
            found.append(RestSource(titan10, exchange, markets))
        elif archive is not None:
            found.append(ArchiveSource(titan10, exchange, markets, archive))
    return found


def assign(sources: Sequence[CandleSource], slices: Iterable[Slice]) -> list[tuple[CandleSource, list[Slice]]]:
    """Assign each slice to the first source that can serve it.

    Slices that no source can serve are left out, because they cost no request.
    """
    left = sorted(set(slices))
    plan = []
    for source in sources:
        refused = source.refuse(left)
        plan.append((source, [slice_ for slice_ in left if slice_ not in refused]))
        left = [slice_ for slice_ in left if slice_ in refused]
    return plan


def bring(sources: Sequence[CandleSource], slices: Iterable[Slice], land: Land) -> Brought:
    """Fetch the slices from the sources, one source after the other, as the module's docstring describes.

    Raises:
        FetchError: the exchange as a whole failed. Slices that have landed stay in the landing zone.
    """
    done = Brought(left=dict.fromkeys(sorted(set(slices)), ""))
    reasons: dict[Slice, str] = {}  # for each slice that the archive did not have completely, the reason
    rest = [source for source in sources if source.source is Source.REST]
    turns = list(sources)
    if rest and sources[-1] is not rest[0]:
        turns += rest
    for place, source in enumerate(turns):
        is_last = place == len(turns) - 1
        refused = {} if is_last and source.source is Source.REST else source.refuse(list(done.left))
        taken = [slice_ for slice_ in done.left if slice_ not in refused]
        brought = source.bring(taken, _noting(reasons, land)) if taken else Brought()
        brought = replace(brought, left=dict(sorted({**refused, **brought.left}.items())))
        if source.source is Source.ARCHIVE:
            reasons.update(brought.left)
        done = done.then(brought)
        if not done.left:
            break
    return replace(done, not_in_archive=reasons)


def _noting(reasons: Mapping[Slice, str], land: Land) -> Land:
    """Return a variant of `land` that adds the reasons to the notes of the records.

    `reasons`: for each slice, why the archive did not have it completely. Records with a note do not change, and
        records of slices without a reason do not change.
    """

    def land_with_note(fetched: FetchedSlice) -> None:
        reason = reasons.get(fetched.record.slice)
        if reason is not None and fetched.record.note is None:
            fetched = replace(fetched, record=replace(fetched.record, note=NOTE + reason))
        land(fetched)

    return land_with_note
