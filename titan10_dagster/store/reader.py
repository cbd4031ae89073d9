"""Functions that return candles and rollups as pandas or Arrow tables, and the reasons for missing candles.

Every `start`, `end` and `as_of` is an aware datetime; a naive datetime raises ValueError. A range [start, end) includes
its start and excludes its end. The time of a candle is its start in UTC. Prices are in the quote currency, and volumes
are in the base currency. The prices and volumes of stored candles are the doubles that the exchange sent. If the
database cannot be reached, DatabaseUnavailable is raised.
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
_NAMED = (*_CANDLE, "i8")  # the last column is the position of a reason or exchange in a list, starting with 1

_Columns = list[NDArray[Any]]


def candles(
    db: Database, series: Series, start: datetime, end: datetime, *, as_of: datetime | None = None
) -> pd.DataFrame:
    """Return the stored candles of the series as a candle frame, in order of time.

    The frame is empty if no candle is stored.

    as_of: return the values that the candles had at this instant, and ignore later restatements. Candles that were
        first stored after this instant are included too, because the database does not record when a candle was stored.
    """
    times, *values = _candles(db, series, start, end, as_of)
    return from_columns(times, values)


def candles_arrow(
    db: Database, series: Series, start: datetime, end: datetime, *, as_of: datetime | None = None
) -> pa.Table:
    """Return the same candles as the function `candles`, as a pyarrow.Table.

    The column time has the type timestamp[ms, UTC]. The columns open, high, low, close and volume are doubles.
    """
    return _table(COLUMNS, _candles(db, series, start, end, as_of))


def bars(db: Database, series: Series, timeframe: str, start: datetime, end: datetime) -> pd.DataFrame:
    """Return bars of "5m", "15m", "1h", "4h", "1d" or "1w" that are aggregated from the 1m candles of the series.

    The bars are in order of time. The candle frame has one more column, `candles` (int64): the number of 1m candles in
    the bar. A bar is left out if none of its 1m candles is stored. Raises ValueError if `timeframe` has another value,
    or if the timeframe of the series is not 1m.
    """
    times, *values, count = _bars(db, series, timeframe, start, end)
    return from_columns(times, values).assign(candles=count)


def bars_arrow(db: Database, series: Series, timeframe: str, start: datetime, end: datetime) -> pa.Table:
    """Return the same bars as the function `bars`, as a pyarrow.Table.

    The table has the columns of `candles_arrow`, and the column candles (int64).
    """
    return _table(BAR_COLUMNS, _bars(db, series, timeframe, start, end))


def gaps(db: Database, series: Series, start: datetime, end: datetime) -> list[Gap]:
    """Return the gaps of a series in [start, end), each with its reason, in order of time.

    A gap that extends beyond `start` or `end` is cut there. Candles that have not ended yet belong to no gap. Candles
    that were never requested belong to no gap either.
    """
    # A gap never crosses midnight. So a gap that contains `start` begins on the day of `start`.
    first = midnight(_aware(start).date())
    found = ledger.gaps(db, series.exchange, symbol=series.symbol, start=first, end=_aware(end))
    cut = []
    for row in reversed(found):
        gap = row.gap
        if row.series == series and gap.end > start:
            cut.append(replace(gap, start=max(gap.start, start), end=min(gap.end, end)))
    return cut


def coverage(db: Database, series: Series, first: date | None = None, last: date | None = None) -> CoverageRow | None:
    """Return the numbers of expected, present and missing candles of the series from `first` to `last`.

    Both UTC days are included. If `first` or `last` is None, the range is not limited on this side. The result is None
    if the ledger has no row of the series for these days.
    """
    rows = ledger.coverage(db, series.exchange, first, last)
    return next((row for row in rows if row.series == series), None)


def provenance(db: Database, series: Series, start: datetime, end: datetime) -> pd.DataFrame:
    """Return the stretches of time in [start, end) whose candles were read from files, in order of time.

    The columns are stretch_start, stretch_end, source (archive or import), url, size, digest, published_digest,
    checked_against, etag, last_modified and read_at, as in the view `provenance`. All other candles came by REST.
    """
    rows = db.query(statement("read_provenance"), _parameters(series, start, end))
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

    The prices of a synthetic candle are the close of the last stored candle, and its volume is 0. The candle frame has
    two more columns: synthetic (bool), and reason (categorical, empty for stored candles).

    Some missing candles are left out. A candle is left out if it is missing for another reason or was never requested.
    All missing candles after it are left out too, up to the next stored candle, because the close of the last stored
    candle may be out of date. If the series has a break between two stored candles, all missing candles between these
    two candles are left out.

    No synthetic candles are made for the reasons `pre_listing`, `delisted`, `halted` and `not_listed`, even if they are
    in `reasons`.
    """
    names = [reason.value for reason in reasons]
    parameters = {**_parameters(series, start, end), "reasons": names}
    times, *values, place = _read(db, SQL(statement("read_filled")), parameters, _NAMED)
    why = pd.Categorical.from_codes(place - 1, pd.Index(names, dtype=str))
    return from_columns(times, values).assign(synthetic=place > 0, reason=why)


def preferred(db: Database, symbol: str, timeframe: Timeframe, start: datetime, end: datetime) -> pd.DataFrame:
    """Return one candle for each time in [start, end) at which at least one of the preferred exchanges has a candle.

    If several exchanges have a candle, the candle comes from the first of them in the preferred order, which is in the
    settings. The candle frame has one more column, exchange (categorical): the exchange of the candle.
    """
    bounds = {"start": _aware(start), "end": _aware(end)}
    with db.transaction() as cursor:
        # Both queries must see the same snapshot. The first query reads a list of exchanges, and the rows of the second
        # query contain positions in this list.
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
    """Return the number of missing candles in [start, end) by reason, in the order of Reason.

    Candles that were never requested belong to no gap, so they are not counted.
    """
    rows = db.query(statement("missing_by_reason"), _parameters(series, start, end))
    found = {row.reason: row.candles for row in rows}
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
        raise ValueError(f"rollups are built from series of {BASE}, not from {series}")
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
