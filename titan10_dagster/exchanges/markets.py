"""Markets: which of the configured symbols an exchange has, and since when it has candles for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Protocol

from titan10_dagster.candles.markets import Market
from titan10_dagster.errors import UnknownSymbol


class MarketStore(Protocol):
    """Where the markets of all exchanges are kept."""

    def load(self, exchange: str) -> list[Market]: ...

    def replace(self, exchange: str, markets: Sequence[Market], seen_at: datetime) -> None: ...


@dataclass(frozen=True)
class Resolution:
    """What became of the configured symbols, in their order.

    `markets` holds the inactive ones too, whose history may still be had; `unknown` says what to write instead.
    """

    markets: tuple[Market, ...]
    inactive: tuple[str, ...]
    unknown: Mapping[str, UnknownSymbol]


def resolve(exchange: str, symbols: Iterable[str], markets: Iterable[Market]) -> Resolution:
    """Finds each symbol, spelled as ccxt does ("BTC/USDT", "BTC/USDT:USDT"), among the exchange's markets."""
    by_symbol = {market.symbol: market for market in markets}
    wanted = list(dict.fromkeys(symbols))
    found = tuple(by_symbol[symbol] for symbol in wanted if symbol in by_symbol)
    return Resolution(
        markets=found,
        inactive=tuple(market.symbol for market in found if not market.active),
        unknown={
            symbol: _unknown(exchange, symbol, by_symbol.values()) for symbol in wanted if symbol not in by_symbol
        },
    )


def _unknown(exchange: str, symbol: str, markets: Iterable[Market]) -> UnknownSymbol:
    close = _close_matches(symbol, markets)
    advice = f"did you mean {' or '.join(close)}?" if close else "none of its symbols looks like it"
    return UnknownSymbol(
        f"{exchange} {symbol}: the exchange does not list it; {advice}", exchange=exchange, symbol=symbol
    )


def _close_matches(symbol: str, markets: Iterable[Market]) -> list[str]:
    """Symbols like it, found by the exchange's own name for the market too (BTCUSDT, XXBTZUSD)."""
    names = {market.market_id.upper(): market.symbol for market in markets}
    names |= {name.upper(): name for name in names.values()}
    near = get_close_matches(symbol.upper(), names, n=6, cutoff=0.6)
    return list(dict.fromkeys(names[name] for name in near))[:3]
