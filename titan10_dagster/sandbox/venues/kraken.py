"""Kraken spot REST: `GET /0/public/OHLC`, `GET /0/public/AssetPairs`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument, MarketName
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against
from titan10_dagster.sandbox.venues.wire import (
    DAY,
    HOUR,
    MINUTE,
    Candle,
    CandleRequest,
    Edges,
    PageContext,
    WireFormat,
    step_text,
)

_TIMEFRAMES = {
    "1": MINUTE, "5": 5 * MINUTE, "15": 15 * MINUTE, "30": 30 * MINUTE, "60": HOUR, "240": 4 * HOUR, "1440": DAY,
}  # fmt: skip
_ALTNAMES = {"BTC": "XBT", "DOGE": "XDG"}
_OLD_ASSETS = {"BTC": "XXBT", "ETH": "XETH", "XRP": "XXRP", "LTC": "XLTC", "XLM": "XXLM", "ETC": "XETC",
               "DOGE": "XXDG", "USD": "ZUSD", "EUR": "ZEUR"}  # fmt: skip


def _naming(base: str, quote: str) -> MarketName:
    """Return Kraken's ids of a pair, of its base and of its quote.

    A pair of two early assets (`_OLD_ASSETS`) has a long id, such as XXBTZUSD. Other pairs have short ids, such as
    XBTUSDT and SOLUSD. A pair with the base DOGE always has a short id.
    """
    base_id, quote_id = _OLD_ASSETS.get(base, base), _OLD_ASSETS.get(quote, quote)
    if base in _OLD_ASSETS and quote in _OLD_ASSETS and base != "DOGE":
        return MarketName(base_id + quote_id, base_id, quote_id)
    return MarketName(_altname(base, quote), base_id, quote_id)


def _altname(base: str, quote: str) -> str:
    return _ALTNAMES.get(base, base) + _ALTNAMES.get(quote, quote)


def _adjust(request: CandleRequest, path: str, query: Mapping[str, str], now_ms: int) -> CandleRequest:
    """Return a request for the rows after `since`. The answer always includes the unfinished candle."""
    if request.start is None:
        return request
    step = request.seconds * 1_000
    return replace(request, start=min(request.start // step * step + step, now_ms // step * step))


def _row(candle: Candle) -> str:
    seconds = candle.time // 1000 if candle.time % 1000 == 0 else candle.time / 1000
    return (
        f'[{seconds},"{candle.open}","{candle.high}","{candle.low}","{candle.close}","{candle.close}",'
        f'"{candle.volume}",{candle.time // 60_000 % 90 + 1}]'
    )


def _page(rows: bytes, context: PageContext) -> bytes:
    key = context.instrument.name.market_id.encode()
    return b'{"error":[],"result":{"%s":[%s],"last":%d}}' % (key, rows, context.last_closed_ms // 1_000)


def _record(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    return {
        "_key": instrument.name.market_id,
        "altname": _altname(instrument.base, instrument.quote),
        "wsname": instrument.symbol.replace("BTC", "XBT"),
        "aclass_base": "currency",
        "base": instrument.name.base_id,
        "aclass_quote": "currency",
        "quote": instrument.name.quote_id,
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": instrument.price_decimals,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "fee_volume_currency": "ZUSD",
        "ordermin": "0.0001",
        "costmin": "0.5",
        "tick_size": step_text(instrument.price_decimals),
        "status": "cancel_only" if instrument.is_delisted(now_ms) else "online",
    }


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the markets as an object with their ids as keys.

    If a record has no id, its key is made from the position of the record in the list.
    """
    result = {}
    for number, record in enumerate(records):
        key = record.pop("_key", f"BROKEN{number}") if isinstance(record, dict) else f"BROKEN{number}"
        result[key] = record
    return {"error": [], "result": result}


def _error(text: str) -> Refusal:
    return Refusal(200, f'{{"error":["{text}"]}}')


VENUE = SandboxVenue(
    id="kraken",
    port=18803,
    naming=_naming,
    symbols=(*against("USD"), "BTC/USDT", "ETH/USDT", "ETH/BTC", "BTC/EUR", "BTC/USDC"),
    opens="2013-10-06T21:00:00Z",
    page_limit=720,
    descending=False,
    empty_minutes="filled",
    outage_every=None,
    turnover=0.1,
    quiet=6.0,
    pad=8,
    limits=(
        RateLimit(
            name="counter of public calls",
            allowed=15,
            window=15,
            kind="decay",
            source="support.kraken.com, What are the API rate limits: one public call a second is safe; "
            "the counter's limit of 15 is documented for the starter tier of the private API",
            patience=5,
            ban_seconds=900,
        ),
    ),
    refusals={
        "throttled": _error("EGeneral:Too many requests"),
        "banned": _error("EGeneral:Temporary lockout"),
        "unknown_symbol": _error("EQuery:Unknown asset pair"),
        "closed_market": _error("EQuery:Unknown asset pair"),
        "bad_request": _error("EGeneral:Invalid arguments"),
        "not_found": _error("EGeneral:Unknown method"),
        "internal": _error("EGeneral:Internal error"),
        "maintenance": _error("EService:Unavailable"),
    },
    wire=WireFormat(
        candles="/0/public/OHLC",
        markets="/0/public/AssetPairs",
        others={
            "/0/public/Assets": lambda now_ms: {"error": [], "result": {}},
            "/0/public/Time": lambda now_ms: {"error": [], "result": {"unixtime": now_ms // 1_000, "rfc1123": ""}},
            "/0/public/SystemStatus": lambda now_ms: {"error": [], "result": {"status": "online"}},
        },
        timeframes={**_TIMEFRAMES, "": MINUTE},
        default_limit=720,
        symbol="pair",
        start="since",
        unit=1_000,
        edges=Edges(keep="newest"),
        adjust=_adjust,
        row=_row,
        page=_page,
        record=_record,
        listing=_listing,
        null_page=b'{"error":[],"result":null}',
    ),
    sources=(
        "docs.kraken.com/api-reference/market-data/get-ohlc-data: the last 720 rows; older rows are not served "
        "for any `since`; the last row is always the unfinished candle; `last` is the time of the last finished candle",
        "A minute without a trade is a row with volume 0 in the REST API, and is absent in the CSV archive",
    ),
)
