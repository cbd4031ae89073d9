"""Markets: the facts about a traded symbol that are needed to fetch its candles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Market:
    """One market of an exchange.

    symbol: ccxt's name of the market ("BTC/USDT").
    market_id, base_id, quote_id: the exchange's own names of the market and of its two assets.
    active: whether the exchange trades the market now.
    listed: the start of the market's first candle (aware, UTC); None if Titan-10 has not searched for it. ccxt's field
        `created` is not used, because it is not the listing date (ccxt PR 26551).
    extra: further fields that the exchange's ccxt class reads (numeric ids, scales), as plain JSON values.
    rivals: other active markets with the same symbol in the same list. `candles/identity.py` chooses one market.
    """

    exchange: str
    symbol: str
    market_id: str
    base: str
    quote: str
    base_id: str
    quote_id: str
    active: bool
    type: str = "spot"
    listed: datetime | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    rivals: tuple[Market, ...] = ()


def guessed_market(exchange: str, symbol: str, *, active: bool) -> Market:
    """Return a market for a symbol that is not in the exchange's market list. Its ids are made from the symbol.

    The ids are good enough to recognize the names of files and to count requests, but not to make requests.
    """
    base, _, quote = symbol.partition("/")
    return Market(exchange, symbol, base + quote, base, quote, base, quote, active=active)
