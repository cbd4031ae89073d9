"""Fetches the missing days of an exchange into the landing zone.

`plan_days` compares the slices of a run with the ledger and the landing zone, and finds the slices that must be
fetched. `fetch_and_land` requests these slices.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import FetchedSlice, FetchRecord, Source
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.errors import Blocked, FetchError, LandingError, MarketChanged, StoreError, UnknownSymbol
from titan10_dagster.exchanges.fetching import FetchReport
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.ingest.archive import NOTE, final_note, reopened_by_archive, rest_is_a_source
from titan10_dagster.ingest.backlog import slices_to_check_later
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import RunDays, ledger_rows, read_days
from titan10_dagster.ingest.delisting import Closing, closed_slice, closings, perhaps_not_requested
from titan10_dagster.ingest.former_markets import former_slice, of_a_former_market
from titan10_dagster.ingest.judge import judge_slice
from titan10_dagster.ingest.markets import resolve_slices
from titan10_dagster.ingest.sources import Brought, CandleSource, Land, bring, sources_of
from titan10_dagster.planning.forecast import Costs
from titan10_dagster.planning.repairs import is_check_due
from titan10_dagster.planning.resume import FetchPlan, plan_fetch
from titan10_dagster.store import ledger
from titan10_dagster.store.database import retrying
from titan10_dagster.store.markets import MarketStore
from titan10_dagster.store.writer import write_slices

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fetch:
    """The result of a fetch.

    landed: the record and the number of rows of each landed slice.
    failed: the error of each failed symbol.
    report: the report on the REST requests, or None if REST was not used.
    skipped: slices of symbols that the exchange does not list. They have no file in the landing zone.
    spent: the cost of each source.
    """

    landed: Mapping[Slice, tuple[FetchRecord, int]]
    failed: Mapping[str, FetchError]
    report: FetchReport | None = None
    skipped: frozenset[Slice] = frozenset()
    spent: Costs = field(default_factory=dict)


def plan_days(titan10: IngestContext, days: RunDays, *, refresh: bool = False, repair: bool = False) -> FetchPlan:
    """Decide which slices of a run must be fetched; see `FetchPlan`.

    A settled slice is fetched again if REST no longer serves some of its candles, but the archive possibly has them.

    refresh: fetch all slices again. Only slices before the exchange's `start` are left out.
    repair: also fetch settled slices that have a gap without a final reason, and settled slices that are due for a
        check for late candles.
    """
    exchange = days.slices[0].series.exchange if days.slices else ""
    reopened = reopened_by_archive(titan10, exchange, days.ledger)
    settled = [slice_ for slice_ in days.slices if days.is_settled(slice_)]
    checked_later = _due_for_a_later_check(titan10, exchange) if repair and settled else frozenset()
    unconfirmed = {}
    for slice_ in settled:
        row = days.ledger[slice_]
        if slice_ in reopened or (repair and row.unexplained > 0) or slice_ in checked_later:
            unconfirmed[slice_] = row.fetched_at
    return plan_fetch(
        days.slices,
        start=days.start,
        settled=set(settled),
        landed=days.landed,
        usable=lambda slice_: titan10.judged.verdict(slice_) is not None,
        unconfirmed=unconfirmed,
        refresh=refresh,
    )


def _due_for_a_later_check(titan10: IngestContext, exchange: str) -> frozenset[Slice]:
    """Return the slices that are now due for a check for late candles, by the same rule as in the repair sensor."""
    due = set()
    if exchange in titan10.settings.exchanges:
        for checked in slices_to_check_later(titan10, [exchange]):
            if is_check_due(checked, checked.last_seen, venue_of(exchange).depth, titan10.now()):
                due.add(checked.slice)
    return frozenset(due)


def fetch_and_land(titan10: IngestContext, exchange: str, slices: Sequence[Slice]) -> Fetch:
    """Fetch `slices` into the landing zone.

    If a symbol fails, its error is in the result. The symbol's slices without an answer are written as empty,
    unanswered slices, so that the ledger records the candles of these slices as missing. There are two exceptions. If
    the market of the symbol is closed, the slices are written as empty, answered slices and become settled; see
    `delisting`. If the symbol is probably misspelled, its slices are not written; see `_never_listed`.

    Raises:
        FetchError: the exchange as a whole failed. It banned or refused this machine, its breaker is open, or every
            symbol failed. The ledger then records the candles of `slices` as missing, so that the repair sensor fetches
            them again; see `_note_missing`. Slices that have landed stay in the landing zone.
        LandingError: a file could not be written, for example because the disk is full. The ledger then records the
            candles of `slices` as missing too, if the database can still write.
    """
    landed: dict[Slice, tuple[FetchRecord, int]] = {}
    turn = Lock()

    def land(fetched: FetchedSlice) -> None:
        titan10.land(fetched)
        with turn:
            landed[fetched.record.slice] = (fetched.record, len(fetched.candles))
            titan10.on_landed(fetched)

    if not slices:
        return Fetch(landed, {})
    try:
        brought = _fetch(titan10, exchange, slices, land)
    except FetchError as error:
        _note_missing(titan10, slices, error)
        raise
    except LandingError as error:
        try:
            _note_missing(titan10, slices, error)
        except StoreError as unwritten:
            # The landing zone usually cannot be written because the disk is full. The database is often on the same
            # disk, so it cannot write either. Then the ledger does not show the failure of these days, but Dagster
            # shows the failed run.
            log.warning(
                "days of %s were not written into the landing zone, and the ledger could not be updated: %s",
                exchange,
                unwritten,
            )
        raise
    failed = brought.failed
    never_listed = _never_listed(titan10, exchange, failed)
    skipped = frozenset(slice_ for slice_ in slices if slice_.series.symbol in never_listed)
    closed = _closings(titan10, exchange, slices, brought)
    wanted = [slice_ for slice_ in slices if slice_ not in skipped]
    _settle_open_gaps(titan10, [slice_ for slice_ in wanted if slice_ not in landed], closed, brought)
    for slice_ in wanted:
        if _has_answer(titan10, slice_, landed):
            continue
        closing, error_of_symbol = closed.get(slice_.series), failed.get(slice_.series.symbol)
        if closing is not None:
            land(_closed(titan10, slice_, closing, brought))
        elif error_of_symbol is not None and slice_ not in landed:
            land(_unanswered(slice_, error_of_symbol, titan10.now()))
    titan10.landing.sync()
    titan10.on_spent(brought.spent)
    return Fetch(landed, failed, brought.report, skipped, brought.spent)


def absent_files(titan10: IngestContext, slices: Sequence[Slice]) -> list[Slice]:
    """Return the slices that have no file in the landing zone."""
    return [slice_ for slice_ in slices if not _has_file(titan10, slice_)]


def _fetch(titan10: IngestContext, exchange: str, slices: Sequence[Slice], land: Land) -> Brought:
    resolution = resolve_slices(titan10, exchange, slices)
    listed = [slice_ for slice_ in slices if slice_.series.symbol not in resolution.unknown]
    former = of_a_former_market(titan10, exchange, listed)
    unavailable = {**resolution.unknown, **_settle_former(titan10, former, land)}
    wanted = [slice_ for slice_ in listed if slice_ not in former]
    if not wanted:
        return Brought(failed=unavailable)
    sources = sources_of(titan10, exchange, resolution.markets)
    brought = _with_the_end_requested(titan10, exchange, sources, wanted, bring(sources, wanted, land), land)
    if not rest_is_a_source(titan10, exchange):
        for slice_, reason in brought.left.items():
            _land_incomplete(titan10, slice_, reason, land)
    return replace(brought, failed={**unavailable, **brought.failed})


def _land_incomplete(titan10: IngestContext, slice_: Slice, reason: str, land: Land) -> None:
    """Land a slice that the archive does not have completely, if REST is not a source.

    If the archive will not have the missing candles later either, the slice becomes settled: the missing candles are
    `beyond_horizon`, because no source has them.
    """
    if _is_answered(titan10, slice_):
        return
    exchange, now = slice_.series.exchange, titan10.now()
    note, file = final_note(titan10, exchange, reason), titan10.landing.read_or_quarantine(slice_)
    unanswered = _unanswered(slice_, FetchError(NOTE + reason, exchange=exchange), now)
    if note is not None:
        known = file or unanswered
        land(
            FetchedSlice(
                replace(known.record, fetched_at=now, answered=True, horizon=slice_.end, note=note), known.candles
            )
        )
    elif file is None:
        land(unanswered)


def _with_the_end_requested(
    titan10: IngestContext,
    exchange: str,
    sources: Sequence[CandleSource],
    slices: Sequence[Slice],
    brought: Brought,
    land: Land,
) -> Brought:
    """Request the last days of closed markets if they were possibly not requested; see `delisting`.

    Return the result of both fetches.
    """
    closed = _closings(titan10, exchange, slices, brought)
    left = [slice_ for slice_ in perhaps_not_requested(slices, closed) if not _is_answered(titan10, slice_)]
    if not left:
        return brought
    again = bring(sources, left, land)
    served = {slice_.series.symbol for slice_ in left} - again.failed.keys()
    failed = {}
    for symbol, error in brought.then(again).failed.items():
        # If the exchange has now served later days of a symbol, it knows the symbol. Then the error "unknown symbol"
        # for earlier days is replaced by a FetchError, so that these days do not count as days of a closed market.
        is_unclear = symbol in served and isinstance(error, UnknownSymbol)
        failed[symbol] = FetchError(str(error), exchange=exchange, symbol=symbol) if is_unclear else error
    return replace(brought.then(again), failed=failed, report=brought.report)


def _closings(
    titan10: IngestContext, exchange: str, slices: Sequence[Slice], brought: Brought
) -> dict[Series, Closing]:
    empty = brought.report.empty if brought.report is not None else ()
    return closings(titan10, exchange, slices, brought.failed, empty)


def _closed(titan10: IngestContext, slice_: Slice, closing: Closing, brought: Brought) -> FetchedSlice:
    reason = brought.not_in_archive.get(slice_)
    return closed_slice(slice_, closing, titan10.now(), tried=f"{NOTE}{reason}; " if reason else "")


def _settle_open_gaps(
    titan10: IngestContext, slices: Sequence[Slice], closed: Mapping[Series, Closing], brought: Brought
) -> None:
    """Make the gaps of stored days final, because the exchange gives no second answer for a closed market.

    The exchange answered completely for these days before the market closed. The files with the candles are kept, and
    only the ledger changes. A day stays unchanged if none of its gaps needs a second answer. It also stays unchanged if
    its file is not yet written to the database. If the ledger recorded a later fetch than the file, the store step
    would skip the file.
    """
    of_closed = [slice_ for slice_ in slices if slice_.series in closed and _is_answered(titan10, slice_)]
    if not of_closed:
        return
    days = read_days(titan10, of_closed)
    final = []
    for slice_ in of_closed:
        if days.is_settled(slice_) and not days.is_only_landed(slice_) and days.ledger[slice_].unexplained > 0:
            final.append(judge_slice(_closed(titan10, slice_, closed[slice_.series], brought)))
    if final:
        retrying(lambda: write_slices(titan10.database, final))


def _settle_former(titan10: IngestContext, former: Mapping[Slice, MarketChanged], land: Land) -> dict[str, FetchError]:
    """Settle the days of former markets. Return, for each symbol, the error that says why no request is made.

    Usually an empty, answered slice is written into the landing zone for the day. But if the day already has a file
    with a complete answer, this file is kept, because it comes from the former market. If the database already has the
    candles of this file, only the ledger changes: the missing candles of the day get their final reason. Otherwise
    nothing changes, and the store step writes the file later; see `_settle_open_gaps`.
    """
    if not former:
        return {}
    days = read_days(titan10, list(former))
    known = []
    for slice_, error in former.items():
        settled = former_slice(slice_, error, titan10.now())
        if not _is_answered(titan10, slice_):
            land(settled)
        elif not days.is_only_landed(slice_):
            known.append(judge_slice(settled))
    if known:
        retrying(lambda: write_slices(titan10.database, known))
    return {slice_.series.symbol: error for slice_, error in former.items()}


def _has_file(titan10: IngestContext, slice_: Slice) -> bool:
    return titan10.landing.identity(slice_) is not None


def _never_listed(titan10: IngestContext, exchange: str, failed: Mapping[str, FetchError]) -> set[str]:
    """Return the failed symbols that are neither in the exchange's stored market list nor in the ledger.

    These symbols are probably misspelled. Their slices are not written, so that no series with such a name is created.
    """
    unknown = {symbol for symbol, error in failed.items() if isinstance(error, UnknownSymbol)}
    if not unknown:
        return set()
    listed = MarketStore(titan10.database).symbols(exchange)
    stored = {row.series.symbol for row in ledger.coverage(titan10.database, exchange)}
    return unknown - set(listed) - stored


def _note_missing(titan10: IngestContext, slices: Sequence[Slice], error: FetchError | LandingError) -> None:
    """Record in the ledger that the candles of the slices are missing, with the error as the note.

    If no requests were allowed (`Blocked`), existing rows of the ledger stay unchanged. A change would set their time
    of the last fetch, and the next attempt would have to wait, although no request was made.
    """
    if isinstance(error, Blocked):
        known = ledger_rows(titan10, slices)
        slices = [slice_ for slice_ in slices if slice_ not in known]
    now = titan10.now()
    missing = [judge_slice(_unanswered(slice_, error, now)) for slice_ in slices]
    retrying(lambda: write_slices(titan10.database, missing))


def _has_answer(titan10: IngestContext, slice_: Slice, landed: Mapping[Slice, tuple[FetchRecord, int]]) -> bool:
    """Return whether the slice has an answer, so that no empty slice has to be landed for it.

    The slice has an answer if this fetch returned candles for it, or if its file contains a complete answer.
    """
    if slice_ in landed:
        record, rows = landed[slice_]
        return record.answered or rows > 0
    return _is_answered(titan10, slice_)


def _is_answered(titan10: IngestContext, slice_: Slice) -> bool:
    record = titan10.judged.records([slice_]).get(slice_)
    return record is not None and record.answered


def _unanswered(slice_: Slice, error: FetchError | LandingError, now: datetime) -> FetchedSlice:
    record = FetchRecord(
        slice=slice_, fetched_at=now, source=Source.REST, requests=0, retries=0, seconds=0.0,
        answered=False, horizon=None, note=str(error),
    )  # fmt: skip
    return FetchedSlice(record, Candles.empty())
