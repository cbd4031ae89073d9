"""The context of all use cases of ingestion: settings, database, landing zone and clock.

The context makes no decisions. The functions in the other modules take it as their first argument:

| module      | what it does                                                             |
|-------------|--------------------------------------------------------------------------|
| days        | read the entries of ledger and landing zone for the days of a run        |
| judge       | check each landed slice against the candle rules, only once              |
| markets     | read the market list and find the configured symbols in it               |
| clients     | open a client of an exchange, with its breaker and its pace              |
| sources     | choose the source of each slice, and fetch the slice from it             |
| forecast    | estimate the cost of a fetch before any request                          |
| fetch       | plan what to fetch and bring it into the landing zone                    |
| store       | write landed slices to the database                                      |
| inspection  | read what the asset checks need                                          |
| backlog     | list what is still missing: open slices and days without a ledger row    |
| maintenance | refresh rollups, apply policies, drop old candles                        |
| live        | poll the newest candles                                                  |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from titan10_dagster.candles.fetched import FetchedSlice
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.errors import SettingsError
from titan10_dagster.exchanges.retries import RetryLimits
from titan10_dagster.ingest.judge import JudgedFiles
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.planning.forecast import Costs
from titan10_dagster.settings import ExchangeSettings, Settings
from titan10_dagster.settings_values import check_archive, check_sources
from titan10_dagster.store.database import Database


def utc_now() -> datetime:
    """Return the time, aware, UTC."""
    return datetime.now(UTC)


def ignore(_: object) -> None:
    """Do nothing: the default of `IngestContext.on_landed`, `on_file` and `on_spent`."""


@dataclass(frozen=True)
class IngestContext:
    """Settings, database, landing zone and clock.

    `now` returns the time, aware, UTC. `on_landed` is called with each slice after it is in the landing zone: from
    several threads, but never by two at the same time. `on_file` is called with the bytes of each archive file that was
    downloaded, 0 for one from the cache. `on_spent` is called after a fetch with the cost of its sources.
    `retry_limits` says how often, and after which pauses, a failed page is requested again.
    """

    settings: Settings
    database: Database
    landing: LandingZone
    now: Callable[[], datetime] = utc_now
    on_landed: Callable[[FetchedSlice], None] = ignore
    on_file: Callable[[int], None] = ignore
    on_spent: Callable[[Costs], None] = ignore
    retry_limits: RetryLimits = field(default_factory=RetryLimits)

    @cached_property
    def judged(self) -> JudgedFiles:
        """The landed files that this process has read or written. Each file is judged once."""
        return JudgedFiles(self.landing)

    def land(self, fetched: FetchedSlice) -> None:
        """Write a slice into the landing zone, and judge it. Threads may call this at the same time."""
        self.judged.add(self.landing.write(fetched))

    def exchange(self, name: str) -> ExchangeSettings:
        """Return the settings of the exchange.

        Its start is moved up to the first day whose candles are kept, because older days are never requested.
        """
        settings, kept_from = self.settings.exchanges[name], self.kept_from
        if kept_from is None or settings.start >= kept_from:
            return settings
        return settings.model_copy(update={"start": kept_from})

    @property
    def kept_from(self) -> date | None:
        """The first day whose candles are kept; None if candles are kept forever."""
        days = self.settings.timescaledb.retention_days
        return None if days is None else self.now().date() - timedelta(days=days)

    def with_sources(self, exchange: str, sources: Sequence[str]) -> IngestContext:
        """Return a context that takes the exchange's candles from these sources, in this order.

        Raises:
            SettingsError: the list is empty, a name is not a source, or Titan-10 reads no archive of the exchange.
        """
        if not sources:
            raise SettingsError("sources: the list is empty; name rest or archive, or leave it out.")
        try:
            check_sources(sources)
            if "archive" in sources:
                check_archive(exchange)
        except ValueError as error:
            raise SettingsError(f"sources: {error}") from None
        changed = self.settings.exchanges[exchange].model_copy(update={"sources": tuple(sources)})
        exchanges = {**self.settings.exchanges, exchange: changed}
        context = replace(self, settings=self.settings.model_copy(update={"exchanges": exchanges}))
        vars(context)["judged"] = self.judged  # files are judged once
        return context

    def slices(self, exchange: str, days: Iterable[date], symbols: Iterable[str] | None = None) -> list[Slice]:
        """Return the slices of the days, series after series; `symbols` default to the configured ones."""
        configured = self.exchange(exchange)
        wanted = configured.symbols if symbols is None else tuple(symbols)
        ordered = sorted(days)
        slices = []
        for symbol in wanted:
            series = Series(exchange, symbol, configured.timeframe)
            slices += [Slice(series, day) for day in ordered]
        return slices


NO_DATABASE = (
    "database.url: no database is set; start `titan10 up`, which brings its own, or set TITAN10_DATABASE__URL."
)


class NoDatabase(Database):
    """The database of a process without a known database. Any use raises SettingsError."""

    @property
    def _url(self) -> str:
        raise SettingsError(NO_DATABASE)

    @_url.setter
    def _url(self, url: str) -> None:
        """Ignore the attributes that `Database` assigns."""


def open_context(settings: Settings, *, needs_database: bool = True) -> IngestContext:
    """Return the context of `settings`; the database is connected when it is first used.

    With `needs_database` False the missing database is reported at its first use, so that Dagster's tools can load and
    list the definitions without one.

    Raises:
        SettingsError: no database is known, because none is set and `titan10 up` does not run the embedded one.
    """
    landing = LandingZone(settings.landing)
    if settings.database.url is None:
        if needs_database:
            raise SettingsError(NO_DATABASE)
        return IngestContext(settings, NoDatabase(""), landing)
    database = Database(settings.database.url.get_secret_value(), max_connections=settings.database.max_connections)
    return IngestContext(settings, database, landing)
