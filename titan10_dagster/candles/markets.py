"""Markets: the facts about traded symbols that are needed to fetch candles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Market:
    """One market of an exchange.

    symbol: ccxt's name for it ("BTC/USDT").
    market_id, base_id, quote_id: the exchange's own names.
    active: whether the exchange trades it now.
    listed: the start of its first candle (aware, UTC), if it was searched for; ccxt's `created` is not the listing date
        (ccxt PR 26551).
    extra: further fields that the exchange's ccxt class reads (numeric ids, scales), as plain JSON values.
    rivals: other active markets with the same symbol in the same list (`candles/identity.py` chooses one).
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
