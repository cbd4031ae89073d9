"""An ingest context between a sandbox and a real database, and Dagster runs over it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from titan10_dagster.candles.slices import Series, midnight
from titan10_dagster.dagster_internals.database import dagster_url, ensure_dagster_schema
from titan10_dagster.defs.launch import Backfill, backfill
from titan10_dagster.exchanges.retries import RetryLimits
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.settings import CheckSettings, DatabaseSettings, ExchangeSettings, RetrySettings, Settings
from titan10_dagster.store import reader
from titan10_dagster.store.database import Database
from titan10_dagster_tests import stock_dagster
from titan10_dagster_tests.tables import as_table

NOW = datetime(2024, 3, 10, 12, 0, 30, tzinfo=UTC)
START = date(2024, 1, 1)
DAY = timedelta(days=1)
HASTE = RetryLimits(wait=lambda _: 0.01)


@dataclass
class World:
    """A sandbox, an ingest context for it, and an instance of Dagster."""

    sandbox: Sandbox
    titan10: IngestContext
    instance: dg.DagsterInstance

    def backfill(
        self,
        exchange: str,
        first: date,
        last: date | None = None,
        *,
        symbols: Sequence[str] | None = None,
        refresh: bool = False,
    ) -> Backfill:
        return backfill(
            self.titan10, exchange, first, last or first, symbols=symbols, refresh=refresh, instance=self.instance
        )

    def stored(self, exchange: str, symbol: str, first: date, last: date) -> np.ndarray:
        """Return the stored candles in the form of the sandbox: (n, 6) float64, with times in milliseconds."""
        series = Series(exchange, symbol, self.titan10.exchange(exchange).timeframe)
        return as_table(reader.candles(self.titan10.database, series, midnight(first), midnight(last + DAY)))

    def truth(self, exchange: str, symbol: str, first: date, last: date) -> np.ndarray:
        timeframe = self.titan10.exchange(exchange).timeframe.name
        return self.sandbox.truth(exchange, symbol, midnight(first), midnight(last + DAY), timeframe)

    def candle_requests(self, exchange: str) -> list[dict[str, Any]]:
        return [entry for entry in self.sandbox.requests(exchange) if entry["timeframe"]]

    def equals_truth(self, exchange: str, first: date, last: date) -> bool:
        return all(
            np.array_equal(self.stored(exchange, symbol, first, last), self.truth(exchange, symbol, first, last))
            for symbol in self.titan10.exchange(exchange).symbols
        )


def ticking(start: datetime) -> Callable[[], datetime]:
    """Return a clock that advances by a microsecond per call.

    Like a real clock, it never returns the same time twice.
    """
    ticks = itertools.count()
    return lambda: start + timedelta(microseconds=next(ticks))


MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(database_url: str, tmp_path: Path) -> Iterator[MakeWorld]:
    """A function that returns a `World`.

    `settings` replace settings of an exchange. Other keywords are options of the sandbox.
    """
    with ExitStack() as stack:

        def make(
            symbols: Mapping[str, Sequence[str]],
            *,
            settings: Mapping[str, Mapping[str, Any]] | None = None,
            **options: Any,
        ) -> World:
            sandbox = stack.enter_context(Sandbox(list(symbols), **{"clock": NOW, "enforce_limits": False, **options}))
            exchanges = {
                name: ExchangeSettings(
                    **{
                        "symbols": tuple(configured),
                        "start": START,
                        "base_url": sandbox.url(name),
                        "paced": False,
                        **(settings or {}).get(name, {}),
                    }
                )
                for name, configured in symbols.items()
            }
            configured = Settings.model_construct(
                data=tmp_path,
                database=DatabaseSettings(),
                checks=CheckSettings(),
                retries=RetrySettings(steps=1, seconds=0.1),
                exchanges=exchanges,
            )
            database = Database(database_url)
            stack.callback(database.close)
            titan10 = IngestContext(
                configured, database, LandingZone(configured.landing), now=ticking(NOW), retry_limits=HASTE
            )
            return World(sandbox, titan10, stack.enter_context(_instance(database_url, tmp_path)))

        yield make


def _instance(database_url: str, folder: Path) -> AbstractContextManager[dg.DagsterInstance]:
    """Return an instance in memory. If the tests run with Dagster's own classes, the instance is on PostgreSQL."""
    if not stock_dagster.WANTED:
        return dg.DagsterInstance.ephemeral(tempdir=str(folder))
    ensure_dagster_schema(database_url)
    storage = {"postgres": {"postgres_url": dagster_url(database_url)}}
    return dg.instance_for_test(temp_dir=str(folder), overrides={"storage": storage})
