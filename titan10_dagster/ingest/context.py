"""The way of a candle without its orchestrator: what an asset, a live poll or a test does with an exchange's days.

`plan` compares what is asked with ledger and landing zone; `fetch` brings what is missing into the landing zone;
`unstored` and `judged` take landed slices through the candle rules on their way to `store.writer`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from threading import Lock

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.deviation import Distance
from titan10_dagster.candles.fetched import FetchedSlice, FetchRecord, JudgedSlice
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.inspection import SliceInspected, inspect, unasked
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.rules import Verdict, judge
from titan10_dagster.candles.slices import Series, Slice, windows
from titan10_dagster.errors import FetchError, SettingsError, StoreError
from titan10_dagster.exchanges.breaker import Breaker
from titan10_dagster.exchanges.client import TIMEOUT_MS, ExchangeClient
from titan10_dagster.exchanges.fetching import FetchReport, fetch_slices
from titan10_dagster.exchanges.markets import read_markets, resolve
from titan10_dagster.exchanges.pacing import SAFE_SHARE, live_share
from titan10_dagster.exchanges.retries import RetryLimits
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.planning.breaker import Health
from titan10_dagster.planning.missing_days import Missing, missing_days
from titan10_dagster.planning.repairs import OpenSlice
from titan10_dagster.planning.resume import FetchPlan, plan_fetch
from titan10_dagster.settings import ExchangeSettings, Settings
from titan10_dagster.store import ledger, policies, rollups
from titan10_dagster.store.audit import Unaccounted, unaccounted
from titan10_dagster.store.breakers import HealthStore
from titan10_dagster.store.database import Database, retrying
from titan10_dagster.store.deviation import distances
from titan10_dagster.store.markets import MarketStore
from titan10_dagster.store.outages import weigh
from titan10_dagster.store.retention import Dropped, drop_before
from titan10_dagster.store.storage import Storage, look
from titan10_dagster.store.writer import WriteReport, write_slices

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


def _nobody_watches(_: FetchedSlice) -> None:
    """The default of `IngestContext.on_landed`."""


@dataclass(frozen=True)
class Fetch:
    """What one fetch did: the record and the number of rows of each slice that landed, and what failed, by symbol.

    `report` is None where there was nothing to ask for.
    """

    landed: Mapping[Slice, tuple[FetchRecord, int]]
    failed: Mapping[str, FetchError]
    report: FetchReport | None = None


@dataclass(frozen=True)
class IngestContext:
    """Settings, database and landing zone, and what is done with them.

    `now` gives the time, aware, UTC. `on_landed` is told of each slice as it comes to rest in the landing zone,
    in some thread, of one at a time.
    `retry_limits`: how often and after which pauses a failed page is asked for again.
    """

    settings: Settings
    database: Database
    landing: LandingZone
    now: Callable[[], datetime] = utc_now
    on_landed: Callable[[FetchedSlice], None] = _nobody_watches
    retry_limits: RetryLimits = field(default_factory=RetryLimits)

    def exchange(self, name: str) -> ExchangeSettings:
        """The settings of the exchange. It starts no earlier than candles are kept: nothing older is asked for."""
        settings, kept_from = self.settings.exchanges[name], self.kept_from
        if kept_from is None or settings.start >= kept_from:
            return settings
        return settings.model_copy(update={"start": kept_from})

    @property
    def kept_from(self) -> date | None:
        """The first day whose candles are kept; None where they stay for ever."""
        days = self.settings.timescaledb.retention_days
        return None if days is None else self.now().date() - timedelta(days=days)

    def slices(self, exchange: str, days: Iterable[date], symbols: Iterable[str] | None = None) -> list[Slice]:
        """The slices of the days, series after series; `symbols` default to the configured ones."""
        configured = self.exchange(exchange)
        wanted = configured.symbols if symbols is None else tuple(symbols)
        ordered = sorted(days)
        return [Slice(Series(exchange, symbol, configured.timeframe), day) for symbol in wanted for day in ordered]

    def plan(self, slices: Sequence[Slice], *, start: date, refresh: bool = False, repair: bool = False) -> FetchPlan:
        """What of `slices` has to be fetched; see `FetchPlan`. Reads the ledger and the landing zone.

        `repair`: also those that are settled but for a gap without a final reason.
        """
        settled = {slice_: row for slice_, row in self.ledger_rows(slices).items() if _is_settled(row)}
        return plan_fetch(
            slices,
            start=start,
            settled=settled,
            landed=self.landing.records(slices),
            sound=self._is_sound,
            doubted={s: row.fetched_at for s, row in settled.items() if repair and _has_open_gap(row)},
            refresh=refresh,
        )

    def fetch(self, exchange: str, slices: Sequence[Slice]) -> Fetch:
        """Bring `slices` into the landing zone.

        A symbol that fails is reported, and its slices that did not come land empty and unanswered, so that the
        ledger will know them as missing.

        Raises:
            FetchError: the exchange as a whole failed: banned, refused, breaker open, or every symbol. The ledger then
            knows all of `slices` as missing, so that the gap sensor comes back to them; what landed stays landed.
        """
        landed: dict[Slice, tuple[FetchRecord, int]] = {}
        one_at_a_time = Lock()

        def land(fetched: FetchedSlice) -> None:
            self.landing.write(fetched)
            with one_at_a_time:
                landed[fetched.record.slice] = (fetched.record, len(fetched.candles))
                self.on_landed(fetched)

        if not slices:
            return Fetch(landed, {})
        try:
            report, failed = self._fetch(exchange, slices, land)
        except FetchError as whole:
            self._note_missing(slices, whole)
            raise
        for slice_ in slices:
            error = failed.get(slice_.series.symbol)
            if error is not None and slice_ not in landed and not self._is_landed(slice_):
                land(_unanswered(slice_, error, self.now()))
        return Fetch(landed, failed, report)

    def unstored(self, slices: Sequence[Slice]) -> list[Slice]:
        """Those of `slices` since the exchange's start that are to be written: see `only_landed`. An exchange that is
        configured no more has no start: all its days count."""
        return [slice_ for slice_ in self.only_landed(slices) if not self._is_before_start(slice_)]

    def only_landed(self, slices: Sequence[Slice]) -> list[Slice]:
        """Those of `slices` that landed, and that the ledger does not call settled by that fetch or a later one: their
        candles may be nowhere else."""
        rows = self.ledger_rows(slices)
        return [
            slice_
            for slice_, record in self.landing.records(slices).items()
            if not (slice_ in rows and _is_settled(rows[slice_]) and rows[slice_].fetched_at >= record.fetched_at)
        ]

    def judged(self, slices: Iterable[Slice]) -> Iterator[JudgedSlice]:
        """Read and judge `slices`, one at a time; of one with too many broken rows no candle goes on."""
        for slice_ in slices:
            landed = self.landing.read_or_aside(slice_)
            if landed is not None:
                yield self.judge(landed)

    def judge(self, fetched: FetchedSlice) -> JudgedSlice:
        """Hold a slice against the rules; of one with too many broken rows no candle goes on."""
        verdict = verdict_of(fetched)
        return _withheld(fetched.record, verdict) if self.is_rotten(verdict) else JudgedSlice(fetched.record, verdict)

    def store(self, slices: Sequence[Slice]) -> WriteReport:
        """Write landed slices of one exchange in one transaction; tried again while the database is away.

        Then outages are told wherever that write, or another one, changed the evidence.

        Raises:
            DatabaseUnavailable: it stayed away.
        """
        report = retrying(lambda: write_slices(self.database, self.judged(slices)))
        self._tell_outages()
        return report

    def inspect(self, slices: Sequence[Slice]) -> Iterator[SliceInspected]:
        """What the checks look at, slice by slice: from the landed file, else from the ledger."""
        rows = self.ledger_rows(slices)
        for slice_ in slices:
            landed = self.landing.read_or_aside(slice_)
            if landed is not None:
                verdict = verdict_of(landed)
                yield inspect(landed.record, verdict, rotten=self.is_rotten(verdict))
            elif slice_ in rows:
                yield _inspected_before(rows[slice_])
            elif slice_.day >= self.exchange(slice_.series.exchange).start:
                yield unasked(slice_)

    def absent(self, slices: Sequence[Slice]) -> list[Slice]:
        """Those of `slices` since the exchange's start that are neither landed nor in the ledger."""
        known = {*self.landing.records(slices), *self.ledger_rows(slices)}
        return [s for s in slices if s not in known and s.day >= self.exchange(s.series.exchange).start]

    def unasked(self, slices: Sequence[Slice]) -> list[Slice]:
        """Those of `slices` since the exchange's start that the ledger does not know."""
        rows = self.ledger_rows(slices)
        return [s for s in slices if s not in rows and s.day >= self.exchange(s.series.exchange).start]

    def unsettled(self, slices: Sequence[Slice]) -> list[Slice]:
        """Those of `slices` since the exchange's start that the ledger does not call settled."""
        rows = self.ledger_rows(slices)
        return [
            slice_
            for slice_ in slices
            if slice_.day >= self.exchange(slice_.series.exchange).start
            and not (slice_ in rows and _is_settled(rows[slice_]))
        ]

    def open_slices(self) -> list[OpenSlice]:
        """What repairs are planned from: the slices of all configured series that miss candles unexplained.

        A symbol that the exchange does not list is left out until it does: repairs would fail day after day.
        """
        return ledger.open_slices(self.database, self.starts(self.settings.enabled), self.now().date())

    def starts(self, exchanges: Iterable[str]) -> dict[Series, date]:
        """The configured series that the exchanges list, each with its first day."""
        return {
            Series(name, symbol, self.exchange(name).timeframe): self.exchange(name).start
            for name in exchanges
            for symbol in self.listed(name)
        }

    def missing_days(self) -> Missing:
        """The days before today, since the start of each exchange, of which the ledger knows nothing.

        A symbol that the exchange does not list is left out, as in `open_slices`.
        """
        today, enabled = self.now().date(), self.settings.enabled
        known = ledger.known_days(self.database, list(self.starts(enabled)), today)
        return missing_days(known, {name: self.exchange(name).start for name in enabled}, today - timedelta(days=1))

    def health(self, exchange: str) -> Health:
        """The state of the exchange's circuit breaker."""
        return HealthStore(self.database).load(exchange)

    def breaker(self, exchange: str) -> Breaker:
        """The exchange's circuit breaker and pace, shared by all processes."""
        return Breaker(exchange, HealthStore(self.database), self.now)

    def unaccounted(self, exchange: str, days: Sequence[date]) -> list[Unaccounted]:
        """Slices of the days whose ledger, candles and gaps contradict each other."""
        timeframe = self.exchange(exchange).timeframe
        return retrying(lambda: unaccounted(self.database, exchange, timeframe, min(days), max(days)))

    def distances(self, exchange: str, days: Iterable[date]) -> dict[date, list[Distance]]:
        """Per day how far the exchange's closes lie from the median of all; nothing for longer candles than 1m."""
        configured, limit = self.exchange(exchange), self.settings.checks.stray_bp
        symbols = configured.symbols if configured.timeframe.name == rollups.BASE else ()
        return {day: retrying(partial(distances, self.database, exchange, symbols, day, limit=limit)) for day in days}

    def ledger_rows(self, slices: Sequence[Slice]) -> Mapping[Slice, ledger.LedgerRow]:
        """What the ledger knows of `slices`, which are of one exchange and timeframe."""
        if not slices:
            return {}
        series = slices[0].series
        days = [slice_.day for slice_ in slices]
        symbols = sorted({slice_.series.symbol for slice_ in slices})
        rows = retrying(
            lambda: ledger.slices(self.database, series.exchange, series.timeframe, symbols, min(days), max(days))
        )
        return {row.slice: row for row in rows}

    def refresh_rollups(self, report: WriteReport) -> None:
        """Bring the rollups up to date where a write changed candles; nothing to do where they are views.

        The candles are stored by then: what goes wrong here is told, and left to the next `catch_up_rollups`.
        """
        changed = [slice_ for slice_, done in report.by_slice.items() if done.inserted or done.restated]
        try:
            retrying(lambda: rollups.refresh(self.database, windows(changed)))
        except StoreError as error:
            log.warning("the rollups were not refreshed, and will be within minutes: %s", error)

    def catch_up_rollups(self) -> None:
        """Bring the rollups up to date wherever candles changed; nothing to do where they are views."""
        retrying(lambda: rollups.catch_up(self.database))

    def apply_policies(self) -> list[str]:
        """Have TimescaleDB keep the candles as the settings say; what had to be changed, in words."""
        wanted = policies.Policies.in_days(**self.settings.timescaledb.policies)
        return retrying(lambda: policies.apply(self.database, wanted))

    def drop_old_candles(self) -> Dropped | None:
        """Let go of the candles past their retention, rollups included; None where they stay for ever."""
        day = self.kept_from
        if day is None:
            return None
        dropped = retrying(lambda: drop_before(self.database, day))
        self.catch_up_rollups()
        return dropped

    def storage(self) -> Storage | None:
        """The chunks of the candles; None on plain PostgreSQL."""
        return retrying(lambda: look(self.database))

    def is_rotten(self, verdict: Verdict) -> bool:
        """Whether more rows break a rule than the settings bear."""
        bearable = self.settings.checks
        return len(verdict.broken) > bearable.broken_rows and verdict.broken_share > bearable.broken_share

    def refresh_markets(self, exchange: str) -> list[Market]:
        """Ask the exchange for its spot markets and store them.

        Raises:
            FetchError: it did not answer.
        """
        markets = asyncio.run(self._fetch_markets(exchange))
        MarketStore(self.database).replace(exchange, markets, self.now())
        return markets

    def client(
        self,
        exchange: str,
        markets: Sequence[Market],
        *,
        pace_share: float | None = None,
        timeout_ms: int = TIMEOUT_MS,
    ) -> ExchangeClient:
        """The exchange as the settings say to reach it, for `pace_share` of the rate that it allows; by default for all
        that is safe and that live polling does not need."""
        rest = SAFE_SHARE - (self.live_share(exchange) if self.settings.live.enabled else 0.0)
        settings = self.exchange(exchange)
        return ExchangeClient(
            exchange,
            markets,
            base_url=settings.base_url,
            proxy=settings.proxy.get_secret_value() if settings.proxy else None,
            paced=settings.paced,
            pace_share=rest if pace_share is None else pace_share,
            timeout_ms=timeout_ms,
            breaker=self.breaker(exchange),
            now=self.now,
        )

    def live_share(self, exchange: str) -> float:
        """The share of the exchange's request rate that is kept for live polling."""
        return live_share(venue_of(exchange), len(self.exchange(exchange).symbols))

    def listed(self, exchange: str) -> list[str]:
        """The configured symbols in the stored list of the exchange's markets; all of them where none is stored."""
        listed = MarketStore(self.database).symbols(exchange)
        return [symbol for symbol in self.exchange(exchange).symbols if not listed or symbol in listed]

    def _tell_outages(self) -> None:
        """The candles are stored by then, and another exchange may be at fault: what goes wrong here is told."""
        try:
            retrying(lambda: weigh(self.database))
        except StoreError as error:
            log.warning("outages were not told, and will be after the next write: %s", error)

    def _note_missing(self, slices: Sequence[Slice], error: FetchError) -> None:
        now = self.now()
        missing = [self.judge(_unanswered(slice_, error, now)) for slice_ in slices]
        retrying(lambda: write_slices(self.database, missing))

    def _is_landed(self, slice_: Slice) -> bool:
        landed = self.landing.read_or_aside(slice_)
        return landed is not None and landed.record.answered

    def _is_before_start(self, slice_: Slice) -> bool:
        name = slice_.series.exchange
        return name in self.settings.exchanges and slice_.day < self.exchange(name).start

    def _is_sound(self, slice_: Slice) -> bool:
        landed = self.landing.read_or_aside(slice_)
        return landed is not None and not self.is_rotten(verdict_of(landed))

    def _fetch(
        self, exchange: str, slices: Sequence[Slice], land: Callable[[FetchedSlice], None]
    ) -> tuple[FetchReport | None, dict[str, FetchError]]:
        markets, unlisted = self._resolve(exchange, slices)
        asked = [slice_ for slice_ in slices if slice_.series.symbol not in unlisted]
        if not asked:
            return None, dict(unlisted)
        report = asyncio.run(self._fetch_listed(exchange, markets, asked, land))
        if report.listed:
            retrying(lambda: MarketStore(self.database).note_listed(exchange, report.listed))
        return report, {**unlisted, **report.failed}

    def _resolve(self, exchange: str, slices: Sequence[Slice]) -> tuple[Sequence[Market], Mapping[str, FetchError]]:
        """The markets of the slices' symbols, and why some have none; no request is made only for days out of reach."""
        facts, now = venue_of(exchange), self.now()
        known = retrying(lambda: MarketStore(self.database).load(exchange))
        if not known and not any(facts.reaches(slice_, now) for slice_ in slices):
            return (), {}
        symbols = dict.fromkeys(slice_.series.symbol for slice_ in slices)
        resolution = resolve(exchange, symbols, known)
        if resolution.unknown:  # it may have been listed since
            resolution = resolve(exchange, symbols, self.refresh_markets(exchange))
        return resolution.markets, resolution.unknown

    async def _fetch_listed(
        self,
        exchange: str,
        markets: Sequence[Market],
        slices: Sequence[Slice],
        land: Callable[[FetchedSlice], None],
    ) -> FetchReport:
        breaker = self.breaker(exchange)
        async with self.client(exchange, markets) as client:
            return await fetch_slices(
                client, slices, now=self.now, land=land, breaker=breaker, log=log, retry_limits=self.retry_limits
            )

    async def _fetch_markets(self, exchange: str) -> list[Market]:
        async with self.client(exchange, []) as client:
            return await read_markets(client, breaker=self.breaker(exchange), retry_limits=self.retry_limits)


