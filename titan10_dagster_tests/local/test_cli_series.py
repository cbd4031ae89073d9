"""The command line of `titan10 series`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from titan10_dagster.local.cli import main
from titan10_dagster.local.exit_codes import DONE, FAILED
from titan10_dagster.store.database import Database
from titan10_dagster.store.series import stored_series
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import a_slice, judged

SETTINGS = '[exchanges.binance]\nsymbols = ["BTC/USDT"]\nstart = 2024-01-01\n'


@pytest.fixture(autouse=True)
def _stored(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TITAN10_DATABASE__URL", database_url)
    (tmp_path / "titan10.toml").write_text(SETTINGS)
    database = Database(database_url)
    write_slices(database, [judged(a_slice("BCT/USDT"))])
    database.close()


def titan10(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["series", *arguments], catch_exceptions=False)


def symbols(database_url: str) -> list[str]:
    database = Database(database_url)
    found = [row.symbol for row in stored_series(database)]
    database.close()
    return found


def test_series_are_listed() -> None:
    result = titan10("list")
    assert (result.exit_code, "BCT/USDT" in result.output) == (DONE, True)


def test_without_a_terminal_and_without_yes_nothing_is_deleted(database_url: str) -> None:
    result = titan10("drop", "binance", "BCT/USDT")
    assert (result.exit_code, "Nothing was deleted." in result.output) == (FAILED, True)
    assert symbols(database_url) == ["BCT/USDT"]
    assert titan10("drop", "binance", "BCT/USDT", "--yes").exit_code == DONE
    assert symbols(database_url) == []


def test_a_symbol_is_renamed(database_url: str) -> None:
    assert titan10("rename", "binance", "BCT/USDT", "--to-symbol", "BTC/USDT").exit_code == DONE
    assert symbols(database_url) == ["BTC/USDT"]
