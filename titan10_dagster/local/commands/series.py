"""`titan10 series`: list, rename and drop whole series."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import click

from titan10_dagster.errors import SettingsError
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.maintenance import catch_up_rollups
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.local.instance import Say, open_tables
from titan10_dagster.local.tables import print_json, print_table
from titan10_dagster.settings import Settings
from titan10_dagster.settings_errors import unknown_name
from titan10_dagster.settings_values import check_exchange_id, check_symbols
from titan10_dagster.store import series as store
from titan10_dagster.store.database import Database
from titan10_dagster.store.series import StoredSeries

HEADERS = ("series", "market", "first candle", "last candle", "former markets", "breaks")


def list_series(settings: Settings, say: Say, exchange: str | None, *, as_json: bool) -> None:
    """Print a row per stored series: its market, its first and last candle, its former markets, and its breaks."""
    with open_tables(settings, say) as db:
        rows = store.stored_series(db, exchange)
        if not rows and exchange is not None and exchange not in settings.exchanges:
            raise SettingsError(_unknown(db, exchange, None))
    if as_json:
        print_json([_as_json(row) for row in rows])
        return
    if not rows:
        click.echo("Nothing is stored yet: launch a backfill in the UI, or with `titan10 backfill`.")
        return
    print_table(HEADERS, [_table_row(row) for row in rows])


def rename_series(
    settings: Settings,
    say: Say,
    exchange: str,
    symbol: str | None,
    *,
    to_exchange: str | None,
    to_symbol: str | None,
    now: datetime,
) -> None:
    """Move series to a new name, after ccxt renamed the exchange, or the exchange renamed a symbol.

    Raises:
        SettingsError: the arguments do not fit together, the new name is invalid, or nothing is stored under the old
            name.
        StoreError: candles are stored under both names.
    """
    _refuse_names((exchange, symbol), to_exchange, to_symbol)
    with open_tables(settings, say) as db:
        if not _is_stored(db, exchange, symbol):
            raise SettingsError(_unknown(db, exchange, symbol))
        if symbol is None:
            changed = store.rename_exchange(db, exchange, str(to_exchange), now)
        else:
            changed = store.rename_symbol(db, exchange, symbol, str(to_symbol), now)
        catch_up_rollups(IngestContext(settings, db, LandingZone(settings.landing)))
    click.echo(f"Renamed: {_rows(changed)}. Use the new name in titan10.toml.")


def _refuse_names(old: tuple[str, str | None], to_exchange: str | None, to_symbol: str | None) -> None:
    """Raise SettingsError if the arguments do not fit together, or if the new name is not a valid name.

    Under an invalid name, no command would find the history again.
    """
    exchange, symbol = old
    if (symbol is None) != (to_symbol is None) or (to_exchange is None) != (to_symbol is not None):
        raise SettingsError(
            "Write `titan10 series rename EXCHANGE --to-exchange NEW` for a renamed exchange, or "
            "`titan10 series rename EXCHANGE SYMBOL --to-symbol NEW` for a renamed symbol."
        )
    if (to_exchange or exchange, to_symbol) == old:
        raise SettingsError(f"{' '.join(filter(None, old))} already has this name. Nothing was changed.")
    try:
        if to_exchange is not None:
            check_exchange_id("--to-exchange", to_exchange)
        if to_symbol is not None:
            check_symbols([to_symbol])
    except ValueError as error:
        raise SettingsError(f"{error}" if to_symbol is None else f"--to-symbol: {error}") from None


def _is_stored(db: Database, exchange: str, symbol: str | None) -> bool:
    if symbol is not None:
        return bool(store.count_rows(db, exchange, symbol))
    return bool(store.stored_series(db, exchange))


def drop_series(
    settings: Settings, say: Say, exchange: str, symbol: str, *, confirm: Callable[[str], bool], now: datetime
) -> bool:
    """Show what will be deleted, ask for confirmation, and delete all series of a symbol.

    Return whether the deletion was confirmed.

    Raises:
        SettingsError: the symbol has no stored series.
    """
    with open_tables(settings, say) as db:
        counts = store.count_rows(db, exchange, symbol)
        if not counts:
            raise SettingsError(_unknown(db, exchange, symbol))
        configured = settings.exchanges.get(exchange)
        if configured is not None and symbol in configured.symbols:
            say(f"{symbol} is in exchanges.{exchange}.symbols. Remove it there, otherwise it is fetched again.")
        question = f"Delete {exchange} {symbol} for good: {_rows(counts)}, and its landed files?"
        if not confirm(question):
            click.echo("Nothing was deleted.")
            return False
        deleted = store.drop_series(db, exchange, symbol, now)
        files = LandingZone(settings.landing).remove(exchange, symbol)
        catch_up_rollups(IngestContext(settings, db, LandingZone(settings.landing)))
    click.echo(f"Deleted: {_rows(deleted)}, and {files:,} landed files. The table series_events keeps a record.")
    return True


def _unknown(db: Database, exchange: str, symbol: str | None) -> str:
    """Return a sentence that suggests stored names. If `symbol` is None, the command concerns the whole exchange."""
    stored = store.stored_series(db)
    exchanges = {row.exchange for row in stored}
    if symbol is None or exchange not in exchanges:
        return unknown_name(exchange, exchange, exchanges, "nothing of it is stored")
    symbols = {row.symbol for row in stored if row.exchange == exchange}
    return unknown_name(f"{exchange} {symbol}", symbol, symbols, "nothing of it is stored")


def _rows(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} rows of {table}" for table, count in sorted(counts.items()))


def _table_row(row: StoredSeries) -> tuple[Any, ...]:
    return (
        f"{row.exchange} {row.symbol} {row.timeframe}",
        row.market_id or "",
        f"{row.first_candle:%F %R}",
        f"{row.last_candle:%F %R}",
        ", ".join(row.former_markets),
        ", ".join(f"{at:%F %R}" for at in row.breaks),
    )


def _as_json(row: StoredSeries) -> dict[str, Any]:
    return {
        "exchange": row.exchange,
        "symbol": row.symbol,
        "timeframe": row.timeframe,
        "market_id": row.market_id,
        "first_candle": row.first_candle,
        "last_candle": row.last_candle,
        "former_markets": list(row.former_markets),
        "breaks": list(row.breaks),
    }
