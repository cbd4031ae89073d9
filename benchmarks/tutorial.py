"""A program like those of usual tutorials, which fills a table with candles, for comparison. Do not improve it.

It uses ccxt's async class with 500 rows per request, one symbol after the other, and `executemany` of each answer with
ON CONFLICT DO NOTHING. `benchmarks.peers` runs it and prints the result.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

import asyncpg
import ccxt.async_support as ccxt

ROWS = 500
MINUTE = 60_000
TABLE = """
CREATE TABLE IF NOT EXISTS tutorial_ohlcv (
    symbol text, time timestamptz, open float8, high float8, low float8, close float8, volume float8,
    PRIMARY KEY (symbol, time)
)
"""
INSERT = "INSERT INTO tutorial_ohlcv VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING"


async def ingest(sandbox: str, database: str, symbols: list[str], first_ms: int, end_ms: int) -> int:
    """Store the candles of each symbol in [first_ms, end_ms), and return the number of received rows."""
    exchange = ccxt.binance({"enableRateLimit": False, "options": {"fetchMarkets": {"types": ["spot"]}}})
    exchange.urls["api"]["public"] = f"{sandbox}/api/v3"
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(TABLE)
        return sum([await _ingest_symbol(exchange, connection, symbol, first_ms, end_ms) for symbol in symbols])
    finally:
        await connection.close()
        await exchange.close()


async def _ingest_symbol(
    exchange: ccxt.binance, connection: asyncpg.Connection, symbol: str, since: int, end_ms: int
) -> int:
    count = 0
    while since < end_ms:
        rows = await exchange.fetch_ohlcv(symbol, "1m", since=since, limit=ROWS)
        if not rows:
            break
        values = [(symbol, datetime.fromtimestamp(row[0] / 1000, UTC), *row[1:]) for row in rows]
        await connection.executemany(INSERT, values)
        count += len(rows)
        since = rows[-1][0] + MINUTE
    return count


if __name__ == "__main__":
    sandbox, database, symbols, first, end = sys.argv[1:]
    print(asyncio.run(ingest(sandbox, database, symbols.split(","), int(first), int(end))))  # noqa: T201
