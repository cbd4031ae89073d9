"""`titan10 series` over a real database and a real landing zone."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from titan10_dagster.candles.fetched import FetchedSlice
from titan10_dagster.errors import SettingsError
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.local.commands.series import drop_series, list_series, rename_series
from titan10_dagster.settings import DatabaseSettings, ExchangeSettings, Settings
from titan10_dagster.store.database import Database
from titan10_dagster.store.series import stored_series
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.json_fields import documented_fields
from titan10_dagster_tests.store.making import DAY, Sql, a_slice, as_fetched, candles, judged

NOW = datetime(2024, 6, 1, tzinfo=UTC)
BTC, TYPO = a_slice("BTC/USDT"), a_slice("BCT/USDT")


@dataclass
class Shell:
    """Settings, and the messages of the commands on standard error."""

    settings: Settings
    said: list[str] = field(default_factory=list)


@pytest.fixture
def shell(database_url: str, tmp_path: Path) -> Shell:
    database = Database(database_url)
    write_slices(database, [judged(BTC), judged(TYPO)])
    database.close()
    exchanges = {"binance": ExchangeSettings(symbols=("BTC/USDT",), start=DAY)}
    database_settings = DatabaseSettings(url=SecretStr(database_url))
    return Shell(Settings(data=tmp_path, database=database_settings, exchanges=exchanges))


@pytest.fixture
def sql(database_url: str) -> Sql:
    return Sql(Database(database_url))


def test_the_list_shows_series_with_market_ends_and_breaks(
    shell: Shell, sql: Sql, capsys: pytest.CaptureFixture[str]
) -> None:
    sql(
        "INSERT INTO series_breaks (exchange, symbol, timeframe, at, kind, found_at) "
        "VALUES ('binance', 'BTC/USDT', '1m', '2024-01-10 12:00Z', 'market', now())"
    )
    list_series(shell.settings, shell.said.append, "binance", as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert [row["symbol"] for row in rows] == ["BCT/USDT", "BTC/USDT"]
    assert set(rows[0]) == documented_fields("`titan10 series list --json`")
    assert rows[1]["breaks"] == ["2024-01-10T12:00:00+00:00"]
    list_series(shell.settings, shell.said.append, None, as_json=False)
    assert "2024-01-10 12:00" in capsys.readouterr().out


def test_a_drop_says_what_goes_and_does_nothing_unless_it_is_confirmed(
    shell: Shell, sql: Sql, capsys: pytest.CaptureFixture[str]
) -> None:
    zone = LandingZone(shell.settings.landing)
    for slice_ in (BTC, TYPO):
        zone.write(FetchedSlice(judged(slice_).record, as_fetched(candles(slice_))))
    questions: list[str] = []

    def refuse(question: str) -> bool:
        questions.append(question)
        return False

    assert not drop_series(shell.settings, shell.said.append, "binance", "BCT/USDT", confirm=refuse, now=NOW)
    assert questions[0].startswith("Delete binance BCT/USDT for good: 1,440 rows of candles")
    assert len(stored_series(sql.db)) == 2
    assert drop_series(shell.settings, shell.said.append, "binance", "BCT/USDT", confirm=lambda _: True, now=NOW)
    assert [row.symbol for row in stored_series(sql.db)] == ["BTC/USDT"]
    assert [path.name for path in zone.root.rglob("*.parquet")] == ["BTC-USDT.parquet"]
    assert "The table series_events keeps a record." in capsys.readouterr().out
    assert shell.said == []


def test_a_drop_of_a_configured_symbol_says_that_it_comes_back(shell: Shell) -> None:
    drop_series(shell.settings, shell.said.append, "binance", "BTC/USDT", confirm=lambda _: False, now=NOW)
    assert shell.said == ["BTC/USDT is in exchanges.binance.symbols. Remove it there, otherwise it is fetched again."]


@pytest.mark.parametrize(
    ("exchange", "symbol", "message"),
    [
        ("binance", "BTC/USD", "binance BTC/USD: nothing of it is stored; did you mean BTC/USDT"),
        ("binanc", "BTC/USDT", "binanc: nothing of it is stored; did you mean binance"),
    ],
)
def test_a_name_that_is_not_stored_is_corrected(shell: Shell, exchange: str, symbol: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        drop_series(shell.settings, shell.said.append, exchange, symbol, confirm=lambda _: True, now=NOW)


def test_a_rename_says_what_it_changed(shell: Shell, sql: Sql, capsys: pytest.CaptureFixture[str]) -> None:
    rename_series(
        shell.settings, shell.said.append, "binance", "BCT/USDT", to_exchange=None, to_symbol="BCH/USDT", now=NOW
    )
    assert "1,440 rows of candles" in capsys.readouterr().out
    assert [row.symbol for row in stored_series(sql.db)] == ["BCH/USDT", "BTC/USDT"]
    rename_series(shell.settings, shell.said.append, "binance", None, to_exchange="binanceus", to_symbol=None, now=NOW)
    assert {row.exchange for row in stored_series(sql.db)} == {"binanceus"}


@pytest.mark.parametrize(
    ("exchange", "symbol", "message"),
    [
        ("binance", "BTC/USD", "binance BTC/USD: nothing of it is stored; did you mean BTC/USDT"),
        ("binanc", None, "binanc: nothing of it is stored; did you mean binance"),
    ],
)
def test_a_name_that_cannot_be_renamed_is_corrected(
    shell: Shell, exchange: str, symbol: str | None, message: str
) -> None:
    to_exchange, to_symbol = ("okx", None) if symbol is None else (None, "X/Y")
    with pytest.raises(SettingsError, match=message):
        rename_series(
            shell.settings, shell.said.append, exchange, symbol, to_exchange=to_exchange, to_symbol=to_symbol, now=NOW
        )


def test_the_list_of_an_exchange_that_is_not_stored_corrects_its_name(shell: Shell) -> None:
    with pytest.raises(SettingsError, match="binanc: nothing of it is stored; did you mean binance"):
        list_series(shell.settings, shell.said.append, "binanc", as_json=True)


@pytest.mark.parametrize("names", [(None, None, "X/Y"), ("BTC/USDT", "okx", None), (None, None, None)])
def test_a_rename_without_an_old_and_a_new_name_is_refused(
    shell: Shell, names: tuple[str | None, str | None, str | None]
) -> None:
    symbol, to_exchange, to_symbol = names
    with pytest.raises(SettingsError, match="Write `titan10 series rename EXCHANGE --to-exchange NEW`"):
        rename_series(
            shell.settings, shell.said.append, "binance", symbol, to_exchange=to_exchange, to_symbol=to_symbol, now=NOW
        )
