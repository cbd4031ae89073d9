"""Measure how much of the allowed request rate a backfill uses, if each request has a round trip of 150 ms.

    python -m benchmarks.pace [--seconds 30] [--round-trip 150] [--exchange NAME]...

The sandbox enforces each exchange's own limits and answers late. The rate is measured between the first and the last
candle request that arrives at the sandbox. It is compared with the pace that a backfill keeps, and with the rate in the
exchange's documentation. The pace is below the documented rate on purpose: the exchange counts with its own clock, and
a refused request costs more time than the last tenth of the rate saves.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.backfill import LAST, open_context, servers, symbols_of
from titan10_dagster.candles.slices import days
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.ingest.clients import open_client
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.fetch import fetch_and_land
from titan10_dagster.ingest.markets import refresh_markets

TITLE = "The allowed rate, with a round trip"
# Candle requests per second that the exchange's documentation allows. Kraken is left out, because it serves no history.
ALLOWED = {"binance": 50.0, "bybit": 120.0, "coinbase": 10.0, "okx": 10.0}
MOST_PAGES = 3000


def main() -> None:
    arguments = _arguments()
    lines = [_line(exchange, arguments) for exchange in arguments.exchange or ALLOWED]
    print("\n".join(lines))  # noqa: T201
    about = " ".join((__doc__ or "").split("\n\n", 2)[2].split())
    table = "\n".join(lines)
    text = f"A round trip of {arguments.round_trip} ms. {about}\n\n```\n{table}\n```"
    results.write(TITLE, text, beside="embedded PostgreSQL 18")


def _line(exchange: str, arguments: argparse.Namespace) -> str:
    with servers(exchange, "--latency", str(arguments.round_trip)) as (sandbox, database):
        symbols = symbols_of(sandbox)
        with tempfile.TemporaryDirectory() as folder:
            titan10 = open_context(exchange, symbols, sandbox, database, Path(folder), paced=True)
            spacing = asyncio.run(spacing_of(titan10, exchange))
            _fetch(titan10, exchange, min(int(arguments.seconds / spacing), MOST_PAGES))
        arrivals = sorted(entry["monotonic"] for entry in candle_requests(sandbox))
        refused = sum(entry["throttled"] for entry in _get_json(f"{sandbox}/_sandbox/requests")["requests"])
    rate = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])
    return (
        f"{exchange:<10}{len(arrivals):>6} requests, {rate:6.2f} a second: {rate * spacing:6.1%} of our own pace, "
        f"{rate / ALLOWED[exchange]:6.1%} of the documented rate; refused: {refused}"
    )


async def spacing_of(titan10: IngestContext, exchange: str) -> float:
    """Return the seconds between two candle requests at the pace of a backfill."""
    listed = await asyncio.to_thread(refresh_markets, titan10, exchange)
    old = titan10.slices(exchange, [LAST])[0]  # an old day, because OKX has another endpoint and pace for new candles
    async with open_client(titan10, exchange, listed.markets) as client:
        await client.fetch_page(old.series, old.start, 1)
        return client.pacer.spacing


def _fetch(titan10: IngestContext, exchange: str, pages: int) -> None:
    """Fetch complete days of each symbol, with about `pages` pages in total."""
    symbols = titan10.exchange(exchange).symbols
    wanted = max(1, round(pages * venue_of(exchange).page_size / 1440 / len(symbols)))
    slices = titan10.slices(exchange, days(LAST - timedelta(days=wanted - 1), LAST))
    fetch_and_land(titan10, exchange, slices)


def candle_requests(sandbox: str) -> Iterator[dict[str, Any]]:
    """Yield the candle requests in the sandbox's log, without requests for a single candle."""
    for entry in _get_json(f"{sandbox}/_sandbox/requests")["requests"]:
        if entry["kind"] == "candles" and entry["limit"] != 1:
            yield entry


def _get_json(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exchange", action="append", choices=list(ALLOWED))
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--round-trip", type=int, default=150)
    return parser.parse_args()


if __name__ == "__main__":
    main()
