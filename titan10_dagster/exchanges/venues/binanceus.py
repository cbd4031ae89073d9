"""Binance.US, which speaks as Binance does."""

from __future__ import annotations

from dataclasses import replace

from titan10_dagster.exchanges.venues import binance

VENUE = replace(
    binance.VENUE, exchange="binanceus", alternative_source=None, days_per_run=27, source="docs: as binance"
)
