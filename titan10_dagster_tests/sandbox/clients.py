"""The unmodified ccxt classes, pointed at a sandbox."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import ccxt.async_support as ccxt
import numpy as np

from titan10_dagster.sandbox.server import Sandbox

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]

NOW = datetime(2026, 1, 15, 12, 0, 30, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1_000)
MINUTE_MS, DAY_MS = 60_000, 86_400_000
TODAY = NOW_MS // DAY_MS * DAY_MS
TIMEOUT = 60_000  # ms; nothing here takes a second, but on a busy machine


def pointed_at(url: str, exchange: str, **config: Any) -> Any:
    """An instance of ccxt's own class whose requests go to `url`."""
    client = getattr(ccxt, exchange)({"enableRateLimit": False, "timeout": TIMEOUT, **config})
    api = client.urls["api"]
    client.urls["api"] = {
        key: re.sub(r"^https?://[^/]+", url, text) for key, text in api.items() if isinstance(text, str)
    }
    return client


def spot_only(url: str, exchange: str) -> Any:
    """The same, asking for spot markets alone and for no currencies."""
    # Coinbase keeps the name of a method under that option.
    options = {} if exchange == "coinbase" else {"fetchMarkets": {"types": ["spot"]}}
    client = pointed_at(url, exchange, options=options)
    client.has["fetchCurrencies"] = False
    return client


class Clients:
    """One loaded ccxt instance for each exchange."""

    def __init__(self, run: Run[Any], sandbox: Sandbox) -> None:
        self._run, self._sandbox = run, sandbox
        self._clients: dict[str, Any] = {}

    def get(self, exchange: str) -> Any:
        if exchange not in self._clients:
            client = self._clients[exchange] = spot_only(self._sandbox.url(exchange), exchange)
            self._run(client.load_markets())
        return self._clients[exchange]

    def candles(self, exchange: str, symbol: str, *args: Any, **kwargs: Any) -> np.ndarray:
        rows = self._run(self.get(exchange).fetch_ohlcv(symbol, *args, **kwargs))
        return np.array(rows, dtype=np.float64).reshape(-1, 6)

    def close(self) -> None:
        async def all_closed() -> None:
            await asyncio.gather(*(client.close() for client in self._clients.values()))

        self._run(all_closed())
