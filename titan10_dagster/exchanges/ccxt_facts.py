"""Facts about an exchange from ccxt itself: page size, rate limit and the charge for a page. No request is made."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import ccxt
from ccxt import async_support

# A market with every field that ccxt's classes need to build a request.
_ANY_MARKET: Mapping[str, object] = {
    **{"id": "BTCUSDT", "lowercaseId": "btcusdt", "symbol": "BTC/USDT", "numericId": 1},
    **{"base": "BTC", "quote": "USDT", "baseId": "BTC", "quoteId": "USDT", "type": "spot", "spot": True},
}


def exists(exchange: str) -> bool:
    """Return whether ccxt has a class of this id."""
    return exchange in async_support.exchanges


def ancestors(exchange: str) -> tuple[str, ...]:
    """Return the ids of the exchanges that the class is derived from, nearest first: binanceusdm gives ("binance",)."""
    classes = getattr(async_support, exchange).__mro__[1:]
    return tuple(class_.__name__ for class_ in classes if class_.__name__ in async_support.exchanges)


@cache
def rate_limit_ms(exchange: str) -> float:
    """Return ccxt's milliseconds between two requests of cost 1."""
    return float(getattr(async_support, exchange)().rateLimit)


def page_limit(exchange: str) -> int | None:
    """Return the maximum number of spot candles per request; None if ccxt names no limit."""
    features: Mapping[str, Mapping[str, Mapping[str, int]]] = getattr(async_support, exchange)().features or {}
    spot = features.get("spot") or {}
    limit = (spot.get("fetchOHLCV") or {}).get("limit")
    return int(limit) if limit else None


class _Charged(Exception):
    """An exception that carries the cost passed to ccxt's throttle."""


def page_cost(exchange: str, limit: int) -> float:
    """Return ccxt's charge for a page of `limit` candles, 1.0 if its class cannot build the request offline.

    The charge depends on the endpoint, which only ccxt's own `fetch_ohlcv` selects. The function therefore calls it and
    stops at the throttle, before anything is sent.
    """

    class Charging(getattr(ccxt, exchange)):  # type: ignore[misc]
        def throttle(self, cost: float | None = None) -> None:
            raise _Charged(cost)

        def fetch(self, *_: object, **__: object) -> None:
            raise _Charged(1)

    try:
        Charging({"markets": {_ANY_MARKET["symbol"]: _ANY_MARKET}}).fetch_ohlcv("BTC/USDT", "1m", 0, limit)
    except _Charged as charged:
        return float(charged.args[0] or 1)
    except (ccxt.BaseError, LookupError, AttributeError, TypeError, ValueError, ArithmeticError):
        return 1.0
    return 1.0
