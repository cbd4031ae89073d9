"""The settings: `titan10.toml`, then `.env`, then environment variables. Later sources override earlier ones.

Each key has an environment variable: `TITAN10_` and the path of the key, joined by two underscores, as in
`TITAN10_DATABASE__URL` or `TITAN10_EXCHANGES__BINANCE__BASE_URL`. Lists are written as `BTC/USDT,ETH/USDT` or as JSON.
Unknown keys and invalid values raise SettingsError. The text of the error has the key, and says what to write.

The table in docs/reference/settings.md is generated from the descriptions of the fields.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from datetime import date, time, timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError as UnreadableVariable

from titan10_dagster import settings_values as values
from titan10_dagster.candles.timeframes import TIMEFRAMES, Timeframe
from titan10_dagster.errors import SettingsError
from titan10_dagster.planning.autopilot import Order
from titan10_dagster.planning.repairs import OVERDUE
from titan10_dagster.settings_errors import sentences, unknown_name, unreadable_variable
from titan10_dagster.settings_files import require_file

PREFIX = "TITAN10_"
# Variables that begin with TITAN10_ but are not settings: the project folder, and the variables of the tests.
HOME, OF_TESTS = f"{PREFIX}HOME", f"{PREFIX}TEST_"
# The number of names in the path of a setting, by section. All other settings have two names, such as `server.port`.
DEPTHS = {"data": 1, "first_day": 1, "exchanges": 3, "selection": 3}
# Upper limits. With larger values, a date that is computed from a setting could be outside the calendar.
MOST_DAYS = 36_500
MOST_MINUTES = 525_600

Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(values.parse_names)]
Urls = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(values.parse_urls)]
Host = Annotated[str, BeforeValidator(values.check_host)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, allow_inf_nan=False)


class DatabaseSettings(_Section):
    """The database of the candles. Without a URL, `titan10 up` starts the embedded PostgreSQL."""

    url: SecretStr | None = Field(None, description="PostgreSQL URL; if empty, the embedded PostgreSQL is used")
    dagster_url: SecretStr | None = Field(
        None, description="PostgreSQL URL for Dagster's tables; if empty, the schema `dagster` of the candles' database"
    )
    max_connections: int = Field(4, ge=1, le=100, description="largest number of connections of one process")

    @field_validator("url", "dagster_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        values.check_database_url(value.get_secret_value())
        return value


class TimescaleSettings(_Section):
    """The storage of candles in TimescaleDB. On plain PostgreSQL only `retention_days` has an effect."""

    chunk_days: int = Field(7, ge=1, le=366, description="days of candles in one chunk; a change applies to new chunks")
    compress_after_days: int = Field(7, ge=1, le=MOST_DAYS, description="age in days at which chunks are compressed")
    retention_days: int | None = Field(
        None,
        ge=2,
        le=MOST_DAYS,
        description="days for which candles are kept; older candles are deleted and not fetched; if empty, no limit",
    )

    @property
    def policies(self) -> dict[str, int]:
        """Return the settings that become policies of TimescaleDB (see store/policies.py). The values are in days."""
        return {"chunk": self.chunk_days, "compress_after": self.compress_after_days}


class CheckSettings(_Section):
    """Limits of the checks on candles."""

    broken_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="the checks `valid` and `on_grid` fail with an error, not a warning, if two limits are exceeded: "
        "more than this share of the rows of a symbol and day is broken, and also more than `checks.broken_rows` rows",
    )
    broken_rows: int = Field(3, ge=0, description="up to this many broken rows of a symbol and day are only a warning")
    unexplained_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="the check `explained` fails if more than this share of a symbol's day is missing without a "
        "final reason",
    )
    stray_bp: float = Field(
        100,
        gt=0,
        description="a close deviates if it is over this many basis points away from the median of 3 or more exchanges",
    )
    stray_share: float = Field(
        0.05, ge=0, le=1, description="the check `near_others` warns if more than this share of a symbol's day deviates"
    )


class SelectionSettings(_Section):
    """The order in which the view `preferred` chooses from exchanges that have a candle at the same time."""

    order: Names = Field(
        (),
        description="exchanges in the order in which the view `preferred` chooses them; other exchanges are not used; "
        "if empty, all exchanges in the order of the sections `[exchanges.<id>]` in titan10.toml",
    )
    symbols: dict[str, Names] = Field(
        {}, description="order for single symbols; only the exchanges in a symbol's list are used for this symbol"
    )

    @property
    def named(self) -> Mapping[str, tuple[str, ...]]:
        """Return each list of exchanges in this section, by the key of its setting."""
        by_key = {"selection.order": self.order}
        for symbol, order in self.symbols.items():
            by_key[f"selection.symbols.{symbol}"] = order
        return by_key


class RetrySettings(_Section):
    """The limits for repeating a failed step. Failed requests within a step are repeated separately."""

    steps: int = Field(2, ge=0, le=10, description="number of times a failed step is repeated")
    seconds: float = Field(
        30, ge=0, le=3600, description="seconds before the first repetition; each later pause is twice the one before"
    )


class LiveSettings(_Section):
    """The polling of the current day's candles."""

    enabled: bool = Field(False, description="poll the candles of the current day every minute")


