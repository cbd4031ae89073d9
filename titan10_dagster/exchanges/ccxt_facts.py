"""Read facts about an exchange from ccxt: page size, rate limit, and the cost of a page in the rate limiter.

No request is made.
"""

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
    """Return whether ccxt has a class for this exchange id."""
    return exchange in async_support.exchanges


def ancestors(exchange: str) -> tuple[str, ...]:
    """Return the ids of the exchanges from which the exchange's ccxt class is derived, the nearest first.

    For example, the result for "binanceusdm" is ("binance",).
    """
    classes = getattr(async_support, exchange).__mro__[1:]
    return tuple(class_.__name__ for class_ in classes if class_.__name__ in async_support.exchanges)


@cache
def rate_limit_ms(exchange: str) -> float:
    """Return the milliseconds between two requests of cost 1 in ccxt's rate limiter."""
    return float(getattr(async_support, exchange)().rateLimit)


def page_limit(exchange: str) -> int | None:
    """Return the maximum number of spot candles per request; None if ccxt does not know this number."""
    features: Mapping[str, Mapping[str, Mapping[str, int]]] = getattr(async_support, exchange)().features or {}
    spot = features.get("spot") or {}
    limit = (spot.get("fetchOHLCV") or {}).get("limit")
    return int(limit) if limit else None


class _Charged(Exception):
    """An exception that contains the cost of a request in ccxt's rate limiter."""


def page_cost(exchange: str, limit: int) -> float:
    """Return the cost of a page of `limit` candles in ccxt's rate limiter.

    The cost depends on the endpoint, and only ccxt's method `fetch_ohlcv` selects the endpoint. Therefore this function
    calls `fetch_ohlcv` and stops the call in the rate limiter, before anything is sent. If ccxt cannot build the
    request, it does not reach its rate limiter. In this case, the result is 1.0.
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
