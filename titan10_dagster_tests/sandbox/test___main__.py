from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from titan10_dagster.sandbox.__main__ import parsed_replays
from titan10_dagster_tests.sandbox.clients import asked


def test_it_runs_as_a_process_and_ends_on_sigterm(tmp_path: Path) -> None:
    csv = tmp_path / "candles.csv"
    csv.write_text("time,open,high,low,close,volume\n1700000040,1,2,0.5,1.5,10\n")
    command = [sys.executable, "-m", "titan10_dagster.sandbox", "--exchange", "binance", "--port", "0", "--no-limits"]
    process = subprocess.Popen([*command, "--replay", f"binance:XRP/ETH={csv}"], stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            found = re.search(r"binance +(http://127\.0\.0\.1:\d+)", process.stdout.readline())
            assert found
            rows = asked(f"{found[1]}/api/v3/klines?symbol=XRPETH&interval=1m&startTime=0")
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert rows[0][:6] == [1_700_000_040_000, "1.00000000", "2.00000000", "0.50000000", "1.50000000", "10.00000000"]


def test_a_replay_names_exchange_symbol_and_file() -> None:
    assert parsed_replays(("binance:XRP/ETH=a.csv",)) == {("binance", "XRP/ETH"): Path("a.csv")}
    with pytest.raises(ValueError, match="EXCHANGE:BASE/QUOTE=FILE"):
        parsed_replays(("XRP/ETH",))
