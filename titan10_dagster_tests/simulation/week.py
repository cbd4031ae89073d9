"""A week of Titan-10 in minutes: the real pipeline on the sandbox's exchanges, under a clock that jumps.

Dagster itself is left out, for starting a run takes longer than a simulated hour: what its schedules and sensors decide
is decided here by the same functions, and a run does what the assets `candles` and `ohlcv` do, one after the other.
Everything that Dagster remembers of runs (that one was requested, that one's process was lost) is kept here; of the
pipeline nothing outlives a kill but database and landing zone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from threading import Timer
from typing import Any

from pydantic import SecretStr

from titan10_dagster.candles.fetched import FetchedSlice
from titan10_dagster.candles.slices import Series, days, to_ms
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.defs.repairs import plan_after
from titan10_dagster.defs.requests import REMEMBERED
from titan10_dagster.errors import FetchError, Throttled, TransientError
from titan10_dagster.exchanges.retries import RetryLimits
from titan10_dagster.ingest.clients import health_of
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import read_days
from titan10_dagster.ingest.fetch import absent_files, fetch_and_land, plan_days
from titan10_dagster.ingest.live import LiveReport, poll_exchanges
from titan10_dagster.ingest.markets import refresh_markets
from titan10_dagster.ingest.store import store_slices
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.operate.alerts import TITLES, update_alerts
from titan10_dagster.operate.delivery import Notification
from titan10_dagster.planning.attempts import Attempt
from titan10_dagster.planning.breaker import Permit, may_request
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.sandbox.truth import Floats
from titan10_dagster.settings import (
    AlertSettings,
    CheckSettings,
    DatabaseSettings,
    ExchangeSettings,
    LiveSettings,
    RetrySettings,
    Settings,
)
from titan10_dagster.store import reader
from titan10_dagster.store.database import Database
from titan10_dagster_tests.simulation.away import let_in
from titan10_dagster_tests.simulation.events import (
    Ban,
    Broken,
    DatabaseAway,
    Delisting,
    Event,
    Kill,
    Late,
    Listing,
    Outage,
    Restated,
    Storm,
)
from titan10_dagster_tests.simulation.record import Poll, Record, Rewrite, Run, SentAlert
from titan10_dagster_tests.simulation.story import (
    DISGUISES,
    EXCHANGES,
    FAULT_OPTIONS,
    MINUTE,
    START,
    Story,
    settlements_between,
)
from titan10_dagster_tests.tables import as_table

ONE_MINUTE = TIMEFRAMES["1m"]
HASTE = RetryLimits(attempts=3, throttled=4, wait=lambda _: 0.0)

_MOST_POLLS = 10  # of a step; five pages of the smallest size are a day

Tell = Callable[[str], object]


class Killed(BaseException):
    """The process of a run is gone. No Exception: nothing in the pipeline may survive it."""


class Week:
    """A story as it happens. Call `live`, then read `record`."""

    def __init__(self, story: Story, database_url: str, folder: Path, tell: Tell = lambda _: None) -> None:
        self.story, self.record = story, Record()
        self.url, self._folder, self._tell = database_url, folder, tell
        self._stack = ExitStack()
        self._attempts: list[Attempt] = []
        self._lost: list[Run] = []
        self._happened: set[Event] = set()
        self._killing: int | None = None
        self._was = START

    def __enter__(self) -> Week:
        trading = {(one.exchange or "", one.symbol): (one.span.end, None) for one in self.story.of(Listing)}
        for one in self.story.of(Delisting):
            key = (one.exchange or "", one.symbol)
            trading[key] = (trading.get(key, (None, None))[0], one.span.start)  # type: ignore[assignment]
        self.sandbox = self._stack.enter_context(
            Sandbox(EXCHANGES, clock=START, enforce_limits=False, symbols=self.story.symbols, trading=trading)
        )
        self.titan10 = self._opened(START)
        self._prepare()
        return self

    def __exit__(self, *error: object) -> None:
        self.titan10.database.close()
        self._stack.close()

    def live(self) -> Record:
        """All steps, to the end of the quiet days."""
        for at in self.story.steps:
            self._step(at)
        self.record.counts["requests"] = sum(len(self.sandbox.requests(name)) for name in EXCHANGES)
        return self.record

    def stored(self, series: Series, start: datetime, end: datetime) -> Floats:
        return as_table(reader.candles(self.titan10.database, series, start, end))

    def rows(self, exchange: str, symbol: str, start: datetime, end: datetime) -> Floats:
        """What the exchange has at last."""
        return self.sandbox.sites[exchange].series[symbol].rows(to_ms(start), to_ms(end), 60)

    # -- a step

    def _step(self, at: datetime) -> None:
        self.record.steps.append(at)
        self._go_to(at)
        self._let_happen(at)
        self._poll_to_now(at)
        lost, self._lost = self._lost, []
        for run in lost:
            self._run(run, at)
        for due in settlements_between(self._was, at):
            for name in EXCHANGES:
                self._read_markets(name, at)
                self._run(Run(name, ((due - timedelta(days=1)).date(),), None, repair=False), at)
        self._repair(at)
        update_alerts(self.titan10, at, deliver=self._deliver)
        self._was = at

    def _go_to(self, at: datetime) -> None:
        self._now = at
        object.__setattr__(self.titan10, "now", _ticking(at))
        self.sandbox.clock.stop_at(to_ms(at))

    def _poll_to_now(self, at: datetime) -> None:
        """A poll, and after a pause those of the next minutes too: each brings a page, until nothing is left behind."""
        behind: Sequence[str] = EXCHANGES
        for _ in range(_MOST_POLLS):
            if behind:
                behind = self._poll(at, behind)

    def _poll(self, at: datetime, exchanges: Sequence[str]) -> list[str]:
        """Polls the exchanges; those of which a next poll will bring more."""
        away = self._next(DatabaseAway, at, lambda one: not one.run)
        with self._watched(at, f"poll {', '.join(exchanges)}", exchanges), self._database_away(away):
            reports = poll_exchanges(self.titan10, exchanges)
        for report in reports:
            self.record.counts["rows live"] += report.inserted
            if report.error or report.failed:
                self._tell(f"    {report.exchange}: {report.error or report.failed}")
            self.record.polls.append(self._polled(report, at))
            if away is not None:
                self.record.disturbed[report.exchange].append(at)
        return [one.exchange for one in reports if one.lag is not None and one.lag > 2 * MINUTE]

    def _polled(self, report: LiveReport, at: datetime) -> Poll:
        answered = set(self.story.symbols[report.exchange]) - {*report.failed, *report.postponed}
        spoiled = any(storm.kind not in DISGUISES for storm in self._storms(report.exchange, at))
        return Poll(at, report.exchange, frozenset() if report.error else frozenset(answered), spoiled)

    def _read_markets(self, exchange: str, at: datetime) -> None:
        with self._watched(at, f"markets of {exchange}", [exchange]):
            try:
                refresh_markets(self.titan10, exchange)
            except FetchError as error:
                self._tell(f"    {error}")
            else:
                self.record.markets_read[exchange].append(at)

    def _repair(self, at: datetime) -> None:
        self._attempts = [one for one in self._attempts if one.at >= at - REMEMBERED]
        plan = plan_after(self.titan10, self._attempts, {run.exchange for run in self._lost})
        for repair in plan.repairs:
            run = Run(repair.exchange, tuple(days(repair.first, repair.last)), repair.symbols, repair=True)
            succeeded = self._run(run, at)
            self._attempts.append(
                Attempt(
                    run.exchange,
                    repair.first,
                    repair.last,
                    frozenset(repair.symbols),
                    at,
                    in_flight=False,
                    failed=not succeeded,
                )
            )

    def _deliver(self, letters: Mapping[str, Sequence[Notification]]) -> Iterator[tuple[str, Notification]]:
        """Takes every letter."""
        kinds = {title: kind for kind, title in TITLES.items()}
        for url, ones in letters.items():
            for letter in ones:
                self._tell(f"    ! {letter.title}")
                _, exchange, title, *over = letter.title.split(": ")
                self.record.notifications.append(SentAlert(self._now, exchange, kinds[title], begins=not over))
                yield url, letter

    # -- a run

    def _run(self, run: Run, at: datetime) -> bool:
        """What the two assets do, with the step's retries and without their pauses; whether they succeeded."""
        self.record.counts["runs"] += 1
        kill = self._next(Kill, at)
        self._killing = None if kill is None else kill.landings
        with self._watched(at, str(run), [run.exchange]):
            try:
                self._fetch_and_store(run, self._next(DatabaseAway, at, lambda one: one.run))
            except FetchError as error:
                self._tell(f"    failed: {error}")
            except Killed:
                self._tell("    killed")
                self.record.counts["kills"] += 1
                self._lost.append(run)
                self.titan10.database.close()
                self.titan10 = self._opened(at)
            else:
                return True
            finally:
                self._killing = None
        return False

    def _fetch_and_store(self, run: Run, away: DatabaseAway | None) -> None:
        titan10 = self.titan10
        slices = titan10.slices(run.exchange, run.days, run.symbols)
        for attempt in itertools.count():
            plan = plan_days(titan10, read_days(titan10, slices), repair=run.repair)
            try:
                fetch = fetch_and_land(titan10, run.exchange, plan.fetch)
            except (TransientError, Throttled):
                if attempt == titan10.settings.retries.steps:
                    raise
            else:
                break
        for symbol, error in fetch.failed.items():
            self._tell(f"    {symbol}: {error}")
        landed = [slice_ for slice_ in (*plan.fetch, *plan.landed) if slice_ not in fetch.skipped]
        absent = absent_files(titan10, landed)
        if absent:
            raise AssertionError(f"{run}: nothing landed of {absent}")
        if self._killing is not None:
            raise Killed
        with self._database_away(away):
            report = store_slices(titan10, read_days(titan10, slices).unstored())
        self.record.counts["rows settled"] += report.inserted
        self.record.counts["rows restated"] += report.restated

    def _landed(self, _: FetchedSlice) -> None:
        if self._killing is not None:
            self._killing -= 1
            if self._killing <= 0:
                raise Killed

    # -- what happens

    def _prepare(self) -> None:
        """What is true of the exchanges from the beginning on."""
        for outage in self.story.of(Outage):
            self._fault(outage, "absent", time=_floor(outage.span.start), until=_floor(outage.span.end))
        for late in self.story.of(Late):
            self._fault(late, "absent", symbol=late.symbol, time=late.hidden.start, until=late.hidden.end)
        for broken in self.story.of(Broken):
            rows = self.rows(broken.exchange or "", broken.symbol, broken.minute, broken.minute + MINUTE)
            if len(rows) and rows[0, 2] > rows[0, 3]:
                _, opened, high, low, close, volume = rows[0].tolist()
                self._restate(broken, broken.symbol, broken.minute, [opened, low, high, close, volume])
                self._healthy = {**getattr(self, "_healthy", {}), broken: rows[0, 1:].tolist()}
                self.record.broken.append(broken)

    def _let_happen(self, at: datetime) -> None:
        self.sandbox.clear_faults()
        raging = [event for event in self.story.events if event.span.holds(at)]
        for event in sorted(raging, key=lambda event: not isinstance(event, Ban)):  # who is banned hears nothing else
            self._rage(event, at)
        for event in self.story.events:
            if event not in self._happened and self._changes(event, at):
                self._happened.add(event)

    def _rage(self, event: Event, at: datetime) -> None:
        """What an exchange does while the event lasts."""
        if isinstance(event, Storm):
            options = {"probability": event.probability, "seed": self.story.seed, **FAULT_OPTIONS.get(event.kind, {})}
            self._fault(event, event.kind, **options)
        elif isinstance(event, Ban):
            self._fault(event, "http_418", path="any", retry_after=int((event.span.end - at).total_seconds()) + 1)
        elif isinstance(event, Outage) and not event.answers:
            self._fault(event, "outage")
        else:
            return
        self.record.disturbed[event.exchange or ""].append(at)

    def _changes(self, event: Event, at: datetime) -> bool:
        """Whether the exchange's candles change at last because of the event: once."""
        if isinstance(event, Restated) and at >= event.span.start:
            self._rewrite(event, at)
        elif isinstance(event, Broken) and event in self.record.broken and at >= event.span.end:
            self._restate(event, event.symbol, event.minute, self._healthy[event])
        elif isinstance(event, Late) and at >= event.span.end:
            self._fault(
                event, "absent", symbol=event.symbol, time=event.hidden.start, until=event.hidden.end, back=True
            )
        else:
            return False
        self._tell(f"  {event}")
        return True

    def _rewrite(self, event: Restated, at: datetime) -> None:
        exchange = event.exchange or ""
        before = self.rows(exchange, event.symbol, event.minute, event.minute + MINUTE)
        if not len(before):
            return
        self._restate(event, event.symbol, event.minute, None)
        after = self.rows(exchange, event.symbol, event.minute, event.minute + MINUTE)
        series = Series(exchange, event.symbol, ONE_MINUTE)
        stored = self.stored(series, event.minute, event.minute + MINUTE)
        self.record.rewrites.append(
            Rewrite(
                at,
                exchange,
                event.symbol,
                event.minute,
                tuple(before[0, 1:].tolist()),
                tuple(after[0, 1:].tolist()),
                tuple(stored[0, 1:].tolist()) if len(stored) else None,
            )
        )

    def _restate(self, event: Event, symbol: str, minute: datetime, values: Sequence[float] | None) -> None:
        self._fault(event, "restate", symbol=symbol, time=to_ms(minute), values=values)

    def _fault(self, event: Event, kind: str, **options: Any) -> None:
        self.sandbox.fault(event.exchange or "", kind, **options)

    def _storms(self, exchange: str, at: datetime) -> list[Storm]:
        return [one for one in self.story.of(Storm) if one.exchange == exchange and one.span.holds(at)]

    def _next(self, kind: type[Any], at: datetime, fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """An event that waits for the next occasion, once."""
        for event in self.story.of(kind):
            if event not in self._happened and event.span.holds(at) and fits(event):
                self._happened.add(event)
                self._tell(f"  {event}")
                return event
        return None

    # -- around it

    @contextmanager
    def _watched(self, at: datetime, what: str, exchanges: Sequence[str]) -> Iterator[None]:
        """Nothing may be asked of an exchange whose breaker is open, nor of one that has told us of its ban before."""
        self._tell(f"{at:%d. %H:%M:%S} {what}")
        shut = {name for name in exchanges if self._is_shut(name, at)}
        before = {name: self.sandbox.sites[name].journal.next for name in exchanges}
        yield
        bans = {one.exchange: one for one in self.story.of(Ban) if one.span.holds(at)}
        for name in exchanges:
            asked = self.sandbox.requests(name, before[name])
            if asked and (name in shut or bans.get(name) in self._happened):
                why = "whose breaker is open" if name in shut else "which has banned us"
                self.record.complaints.append(f"{at}: {what} made {len(asked)} requests of {name}, {why}")
            if name in bans and any(entry["status"] == 418 for entry in asked):
                self._happened.add(bans[name])

    def _is_shut(self, exchange: str, at: datetime) -> bool:
        """Whether it is for a while: within a step, microseconds go by."""
        return may_request(health_of(self.titan10, exchange), at + timedelta(seconds=1)).permit is Permit.REFUSED

    @contextmanager
    def _database_away(self, event: DatabaseAway | None) -> Iterator[None]:
        if event is None:
            yield
            return
        let_in(self.url, False)
        timer = Timer(event.seconds, let_in, [self.url, True])
        timer.start()
        try:
            yield
        finally:
            timer.join()

    def _opened(self, at: datetime) -> IngestContext:
        settings = Settings.model_construct(
            data=self._folder,
            database=DatabaseSettings(),
            checks=CheckSettings(),
            retries=RetrySettings(steps=1, seconds=0.1),
            live=LiveSettings(enabled=True),
            alerts=AlertSettings(urls=(SecretStr("json://127.0.0.1/somebody"),)),
            exchanges={
                name: ExchangeSettings(
                    symbols=symbols, start=START.date(), base_url=self.sandbox.url(name), paced=False
                )
                for name, symbols in self.story.symbols.items()
            },
        )
        return IngestContext(
            settings,
            Database(self.url),
            LandingZone(settings.landing),
            now=_ticking(at),
            on_landed=self._landed,
            retry_limits=HASTE,
        )


def _ticking(start: datetime) -> Callable[[], datetime]:
    """A clock that never tells the same time twice, as none does."""
    ticks = itertools.count()
    return lambda: start + timedelta(microseconds=next(ticks))


def _floor(instant: datetime) -> datetime:
    return instant.replace(second=0, microsecond=0)
