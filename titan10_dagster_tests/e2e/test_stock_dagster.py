"""One backfill through daemon and queue with Dagster's own PostgreSQL storage, run launcher and code server.

It is slower: each run starts a new Python, and each statement a new connection.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance, DefaultRunLauncher

from titan10_dagster import settings as titan10_settings
from titan10_dagster.candles.slices import days
from titan10_dagster.dagster_internals import commands
from titan10_dagster.local.graphql import backfill_of, launch_backfill
from titan10_dagster.local.instance import prepare
from titan10_dagster.local.stack import Stack
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.store import ledger
from titan10_dagster.store.database import Database
from titan10_dagster_tests import stock_dagster

pytestmark = pytest.mark.timeout(1200)
LAST = datetime.now(UTC).date() - timedelta(days=2)
WANTED = days(LAST - timedelta(days=1), LAST)
SETTINGS = """
data = "data"
[server]
port = 0
postgres_port = 0
[live]
enabled = false
[exchanges.binance]
symbols = ["BTC/USDT", "ETH/USDT"]
start = {start}
base_url = "{url}"
"""


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o711)
    monkeypatch.setattr(commands, "code_server", stock_dagster.code_server)
    before = dict(os.environ)
    with Sandbox(["binance"]) as sandbox:
        (tmp_path / "titan10.toml").write_text(SETTINGS.format(start=WANTED[0], url=sandbox.url("binance")))
        (tmp_path / "dagster.yaml").write_text(stock_dagster.configuration(stock=True))
        settings = titan10_settings.load(tmp_path)
        stack = Stack(settings, tmp_path, lambda _: None)
        try:
            stack.start()
            os.environ.update(prepare(settings, tmp_path, stack.database_url))
            yield stack
        finally:
            stack.stop()
            os.environ.clear()
            os.environ.update(before)


def test_a_backfill_completes_with_dagsters_own_classes(stack: Stack) -> None:
    with DagsterInstance.get() as instance:
        assert type(instance.run_storage).__module__.startswith("dagster_postgres")
        assert type(instance.event_log_storage).__module__.startswith("dagster_postgres")
        assert type(instance.run_launcher) is DefaultRunLauncher
    backfill = launch_backfill(stack.url, [("binance", "candles"), ("binance", "ohlcv")], WANTED)
    deadline, status = time.monotonic() + 900, "REQUESTED"
    while status in {"REQUESTED", "CANCELING"} and time.monotonic() < deadline:
        stack.tend()
        time.sleep(1)
        status = str(backfill_of(stack.url, backfill)["status"])
    assert status == "COMPLETED_SUCCESS"
    with closing(Database(stack.database_url)) as database:
        rows = ledger.coverage(database, "binance", WANTED[0], WANTED[-1])
    assert [(row.series.symbol, row.settled, row.present) for row in rows] == [
        ("BTC/USDT", 2, 2 * 1440),
        ("ETH/USDT", 2, 2 * 1440),
    ]
