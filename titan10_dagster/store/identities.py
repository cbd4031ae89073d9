"""Reads and writes the identities, breaks and events of series in the database."""

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


# Events of these kinds need action: a check fails, and an alert is sent. The other kinds record what a user did with
# a command (rename, drop).
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
    belongs, or None if it belongs to the whole series.
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
    """A symbol that belongs to another market than before.

    The market is `market_id` since `valid_from` (aware, UTC). Before that, the market was `former_id`.
    """

    symbol: str
    market_id: str
    former_id: str
    valid_from: datetime


def known_identities(cursor: Cursor, exchange: str) -> dict[str, Identity]:
    """Return the current identity of each symbol with stored candles.

    This is the identity that was recorded last. If no identity is recorded, the identity comes from the stored market
    list.
    """
    cursor.execute(statement("known_identities"), {"exchange": exchange})
    found = {}
    for row in all_rows(cursor):
        found[row.symbol] = Identity(row.market_id, row.base_id, row.quote_id, dict(row.scales))
    return found


def changed_identities(db: Database, exchange: str, symbols: Sequence[str]) -> dict[str, ChangedIdentity]:
    """Return the given symbols that belong to another market than before, with the current and the former market."""
    changed = changed_markets(db, {(exchange, symbol) for symbol in symbols})
    return {symbol: identity for (_, symbol), identity in changed.items()}


def changed_markets(db: Database, markets: Iterable[tuple[str, str]]) -> dict[tuple[str, str], ChangedIdentity]:
    """Return those given pairs (exchange, symbol) that belong to another market than before, each with both markets."""
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

    This stores the new identity, breaks in all series of the symbol, and an event. Each series gets a break at the end
    of its last stored candle, because later candles are fetched from the new market. If this end is not a midnight, the
    series gets a second break at the midnight before, because later the whole day is fetched again from the new market.
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
        # This text is part of the key of the event. With another wording, breaks that are already recorded would be
        # recorded a second time.
        detail = (
            f"{series} breaks at {found.at:%Y-%m-%d %H:%M} UTC ({found.kind.value.replace('_', ' ')}): the price is "
            f"{found.price_factor:.6g} times the one before, the typical volume {found.volume_factor:.6g} times. "
            "Rollups, filled candles and exports do not cross the break."
        )
        record_event(cursor, key(series), EventKind.BREAK, detail, at=found.at, seen_at=seen_at)


def forget_breaks(cursor: Cursor, series: Series, start: datetime, end: datetime, kept: Sequence[datetime]) -> None:
    """Delete the breaks in [start, end) that are not in `kept`, because the candles no longer show these breaks.

    Breaks that were caused by a change of the market are not deleted.
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
    """Record an event. If the event is already recorded, only the time of its last observation is updated."""
    cursor.execute(statement("record_event"), (*series, kind.value, detail, at, seen_at, seen_at))


def events_since(db: Database, exchange: str | None, since: datetime) -> list[SeriesEvent]:
    """Return the events that were observed at or after `since`, newest first. `exchange`: None for all exchanges."""
    rows = db.query(statement("events_since"), {"exchange": exchange, "since": since})
    return [_event(row) for row in rows]


def events_at(db: Database, exchange: str, start: datetime, end: datetime) -> list[SeriesEvent]:
    """Return the events about candles of the exchange in [start, end), in order of time."""
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
