"""Stores the latest market list of each exchange, so that most runs do not have to request the list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg2.extras import Json, execute_values

from titan10_dagster.candles.confirmation import APART, Unconfirmed, unconfirmed
from titan10_dagster.candles.identity import changes, choose
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series
from titan10_dagster.store.database import Cursor, Database, all_rows
from titan10_dagster.store.identities import known_identities, record_ambiguity, record_change
from titan10_dagster.store.statements import key, statement


class MarketStore:
    """Reads and replaces the market list of an exchange."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def load(self, exchange: str) -> list[Market]:
        """Return all stored markets of the exchange, in order of symbol. Delisted markets are included as inactive."""
        rows = self._db.query("SELECT * FROM markets WHERE exchange = %s ORDER BY symbol", [exchange])
        return [_market(row) for row in rows]

    def symbols(self, exchange: str) -> set[str]:
        """Return the symbols of all stored markets of the exchange, including delisted markets."""
        return {row.symbol for row in self._db.query("SELECT symbol FROM markets WHERE exchange = %s", [exchange])}

    def listed(self, configured: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Return, for each exchange, its configured symbols that are in the stored market list.

        If no market list of an exchange is stored, all configured symbols of this exchange are returned.
        """
        names: list[str] = []
        symbols: list[str] = []
        for exchange, of_exchange in configured.items():
            names += [exchange] * len(of_exchange)
            symbols += of_exchange
        found: dict[str, list[str]] = {exchange: [] for exchange in configured}
        rows = self._db.query(statement("listed_symbols"), {"exchanges": names, "symbols": symbols})
        for row in rows:
            found[row.exchange].append(row.symbol)
        return found

    def last_candle_end(self, series: Series) -> datetime | None:
        """Return the end of the series' last stored candle (aware, UTC), or None if no candle is stored."""
        of_series = "SELECT last_candle FROM series WHERE exchange = %s AND symbol = %s AND timeframe = %s"
        for row in self._db.query(of_series, key(series)):
            last: datetime = row.last_candle
            return last + timedelta(milliseconds=series.timeframe.ms)
        return None

    def note_listed(self, exchange: str, listed: Mapping[str, datetime]) -> None:
        """Store the listing dates of markets. Symbols without a stored market are ignored.

        `listed`: for each symbol, the start of its first candle.
        """
        rows = [(exchange, symbol, instant) for symbol, instant in listed.items()]
        with self._db.transaction() as cursor:
            execute_values(cursor, statement("note_listed"), rows)

    def awaits_second_list(self, exchange: str, now: datetime) -> bool:
        """Return whether it is time to request a second market list, which must confirm changes in the last list.

        The second list must come at least `candles.confirmation.APART` after the first list with these changes.
        """
        waiting = "SELECT FROM markets WHERE exchange = %s AND unconfirmed_since <= %s LIMIT 1"
        return bool(self._db.query(waiting, [exchange, now - APART]))

    def replace(
        self, exchange: str, markets: Sequence[Market], seen_at: datetime, *, concerned: Iterable[str] = ()
    ) -> int:
        """Store the exchange's complete market list. Return the number of markets with changes that must be confirmed.

        markets: the new list.
        seen_at: the time at which the list was received.
        concerned: the configured symbols.

        A market that is missing in the new list becomes inactive. If the new list has no listing date for a market, the
        stored listing date is kept.

        If a symbol with stored candles now belongs to a different market, its series get a break, and an event is
        recorded. If several active markets have the same symbol, the market of the stored candles is chosen. In this
        case, an event is recorded if candles of the symbol are stored or the symbol is in `concerned`.

        If more than a fifth of the active markets change in the same way (are missing, inactive or different), the new
        list may be wrong. Then the stored records of these markets are kept until a second list contains the same
        changes. `candles.confirmation` has the exact rules.

        Raises ValueError if the list is empty, because an empty list is a failed answer and does not mean a delisting.
        Raises ValueError if a market belongs to another exchange.
        """
        if not markets or any(market.exchange != exchange for market in markets):
            raise ValueError(
                f"the market list of {exchange} is empty or has markets of another exchange: {len(markets)} markets"
            )
        symbols = [market.symbol for market in markets]
        with self._db.transaction() as cursor:
            cursor.execute("SELECT * FROM markets WHERE exchange = %s AND active FOR UPDATE", [exchange])
            active = all_rows(cursor)
            waiting = {
                row.symbol: Unconfirmed(row.unconfirmed, row.unconfirmed_since) for row in active if row.unconfirmed
            }
            held = unconfirmed({row.symbol: _market(row) for row in active}, markets, waiting, seen_at)
            believed = [market for market in markets if market.symbol not in held]
            markets = _identified(cursor, exchange, believed, seen_at, concerned)
            rows = [_values(market, seen_at) for market in markets]
            execute_values(cursor, statement("write_markets"), rows, page_size=1000)
            cursor.execute(
                "UPDATE markets SET active = false WHERE exchange = %s AND active AND symbol <> ALL(%s)",
                [exchange, [*symbols, *held]],
            )
            _write_unconfirmed(cursor, exchange, held)
            cursor.execute(statement("identify_series"), {"exchange": exchange})
        return len(held)


def _write_unconfirmed(cursor: Cursor, exchange: str, held: Mapping[str, Unconfirmed]) -> None:
    parameters = {
        "exchange": exchange,
        "symbols": list(held),
        "changes": [waiting.change for waiting in held.values()],
        "since": [waiting.since for waiting in held.values()],
    }
    cursor.execute(statement("write_unconfirmed"), parameters)


def _identified(
    cursor: Cursor, exchange: str, markets: Sequence[Market], seen_at: datetime, concerned: Iterable[str]
) -> list[Market]:
    """Return one market for each symbol. Record symbols that changed their market or belong to several markets.

    This function must be called before the stored market list is replaced, because it reads the stored list.
    """
    cursor.execute(statement("record_identities"), {"exchange": exchange})
    known = known_identities(cursor, exchange)
    chosen, ambiguous = choose(markets, known, {*known, *concerned})
    for change in changes(known, chosen, seen_at):
        record_change(cursor, change)
    for ambiguity in ambiguous:
        record_ambiguity(cursor, ambiguity, seen_at)
    return chosen


def _market(row: Any) -> Market:
    return Market(
        exchange=row.exchange,
        symbol=row.symbol,
        market_id=row.market_id,
        base=row.base,
        quote=row.quote,
        base_id=row.base_id,
        quote_id=row.quote_id,
        active=row.active,
        type=row.type,
        listed=row.listed,
        extra=row.extra,
    )


def _values(market: Market, seen_at: datetime) -> tuple[Any, ...]:
    currencies = (market.base, market.quote, market.base_id, market.quote_id)
    known = (market.active, market.type, market.listed, Json(dict(market.extra)))
    return (market.exchange, market.symbol, market.market_id, *currencies, *known, seen_at, seen_at)
