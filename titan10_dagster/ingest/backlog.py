"""Reads from the ledger which data is missing.

Missing data are: slices that are not settled, gaps without a final reason, days without a ledger row, and days that
REST no longer serves but the exchange's archive possibly has. This module also returns the settled slices that will be
checked again for late candles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta

from titan10_dagster.candles.slices import Series, Slice, SliceState
from titan10_dagster.ingest.archive import reopening_rules
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.former_markets import begin_of_markets
from titan10_dagster.ingest.markets import listed_by_exchange
from titan10_dagster.planning.later_checks import CheckedLater, checked_together
from titan10_dagster.planning.missing_days import Missing, MissingDays, missing_days
from titan10_dagster.planning.repairs import OpenSlice
from titan10_dagster.store import ledger
from titan10_dagster.store.reopened import reopened_days


def listed_series(titan10: IngestContext, exchanges: Iterable[str]) -> dict[Series, date]:
    """Return the configured series that the exchanges list, each with the first day to fetch.

    Symbols that the exchange does not list are left out, because their repairs would fail every day.
    """
    starts = {}
    for name, symbols in listed_by_exchange(titan10, exchanges).items():
        exchange = titan10.exchange(name)
        for symbol in symbols:
            starts[Series(name, symbol, exchange.timeframe)] = exchange.start
    return starts


def open_slices(titan10: IngestContext) -> list[OpenSlice]:
    """Return the slices up to yesterday that are not settled, or that have missing candles without a final reason.

    Repairs are planned from these slices. Exception: a settled slice is left out if the symbol belonged to another
    market on the day, and all candles without a final reason are in quarantine. A request for these candles would
    return candles of the current market.
    """
    starts = listed_series(titan10, titan10.settings.enabled)
    begins = begin_of_markets(titan10, starts)
    found = []
    for open_slice in ledger.open_slices(titan10.database, starts, titan10.now().date()):
        is_final = open_slice.state == SliceState.SETTLED and open_slice.unexplained_seen is None
        if not (is_final and _is_former(open_slice.slice, begins)):
            found.append(open_slice)
    return found


def slices_to_check_later(titan10: IngestContext, exchanges: Iterable[str] | None = None) -> list[CheckedLater]:
    """Return the slices that will be checked again for late candles.

    Days before the start of the exchange are left out, and days on which the symbol belonged to another market.

    `exchanges`: None for all enabled exchanges.
    """
    series = listed_series(titan10, titan10.settings.enabled if exchanges is None else exchanges)
    begins = begin_of_markets(titan10, series)
    found = ledger.slices_to_check_later(titan10.database, list(series), titan10.now().date())
    wanted = []
    for checked in found:
        # A run fetches no day before the start, so such a day would be requested again and again.
        is_requested = checked.slice.day >= series[checked.slice.series]
        if is_requested and not _is_former(checked.slice, begins):
            wanted.append(checked)
    return checked_together(wanted)


def _is_former(slice_: Slice, begins: Mapping[Series, datetime]) -> bool:
    """Return whether the symbol belonged to another market on the slice's day."""
    begin = begins.get(slice_.series)
    return begin is not None and slice_.start < begin


def reopened_by_archives(titan10: IngestContext) -> list[MissingDays]:
    """Return the days that became `beyond_horizon`, but that a source in the settings possibly has.

    REST no longer serves these days, and the exchange's archive should be tried. Or the archive was the only source,
    and REST was added to the settings, or has replaced the archive.

    Days on which the symbol belonged to another market are left out. Such days are not read from any source, so that
    candles of two markets never mix.
    """
    found: list[MissingDays] = []
    for name in titan10.settings.enabled:
        starts = listed_series(titan10, [name])
        for series, begin in begin_of_markets(titan10, starts).items():
            starts[series] = max(starts[series], begin.date())
        for first_day, tried in reopening_rules(titan10, name) if starts else []:
            firsts = {series: max(start, first_day) for series, start in starts.items()}
            found += reopened_days(titan10.database, firsts, tried)
    return found


def days_without_row(titan10: IngestContext) -> Missing:
    """Return the days without a ledger row, from the start of each exchange to yesterday."""
    today, enabled = titan10.now().date(), titan10.settings.enabled
    known = ledger.known_days(titan10.database, list(listed_series(titan10, enabled)), today)
    starts = {name: titan10.exchange(name).start for name in enabled}
    return missing_days(known, starts, today - timedelta(days=1))
