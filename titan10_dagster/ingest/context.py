"""The settings, database, landing zone and clock that all functions of the package `ingest` use.

The context makes no decisions. It is the first argument of most functions in the other modules. The main modules:

| module      | what it does                                                             |
|-------------|--------------------------------------------------------------------------|
| days        | read the ledger rows and the landing zone's records of a run's slices    |
| judge       | check landed slices against the candle rules, and cache the results      |
| markets     | read the market list and find the configured symbols in the list         |
| clients     | open a client of an exchange, with its breaker and its pace              |
| sources     | fetch each slice from the sources of candles that the settings list      |
| forecast    | estimate the cost of a fetch before any request                          |
| fetch       | plan which slices to fetch, and write them into the landing zone         |
| store       | write landed slices to the database                                      |
| inspection  | read the data that the asset checks need                                 |
| backlog     | list missing data, such as days without a ledger row                     |
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
    """Return the current time (aware, UTC)."""
    return datetime.now(UTC)


def ignore(_: object) -> None:
    """Do nothing. This is the default of `IngestContext.on_landed`, `on_file` and `on_spent`."""


@dataclass(frozen=True)
class IngestContext:
    """The settings, the database, the landing zone, the clock, and callbacks for progress.

    now: returns the current time (aware, UTC).
    on_landed: called with each slice after it was written into the landing zone. Several threads call it, but never at
        the same time.
    on_file: called for each archive file with its number of bytes, or with 0 if the file came from the cache.
    on_spent: called after each fetch with the cost of each source.
    retry_limits: how often, and after which pauses, a failed request is repeated.
    has_own_sources: whether the sources of an exchange come from the config of a run, and not from the settings.
    """

    settings: Settings
    database: Database
    landing: LandingZone
    now: Callable[[], datetime] = utc_now
    on_landed: Callable[[FetchedSlice], None] = ignore
    on_file: Callable[[int], None] = ignore
    on_spent: Callable[[Costs], None] = ignore
    retry_limits: RetryLimits = field(default_factory=RetryLimits)
    has_own_sources: bool = False

    @cached_property
    def judged(self) -> JudgedFiles:
        """The landed files that this process has read or written, with the results of the candle rules."""
        return JudgedFiles(self.landing)

    def land(self, fetched: FetchedSlice) -> None:
        """Write a slice into the landing zone, and check it against the candle rules.

        Several threads can call this at the same time.
        """
        self.judged.add(self.landing.write(fetched))

    def exchange(self, name: str) -> ExchangeSettings:
        """Return the settings of the exchange.

        If `timescaledb.retention_days` is set, `start` is not earlier than the first day that is kept. Days before
        `start` are never requested.
        """
        settings, kept_from = self.settings.exchanges[name], self.kept_from
        if kept_from is None or settings.start >= kept_from:
            return settings
        return settings.model_copy(update={"start": kept_from})

    @property
    def kept_from(self) -> date | None:
        """The first day for which candles are kept, or None if candles are kept forever."""
        days = self.settings.timescaledb.retention_days
        return None if days is None else self.now().date() - timedelta(days=days)

    def with_sources(self, exchange: str, sources: Sequence[str]) -> IngestContext:
        """Return a context that reads the exchange's candles from the given sources, in the given order.

        Raises:
            SettingsError: the list is empty, a name is not a source, or the list contains the archive and Titan-10
                cannot read an archive of this exchange.
        """
        if not sources:
            raise SettingsError("sources: the list is empty. Add rest or archive, or remove the list.")
        try:
            check_sources(sources)
            if "archive" in sources:
                check_archive(exchange)
        except ValueError as error:
            raise SettingsError(f"sources: {error}") from None
        changed = self.settings.exchanges[exchange].model_copy(update={"sources": tuple(sources)})
        exchanges = {**self.settings.exchanges, exchange: changed}
        settings = self.settings.model_copy(update={"exchanges": exchanges})
        context = replace(self, settings=settings, has_own_sources=True)
        vars(context)["judged"] = self.judged  # the new context shares the verdicts, so no file is checked twice
        return context

    def slices(self, exchange: str, days: Iterable[date], symbols: Iterable[str] | None = None) -> list[Slice]:
        """Return the slices of the given days, series after series. `symbols`: None for the configured symbols."""
        configured = self.exchange(exchange)
        wanted = configured.symbols if symbols is None else tuple(symbols)
        ordered = sorted(days)
        slices = []
        for symbol in wanted:
            series = Series(exchange, symbol, configured.timeframe)
            slices += [Slice(series, day) for day in ordered]
        return slices


NO_DATABASE = (
    "database.url: no database is set; start `titan10 up`, which runs its own database, or set TITAN10_DATABASE__URL."
)


class NoDatabase(Database):
    """A placeholder for the database if no database is set. Any use raises SettingsError."""

    @property
    def _url(self) -> str:
        raise SettingsError(NO_DATABASE)

    @_url.setter
    def _url(self, url: str) -> None:
        """Ignore the URL that the constructor of `Database` assigns. This placeholder has no URL."""


def open_context(settings: Settings, *, needs_database: bool = True) -> IngestContext:
    """Return the context for the given settings. The first use of the database opens the connection.

    needs_database: whether to raise an error now if no database is set. If this is False, the error is raised when the
        database is used for the first time. Therefore Dagster's tools can load and list the definitions without a
        database.

    Raises:
        SettingsError: no database is set, and `titan10 up` does not run the embedded database.
    """
    landing = LandingZone(settings.landing)
    if settings.database.url is None:
        if needs_database:
            raise SettingsError(NO_DATABASE)
        return IngestContext(settings, NoDatabase(""), landing)
    database = Database(settings.database.url.get_secret_value(), max_connections=settings.database.max_connections)
    return IngestContext(settings, database, landing)
