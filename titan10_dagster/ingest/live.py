"""Live polling. This module does not use Dagster. All exchanges are polled at the same time, in one event loop.

If an exchange fails, is slow or is blocked, it does not delay the other exchanges. Database calls run in separate
threads, so that they do not block the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import FetchedSlice, FetchRecord, JudgedSlice, Source
from titan10_dagster.candles.gaps import REASONS
from titan10_dagster.candles.slices import Series, Slice, midnight, slices_of
from titan10_dagster.errors import FetchError, WriteUnderWay
from titan10_dagster.exchanges.live import LiveAnswer, LivePoll, poll
from titan10_dagster.exchanges.markets import Resolution, resolve
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.ingest.clients import breaker_of, live_share_of, open_client
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import ledger_rows
from titan10_dagster.ingest.event_loop import run_in_event_loop
from titan10_dagster.ingest.judge import judge_slice
from titan10_dagster.ingest.markets import stored_or_read
from titan10_dagster.logs import about
from titan10_dagster.planning.live import LivePlan, Polled, plan_poll, seconds_to_ask
from titan10_dagster.store import ledger, writer
from titan10_dagster.store.writer import WriteReport, write_slices

T = TypeVar("T")

TIMEOUT_MS = 10_000
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0  # seconds between two attempts to write
_DAY = timedelta(days=1)
_OPEN = tuple(reason for reason, facts in REASONS.items() if not facts.settled)


@dataclass(frozen=True)
class LiveReport:
    """The result of polling one exchange.

    inserted, restated: numbers of candles.
    series: number of series with an answer.
    lag: how old the stored data was when the answers were stored. This is the time since the end of the last requested
        candle, for the series that is furthest behind. None if there was no answer.
    failed: the reason for each failed symbol.
    postponed: the symbols that were not requested, or not stored, in time. The next poll will fetch their candles.
    error: the problem of the exchange as a whole, or None.
    """

    exchange: str
    inserted: int = 0
    restated: int = 0
    series: int = 0
    lag: timedelta | None = None
    failed: Mapping[str, str] = field(default_factory=dict)
    postponed: tuple[str, ...] = ()
    requests: int = 0
    error: str | None = None


def poll_exchanges(titan10: IngestContext, exchanges: Sequence[str]) -> list[LiveReport]:
    """Poll the exchanges at the same time. Return a report for each exchange, which also contains its problems."""
    return run_in_event_loop(poll_together(titan10, exchanges))


async def poll_together(
    titan10: IngestContext, exchanges: Sequence[str], *, on_report: Callable[[LiveReport], None] = lambda _: None
) -> list[LiveReport]:
    """Poll the exchanges at the same time, in the running event loop.

    `on_report` is called with each report as soon as the report is complete.
    """
    threads = ThreadPoolExecutor(max(1, len(exchanges)), thread_name_prefix="live")
    work = _DatabaseWork(threads)

    async def poll_one(exchange: str) -> LiveReport:
        with about(exchange=exchange):
            report = await _poll_exchange(titan10, work, exchange)
        on_report(report)
        return report

    try:
        done = await asyncio.gather(*(poll_one(name) for name in exchanges), return_exceptions=True)
    finally:
        threads.shutdown(wait=False)
    return [_reported(name, result) for name, result in zip(exchanges, done, strict=True)]


def _reported(exchange: str, result: LiveReport | BaseException) -> LiveReport:
    if isinstance(result, LiveReport):
        return result
    if not isinstance(result, Exception):
        raise result
    return LiveReport(exchange, error=f"{type(result).__name__}: {result}")


@dataclass(frozen=True)
class _DatabaseWork:
    """Separate threads for database calls, one thread for each exchange.

    The database calls do not use asyncio's own threads. asyncio has only a few threads, and needs them to resolve host
    names. If the database did not answer, the database calls would occupy all of these threads, and requests to the
    exchanges would time out.
    """

    threads: ThreadPoolExecutor

    async def run(self, call: Callable[..., T], *arguments: Any) -> T:
        context = copy_context()
        return await asyncio.get_running_loop().run_in_executor(self.threads, context.run, call, *arguments)


async def _poll_exchange(titan10: IngestContext, work: _DatabaseWork, exchange: str) -> LiveReport:
    breaker = breaker_of(titan10, exchange)
    resolution = await work.run(markets_of, titan10, exchange)
    symbols = [market.symbol for market in resolution.markets]
    plans = await work.run(plans_of, titan10, exchange, symbols)
    share = live_share_of(titan10, exchange)
    markets = resolution.markets
    async with open_client(
        titan10, exchange, markets, pace_share=share, timeout_ms=TIMEOUT_MS, breaker=breaker
    ) as client:
        polled = await poll(client, plans, breaker=breaker, seconds=seconds_to_ask(titan10.now()))
    try:
        written = await _store(titan10, work, polled.answers) if polled.answers else None
    except WriteUnderWay as error:
        return _postponed(exchange, polled, error)
    return _report(exchange, polled, written, resolution.unknown, titan10.now())


async def _store(titan10: IngestContext, work: _DatabaseWork, answers: Sequence[LiveAnswer]) -> WriteReport:
    """Write the answers of one exchange as soon as no other process is writing candles of this exchange.

    While this function waits for another process, it holds no database connection. Therefore it does not prevent
    other exchanges from writing.

    Raises:
        WriteUnderWay: the other process wrote for longer than LIVE_PATIENCE.
    """
    deadline, pause = time.monotonic() + writer.LIVE_PATIENCE.total_seconds(), _FIRST_PAUSE
    while True:
        try:
            return await work.run(store, titan10, answers)
        except WriteUnderWay:
            if time.monotonic() + pause > deadline:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def markets_of(titan10: IngestContext, exchange: str) -> Resolution:
    """Return the markets of the configured symbols. The market list is requested only if no list is stored.

    Raises:
        FetchError: the market list had to be requested, but the request failed or was not allowed.
    """
    return resolve(exchange, titan10.exchange(exchange).symbols, stored_or_read(titan10, exchange))


def plans_of(titan10: IngestContext, exchange: str, symbols: Sequence[str]) -> list[LivePlan]:
    """Return the requests to make now, at most one for each symbol.

    The requests are based on the ledger's rows of yesterday and today. If the exchange serves only recent candles, they
    are also based on the gaps that will soon be too old; see `expiring_gaps`.
    """
    now, facts = titan10.now(), venue_of(exchange)
    slices = titan10.slices(exchange, [now.date() - _DAY, now.date()], symbols)
    known: dict[Series, dict[date, Polled]] = {slice_.series: {} for slice_ in slices}
    for slice_, row in ledger_rows(titan10, slices).items():
        known[slice_.series][slice_.day] = Polled(row.state, row.covered_until)
    expiring = {} if facts.depth is None else expiring_gaps(titan10, exchange, now)
    plans: list[LivePlan] = []
    for series, days in known.items():
        plan = plan_poll(
            series,
            days,
            now=now,
            page_size=facts.page_size,
            depth=facts.depth,
            gap=expiring.get(series),
            first=titan10.exchange(exchange).start,
        )
        if plan is not None:
            plans.append(plan)
    return plans


def expiring_gaps(titan10: IngestContext, exchange: str, now: datetime) -> dict[Series, datetime]:
    """For each series, find the first missing candle that the exchange still serves, and return its start.

    Series without missing candles are left out. Only missing candles of yesterday and today without a final reason
    count. If an exchange serves only recent candles, the daily run is too late to fetch the candles of the previous
    morning. A repair is too late to fetch candles that the daily run missed. Therefore live polling must fetch these
    candles while the exchange still serves them.
    """
    facts = venue_of(exchange)
    step = titan10.exchange(exchange).timeframe.delta
    oldest = max(now - (facts.depth or 0) * step, midnight(now.date() - _DAY))
    found = ledger.gaps(titan10.database, exchange, reasons=_OPEN, start=midnight(oldest.date()))
    starts: dict[Series, datetime] = {}
    for missing in found:  # newest first: an older gap of a series replaces a newer gap
        if missing.gap.end > oldest:
            starts[missing.series] = max(missing.gap.start, oldest)
    return starts


def store(titan10: IngestContext, answers: Sequence[LiveAnswer]) -> WriteReport:
    """Check the answers of one exchange against the candle rules, and write them as live slices in one transaction."""
    judged: list[JudgedSlice] = []
    for answer in answers:
        judged.extend(_judged(titan10, answer))
    return write_slices(titan10.database, judged, live=True)


def _judged(titan10: IngestContext, answer: LiveAnswer) -> Iterator[JudgedSlice]:
    covered, days, nothing = answer.covered, answer.candles.by_day(), Candles.empty()
    for slice_ in slices_of(answer.plan.window):
        if covered > slice_.start:
            record = _record(slice_, answer, min(covered, slice_.end))
            yield judge_slice(FetchedSlice(record, days.get(slice_.day, nothing)))


def _record(slice_: Slice, answer: LiveAnswer, until: datetime) -> FetchRecord:
    """Return the record of a live slice. It says that the slice is not complete, and is covered up to `until`."""
    return FetchRecord(
        slice=slice_, fetched_at=answer.requested_at, source=Source.REST, requests=1, retries=0, seconds=answer.seconds,
        answered=False, horizon=None, covered_until=until,
    )  # fmt: skip


def _postponed(exchange: str, polled: LivePoll, error: WriteUnderWay) -> LiveReport:
    """Return the report of a poll that stored nothing, because another process was writing candles of the exchange."""
    plans = [*(answer.plan for answer in polled.answers), *polled.postponed]
    return LiveReport(
        exchange=exchange,
        failed={symbol: str(failed) for symbol, failed in polled.failed.items()},
        postponed=tuple(plan.window.series.symbol for plan in plans),
        requests=polled.requests,
        error=f"{error}; the next poll fetches the candles of this poll again",
    )


def _report(
    exchange: str,
    polled: LivePoll,
    written: WriteReport | None,
    unknown: Mapping[str, FetchError],
    now: datetime,
) -> LiveReport:
    ends = [answer.plan.window.end for answer in polled.answers]
    return LiveReport(
        exchange=exchange,
        inserted=written.inserted if written else 0,
        restated=written.restated if written else 0,
        series=len(polled.answers),
        lag=now - min(ends) if ends else None,
        failed={symbol: str(error) for symbol, error in {**unknown, **polled.failed}.items()},
        postponed=tuple(plan.window.series.symbol for plan in polled.postponed),
        requests=polled.requests,
        error=None if polled.blocked is None else str(polled.blocked),
    )
