"""The tradable instruments: assets with their price levels, and the pairs that an exchange lists."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

from titan10_dagster.sandbox.clock import instant_ms
from titan10_dagster.sandbox.venues.instrument import Instrument
from titan10_dagster.sandbox.venues.venue import SandboxVenue


@dataclass(frozen=True)
class Asset:
    """An asset that is traded.

    `dollars`: the price level. `volatility`: the approximate change of the logarithm of the price in a minute.
    `turnover`: the typical value that is traded in a minute on the largest exchange, in dollars.
    """

    code: str
    dollars: float
    volatility: float
    turnover: float
    quiet: float  # the share of minutes without a trade on the largest exchange
    born: str  # by default, no exchange lists the asset before this time


ASSETS = {
    asset.code: asset
    for asset in (
        Asset("USD", 1.0, 0.0, 9e6, 0.0, "2010-01-01"),
        Asset("USDT", 1.0, 2e-6, 9e6, 0.0, "2015-02-25"),
        Asset("USDC", 1.0, 2e-6, 9e6, 0.0, "2018-10-08"),
        Asset("EUR", 1.1, 2e-5, 9e6, 0.0, "2010-01-01"),
        Asset("KRW", 1 / 1_350, 2e-5, 9e6, 0.0, "2010-01-01"),
        Asset("BTC", 60_000.0, 5e-4, 1e6, 0.0, "2010-07-17"),
        Asset("ETH", 3_000.0, 6e-4, 6e5, 0.0, "2015-08-07"),
        Asset("SOL", 150.0, 9e-4, 3e5, 0.0, "2020-08-11T06:00:00"),
        Asset("XRP", 0.52, 7e-4, 2e5, 0.0, "2018-05-04T08:11:00"),
        Asset("ADA", 0.45, 8e-4, 5e4, 0.001, "2018-04-17T04:26:00"),
        Asset("DOGE", 0.12, 9e-4, 2e5, 0.0, "2019-07-05T12:00:00"),
        Asset("LTC", 80.0, 7e-4, 5e4, 0.0, "2017-12-13T03:32:00"),
        Asset("LINK", 14.0, 8e-4, 4e4, 0.002, "2019-01-16T10:00:00"),
        Asset("DOT", 6.5, 8e-4, 3e4, 0.003, "2020-08-19T00:00:00"),
        Asset("AVAX", 30.0, 9e-4, 4e4, 0.002, "2020-09-22T06:30:00"),
        Asset("BCH", 400.0, 8e-4, 2e4, 0.005, "2019-11-28T10:00:00"),
        Asset("UNI", 8.0, 9e-4, 2e4, 0.005, "2020-09-17T03:00:00"),
        Asset("ATOM", 8.0, 8e-4, 1e4, 0.01, "2019-04-29T04:00:00"),
        Asset("XLM", 0.11, 8e-4, 8e3, 0.02, "2018-05-31T09:31:00"),
        Asset("AAVE", 95.0, 9e-4, 8e3, 0.02, "2020-10-15T03:00:00"),
        Asset("ALGO", 0.18, 9e-4, 4e3, 0.05, "2019-06-22T00:00:00"),
        Asset("ETC", 25.0, 8e-4, 6e3, 0.03, "2018-06-12T11:00:00"),
        Asset("NEAR", 5.0, 1e-3, 1e4, 0.01, "2020-10-14T07:00:00"),
        Asset("PEPE", 0.0000041, 1.2e-3, 8e4, 0.0, "2023-05-05T16:00:00"),
        Asset("SHIB", 0.0000178, 1.0e-3, 5e4, 0.0, "2021-05-10T11:00:00"),
        Asset("LUNA", 60.0, 1.2e-3, 5e4, 0.0, "2020-08-21T10:00:00"),
    )
}


def asset(code: str) -> Asset:
    """Return the asset with this code. If `ASSETS` lacks the asset, its price level is derived from its code."""
    known = ASSETS.get(code)
    if known is not None:
        return known
    share = int.from_bytes(hashlib.blake2b(code.encode(), digest_size=4).digest()) / 2**32
    return Asset(code, 10.0 ** (6 * share - 4), 1e-3, 5e3, 0.02, "2019-01-01")


def instrument(venue: SandboxVenue, symbol: str) -> Instrument:
    """Return the pair `symbol` as this exchange lists it."""
    base, quote = (asset(code) for code in symbol.split("/"))
    scale = math.floor(math.log10(base.dollars / quote.dollars))
    born = max(instant_ms(venue.opens), instant_ms(base.born), instant_ms(quote.born))
    listed = venue.listed.get(symbol)
    delisted = venue.delisted.get(symbol)
    first = born if listed is None else instant_ms(listed)
    # A pair of two cryptocurrencies, such as XRP/ETH, trades far less often than pairs with dollars, such as XRP/USD.
    crossed = 0.0 if quote.code.startswith(("USD", "EUR", "KRW")) else 0.05
    return Instrument(
        exchange=venue.id,
        symbol=symbol,
        name=venue.naming(base.code, quote.code),
        price_decimals=min(max(4 - scale, 2), venue.price_decimals),
        volume_decimals=min(max(scale + 4, 0), venue.volume_decimals),
        spells=((first, None if delisted is None else instant_ms(delisted)),),
        quiet=min(0.9, (base.quiet + crossed) * venue.quiet),
    )


def replayed(venue: SandboxVenue, symbol: str, first_ms: int) -> Instrument:
    """Return the pair for a replayed file of candles. The pair is listed from the first candle (`first_ms`) on."""
    return replace(instrument(venue, symbol), spells=((first_ms, None),))
