from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.fetch import fetch_and_land
from titan10_dagster.ingest.store import store_slices
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.local.commands.reconcile import ReconcileRequest, run_reconcile
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.settings import DatabaseSettings, ExchangeSettings, Settings
from titan10_dagster.store.database import Database
from titan10_dagster_tests.json_fields import documented_fields

DAY = date(2024, 3, 4)
NINE_ON_THE_DAY_MS = 1_709_542_800_000


@pytest.fixture
def said() -> list[str]:
    return []


def test_a_comparison_shows_each_value_that_differs(
    database_url: str, tmp_path: Path, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with Sandbox(["binance"], clock=datetime(2024, 3, 10, tzinfo=UTC), enforce_limits=False) as sandbox:
        exchange = ExchangeSettings(
            symbols=("BTC/USDT",), start=date(2024, 1, 1), base_url=sandbox.url("binance"), paced=False
        )
        settings = Settings(data=tmp_path, database=DatabaseSettings(url=database_url), exchanges={"binance": exchange})
        db = Database(database_url)
        titan10 = IngestContext(settings, db, LandingZone(settings.landing))
        slices = titan10.slices("binance", [DAY])
        fetch_and_land(titan10, "binance", slices)
        store_slices(titan10, slices)
        db.close()

        request = ReconcileRequest("binance", DAY, DAY, share=1, seed=0)
        assert run_reconcile(settings, request, said.append, as_json=False)
        shown = capsys.readouterr().out
        assert shown.startswith("binance: 0 of 1,440 candles differ (0.0000%), on 0 of 1 days.")

        for path in settings.archives.rglob("*.zip"):
            path.unlink()
        sandbox.files["binance"].rewrite("BTC/USDT", [NINE_ON_THE_DAY_MS])
        assert not run_reconcile(settings, request, said.append, as_json=False)
        first, _ = capsys.readouterr().out.splitlines()
        assert first.startswith("binance BTC/USDT 1m 2024-03-04 09:00 volume: ")
        assert not run_reconcile(settings, request, said.append, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert set(found) == documented_fields("`titan10 reconcile --json`")
    (difference,) = found["differences"]
    assert set(difference) == documented_fields("`differences` of `titan10 reconcile --json`")
    assert difference["column"] == "volume"
    assert difference["archive"] == pytest.approx(difference["rest"] + 1)
    assert (found["compared_days"], found["compared_candles"], found["differing_candles"]) == (1, 1440, 1)
    assert found["rate"] == found["rate_low"] == found["rate_high"] == pytest.approx(1 / 1440)


def test_a_range_without_settled_days_is_no_success(
    database_url: str, tmp_path: Path, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with Sandbox(["binance"], enforce_limits=False) as sandbox:
        exchange = ExchangeSettings(symbols=("BTC/USDT",), start=date(2024, 1, 1), base_url=sandbox.url("binance"))
        settings = Settings(data=tmp_path, database=DatabaseSettings(url=database_url), exchanges={"binance": exchange})
        request = ReconcileRequest("binance", DAY, DAY, share=1, seed=0)
        assert not run_reconcile(settings, request, said.append, as_json=False)
    assert "no day was compared" in capsys.readouterr().out
