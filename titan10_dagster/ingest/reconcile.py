"""Reconciles an exchange's archive with its REST interface: compares the candles of settled days from both sources.

A reconciliation changes no stored candles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from titan10_dagster.archives.catalog import month_after, month_of, plan_units, uncovered
from titan10_dagster.candles.fetched import FetchedSlice
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.reconciliation import Comparison, Difference, Rate, compare, draw, rate_of
from titan10_dagster.candles.slices import Slice
from titan10_dagster.errors import SettingsError
from titan10_dagster.exchanges.archive_record import Archive
from titan10_dagster.exchanges.fetching import FetchReport
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.ingest.archive import archive_of, read_archive
from titan10_dagster.ingest.clients import fetch_by_rest
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.event_loop import run_in_event_loop
from titan10_dagster.ingest.judge import verdict_of
from titan10_dagster.ingest.markets import stored_or_read
from titan10_dagster.store import ledger
from titan10_dagster.store.database import retrying

_DAY = timedelta(days=1)
_SLICES_AT_ONCE = 64  # about this many slices are in memory at the same time; they take 9 MB
# At most this many differing values are kept. The differing candles of all compared slices are counted.
MOST_DIFFERENCES = 100_000


@dataclass(frozen=True)
class Reconciliation:
    """The result of comparing a sample of settled days from the archive and from REST.

    settled: the number of settled slices from `first` to `last`.
    rate: the share of differing candles. Its population is the estimated number of slices that both sources still serve
        completely.
    compared: the comparisons in order of series and day.
    not_compared: the slices of the sample that a source did not deliver completely, each with the reason.
    requests: the number of REST requests.
    files: the number of archive files that were read.
    """

    exchange: str
    first: date
    last: date
    share: float
    seed: int
    settled: int
    rate: Rate
    compared: tuple[Comparison, ...]
    not_compared: Mapping[Slice, str]
    requests: int
    files: int

    @property
    def differences(self) -> Iterator[Difference]:
        """The differing values, in order of series and time.

        At most MOST_DIFFERENCES values are kept in total. If a slice has more values than still fit, none of its values
        is kept.
        """
        for comparison in self.compared:
            yield from comparison.differences


def reconcile(
    titan10: IngestContext,
    exchange: str,
    first: date,
    last: date,
    *,
    share: float,
    seed: int = 0,
    symbols: Sequence[str] | None = None,
    most: int | None = None,
) -> Reconciliation:
    """Compare the candles of archive and REST for a sample of the settled slices from `first` to `last` (inclusive).

    The sample is random. The candles of both sources are checked against the candle rules first, and only valid candles
    are compared. The kind of file is chosen as in a backfill: if a backfill of all settled days of a month would read
    the monthly file, then the monthly file is compared. Candles, ledger and landing zone do not change. Downloaded
    files are kept in the cache.

    Args:
        share: the share of the slices to compare, above 0.0 and at most 1.0.
        seed: any number. With the same number, the same slices are compared.
        most: the largest number of slices to compare.

    Raises:
        SettingsError: the exchange has no archive that Titan-10 can read, or the settings do not accept the archive's
            licence.
        FetchError: the exchange as a whole failed.
    """
    archive = _archive(titan10, exchange)
    markets = stored_or_read(titan10, exchange)
    settled = _settled(titan10, exchange, month_of(first), month_after(last) - _DAY, symbols)
    in_range = [slice_ for slice_ in settled if first <= slice_.day <= last]
    population = _served_by_both(titan10, archive, markets, in_range)
    sample = draw(population, min(share, most / len(population)) if most and population else share, seed)
    work = _Work(titan10, exchange, archive, markets, settled)
    for batch in _batches(sample):
        work.compare(batch)
    comparable = round(len(population) * len(work.compared) / len(sample)) if sample else 0
    rate = rate_of(work.compared, comparable)
    return Reconciliation(
        exchange=exchange,
        first=first,
        last=last,
        share=share,
        seed=seed,
        settled=len(in_range),
        rate=rate,
        compared=tuple(work.compared),
        not_compared=work.not_compared,
        requests=work.requests,
        files=work.files,
    )


def summary(result: Reconciliation) -> str:
    """Return a few sentences: how many candles and days were compared, and how many of the candles differ."""
    rate = result.rate
    if not rate.days:
        return (
            f"{result.exchange}: no day was compared. Settled days from {result.first} to {result.last}:"
            f" {result.settled} (the days of each symbol count separately). Days of the sample that could not be"
            f" compared: {len(result.not_compared)}."
        )
    low, high = rate.interval
    days = f"{rate.days} of {rate.population} comparable days (the days of each symbol count separately)"
    return (
        f"{result.exchange}: {rate.differing:,} of {rate.candles:,} candles differ ({rate.share:.4%}), on"
        f" {rate.differing_days} of {rate.days} days. Compared: {days}, {result.first} to {result.last}. Over all"
        f" {rate.population} days, {low:.4%} to {high:.4%} of the candles differ, with 95 % confidence."
    )


def _archive(titan10: IngestContext, exchange: str) -> Archive:
    archive = venue_of(exchange).archive
    if archive is None:
        raise SettingsError(f"{exchange} publishes no candle files that Titan-10 can read, so it cannot be reconciled.")
    if archive.licence is not None and archive_of(titan10, exchange) is None:
        raise SettingsError(
            f'{archive.licence}. If you accept that, add "archive" to exchanges.{exchange}.sources in titan10.toml.'
        )
    return archive


def _settled(
    titan10: IngestContext, exchange: str, first: date, last: date, symbols: Sequence[str] | None
) -> list[Slice]:
    """Return the settled slices from `first` to `last` (both included) that have stored candles."""
    configured = titan10.exchange(exchange)
    wanted = configured.symbols if symbols is None else symbols
    rows = retrying(lambda: ledger.settled(titan10.database, exchange, configured.timeframe, list(wanted), first, last))
    return sorted(slice_ for slice_, row in rows.items() if row.present)


def _served_by_both(
    titan10: IngestContext, archive: Archive, markets: Sequence[Market], slices: Sequence[Slice]
) -> list[Slice]:
    """Return the slices that the archive has probably published and REST still serves completely."""
    now = titan10.now()
    _, refused = plan_units(archive, slices, _by_symbol(markets), now)
    served = []
    for slice_ in slices:
        venue = venue_of(slice_.series.exchange)
        is_whole = venue.depth is None or slice_.start > now - venue.depth * slice_.series.timeframe.delta
        if slice_ not in refused and is_whole:
            served.append(slice_)
    return served


def _batches(sample: Sequence[Slice]) -> Iterator[list[Slice]]:
    """Yield the slices in batches of `_SLICES_AT_ONCE` or a few more. The last batch can be smaller.

    All days of a series and month are in the same batch, so that a monthly file is read only once.
    """
    batch: list[Slice] = []
    for slice_ in sample:
        is_same_file = batch and (batch[-1].series, month_of(batch[-1].day)) == (slice_.series, month_of(slice_.day))
        if len(batch) >= _SLICES_AT_ONCE and not is_same_file:
            yield batch
            batch = []
        batch.append(slice_)
    if batch:
        yield batch


@dataclass
class _Work:
    """The state of one reconciliation. `compare` adds the result of one batch of slices."""

    titan10: IngestContext
    exchange: str
    archive: Archive
    markets: Sequence[Market]
    settled: Sequence[Slice]
    compared: list[Comparison] = field(default_factory=list)
    not_compared: dict[Slice, str] = field(default_factory=dict)
    requests: int = 0
    files: int = 0
    kept: int = 0

    def compare(self, batch: Sequence[Slice]) -> None:
        """Fetch the slices from the archive and then from REST, and compare the candles of the two sources.

        Slices that the archive did not deliver are not requested from REST. The same holds if the files that were read
        do not cover the whole day, for example because one of the two files of a day could not be downloaded.
        """
        from_archive, from_rest = _Collected(), _Collected()
        read = run_in_event_loop(
            read_archive(
                self.titan10, self.exchange, self.archive, self.markets, batch, from_archive, beside=self.settled
            )
        )
        self.files += read.files
        available = [slice_ for slice_ in batch if _is_covered(slice_, from_archive)]
        for slice_ in batch:
            if slice_ not in available:
                self.not_compared[slice_] = f"archive: {read.left.get(slice_, 'no candles were delivered')}"
        if not available:
            return
        report = run_in_event_loop(fetch_by_rest(self.titan10, self.exchange, self.markets, available, from_rest))
        self.requests += report.requests
        for slice_ in available:
            reason = _not_usable(slice_, from_rest, report)
            if reason is not None:
                self.not_compared[slice_] = f"REST: {reason}"
                continue
            self._keep(slice_, from_archive.slices[slice_], from_rest.slices[slice_])

    def _keep(self, slice_: Slice, archive: FetchedSlice, rest: FetchedSlice) -> None:
        comparison = compare(slice_, verdict_of(archive).valid, verdict_of(rest).valid)
        if self.kept + len(comparison.differences) > MOST_DIFFERENCES:
            comparison = replace(comparison, differences=())
        self.kept += len(comparison.differences)
        self.compared.append(comparison)


@dataclass
class _Collected:
    """The slices of a fetch, kept in memory. The fetch calls this object with each slice, maybe in several threads."""

    slices: dict[Slice, FetchedSlice] = field(default_factory=dict)

    def __call__(self, fetched: FetchedSlice) -> None:
        self.slices[fetched.record.slice] = fetched


def _is_covered(slice_: Slice, archive: _Collected) -> bool:
    """Return whether the files that were read from the archive cover the whole day of the slice."""
    fetched = archive.slices.get(slice_)
    return fetched is not None and not uncovered([slice_], [(file.start, file.end) for file in fetched.record.files])


def _not_usable(slice_: Slice, rest: _Collected, report: FetchReport) -> str | None:
    """Return the reason why the REST answer for a slice cannot be compared, or None if it can be compared."""
    error = report.failed.get(slice_.series.symbol)
    fetched = rest.slices.get(slice_)
    if fetched is None:
        return str(error) if error is not None else "the exchange did not answer"
    horizon = fetched.record.horizon
    if horizon is not None and horizon > slice_.start:
        return "the exchange no longer serves the whole day"
    if not fetched.record.answered:
        return fetched.record.note or "the exchange did not answer for the whole day"
    return None


def _by_symbol(markets: Sequence[Market]) -> dict[str, Market]:
    return {market.symbol: market for market in markets}