class HousekeepingSettings(_Section):
    """The numbers of days for which old data is kept. `archive_gb` is in gigabytes. 0: no limit."""

    live_runs_days: int = Field(
        3, ge=0, le=MOST_DAYS, description="days for which runs of polling and maintenance are kept; 0: for ever"
    )
    step_logs_days: int = Field(
        30, ge=0, le=MOST_DAYS, description="days for which the output of steps is kept on this machine; 0: for ever"
    )
    landing_days: int = Field(
        90, ge=0, le=MOST_DAYS, description="days for which landed files of stored candles are kept; 0: for ever"
    )
    evidence_days: int = Field(
        30, ge=0, le=MOST_DAYS, description="days for which replaced and unreadable landed files are kept; 0: for ever"
    )
    archive_days: int = Field(
        30, ge=0, le=MOST_DAYS, description="days for which archive files are kept after their last use; 0: for ever"
    )
    archive_gb: float = Field(
        20, ge=0, description="gigabytes of archive files to keep; least recently used files are removed; 0: no limit"
    )


class AlertSettings(_Section):
    """The problems for which an alert is raised, and the recipients of alerts."""

    urls: Urls = Field(
        (), description="recipients of alerts as apprise URLs, such as tgram://, mailto:// or file:///path"
    )
    breaker_open_minutes: int = Field(
        60, ge=1, le=MOST_MINUTES, description="alert when an exchange has been blocked for this many minutes"
    )
    gap_days: int = Field(3, ge=1, le=MOST_DAYS, description="alert when gaps have been `unknown` for this many days")
    live_lag_minutes: int = Field(
        60, ge=1, le=MOST_MINUTES, description="alert when an exchange has had no polled candle for this many minutes"
    )
    settled_by: time = Field(time(6), description="alert if yesterday is incomplete at this UTC time (03:00 or later)")

    @field_validator("urls")
    @classmethod
    def _are_urls(cls, urls: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for url in urls:
            values.check_alert_url(url.get_secret_value())
        return urls

    @field_validator("settled_by")
    @classmethod
    def _is_utc(cls, settled_by: time) -> time:
        if settled_by.tzinfo is not None:
            raise ValueError("must be a UTC time without a time zone, such as 06:00:00")
        if timedelta(hours=settled_by.hour, minutes=settled_by.minute) < OVERDUE:
            raise ValueError("must be 03:00 or later, because yesterday is fetched from 02:00 on")
        return settled_by


class AutopilotSettings(_Section):
    """The automatic fetching of history that no run has requested yet."""

    enabled: bool = Field(False, description="fetch all missing history, in parts, back to each exchange's `start`")
    order: Order = Field(Order.NEWEST_FIRST, description="which history is fetched first: newest_first or oldest_first")


class LogSettings(_Section):
    """The log of each process on standard error."""

    format: Literal["auto", "json", "console"] = Field(
        "auto", description="json: an object per line; console: plain lines; auto: console in a terminal, else json"
    )
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="lowest level that is logged: DEBUG, INFO, WARNING or ERROR"
    )


