"""A week of Titan-10 is simulated within minutes: the real pipeline on the sandbox's exchanges, with a clock that
jumps.

Dagster itself is left out, because starting a run takes longer than a simulated hour. The same functions as in its
schedules and sensors make the decisions here. A run does the work of the assets `candles` and `ohlcv`, one after the
other. This module keeps Dagster's knowledge about runs: which runs were requested, and which runs lost their process.
After a kill, only the database and the landing zone remain.
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
from titan10_dagster.candles.slices import days, midnight
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.defs.repairs import plan_after
from titan10_dagster.defs.requests import REMEMBERED
from titan10_dagster.errors import Blocked, FetchError, Throttled, TransientError
from titan10_dagster.exchanges.retries import RetryLimits
from titan10_dagster.ingest.clients import healths_of
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
from titan10_dagster.settings import (
    AlertSettings,
    CheckSettings,
    DatabaseSettings,
    ExchangeSettings,
    LiveSettings,
    RetrySettings,
    Settings,
)
from titan10_dagster.store.database import Database
from titan10_dagster_tests.simulation.away import let_in
from titan10_dagster_tests.simulation.events import Ban, DatabaseAway, Event, Kill, WrongClock
from titan10_dagster_tests.simulation.grid import Floats
from titan10_dagster_tests.simulation.growth import FORGETFUL
from titan10_dagster_tests.simulation.record import Poll, Record, Run, SentAlert
from titan10_dagster_tests.simulation.requests import days_requested
from titan10_dagster_tests.simulation.story import DISGUISES, Story
from titan10_dagster_tests.simulation.tables import Key, read_candles, read_open_slices
from titan10_dagster_tests.simulation.world import Report, World

HASTE = RetryLimits(attempts=3, throttled=4, wait=lambda _: 0.0)

_MOST_TICKS = 5  # the maximum number of ticks of the repair sensor in a step of the tail
_MOST_POLLS = 10  # the polls of a step; five pages of the smallest size are a day


class Killed(BaseException):
    """The process of a run was killed. This is a BaseException, so that the pipeline cannot catch it."""


class Week:
    """The simulation of a story. Call `live`, then read `record`."""

    def __init__(self, story: Story, database_url: str, folder: Path, report: Report = lambda _: None) -> None:
        self.story, self.record, self.url = story, Record(), database_url
        self._folder, self._report = folder, report
        self.world = World(story, self.record, self.stored, report)
        self._stack = ExitStack()
        self._attempts: list[Attempt] = []
        self._lost: list[Run] = []
        self._happened: set[Event] = set()
        self._killing: int | None = None
        self._was_blocked = False  # whether the last run was not allowed to make requests
        self._was = story.start

    def __enter__(self) -> Week:
        self.sandbox = self._stack.enter_context(self.world.sandbox)
        self.titan10 = self._opened()
        self.world.prepare()
        return self

    def __exit__(self, *error: object) -> None:
        self.titan10.database.close()
        self._stack.close()

    def live(self) -> Record:
        """Execute all steps of the story."""
        for at in self.story.steps:
            self._step(at)
        self.record.counts["requests"] = sum(len(self.sandbox.requests(name)) for name in self.story.exchanges)
        return self.record

    def stored(self, key: Key, start: datetime, end: datetime) -> Floats:
        """Return the stored candles of a series in [start, end)."""
        return read_candles(self.url, key, self.story.timeframe, start, end)

    def rows(self, key: Key, start: datetime, end: datetime) -> Floats:
        """Return the candles that the exchange has now."""
        return self.world.rows(key, start, end)

    # -- a step

    def _step(self, at: datetime) -> None:
        self.record.steps.append(at)
        self._go_to(at)
        self.world.let_happen(at)
        if self.story.live and at <= self.story.quiet_end:
            self._poll_to_now(at)
        lost, self._lost = self._lost, []
        for run in lost:
            self._run(run, at)
        ours = self.titan10.now()
        for due in self.story.settlements_between(self._was, ours):
            for name in self.story.exchanges:
                self._read_markets(name, at)
                self._run(Run(name, ((due - timedelta(days=1)).date(),), None, repair=False), at)
        self._repair_to_now(at)
        update_alerts(self.titan10, self.titan10.now(), deliver=self._deliver)
        self._observe_open_slices(at)
        self._was = max(self._was, ours)

    def _go_to(self, at: datetime) -> None:
        self._now = at
        self.world.go_to(at)
        object.__setattr__(self.titan10, "now", self._clock(at))

    def _clock(self, at: datetime) -> Callable[[], datetime]:
        """Return this machine's clock, which never shows the same time twice.

        Usually each reading is a microsecond later. In the last seconds of a day it is 20 ms later, and the exchanges'
        clock moves too, so that midnight passes during a step.
        """
        ahead = self._ahead(at)
        ticks = itertools.count()
        if at + timedelta(seconds=2) < midnight(at.date()) + timedelta(days=1):
            return lambda: at + ahead + timedelta(microseconds=next(ticks))

        def slowly() -> datetime:
            now = at + timedelta(milliseconds=20 * next(ticks))
            self.world.go_to(now)
            return now + ahead

        return slowly

    def _ahead(self, at: datetime) -> timedelta:
        return sum((event.ahead for event in self.story.of(WrongClock) if event.span.holds(at)), timedelta())

    def _poll_to_now(self, at: datetime) -> None:
        """Poll until no exchange is behind, like the polls of the next minutes. Each poll fetches a page."""
        behind: Sequence[str] = self.story.exchanges
        for _ in range(_MOST_POLLS):
            if behind:
                behind = self._poll(at, behind)

    def _poll(self, at: datetime, exchanges: Sequence[str]) -> list[str]:
        """Poll the exchanges, and return the exchanges that are still behind."""
        away = self._next(DatabaseAway, at, lambda event: not event.run)
        with self._watched(at, f"poll {', '.join(exchanges)}", exchanges), self._database_away(away):
            reports = poll_exchanges(self.titan10, exchanges)
        for report in reports:
            self.record.counts["rows live"] += report.inserted
            if report.error or report.failed:
                self._report(f"    {report.exchange}: {report.error or report.failed}")
            self.record.polls.append(self._polled(report, at))
            if away is not None:
                self.record.disturbed[report.exchange].append(at)
        return [report.exchange for report in reports if report.lag is not None and report.lag > 2 * self.story.step]

    def _polled(self, report: LiveReport, at: datetime) -> Poll:
        answered = set(self.story.symbols[report.exchange]) - {*report.failed, *report.postponed}
        storms = self.world.storms(report.exchange, at)
        # An exchange that always returns its newest rows then leaves out the older rows.
        is_short = report.exchange in FORGETFUL and any(storm.kind == "page_third" for storm in storms)
        spoiled = is_short or any(storm.kind not in DISGUISES for storm in storms)
        return Poll(at, report.exchange, frozenset() if report.error else frozenset(answered), spoiled, self._ahead(at))

    def _read_markets(self, exchange: str, at: datetime) -> None:
        with self._watched(at, f"markets of {exchange}", [exchange]):
            try:
                refresh_markets(self.titan10, exchange)
            except FetchError as error:
                self._report(f"    {error}")
            else:
                self.record.markets_read[exchange].append(at)

    def _repair_to_now(self, at: datetime) -> None:
        """Start the repairs that are due now.

        A tick of the repair sensor starts at most two runs of an exchange. In the tail the next step comes days later.
        Therefore the ticks of the next minutes are made too, until no repair is due.
        """
        for _ in range(_MOST_TICKS if at > self.story.quiet_end else 1):
            if not self._repair(at):
                return

    def _repair(self, at: datetime) -> bool:
        """Make one tick of the repair sensor. Return whether it started a run."""
        self._attempts = [attempt for attempt in self._attempts if attempt.at >= at - REMEMBERED]
        plan = plan_after(self.titan10, self._attempts, {run.exchange for run in self._lost})
        for repair in plan.repairs:
            run = Run(repair.exchange, tuple(days(repair.first, repair.last)), repair.symbols, repair=True)
            succeeded = self._run(run, at)
            if self._was_blocked:
                continue
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
        return bool(plan.repairs)

    def _deliver(self, outgoing: Mapping[str, Sequence[Notification]]) -> Iterator[tuple[str, Notification]]:
        """Record every notification, and report it as delivered."""
        kinds = {title: kind for kind, title in TITLES.items()}
        for url, notifications in outgoing.items():
            for notification in notifications:
                self._report(f"    ! {notification.title}")
                _, exchange, title, *over = notification.title.split(": ")
                self.record.notifications.append(SentAlert(self._now, exchange, kinds[title], begins=not over))
                yield url, notification

    # -- a run

    def _run(self, run: Run, at: datetime) -> bool:
        """Execute the two assets, with the retries of a step and without pauses. Return whether both succeeded."""
        self.record.counts["runs"] += 1
        kill = self._next(Kill, at)
        self._killing = None if kill is None else kill.landings
        self._was_blocked = False
        with self._watched(at, str(run), [run.exchange]), self._counted(run, at):
            try:
                self._fetch_and_store(run, self._next(DatabaseAway, at, lambda event: event.run))
            except FetchError as error:
                self._was_blocked = isinstance(error, Blocked)
                self._report(f"    failed: {error}")
            except Killed:
                self._report("    killed")
                self.record.counts["kills"] += 1
                self._lost.append(run)
                self.titan10.database.close()
                self.titan10 = self._opened()
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
            self._report(f"    {symbol}: {error}")
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

    def _next(self, kind: type[Any], at: datetime, fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """Return the first event of the kind that has not happened yet and may happen now."""
        for event in self.story.of(kind):
            if event not in self._happened and event.span.holds(at) and fits(event):
                self._happened.add(event)
                self._report(f"  {event}")
                return event
        return None

    # -- around it

    @contextmanager
    def _watched(self, at: datetime, what: str, exchanges: Sequence[str]) -> Iterator[None]:
        """Record a broken rule for each request to an exchange with an open breaker or with an announced ban."""
        self._report(f"{at:%d. %H:%M:%S} {what}")
        blocked = self._blocked(exchanges)
        before = {name: self.sandbox.sites[name].journal.next for name in exchanges}
        yield
        bans = {ban.exchange: ban for ban in self.story.of(Ban) if ban.span.holds(at)}
        for name in exchanges:
            requests = self.sandbox.requests(name, before[name])
            if requests and (name in blocked or bans.get(name) in self._happened):
                why = "whose breaker is open" if name in blocked else "which has banned us"
                self.record.complaints.append(f"{at}: {what} made {len(requests)} requests to {name}, {why}")
            if name in bans and any(entry["status"] == 418 for entry in requests):
                self._happened.add(bans[name])
                self.record.banned_at.setdefault(bans[name], at)

    @contextmanager
    def _counted(self, run: Run, at: datetime) -> Iterator[None]:
        """Count the requests of a run by slice."""
        before = self.sandbox.sites[run.exchange].journal.next
        yield
        for entry in self.sandbox.requests(run.exchange, before):
            for day in days_requested(entry, self.story.timeframe, self.story.step, run.days):
                key = (run.exchange, entry["symbol"], day)
                self.record.requests[key] += 1
                self.record.requested_last[key] = at

    def _observe_open_slices(self, at: datetime) -> None:
        for key in read_open_slices(self.url):
            self.record.open_until[key] = at

    def _blocked(self, exchanges: Sequence[str]) -> set[str]:
        """Return the exchanges with a breaker that refuses requests for longer than a step lasts."""
        soon = self.titan10.now() + timedelta(seconds=1)
        healths = healths_of(self.titan10)
        return {name for name in exchanges if may_request(healths[name], soon).permit is Permit.REFUSED}

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

    def _opened(self) -> IngestContext:
        settings = Settings.model_construct(
            data=self._folder,
            database=DatabaseSettings(),
            checks=CheckSettings(),
            retries=RetrySettings(steps=1, seconds=0.1),
            live=LiveSettings(enabled=self.story.live),
            alerts=AlertSettings(urls=(SecretStr("json://127.0.0.1/somebody"),)),
            exchanges={
                name: ExchangeSettings(
                    symbols=symbols,
                    start=self.story.start.date(),
                    timeframe=TIMEFRAMES[self.story.timeframe],
                    base_url=self.sandbox.url(name),
                    paced=False,
                )
                for name, symbols in self.story.symbols.items()
            },
        )
        return IngestContext(
            settings,
            Database(self.url),
            LandingZone(settings.landing),
            now=self._clock(self.story.steps[0] if not self.record.steps else self.record.steps[-1]),
            on_landed=self._landed,
            retry_limits=HASTE,
        )
