"""Markets: what an exchange trades, as far as fetching its candles needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Market:
    """One market of an exchange; `symbol` is ccxt's name for it ("BTC/USDT"), `market_id` the exchange's own.

    `listed` is when its first candle starts, if that was probed; ccxt's `created` is no listing date (ccxt PR
    26551). `extra` holds what the exchange's ccxt class needs besides (numeric ids), as plain JSON values.
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