class ServerSettings(_Section):
    """The addresses on which `titan10 up` listens. Port 0 selects a free port."""

    host: Host = Field("127.0.0.1", description="address on which the Dagster UI listens")
    allowed_hosts: Names = Field(
        (), description="host names of the UI besides 127.0.0.1 and localhost, such as the name of a proxy"
    )
    port: int = Field(3000, ge=0, le=65535, description="port of the Dagster UI; 0: any free port")
    postgres_port: int = Field(54310, ge=0, le=65535, description="port of the embedded PostgreSQL; 0: any free port")


class ExchangeSettings(_Section):
    """An exchange from which candles are fetched."""

    symbols: Names = Field(min_length=1, description="spot symbols as ccxt writes them, such as BTC/USDT")
    timeframe: Annotated[Timeframe, NoDecode, BeforeValidator(values.parse_timeframe)] = Field(
        default=TIMEFRAMES["1m"], description=f"length of the candles: {', '.join(TIMEFRAMES)}"
    )
    start: Annotated[date, BeforeValidator(values.parse_day)] = Field(
        ge=values.FIRST_DAY, description="first UTC day to fetch; earlier days cost no request and stay empty"
    )
    days_per_run: int | None = Field(
        None, ge=1, le=366, description="days in one run of a backfill; if empty, chosen by the exchange's speed"
    )
    sources: Names = Field(
        ("rest",), min_length=1, description="sources in order of use: archive (files of the exchange), rest (its API)"
    )
    archive_url: str | None = Field(None, description="address of the archive; if empty, base_url or the archive's own")
    base_url: str | None = Field(None, description="address that replaces the exchange's own, such as a sandbox's")
    proxy: SecretStr | None = Field(
        None,
        description="URL of a proxy: http://, https://, socks4://, socks5:// or socks5h:// (socks5h: the proxy "
        "resolves host names). If empty, the variables HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY apply",
    )
    paced: bool = Field(True, description="obey the exchange's rate limit; set false only for a server of your own")
    enabled: bool = Field(True, description="false removes the exchange's assets and keeps its candles")

    @field_validator("base_url", "archive_url")
    @classmethod
    def _is_address(cls, base_url: str | None) -> str | None:
        if base_url is not None:
            values.check_base_url(base_url)
        return base_url

    @field_validator("proxy")
    @classmethod
    def _is_proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy is not None:
            values.check_proxy(proxy.get_secret_value())
        return proxy

    @field_validator("sources")
    @classmethod
    def _are_sources(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        values.check_sources(sources)
        return sources

    @field_validator("symbols")
    @classmethod
    def _are_spot_symbols(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        values.check_symbols(symbols)
        return symbols


class Settings(BaseSettings):
    """All settings, after validation. The function `load` returns the settings."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        dotenv_filtering="match_prefix",  # ignore variables of other programs in .env
        extra="forbid",
        frozen=True,
    )
    toml_file: ClassVar[Path | None] = None  # `load` makes a subclass of Settings that has the path

    data: Annotated[Path, BeforeValidator(values.parse_folder)] = Field(
        Path(".titan10"), description="folder for the embedded PostgreSQL, landed files, archive files and logs"
    )
    first_day: Annotated[date, BeforeValidator(values.parse_day)] = Field(
        values.FIRST_DAY,
        ge=values.FIRST_DAY,
        description="first partition of each exchange in the UI. You can set an earlier day at any time. If you set a "
        "later day, unfinished backfills of earlier days fail",
    )
    database: DatabaseSettings = DatabaseSettings()
    timescaledb: TimescaleSettings = TimescaleSettings()
    checks: CheckSettings = CheckSettings()
    selection: SelectionSettings = SelectionSettings()
    retries: RetrySettings = RetrySettings()
    live: LiveSettings = LiveSettings()
    alerts: AlertSettings = AlertSettings()
    logs: LogSettings = LogSettings()
    housekeeping: HousekeepingSettings = HousekeepingSettings()
    autopilot: AutopilotSettings = AutopilotSettings()
    server: ServerSettings = ServerSettings()
    exchanges: dict[str, ExchangeSettings] = Field(default_factory=dict)

    @field_validator("exchanges", mode="before")
    @classmethod
    def _are_known_to_ccxt(cls, exchanges: object) -> object:
        if not isinstance(exchanges, Mapping):
            return exchanges  # pydantic then refuses the value because of its type
        for exchange in exchanges:
            values.refuse_former_id(exchange)
            values.check_exchange_id(f"exchanges.{exchange}", exchange)
        return exchanges

    @field_validator("exchanges")
    @classmethod
    def _can_be_fetched(cls, exchanges: dict[str, ExchangeSettings]) -> dict[str, ExchangeSettings]:
        for name, exchange in exchanges.items():
            values.check_exchange(name, exchange.timeframe, exchange.sources)
        return exchanges

    @model_validator(mode="after")
    def _start_on_a_partition(self) -> Settings:
        for name, exchange in self.exchanges.items():
            values.check_start(name, exchange.start, self.first_day)
        return self

    @model_validator(mode="after")
    def _prefers_known_exchanges(self) -> Settings:
        for key, order in self.selection.named.items():
            if not order and key != "selection.order":
                raise ValueError(f"{key}: lists no exchange; remove it to use selection.order")
            for exchange in order:
                if exchange not in self.exchanges:
                    sentence = f"there is no section [exchanges.{exchange}]"
                    raise ValueError(unknown_name(key, exchange, self.exchanges, sentence))
            if len(set(order)) < len(order):
                raise ValueError(f"{key}: an exchange is listed twice; remove one of them")
        return self

    @property
    def preferences(self) -> Mapping[str, tuple[str, ...]]:
        """Return the order of exchanges by symbol. "*": for all symbols that are not in `selection.symbols`."""
        return {"*": self.selection.order or tuple(self.exchanges), **self.selection.symbols}

    @property
    def enabled(self) -> Mapping[str, ExchangeSettings]:
        """Return the settings of the enabled exchanges, by the name of the exchange."""
        return {name: self.exchanges[name] for name in sorted(self.exchanges) if self.exchanges[name].enabled}

    @property
    def landing(self) -> Path:
        """Return the folder of the landing zone."""
        return self.data / "landing"

    @property
    def archives(self) -> Path:
        """Return the folder of downloaded archive files."""
        return self.data / "archives"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls, cls.toml_file)


def home() -> Path:
    """Return TITAN10_HOME, or else the current folder. If the current folder was deleted, raise SettingsError."""
    try:
        return Path(os.environ.get(HOME) or Path.cwd()).resolve()
    except FileNotFoundError:
        raise SettingsError(
            f"The current folder was deleted. Change to the project's folder, or set {HOME} to its full path."
        ) from None


def load(folder: Path | None = None) -> Settings:
    """Return the settings of `folder` (default: `home()`). Relative paths in the settings are relative to this folder.

    Raises:
        SettingsError: a key is unknown, missing or invalid, or a file cannot be read. The text has a line per fault.
    """
    folder = folder or home()
    toml_file, dotenv = folder / "titan10.toml", folder / ".env"
    require_file(toml_file, HOME)
    _refuse_unknown_variables(os.environ)
    source = type("Settings", (Settings,), {"toml_file": toml_file, "__module__": __name__})
    try:
        settings: Settings = source(_env_file=dotenv)
    except ValidationError as error:
        raise SettingsError(sentences(error, Settings, PREFIX)) from None
    except UnreadableVariable as error:
        raise SettingsError(unreadable_variable(str(error), PREFIX)) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{toml_file} cannot be read, because it is not valid TOML: {error}") from None
    except (ValueError, OSError) as error:  # a file is not UTF-8, or this user cannot read it
        raise SettingsError(f"{toml_file} or {dotenv} cannot be read: {error}") from None
    return settings.model_copy(update={"data": folder / settings.data})


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    """Raise SettingsError for a misspelt variable. pydantic-settings would silently ignore the variable."""
    for variable in environment:
        name = variable.upper()  # pydantic-settings treats upper and lower case in names of variables alike
        if not name.startswith(PREFIX) or name == HOME or name.startswith(OF_TESTS):
            continue
        path = name.removeprefix(PREFIX).lower().split("__")
        if path[0] not in Settings.model_fields:
            raise SettingsError(unknown_name(variable, path[0], Settings.model_fields, "there is no such setting"))
        key = path[: DEPTHS.get(path[0], 2)]
        if len(key) < len(path):
            value = f"{PREFIX}{'__'.join(key).upper()}"
            raise SettingsError(f"{variable}: {'.'.join(key)} is a single setting. Write its whole value in {value}.")
