from __future__ import annotations

import json
from pathlib import Path

from titan10_dagster.sandbox.journal import Journal
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster_tests.sandbox.clients import asked

KLINES = "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=5&startTime=1700000040000"


def test_the_log_holds_requests_and_what_was_answered(tmp_path: Path) -> None:
    with Sandbox(["binance"], log=tmp_path / "log.jsonl") as sandbox:
        asked(sandbox.url("binance") + KLINES)
        asked(sandbox.url("binance") + "/api/v3/exchangeInfo")
        answer = asked(sandbox.url("binance") + "/_sandbox/requests")
        newer = asked(f"{sandbox.url('binance')}/_sandbox/requests?since=2")["requests"]
        asked(sandbox.url("binance") + "/_sandbox/requests", "DELETE")
        assert sandbox.requests("binance") == []
    candles, markets = answer["requests"]
    assert answer["next"] == 3
    assert [entry["seq"] for entry in newer] == [2]
    wanted = {
        "exchange": "binance", "path": "/api/v3/klines", "kind": "candles", "symbol": "BTC/USDT", "timeframe": "1m",
        "since": 1_700_000_040_000, "end": None, "limit": 5, "rows": 5, "first": 1_700_000_040_000,
        "last": 1_700_000_280_000, "status": 200, "weight": 2, "banned": False, "faults": [],
    }  # fmt: skip
    assert candles.items() >= wanted.items()
    assert markets["kind"] == "markets"
    assert [json.loads(line)["seq"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [1, 2]


def test_only_the_latest_entries_are_kept() -> None:
    journal = Journal("binance", keep=2)
    for path in ("/a", "/b", "/c"):
        journal.open(path, {})
    assert [entry["path"] for entry in journal.entries()] == ["/b", "/c"]
    assert journal.next == 4
