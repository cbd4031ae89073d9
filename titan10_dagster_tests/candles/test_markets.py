from __future__ import annotations

from titan10_dagster.candles.markets import Market


def test_markets_differ_by_every_field_and_can_be_kept_in_sets() -> None:
    def btc(**extra: int) -> Market:
        return Market("kraken", "BTC/USDT", "XBTUSDT", "BTC", "USDT", "XBT", "USDT", True, extra=extra)

    assert btc() == btc()
    assert btc(id=1) != btc(id=2)
    assert len({btc(id=1), btc(id=1), btc(id=2)}) == 2
