"""Hyperliquid: `POST /info` with {"type": "candleSnapshot"} and {"type": "spotMetaAndAssetCtxs"}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument, MarketName
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against
from titan10_dagster.sandbox.venues.wire import DAY, HOUR, MINUTE, Candle, Edges, WireFormat, enclosed

_TIMEFRAMES = {
    "1m": MINUTE, "3m": 3 * MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE, "1h": HOUR,
    "2h": 2 * HOUR, "4h": 4 * HOUR, "8h": 8 * HOUR, "12h": 12 * HOUR, "1d": DAY,
}  # fmt: skip
_LAST_CANDLES = 5_000


def _naming(base: str, quote: str) -> MarketName:
    return MarketName(f"{base}/{quote}", base, quote)


def _row(candle: Candle) -> str:
    return (
        f'{{"t":{candle.time},"T":{candle.last_ms},"o":"{candle.open}","c":"{candle.close}","h":"{candle.high}",'
        f'"l":"{candle.low}","v":"{candle.volume}","n":7}}'
    )


def _record(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    return {"name": instrument.name.market_id, "base": instrument.base, "decimals": instrument.volume_decimals}


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> list[Any]:
    """Return the list of markets: the tokens with their numbers, the pairs of tokens, and the price of each pair."""
    tokens: list[dict[str, Any]] = [{"name": "USDC", "szDecimals": 8, "weiDecimals": 8, "index": 0}]
    universe: list[Any] = []
    for record in records:
        if not isinstance(record, dict) or "base" not in record:
            universe.append(record)
            continue
        number = len(tokens)
        tokens.append({"name": record["base"], "szDecimals": record["decimals"], "weiDecimals": 8, "index": number})
        universe.append({"name": record["name"], "tokens": [number, 0], "index": len(universe), "isCanonical": True})
    prices = [{"dayNtlVlm": "1.0", "markPx": "1.0", "midPx": "1.0", "prevDayPx": "1.0"} for _ in universe]
    return [{"tokens": tokens, "universe": universe}, prices]


VENUE = SandboxVenue(
    id="hyperliquid",
    port=18818,
    naming=_naming,
    symbols=against("USDC"),
    opens="2024-04-16T00:00:00Z",
    page_limit=_LAST_CANDLES,
    depth=_LAST_CANDLES,
    descending=False,
    empty_minutes="filled",
    quiet=4.0,
    limits=(
        RateLimit(
            name="weight per minute",
            allowed=1_200,
            window=60,
            kind="sliding",
            source="hyperliquid.gitbook.io, Rate limits: weight 1200 a minute per IP; info costs 20, candles cost more",
            cost={"candles": 20, "markets": 20, "other": 20},
        ),
    ),
    refusals={
        "throttled": Refusal(429, "null"),
        "banned": Refusal(429, "null"),
        "unknown_symbol": Refusal(500, "null"),
        "closed_market": Refusal(500, "null"),
        "bad_request": Refusal(422, "Failed to deserialize the JSON body into the target type", "text/plain"),
        "bad_interval": Refusal(422, "Failed to deserialize the JSON body into the target type", "text/plain"),
        "internal": Refusal(500, "null"),
    },
    wire=WireFormat(
        candles="/info/candleSnapshot",
        markets="/info/spotMetaAndAssetCtxs",
        others={"/info/exchangeStatus": lambda now_ms: {"status": "ok", "time": now_ms}},
        timeframes=_TIMEFRAMES,
        default_limit=_LAST_CANDLES,
        symbol="coin",
        selector="type",
        edges=Edges(keep="newest"),
        row=_row,
        page=enclosed(b"[", b"]"),
        record=_record,
        listing=_listing,
        null_page=b"null",
    ),
    sources=(
        "hyperliquid.gitbook.io, candleSnapshot: the last 5000 candles; minutes without trades have rows with volume 0",
        "The answer for an unknown coin is HTTP 500 with `null` (assumed); pairs are quoted in USDC",
    ),
)
