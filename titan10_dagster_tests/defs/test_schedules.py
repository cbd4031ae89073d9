from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from titan10_dagster.defs.schedules import settle_requests


def test_at_two_in_the_morning_yesterday_is_requested_from_every_exchange() -> None:
    requests = settle_requests(("binance", "okx"), datetime(2024, 3, 1, 2, tzinfo=UTC))
    assert [request.partition_key for request in requests] == ["2024-02-29", "2024-02-29"]
    assert [request.asset_selection for request in requests] == [
        [dg.AssetKey([name, "candles"]), dg.AssetKey([name, "ohlcv"])] for name in ("binance", "okx")
    ]


def test_a_day_is_requested_once_for_repeated_ticks() -> None:
    first, second = (settle_requests(("okx",), datetime(2024, 3, 1, hour, tzinfo=UTC)) for hour in (2, 9))
    assert [request.run_key for request in first] == [request.run_key for request in second]
