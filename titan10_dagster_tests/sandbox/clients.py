"""The unmodified ccxt classes, pointed at a sandbox."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
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
TIMEOUT = 60_000  # ms; requests take less than a second unless the machine is busy


def asked(url: str, method: str = "GET", body: dict[str, Any] | None = None) -> Any:
    """Return the JSON with which a sandbox answers a request without ccxt."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=data, method=method), timeout=60) as answer:
        return json.load(answer)


def pointed_at(url: str, exchange: str, **config: Any) -> Any:
    """Return an instance of ccxt's own class that sends its requests to `url`."""
    client = getattr(ccxt, exchange)({"enableRateLimit": False, "timeout": TIMEOUT, **config})
    client.urls["api"] = _moved(client.urls["api"], url)
    return client


def _moved(api: Any, url: str) -> Any:
    """Return ccxt's addresses with another scheme and host. Nested addresses stay nested."""
    if isinstance(api, dict):
        return {key: _moved(inner, url) for key, inner in api.items()}
    return re.sub(r"^https?://[^/]+", url, api) if isinstance(api, str) else api


_SPOT = {"fetchMarkets": {"types": ["spot"]}}
_MARKET_OPTIONS: dict[str, dict[str, Any]] = {
    "coinbase": {},  # in this class, the option `fetchMarkets` is the name of a method
    "bitrue": {},  # this class joins the lists of all types, even of types that were not requested
    "htx": {"fetchMarkets": {"types": {"spot": True, "linear": False, "inverse": False}}},
}


def spot_only(url: str, exchange: str) -> Any:
    """Return the same instance, which requests only spot markets and no currencies."""
    client = pointed_at(url, exchange, options=_MARKET_OPTIONS.get(exchange, _SPOT))
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
