"""Reads and writes the identities, breaks and events of series in the database.

The identity of a symbol is the market to which its candles belong (`candles/identity.py`). A break is a time at which
the unit of the prices changes (`candles/breaks.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg2.extras import Json

from titan10_dagster.candles.breaks import Break, BreakKind
from titan10_dagster.candles.identity import Ambiguity, Identity, IdentityChange
from titan10_dagster.candles.slices import Series
from titan10_dagster.store.database import Cursor, Database, all_rows
from titan10_dagster.store.statements import key, statement


class EventKind(StrEnum):
    """The kinds of events of a series."""

    MARKET_CHANGED = "market_changed"
    MARKET_AMBIGUOUS = "market_ambiguous"
    BREAK = "break"
    MASS_RESTATEMENT = "mass_restatement"
    RENAMED = "renamed"
    DROPPED = "dropped"
    FILE_REPLACED = "file_replaced"


# Events of these kinds need the attention of a user, so they start an alert. The other kinds record what a user did
# with a command (rename, drop).
ALARMING = (
    EventKind.MARKET_CHANGED,
    EventKind.MARKET_AMBIGUOUS,
    EventKind.BREAK,
    EventKind.MASS_RESTATEMENT,
    EventKind.FILE_REPLACED,
)


@dataclass(frozen=True)
class SeriesEvent:
    """An event of a series. All instants are aware and UTC.

    `timeframe` is empty if the event belongs to all timeframes. `at`: the time of the candles to which the event
    belongs, or None if the event does not belong to a particular time.
    """

    exchange: str
    symbol: str
    timeframe: str
    kind: EventKind
    detail: str
    at: datetime | None
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True)
class ChangedIdentity:
    """A symbol that now belongs to another market than before.

    The market is `market_id` since `valid_from` (aware, UTC). Before this time, the market was `former_id`.
    """

    symbol: str
    market_id: str
    former_id: str
    valid_from: datetime


def known_identities(cursor: Cursor, exchange: str) -> dict[str, Identity]:
    """Return the current identity of each symbol with stored candles.

    The current identity is the identity that was recorded last. If no identity is recorded, the identity comes from the
    stored market list. If this list does not contain the symbol, the symbol is left out.
    """
    cursor.execute(statement("known_identities"), {"exchange": exchange})
    found = {}
    for row in all_rows(cursor):
        found[row.symbol] = Identity(row.market_id, row.base_id, row.quote_id, dict(row.scales))
    return found


def changed_identities(db: Database, exchange: str, symbols: Sequence[str]) -> dict[str, ChangedIdentity]:
    """Return those of the given symbols that now belong to another market, each with its current and former market."""
    changed = changed_markets(db, {(exchange, symbol) for symbol in symbols})
    return {symbol: identity for (_, symbol), identity in changed.items()}


def changed_markets(db: Database, markets: Iterable[tuple[str, str]]) -> dict[tuple[str, str], ChangedIdentity]:
    """Return those of the given pairs (exchange, symbol) that now belong to another market.

    Each pair is returned with its current and former market.
    """
    ordered = sorted(markets)
    parameters = {
        "exchanges": [exchange for exchange, _ in ordered],
        "symbols": [symbol for _, symbol in ordered],
    }
    rows = db.query(statement("changed_identities"), parameters)
    return {
        (row.exchange, row.symbol): ChangedIdentity(row.symbol, row.market_id, row.former_id, row.valid_from)
        for row in rows
    }


def record_change(cursor: Cursor, change: IdentityChange) -> None:
    """Record that a symbol now belongs to a different market.

    The function stores the new identity, an event, and breaks in all series of the symbol. Each series gets a break at
    the end of its last stored candle, because later candles come from the new market. If this end is not a midnight,
    the series gets a second break at the midnight before. The reason is that the whole day is fetched again after its
    end, and then comes from the new market.
    """
    cursor.execute(
        statement("change_identity"),
        {
            "exchange": change.exchange,
            "symbol": change.symbol,
            "seen_at": change.seen_at,
            "market_id": change.after.market_id,
            "base_id": change.after.base_id,
            "quote_id": change.after.quote_id,
            "scales": Json(dict(change.after.scales)),
            "kind": BreakKind.MARKET.value,
        },
    )
    rows = all_rows(cursor)
    valid_from = rows[0].valid_from if rows else None
    series = (change.exchange, change.symbol, "")
    record_event(cursor, series, EventKind.MARKET_CHANGED, change.sentence, at=valid_from, seen_at=change.seen_at)


def record_ambiguity(cursor: Cursor, ambiguity: Ambiguity, seen_at: datetime) -> None:
    """Record the event that several active markets have the same symbol."""
    series = (ambiguity.chosen.exchange, ambiguity.chosen.symbol, "")
    record_event(cursor, series, EventKind.MARKET_AMBIGUOUS, ambiguity.sentence, at=None, seen_at=seen_at)


def record_breaks(cursor: Cursor, series: Series, breaks: Iterable[Break], seen_at: datetime) -> None:
    """Record the breaks that were found in the candles of a series, and an event for each break."""
    for found in breaks:
        cursor.execute(
            statement("record_break"),
            (*key(series), found.at, found.kind.value, found.price_factor, found.volume_factor, seen_at),
        )
        # This text is part of the event's key in the database. If you change the wording, breaks that are already
        # recorded get a second event.
        detail = (
            f"{series} breaks at {found.at:%Y-%m-%d %H:%M} UTC ({found.kind.value.replace('_', ' ')}): the price is "
            f"{found.price_factor:.6g} times the one before, the typical volume {found.volume_factor:.6g} times. "
            "Rollups, filled candles and exports do not cross the break."
        )
        record_event(cursor, key(series), EventKind.BREAK, detail, at=found.at, seen_at=seen_at)


def forget_breaks(cursor: Cursor, series: Series, start: datetime, end: datetime, kept: Sequence[datetime]) -> None:
    """Delete the breaks in [start, end) that the candles no longer show.

    `kept`: the times of the breaks that the candles still show. Breaks of the kind `market` (a change of the market)
    are not deleted either.
    """
    cursor.execute(
        statement("forget_breaks"),
        {
            "exchange": series.exchange,
            "symbol": series.symbol,
            "timeframe": series.timeframe.name,
            "start": start,
            "end": end,
            "kept": list(kept),
            "market": BreakKind.MARKET.value,
        },
    )


def record_event(
    cursor: Cursor,
    series: tuple[str, str, str],
    kind: EventKind,
    detail: str,
    *,
    at: datetime | None,
    seen_at: datetime,
) -> None:
    """Record an event. If the same event is already recorded, only update the time of its last observation."""
    cursor.execute(statement("record_event"), (*series, kind.value, detail, at, seen_at, seen_at))


def events_since(db: Database, exchange: str | None, since: datetime) -> list[SeriesEvent]:
    """Return the events that were last observed at or after `since`, newest first.

    `exchange`: None for the events of all exchanges.
    """
    rows = db.query(statement("events_since"), {"exchange": exchange, "since": since})
    return [_event(row) for row in rows]


def events_at(db: Database, exchange: str, start: datetime, end: datetime) -> list[SeriesEvent]:
    """Return the events that belong to candles of the exchange in [start, end), in order of time."""
    rows = db.query(statement("events_at"), {"exchange": exchange, "start": start, "end": end})
    return [_event(row) for row in rows]


def breaks_of(db: Database, series: Series, start: datetime, end: datetime) -> list[datetime]:
    """Return the instants of the breaks of a series after `start` and before `end`, in order of time."""
    rows = db.query(statement("breaks_of"), (*key(series), start, end))
    return [row.at for row in rows]


def _event(row: Any) -> SeriesEvent:
    return SeriesEvent(
        row.exchange, row.symbol, row.timeframe, EventKind(row.kind), row.detail, row.at, row.first_seen, row.last_seen
    )