def verdict_of(landed: FetchedSlice) -> Verdict:
    """The candle rules on a landed slice, as of when it was fetched."""
    return judge(landed.candles, landed.record.slice, landed.record.fetched_at)


def _is_settled(row: ledger.LedgerRow) -> bool:
    return row.state == "settled"


def _has_open_gap(row: ledger.LedgerRow) -> bool:
    return row.unexplained > 0


def _withheld(record: FetchRecord, verdict: Verdict) -> JudgedSlice:
    note = f"withheld: {verdict.broken_share:.1%} of its rows break a rule"
    unanswered = replace(record, answered=False, note=note)
    return JudgedSlice(unanswered, replace(verdict, valid=Candles.empty()))


def _unanswered(slice_: Slice, error: FetchError, now: datetime) -> FetchedSlice:
    record = FetchRecord(
        slice=slice_, fetched_at=now, source="rest", requests=0, retries=0, seconds=0.0,
        answered=False, horizon=None, note=str(error),
    )  # fmt: skip
    return FetchedSlice(record, Candles.empty())


def _inspected_before(row: ledger.LedgerRow) -> SliceInspected:
    """A slice whose landed file is gone, as the ledger knows it; its broken rows were told of when they came."""
    return SliceInspected(
        slice=row.slice,
        valid=row.present,
        broken=0,
        counts={},
        answered=_is_settled(row),
        beyond_horizon=row.missing.get(Reason.BEYOND_HORIZON, 0) == row.expected,
        rotten=False,
        note="from the ledger; the landed file is gone",
    )


def open_context(settings: Settings) -> IngestContext:
    """The context of `settings`; it connects when it is first used.

    Raises:
        SettingsError: no database is known: neither one is set nor does `titan10 up` run the embedded one.
    """
    if settings.database.url is None:
        raise SettingsError(
            "database.url: no database is set; start `titan10 up`, which brings its own, or set TITAN10_DATABASE__URL."
        )
    database = Database(settings.database.url.get_secret_value(), max_connections=settings.database.max_connections)
    return IngestContext(settings, database, LandingZone(settings.landing))
