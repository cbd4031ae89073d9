"""Functions that read candles and rollups as pandas or Arrow, and the reasons of missing candles.

Every bound is an aware instant, and stretches of time are half-open: [start, end). A time is the start of a candle in
UTC. Prices are in the quote currency, volumes in the base currency; both are the doubles that the exchange sent. A
naive instant raises ValueError. A database that cannot be reached raises DatabaseUnavailable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from psycopg2.sql import SQL, Composable, Identifier

from titan10_dagster.candles.frame import COLUMNS, from_columns
from titan10_dagster.candles.gaps import Gap, Reason
from titan10_dagster.candles.slices import Series, midnight
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.store import binary, ledger
from titan10_dagster.store.database import Database, all_rows
from titan10_dagster.store.ledger import CoverageRow
from titan10_dagster.store.rollups import BASE, ROLLUPS
from titan10_dagster.store.statements import key, statement

BAR_COLUMNS = (*COLUMNS, "candles")
PROVENANCE_COLUMNS = (
    *("stretch_start", "stretch_end", "source", "url", "size", "digest", "published_digest", "checked_against"),
    *("etag", "last_modified", "read_at"),
)

_CANDLE = ("M8[ms]", "f8", "f8", "f8", "f8", "f8")
_BAR = (*_CANDLE, "i8")
_NAMED = (*_CANDLE, "i8")  # the last column is the position of a name in a list, starting with 1

_Columns = list[NDArray[Any]]


def candles(
    db: Database, series: Series, start: datetime, end: datetime, *, as_of: datetime | None = None
) -> pd.DataFrame:
    """Return the stored candles of the series as a candle frame, by time; empty if none is stored.

    `as_of`: return the values that were known at that instant, before later restatements by the exchange. Candles
        stored later are included too, because only restatements have dates.
    """
    times, *values = _candles(db, series, start, end, as_of)
    return from_columns(times, values)


def candles_arrow(
    db: Database, series: Series, start: datetime, end: datetime, *, as_of: datetime | None = None
) -> pa.Table:
    """Return the same as a pyarrow.Table: time timestamp[ms, UTC], open, high, low, close, volume double."""
    return _table(COLUMNS, _candles(db, series, start, end, as_of))


def bars(db: Database, series: Series, timeframe: str, start: datetime, end: datetime) -> pd.DataFrame:
    """Return candles of "5m", "15m", "1h", "4h", "1d" or "1w", aggregated from the 1m candles of the series, by time.

    The candle frame has one more column, `candles` (int64): the number of minutes in the bar. A bar without any minute
    is absent. Raises ValueError for another timeframe, or if the series is not 1m.
    """
    times, *values, count = _bars(db, series, timeframe, start, end)
    return from_columns(times, values).assign(candles=count)


def bars_arrow(db: Database, series: Series, timeframe: str, start: datetime, end: datetime) -> pa.Table:
    """Return the same as a pyarrow.Table: the columns of `candles_arrow`, and candles int64."""
    return _table(BAR_COLUMNS, _bars(db, series, timeframe, start, end))


def gaps(db: Database, series: Series, start: datetime, end: datetime) -> list[Gap]:
    """Return the runs of missing candles in [start, end), by time, each with its reason and cut to these bounds.

    Candles that were never fetched, and future candles, are in no gap; see `coverage`.
    """
    # A gap never crosses midnight, so a gap that overlaps the start of the stretch begins on the same day.
    first = midnight(_aware(start).date())
    found = ledger.gaps(db, series.exchange, symbol=series.symbol, start=first, end=_aware(end))
    cut = []
    for row in reversed(found):
        gap = row.gap
        if row.series == series and gap.end > start:
            cut.append(replace(gap, start=max(gap.start, start), end=min(gap.end, end)))
    return cut


def coverage(db: Database, series: Series, first: date | None = None, last: date | None = None) -> CoverageRow | None:
    """Count the candles of the series between the UTC days (both included): expected, present, and missing by reason.

    Return None if no slice of the series was fetched in these days.
    """
    rows = ledger.coverage(db, series.exchange, first, last)
    return next((row for row in rows if row.series == series), None)


def provenance(db: Database, series: Series, start: datetime, end: datetime) -> pd.DataFrame:
    """Return the stretches of [start, end) whose candles were read from files, by time.

    Columns: stretch_start, stretch_end, source (archive or import), url, size, digest, published_digest,
    checked_against, etag, last_modified, read_at; see the view `provenance`. All other candles came by REST.
    """
    with db.transaction() as cursor:
        cursor.execute(statement("read_provenance"), _parameters(series, start, end))
        rows = all_rows(cursor)
    return pd.DataFrame([row._asdict() for row in rows], columns=list(PROVENANCE_COLUMNS))


def filled(
    db: Database,
    series: Series,
    start: datetime,
    end: datetime,
    *,
    reasons: Iterable[Reason] = (Reason.NO_TRADES,),
) -> pd.DataFrame:
    """Return the stored candles, and a synthetic candle for each candle that is missing for one of `reasons`.

    A synthetic candle has the last close as its prices and no volume. The candle frame has two more columns: synthetic
    (bool), and reason (categorical, empty for stored candles). Candles that are missing for another reason, or were
    never fetched, are left out, and no close is carried across them. No candle is synthesized before a listing, after a
    delisting, in a halt, or in a time without a listing, even if `reasons` names them.
    """
    names = [reason.value for reason in reasons]
    parameters = {**_parameters(series, start, end), "reasons": names}
    times, *values, place = _read(db, SQL(statement("read_filled")), parameters, _NAMED)
    why = pd.Categorical.from_codes(place - 1, pd.Index(names, dtype=str))
    return from_columns(times, values).assign(synthetic=place > 0, reason=why)


def preferred(db: Database, symbol: str, timeframe: Timeframe, start: datetime, end: datetime) -> pd.DataFrame:
    """Return, for each time, the candle of the first exchange that has one, in the preferred order of the settings.

    The candle frame has one more column, exchange (categorical): the exchange of the candle.
    """
    bounds = {"start": _aware(start), "end": _aware(end)}
    with db.transaction() as cursor:
        # The names and the rows that refer to them come from one snapshot, even if the order changes in between.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT DISTINCT exchange FROM preferences ORDER BY exchange")
        exchanges = [row.exchange for row in all_rows(cursor)]
        query = cursor.mogrify(
            statement("read_preferred"),
            {"symbol": symbol, "timeframe": timeframe.name, "exchanges": exchanges, **bounds},
        )
        times, *values, place = binary.copy_out(cursor, query.decode(), _NAMED)
    return from_columns(times, values).assign(
        exchange=pd.Categorical.from_codes(place - 1, pd.Index(exchanges, dtype=str))
    )


def missing(db: Database, series: Series, start: datetime, end: datetime) -> dict[Reason, int]:
    """Count the missing candles of [start, end) by reason, in the order of Reason.

    Candles that were never fetched are in no gap and not counted here.
    """
    with db.transaction() as cursor:
        cursor.execute(statement("missing_by_reason"), _parameters(series, start, end))
        found = {row.reason: row.candles for row in all_rows(cursor)}
    return {reason: found[reason.value] for reason in Reason if reason.value in found}


def _candles(db: Database, series: Series, start: datetime, end: datetime, as_of: datetime | None) -> _Columns:
    parameters = _parameters(series, start, end)
    if as_of is None:
        return _read(db, SQL(statement("read_candles")), parameters, _CANDLE)
    return _read(db, SQL(statement("read_candles_as_of")), {**parameters, "as_of": _aware(as_of)}, _CANDLE)


def _bars(db: Database, series: Series, timeframe: str, start: datetime, end: datetime) -> _Columns:
    rollup = ROLLUPS.get(timeframe)
    if rollup is None:
        raise ValueError(f"there is no rollup {timeframe!r}; the rollups are {', '.join(ROLLUPS)}")
    if series.timeframe.name != BASE:
        raise ValueError(f"rollups are made of series of {BASE}, not of {series}")
    query = SQL(statement("read_rollup")).format(view=Identifier(rollup.view))
    return _read(db, query, _parameters(series, start, end), _BAR)


def _read(db: Database, query: Composable, parameters: Mapping[str, Any], dtypes: Sequence[str]) -> _Columns:
    with db.transaction() as cursor:
        return binary.copy_out(cursor, cursor.mogrify(query, parameters).decode(), dtypes)


def _parameters(series: Series, start: datetime, end: datetime) -> dict[str, Any]:
    exchange, symbol, timeframe = key(series)
    bounds = {"start": _aware(start), "end": _aware(end)}
    return {"exchange": exchange, "symbol": symbol, "timeframe": timeframe, **bounds}


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone: use an aware datetime, for example with tzinfo=UTC")
    return instant.astimezone(UTC)


def _table(names: Sequence[str], columns: _Columns) -> pa.Table:
    time, *values = columns
    arrays = [pa.array(time, pa.timestamp("ms", "UTC")), *map(pa.array, values)]
    return pa.Table.from_arrays(arrays, names=list(names))
