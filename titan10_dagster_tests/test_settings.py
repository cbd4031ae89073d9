"""Settings come from files and the environment, in that order. Invalid ones are refused with a sentence."""

from __future__ import annotations

import os
import re
from codecs import BOM_UTF8
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from titan10_dagster import settings
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.errors import SettingsError

BINANCE = '[exchanges.binance]\nsymbols = ["BTC/USDT"]\nstart = 2024-01-01\n'
Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("TITAN10_")]:
        monkeypatch.delenv(variable)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a titan10.toml and an optional .env into a folder."""

    def write(toml: str = BINANCE, dotenv: str = "") -> Path:
        (tmp_path / "titan10.toml").write_text(toml)
        if dotenv:
            (tmp_path / ".env").write_text(dotenv)
        return tmp_path

    return write


def refusal(folder: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        settings.load(folder)
    return str(caught.value)


def test_the_projects_own_file_is_allowed() -> None:
    loaded = settings.load(Path(__file__).parents[1])
    assert set(loaded.enabled) >= {"binance", "bybit", "coinbase", "kraken", "okx"}
    assert loaded.database.url is None


def test_missing_keys_have_defaults(write: Write) -> None:
    folder = write()
    loaded = settings.load(folder)
    binance = loaded.exchanges["binance"]
    assert (binance.timeframe, binance.start) == (TIMEFRAMES["1m"], date(2024, 1, 1))
    assert (binance.enabled, binance.paced, binance.base_url, binance.days_per_run) == (True, True, None, None)
    assert (loaded.server.host, loaded.server.port) == ("127.0.0.1", 3000)
    assert loaded.checks.broken_share == 0.01


def test_relative_paths_are_taken_from_the_folder_of_the_file(write: Write) -> None:
    folder = write()
    assert settings.load(folder).data == folder / ".titan10"
    assert settings.load(folder).landing.is_relative_to(folder / ".titan10")


def test_absolute_paths_stay(write: Write) -> None:
    assert settings.load(write(f'data = "/elsewhere"\n{BINANCE}')).data == Path("/elsewhere")


def test_the_environment_outranks_dotenv_which_outranks_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    toml = "[server]\nport = 1\npostgres_port = 1\nhost = 'one'\n" + BINANCE
    folder = write(toml, "TITAN10_SERVER__PORT=2\nTITAN10_SERVER__POSTGRES_PORT=2\n")
    monkeypatch.setenv("TITAN10_SERVER__PORT", "3")
    loaded = settings.load(folder).server
    assert (loaded.port, loaded.postgres_port, loaded.host) == (3, 2, "one")


def test_every_key_of_an_exchange_has_a_variable(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "SYMBOLS": "ETH/USDT, SOL/USDT",
        "TIMEFRAME": "1h",
        "START": "2025-02-03",
        "DAYS_PER_RUN": "7",
        "SOURCES": "archive, rest",
        "ARCHIVE_URL": "http://127.0.0.1:8",
        "BASE_URL": "http://127.0.0.1:9",
        "PROXY": "socks5://127.0.0.1:1",
        "PACED": "false",
        "ENABLED": "false",
    }
    assert {name.lower() for name in values} == set(settings.ExchangeSettings.model_fields)
    for name, value in values.items():
        monkeypatch.setenv(f"TITAN10_EXCHANGES__BINANCE__{name}", value)
    binance = settings.load(write()).exchanges["binance"]
    assert binance.symbols == ("ETH/USDT", "SOL/USDT")
    assert (binance.timeframe.name, binance.start, binance.days_per_run) == ("1h", date(2025, 2, 3), 7)
    assert binance.proxy is not None
    assert (binance.base_url, binance.proxy.get_secret_value()) == ("http://127.0.0.1:9", "socks5://127.0.0.1:1")
    assert (binance.paced, binance.enabled) == (False, False)


def test_an_exchange_can_be_configured_by_variables_alone(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITAN10_EXCHANGES__KRAKEN__SYMBOLS", "BTC/USD")
    monkeypatch.setenv("TITAN10_EXCHANGES__KRAKEN__START", "2024-01-01")
    assert set(settings.load(write()).enabled) == {"binance", "kraken"}


def test_an_empty_variable_sets_nothing(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITAN10_DATABASE__URL", "")
    assert settings.load(write()).database.url is None


def test_no_exchange_starts_before_the_first_partition(write: Write) -> None:
    assert settings.load(write("first_day = 2024-01-01\n" + BINANCE)).first_day == date(2024, 1, 1)
    sentence = "exchanges.binance.start: 2024-01-01 is before first_day (2024-01-02): set first_day to"
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        settings.load(write("first_day = 2024-01-02\n" + BINANCE))


def test_a_disabled_exchange_is_not_enabled(write: Write) -> None:
    loaded = settings.load(write(BINANCE + "enabled = false\n"))
    assert list(loaded.enabled) == []
    assert list(loaded.exchanges) == ["binance"]


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("[server]\nprot = 1\n", "server.prot: there is no such setting; did you mean port"),
        ("[servers]\nport = 1\n", "servers: there is no such setting; did you mean server"),
        ("exchanges = 3\n", "exchanges: must be a section of keys and values"),
        ("colour = 1\n", "colour: there is no such setting; allowed are alerts, autopilot, checks"),
        ("[server]\nport = 65536\n", "server.port: must be at most 65535"),
        ("[server]\nport = 'x'\n", "server.port: must be a whole number"),
        ("[checks]\nbroken_share = 2\n", "checks.broken_share: must be at most 1"),
        ("[alerts]\nsettled_by = '06:00+02:00'\n", "alerts.settled_by: must be a UTC time without a time zone"),
        ("[alerts]\nsettled_by = 02:59:00\n", "alerts.settled_by: must be 03:00 or later"),
        ("[alerts]\nbreaker_open_minutes = 10000000000000\n", "alerts.breaker_open_minutes: must be at most 525600"),
        ("[alerts]\nlive_lag_minutes = 10000000000000\n", "alerts.live_lag_minutes: must be at most 525600"),
        ("[alerts]\ngap_days = 1000000\n", "alerts.gap_days: must be at most 36500"),
        ("[timescaledb]\nretention_days = 1000000\n", "timescaledb.retention_days: must be at most 36500"),
        ("[timescaledb]\ncompress_after_days = 1000000000\n", "timescaledb.compress_after_days: must be at most 36500"),
        ("[housekeeping]\nlive_runs_days = 1000000\n", "housekeeping.live_runs_days: must be at most 36500"),
        ("[housekeeping]\nstep_logs_days = 1000000\n", "housekeeping.step_logs_days: must be at most 36500"),
        ("[housekeeping]\nlanding_days = 1000000\n", "housekeeping.landing_days: must be at most 36500"),
        ("[housekeeping]\nevidence_days = 1000000\n", "housekeeping.evidence_days: must be at most 36500"),
        ("[database]\nmax_connections = 0\n", "database.max_connections: must be at least 1"),
        ("[database]\nurl = 'mysql://x'\n", "database.url: must start with one of postgresql://"),
        (BINANCE + "symbol = 'x'\n", "exchanges.binance.symbol: there is no such setting; did you mean symbols"),
        (BINANCE + "timeframe = '7m'\n", "exchanges.binance.timeframe:"),
        (BINANCE + "base_url = 'ftp://x'\n", "exchanges.binance.base_url:"),
        (BINANCE + "base_url = 'https://'\n", "exchanges.binance.base_url: must be http:// or https:// and a host"),
        (BINANCE + "base_url = 'http://:80/x'\n", "exchanges.binance.base_url: must be http:// or https:// and a host"),
        (BINANCE + "base_url = 'http://x:y'\n", "exchanges.binance.base_url: must be http:// or https:// and a host"),
        (BINANCE + "proxy = 'ftp://x'\n", "exchanges.binance.proxy:"),
        (BINANCE + "days_per_run = 0\n", "exchanges.binance.days_per_run: must be at least 1"),
        ("[exchanges.binance]\nstart = 2024-01-01\n", "exchanges.binance.symbols: is required"),
        ("[exchanges.binance]\nsymbols = ['BTC/USDT']\n", "exchanges.binance.start: is required"),
        ("[exchanges.binance]\nsymbols = []\nstart = 2024-01-01\n", "exchanges.binance.symbols:"),
        (BINANCE.replace("BTC/USDT", "BTCUSDT"), "exchanges.binance.symbols: BTCUSDT: write BASE/QUOTE"),
        (BINANCE.replace("BTC/USDT", ""), "exchanges.binance.symbols: '': write BASE/QUOTE"),
        (BINANCE.replace("2024-01-01", "2124-01-01"), "exchanges.binance.start: 2124-01-01 is in the future"),
        (BINANCE.replace("BTC/USDT", "/"), "exchanges.binance.symbols: /: write BASE/QUOTE"),
        (BINANCE.replace("BTC/USDT", "A/B/C"), "exchanges.binance.symbols: A/B/C: write BASE/QUOTE"),
        (
            BINANCE.replace("BTC/USDT", "BTC/USDT:USDT"),
            "exchanges.binance.symbols: BTC/USDT:USDT: only spot markets are supported, such as BTC/USDT",
        ),
        (BINANCE.replace('"BTC/USDT"', '"A/B", "A/B"'), "exchanges.binance.symbols: A/B is listed twice"),
        (BINANCE.replace("2024-01-01", "'soon'"), "exchanges.binance.start:"),
        (BINANCE.replace("2024-01-01", "0001-01-01"), "exchanges.binance.start: must be at least 2009-01-03"),
        (BINANCE.replace("binance", "binanse"), "exchanges.binanse: ccxt has no such exchange; did you mean binance"),
        ("[server\n", "cannot be read"),
    ],
)
def test_invalid_values_are_refused_with_the_key(write: Write, toml: str, sentence: str) -> None:
    assert sentence in refusal(write(toml))


def test_all_faults_are_reported_at_once(write: Write) -> None:
    message = refusal(write("[server]\nport = -1\nhots = 'x'\n[checks]\nbroken_share = -1\n"))
    assert [line.split(":")[0] for line in sorted(message.splitlines())] == [
        "checks.broken_share",
        "server.hots",
        "server.port",
    ]


def test_the_allowed_timeframes_are_named(write: Write) -> None:
    message = refusal(write(BINANCE + "timeframe = '7m'\n"))
    assert "1m" in message
    assert "1d" in message


def test_candles_off_the_utc_grid_are_refused_with_the_reason(write: Write) -> None:
    htx = BINANCE.replace("binance", "htx")
    assert refusal(write(htx + "timeframe = '1d'\n")) == (
        "exchanges.htx.timeframe: its 1d candles begin at 16:00 UTC and not on the UTC grid, so they cannot be stored;"
        " it has 1m, 5m, 15m, 30m, 1h, 4h"
    )
    assert settings.load(write(htx + "timeframe = '4h'\n")).exchanges["htx"].timeframe == TIMEFRAMES["4h"]
    assert settings.load(write(BINANCE + "timeframe = '1d'\n")).exchanges["binance"].timeframe == TIMEFRAMES["1d"]


def test_a_misspelt_variable_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITAN10_SEVER__PORT", "1")
    assert "TITAN10_SEVER__PORT: there is no such setting; did you mean server" in refusal(write())


def test_a_variable_with_a_misspelt_key_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITAN10_SERVER__PROT", "1")
    assert "server.prot (set by TITAN10_SERVER__PROT): there is no such setting; did you mean port" in refusal(write())


def test_variables_of_the_tests_and_the_folder_are_not_settings(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write()
    monkeypatch.setenv("TITAN10_TEST_POSTGRES_URL", "x")
    monkeypatch.setenv("TITAN10_HOME", str(folder))
    assert settings.load().exchanges.keys() == {"binance"}


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith(f"There is no titan10.toml in {tmp_path}")


@pytest.mark.parametrize("name", ["titan10.toml", ".env"])
def test_a_file_with_a_byte_order_mark_is_refused(write: Write, name: str) -> None:
    file = write() / name
    file.write_bytes(BOM_UTF8 + (file.read_bytes() if file.exists() else b"TITAN10_SERVER__PORT=3001"))
    assert refusal(file.parent) == f"{file} begins with a byte order mark: save it as UTF-8 without this mark (BOM)."


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "titan10.toml").mkdir()
    message = refusal(tmp_path)
    assert message.startswith(f"{tmp_path / 'titan10.toml'} is a folder")
    assert "Docker" in message


def test_dotenv_may_hold_variables_of_other_programs(write: Write) -> None:
    folder = write(dotenv="POSTGRES_PASSWORD=x\nTITAN10_SERVER__PORT=2\n")
    assert settings.load(folder).server.port == 2


@pytest.mark.parametrize(
    ("dotenv", "sentence"),
    [
        ("TITAN10_SEVER__PORT=1\n", "sever__port: there is no such setting; allowed are alerts"),
        ("TITAN10_SERVER__PROT=1\n", "server.prot: there is no such setting; did you mean port"),
    ],
)
def test_a_misspelt_line_of_dotenv_is_refused(write: Write, dotenv: str, sentence: str) -> None:
    assert sentence in refusal(write(dotenv="POSTGRES_PASSWORD=x\n" + dotenv))


def test_the_settings_never_show_a_password(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITAN10_DATABASE__URL", "postgresql://me:sesame@host/x")
    monkeypatch.setenv("TITAN10_DATABASE__DAGSTER_URL", "postgresql://me:sesame@host/y")
    loaded = settings.load(write())
    assert "sesame" not in f"{loaded!r} {loaded} {loaded.database!r} {loaded.model_dump()} {loaded.model_dump_json()}"
    assert loaded.database.url is not None
    assert loaded.database.url.get_secret_value() == "postgresql://me:sesame@host/x"


@pytest.mark.parametrize("key", ["URL", "DAGSTER_URL"])
def test_an_error_never_shows_a_password(write: Write, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv(f"TITAN10_DATABASE__{key}", "mysql://me:sesame@host/x")
    assert "sesame" not in refusal(write())


def test_an_error_about_dotenv_never_shows_a_password(write: Write) -> None:
    assert "sesame" not in refusal(write(dotenv="TITAN10_DATABASE__URL=mysql://me:sesame@host/x\n"))


@pytest.mark.parametrize("file", ["titan10.toml", ".env"])
def test_a_file_that_is_not_text_is_refused(write: Write, file: str) -> None:
    folder = write()
    (folder / file).write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in refusal(folder)


@pytest.mark.parametrize(("name", "url"), [("PROXY", "ftp://127.0.0.1"), ("BASE_URL", "http://user:s3cret@127.0.0.1")])
def test_an_invalid_address_is_refused_without_repeating_it(
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str, url: str
) -> None:
    monkeypatch.setenv(f"TITAN10_EXCHANGES__BINANCE__{name}", url)
    with pytest.raises(SettingsError, match=f"exchanges.binance.{name.lower()}") as refused:
        settings.load(write())
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "https://[::1]:443/path", "https://api.example.org"])
def test_an_address_is_a_host_with_or_without_a_port_and_a_path(write: Write, url: str) -> None:
    assert settings.load(write(f"{BINANCE}base_url = '{url}'\n")).exchanges["binance"].base_url == url


def test_the_longest_times_allowed_reach_back_to_a_day_that_exists(write: Write) -> None:
    today = date(2024, 1, 1)
    assert today - timedelta(days=settings.MOST_DAYS) > date.min
    loaded = settings.load(write(f"[timescaledb]\nretention_days = {settings.MOST_DAYS}\n{BINANCE}"))
    assert loaded.timescaledb.retention_days == settings.MOST_DAYS


def test_a_password_in_a_proxy_is_never_shown(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITAN10_EXCHANGES__BINANCE__PROXY", "http://user:s3cret@127.0.0.1:1")
    assert "s3cret" not in repr(settings.load(write()))


def test_exchanges_are_preferred_in_file_order_unless_an_order_is_set(write: Write) -> None:
    two = BINANCE + '[exchanges.kraken]\nsymbols = ["BTC/USD"]\nstart = 2024-01-01\n'
    assert settings.load(write(two)).preferences == {"*": ("binance", "kraken")}
    chosen = '[selection]\norder = ["kraken", "binance"]\nsymbols = { "BTC/USD" = ["kraken"] }\n'
    assert settings.load(write(chosen + two)).preferences == {"*": ("kraken", "binance"), "BTC/USD": ("kraken",)}


def test_the_order_of_exchanges_has_a_variable(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITAN10_SELECTION__ORDER", "binance")
    assert settings.load(write()).preferences == {"*": ("binance",)}


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ('order = ["binanse"]', "selection.order: there is no section [exchanges.binanse]; did you mean binance?"),
        (
            'symbols = { "A/B" = ["okx"] }',
            "selection.symbols.A/B: there is no section [exchanges.okx]; allowed are binance.",
        ),
        (
            'symbols = { "A/B" = [] }',
            "selection.symbols.A/B: lists no exchange; remove it to use selection.order",
        ),
        ('order = ["binance", "binance"]', "selection.order: an exchange is listed twice; remove one of them"),
    ],
)
def test_only_configured_exchanges_can_be_preferred(write: Write, toml: str, sentence: str) -> None:
    assert refusal(write(f"[selection]\n{toml}\n{BINANCE}")) == sentence


@pytest.mark.parametrize("value", ["BTC/USDT,ETH/USDT", " BTC/USDT , ETH/USDT ", '["BTC/USDT", "ETH/USDT"]'])
def test_a_list_in_a_variable_is_separated_by_commas_or_is_json(
    write: Write, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("TITAN10_EXCHANGES__BINANCE__SYMBOLS", value)
    assert settings.load(write()).exchanges["binance"].symbols == ("BTC/USDT", "ETH/USDT")


def test_every_list_may_be_json_in_a_variable(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITAN10_ALERTS__URLS", '["file:///a,b", "tgram://x/y"]')
    monkeypatch.setenv("TITAN10_SELECTION__ORDER", '["binance"]')
    monkeypatch.setenv("TITAN10_SELECTION__SYMBOLS", '{"BTC/USDT": ["binance"]}')
    loaded = settings.load(write())
    assert [url.get_secret_value() for url in loaded.alerts.urls] == ["file:///a,b", "tgram://x/y"]
    assert loaded.preferences == {"*": ("binance",), "BTC/USDT": ("binance",)}


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("EXCHANGES__BINANCE__SYMBOLS", '["BTC/USDT"', "is not a list of texts; write names separated by commas"),
        ("EXCHANGES__BINANCE__SYMBOLS", "[1]", "is not a list of texts; write names separated by commas"),
        ("EXCHANGES__BINANCE__SYMBOLS", "['BTC/USDT']", "is not a list of texts; write names separated by commas"),
        ("EXCHANGES__BINANCE__START", "1704067200", "must be a date, such as 2024-01-31"),
        ("SELECTION__SYMBOLS", '{"BTC/USDT": ["bin', "TITAN10_SELECTION__SYMBOLS is not valid JSON; write it as in"),
        ("SERVER__PORT", "80.5", "server.port (set by TITAN10_SERVER__PORT): must be a whole number"),
        ("LIVE__ENABLED", "maybe", "live.enabled (set by TITAN10_LIVE__ENABLED): must be true or false"),
    ],
)
def test_an_invalid_variable_is_refused_with_what_to_write(
    write: Write, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(f"TITAN10_{variable}", value)
    message = refusal(write())
    assert sentence in message
    assert f"TITAN10_{variable}" in message


@pytest.mark.parametrize(
    "symbol", ["../USDT", "BTC/..", "./USDT", "B\\u0000TC/USDT", "B\\u001bTC/USDT", "A\\\\B/USDT", "BTC /USDT", "/USDT"]
)
def test_symbols_that_cannot_name_a_file_are_refused(write: Write, symbol: str) -> None:
    message = refusal(write(BINANCE.replace("BTC/USDT", symbol)))
    assert "write BASE/QUOTE, such as BTC/USDT" in message
    assert message.isprintable()


def test_a_symbol_of_ten_thousand_characters_is_refused_in_a_short_sentence(write: Write) -> None:
    message = refusal(write(BINANCE.replace("BTC/USDT", "B" * 10_000 + "/USDT")))
    assert "has 10,005 characters; at most 64 are allowed" in message
    assert len(message) < 200


@pytest.mark.parametrize("symbol", ["1000SATS/USDT", "USDC.E/USDT", "币安人生/USDT", "$ALT/USDT", "A-B/C", "AAPLx/USD"])
def test_unusual_symbols_of_real_markets_are_allowed(write: Write, symbol: str) -> None:
    assert settings.load(write(BINANCE.replace("BTC/USDT", symbol))).exchanges["binance"].symbols == (symbol,)


@pytest.mark.parametrize(("former", "new"), [("gateio", "gate"), ("huobi", "htx")])
def test_an_exchange_that_ccxt_renamed_names_its_new_id_and_the_command(write: Write, former: str, new: str) -> None:
    section = f'[exchanges.{former}]\nsymbols = ["BTC/USDT"]\nstart = 2024-01-01\n'
    with pytest.raises(SettingsError, match=f"{new} now.*series rename {former} --to-exchange {new}"):
        settings.load(write(section))
