from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from titan10_dagster.local.commands.probe import run_probe, show_history
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.settings import DatabaseSettings, ExchangeSettings, Settings
from titan10_dagster_tests.json_fields import documented_fields


@pytest.fixture
def said() -> list[str]:
    return []


def settings_of(url: str, database_url: str, folder: Path) -> Settings:
    exchange = ExchangeSettings(symbols=("BTC/USDT", "ALGO/USDT"), start=date(2024, 1, 1), base_url=url, paced=False)
    return Settings(data=folder, database=DatabaseSettings(url=database_url), exchanges={"binance": exchange})


def test_a_probe_shows_what_it_measured_and_what_differs(
    database_url: str, tmp_path: Path, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with Sandbox(["binance"], enforce_limits=False) as sandbox:
        settings = settings_of(sandbox.url("binance"), database_url, tmp_path)
        assert run_probe(settings, "binance", said.append, as_json=False)
        assert "0 differences" in capsys.readouterr().out
        sandbox.fault("binance", "reversed")
        assert not run_probe(settings, "binance", said.append, as_json=True)
        shown = json.loads(capsys.readouterr().out)
    assert shown["properties"]["order"] == {
        "measured": "newest first", "expected": "oldest first", "differs": True,
    }  # fmt: skip
    assert set(shown) == documented_fields("`titan10 probe --json`")
    assert set(shown["properties"]["order"]) == documented_fields("`properties` of `titan10 probe --json`")
    show_history(settings, "binance", said.append, as_json=True)
    assert json.loads(capsys.readouterr().out)[0] == shown
    show_history(settings, "binance", said.append, as_json=False)
    newest, oldest = capsys.readouterr().out.splitlines()
    assert newest.endswith("order newest first")
    assert oldest.endswith("nothing differs")
