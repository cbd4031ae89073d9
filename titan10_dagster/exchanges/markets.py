"""Read the markets of an exchange, and find the markets of the configured symbols."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import structlog

from titan10_dagster.candles.markets import Market
from titan10_dagster.errors import FetchError, UnknownSymbol
from titan10_dagster.exchanges.breaker import Breaker
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.market_lists import MarketList
from titan10_dagster.exchanges.retries import Effort, RetryLimits, with_retries


async def read_markets(
    client: ExchangeClient, *, breaker: Breaker, retry_limits: RetryLimits | None = None
) -> MarketList:
    """Return all spot markets of the client's exchange. The request is repeated after temporary failures.

    Raises:
        BreakerOpen: the breaker allows no request, or the failure of this request opened the breaker.
        FetchError: the last attempt failed. The failure was reported to the breaker.
    """
    await breaker.admit()
    try:
        markets = await with_retries(
            client.fetch_markets, retry_limits or RetryLimits(), log=structlog.get_logger().info, effort=Effort()
        )
    except FetchError as error:
        await breaker.learn(error)
        raise
    await breaker.succeeded()
    listed = MarketList(markets, client.skipped_records)
    if listed.warning:
        structlog.get_logger().warning(f"{client.exchange}: {listed.warning}")
    return listed


@dataclass(frozen=True)
class Resolution:
    """The markets of the configured symbols.

    markets: the markets in the order of the symbols. Inactive markets are included, because the exchange possibly still
        serves their history.
    unknown: an error for each symbol without a market. UnknownSymbol: the exchange does not list the symbol, and the
        message suggests similar symbols. TransientError: this is not known, because no new list could be read.
    """

    markets: tuple[Market, ...]
    unknown: Mapping[str, FetchError]


def resolve(exchange: str, symbols: Iterable[str], markets: Iterable[Market]) -> Resolution:
    """Find the market of each symbol. Symbols have ccxt's spelling ("BTC/USDT", "BTC/USDT:USDT")."""
    by_symbol = {market.symbol: market for market in markets}
    wanted = list(dict.fromkeys(symbols))
    found = tuple(by_symbol[symbol] for symbol in wanted if symbol in by_symbol)
    return Resolution(
        markets=found,
        unknown={
            symbol: _unknown(exchange, symbol, by_symbol.values()) for symbol in wanted if symbol not in by_symbol
        },
    )


def _unknown(exchange: str, symbol: str, markets: Iterable[Market]) -> UnknownSymbol:
    close = _close_matches(symbol, markets)
    advice = "none of its symbols is similar"
    if close:
        advice = f"did you mean {' or '.join(close)}?"
    return UnknownSymbol(
        f"{exchange} {symbol}: the exchange does not list it; {advice}", exchange=exchange, symbol=symbol
    )


def _close_matches(symbol: str, markets: Iterable[Market]) -> list[str]:
    """Return at most three similar symbols.

    The symbol is compared with the symbols of the markets, and with the exchange's own names (BTCUSDT, XXBTZUSD).
    """
    names = {market.market_id.upper(): market.symbol for market in markets}
    names |= {name.upper(): name for name in names.values()}
    near = get_close_matches(symbol.upper(), names, n=6, cutoff=0.6)
    return list(dict.fromkeys(names[name] for name in near))[:3]
