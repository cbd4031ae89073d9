"""What can be set: `titan10.toml`, then `.env`, then the environment, each over the one before.

Every key has an environment variable: `TITAN10_` and the path of the key, joined by two underscores, as in
`TITAN10_DATABASE__URL` or `TITAN10_EXCHANGES__BINANCE__BASE_URL`. Whatever is unknown or impossible is refused
with a sentence that names the key and what is allowed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from datetime import date, time, timedelta
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

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

from titan10_dagster.candles.timeframes import TIMEFRAMES, Timeframe
from titan10_dagster.errors import SettingsError
from titan10_dagster.planning.autopilot import Order
from titan10_dagster.planning.repairs import OVERDUE
from titan10_dagster.store.database import connection_parameters

PREFIX = "TITAN10_"
# Variables that are ours but name no setting: where the settings are, and what the tests may use.
BESIDE_SETTINGS = (f"{PREFIX}HOME", f"{PREFIX}TEST_")
# As good as for ever, and yet a time that can be taken from today without leaving the calendar.
MOST_DAYS = 36_500
MOST_MINUTES = 525_600
FIRST_DAY = date(2009, 1, 3)  # Bitcoin's first block: no candle is older
DATABASE_SCHEMES = ("postgresql://", "postgres://", "postgresql+psycopg2://")


def _timeframe(value: object) -> Timeframe:
    if isinstance(value, Timeframe):
        return value
    return Timeframe.parse(str(value))


def _symbols(value: object) -> object:
    """A list, or the same joined by commas, as an environment variable has it."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _names_a_host(url: str) -> bool:
    """Whether it is an address without a login: its host is there, and its port a number if there is one."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and "@" not in url and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is none, or of half an IPv6 address
        return False


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class DatabaseSettings(_Section):
    """Where candles are stored. Without a URL the embedded PostgreSQL serves."""

    url: SecretStr | None = Field(None, description="PostgreSQL URL; empty: the embedded server")
    dagster_url: SecretStr | None = Field(
        None, description="where Dagster keeps its own tables; empty: schema `dagster` of the same database"
    )
    max_connections: int = Field(4, ge=1, le=100, description="connections one process may hold")

    @field_validator("url", "dagster_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not value.get_secret_value().startswith(DATABASE_SCHEMES):
            raise ValueError(f"must start with one of {', '.join(DATABASE_SCHEMES)}")
        try:
            connection_parameters(value.get_secret_value())
        except SettingsError as error:
            raise ValueError(str(error)) from None
        return value


class TimescaleSettings(_Section):
    """How TimescaleDB keeps the candles. On plain PostgreSQL only the retention has an effect."""

    chunk_days: int = Field(7, ge=1, le=366, description="days of candles in a chunk; for chunks made from then on")
    compress_after_days: int = Field(7, ge=1, le=MOST_DAYS, description="age in days at which a chunk is compressed")
    retention_days: int | None = Field(
        None,
        ge=2,
        le=MOST_DAYS,
        description="days that candles stay, at least; empty: for ever. Older ones are not fetched",
    )

    @property
    def policies(self) -> dict[str, int]:
        """What TimescaleDB itself sees to, in days; see store/policies.py."""
        return {"chunk": self.chunk_days, "compress_after": self.compress_after_days}


class CheckSettings(_Section):
    """When broken candles stop a write."""

    broken_share: float = Field(0.01, ge=0, le=1, description="a slice with a larger share of broken rows is withheld")
    broken_rows: int = Field(3, ge=0, description="but not for so few, whatever their share: a quiet pair has few rows")
    unexplained_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="a larger share of a series' day missing without a final reason fails a check",
    )
    stray_bp: float = Field(
        100, gt=0, description="a close further from the median of three or more exchanges strays (basis points)"
    )
    stray_share: float = Field(0.05, ge=0, le=1, description="a larger share of straying minutes of a day is a warning")


class SelectionSettings(_Section):
    """Which exchange's candle the view `preferred` shows, where several have it."""

    order: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_symbols)] = Field(
        (), description="exchanges, the first choice first, for the view `preferred`; empty: as they stand below"
    )
    symbols: dict[str, tuple[str, ...]] = Field(
        {}, description="the same for single symbols; who is not named is not chosen"
    )

    @property
    def named(self) -> Mapping[str, tuple[str, ...]]:
        """The lists of exchanges by their keys."""
        return {"selection.order": self.order} | {
            f"selection.symbols.{symbol}": order for symbol, order in self.symbols.items()
        }


class RetrySettings(_Section):
    """How often a step is tried again after an error that may pass; pages within it are retried besides."""

    steps: int = Field(2, ge=0, le=10, description="times a failed step is tried again")
    seconds: float = Field(30, ge=0, le=3600, description="pause before the first of them; each next is twice as long")


class LiveSettings(_Section):
    """Candles of the running day, polled each minute."""

    enabled: bool = Field(False, description="poll the candles of the running day each minute")


class HousekeepingSettings(_Section):
    """For how long what nobody needs any more is kept, in days; 0: for ever."""

    live_runs_days: int = Field(
        3, ge=0, le=MOST_DAYS, description="days that runs of polling and bookkeeping stay in the UI"
    )
    step_logs_days: int = Field(
        30, ge=0, le=MOST_DAYS, description="days that what steps print is kept on this machine"
    )
    landing_days: int = Field(
        90, ge=0, le=MOST_DAYS, description="days that landed files stay once the database has them; 0: always"
    )
    evidence_days: int = Field(
        30, ge=0, le=MOST_DAYS, description="days that `.parquet.old` and `.corrupt` files stay; 0: always"
    )


def _urls(value: object) -> object:
    """A list, or the same joined by commas or spaces; a comma within a URL is the URL's."""
    return (
        [part for part in re.split(r"[,\s]+(?=[\w+-]+://)", value.strip()) if part] if isinstance(value, str) else value
    )


class AlertSettings(_Section):
    """Whom to tell when self-repair has given up, and when it has."""

    urls: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_urls)] = Field(
        (),
        description="where to send alerts: apprise URLs, such as tgram://, mailto:// or file:///path; empty: nowhere",
    )
    breaker_open_minutes: int = Field(
        60, ge=1, le=MOST_MINUTES, description="an exchange that was shut out for so long is told of"
    )
    gap_days: int = Field(3, ge=1, le=MOST_DAYS, description="candles that are missing unexplained for so long are")
    live_lag_minutes: int = Field(
        60, ge=1, le=MOST_MINUTES, description="an exchange whose polling brought nothing for so long is"
    )
    settled_by: time = Field(
        time(6), description="UTC, 03:00 or later; at this time yesterday should be whole, or it is told of"
    )

    @field_validator("urls")
    @classmethod
    def _are_urls(cls, urls: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any("://" not in url.get_secret_value() for url in urls):
            raise ValueError("each must be a URL of apprise's, such as tgram://token/chat or file:///var/log/alerts")
        return urls

    @field_validator("settled_by")
    @classmethod
    def _is_utc(cls, settled_by: time) -> time:
        if settled_by.tzinfo is not None:
            raise ValueError('must be a time of UTC without a zone, such as "06:00"')
        if timedelta(hours=settled_by.hour, minutes=settled_by.minute) < OVERDUE:
            raise ValueError("must be 03:00 or later: yesterday is fetched at 02:00, and that takes its time")
        return settled_by


class AutopilotSettings(_Section):
    """History that was never asked for, fetched back to each exchange's start."""

    enabled: bool = Field(False, description="fetch all missing history, chunk by chunk, back to each exchange's start")
    order: Order = Field(Order.NEWEST_FIRST, description="which end of it comes first: newest_first or oldest_first")


class LogSettings(_Section):
    """How processes write what they do to standard error."""

    format: Literal["auto", "json", "console"] = Field(
        "auto", description="json: a JSON object a line; console: to read; auto: console in a terminal, json elsewhere"
    )
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="what is less is not written")


class ServerSettings(_Section):
    """Where `titan10 up` listens. A port of 0 takes any free one."""

    host: str = Field("127.0.0.1", description="address of the Dagster UI")
    port: int = Field(3000, ge=0, le=65535, description="port of the Dagster UI")
    postgres_port: int = Field(54310, ge=0, le=65535, description="port of the embedded PostgreSQL")


class ExchangeSettings(_Section):
    """One exchange to ingest."""

    symbols: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_symbols)] = Field(
        min_length=1, description="ccxt's unified spot symbols, such as BTC/USDT"
    )
    timeframe: Annotated[Timeframe, NoDecode, BeforeValidator(_timeframe)] = Field(
        default=TIMEFRAMES["1m"], description=f"one of {', '.join(TIMEFRAMES)}"
    )
    start: date = Field(ge=FIRST_DAY, description="first UTC day to ask for; earlier days are empty, at no request")
    days_per_run: int | None = Field(
        None, ge=1, le=366, description="days a backfill run takes; empty: by the exchange's speed"
    )
    base_url: str | None = Field(None, description="scheme and host instead of its own")
    proxy: SecretStr | None = Field(None, description="URL of a proxy: http://, https:// or socks5://")
    paced: bool = Field(True, description="keep the exchange's rate limit; false only for a server of yours")
    enabled: bool = Field(True, description="false: its assets disappear, its candles stay")

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, base_url: str | None) -> str | None:
        if base_url is not None and not _names_a_host(base_url):
            raise ValueError("must be http:// or https:// and a host, without user and password")
        return base_url

    @field_validator("proxy")
    @classmethod
    def _is_proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy is not None and not proxy.get_secret_value().startswith(("http://", "https://", "socks5://")):
            raise ValueError("must start with http://, https:// or socks5://")
        return proxy

    @field_validator("symbols")
    @classmethod
    def _are_unified(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        contracts = [symbol for symbol in symbols if ":" in symbol]
        if contracts:
            raise ValueError(f"{', '.join(contracts)}: spot markets only for now, such as BTC/USDT")
        odd = [symbol for symbol in symbols if not re.fullmatch(r"[^/\s]+/[^/\s]+", symbol)]
        if odd:
            raise ValueError(f"{', '.join(odd)}: write BASE/QUOTE, such as BTC/USDT")
        twice = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands there twice")
        return symbols


class Settings(BaseSettings):
    """All settings, validated. Read them with `load`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        dotenv_filtering="match_prefix",  # .env is often shared with others, as the environment is
        extra="forbid",
        frozen=True,
    )
    toml_file: ClassVar[Path | None] = None  # a subclass made by `load` names it

    data: Path = Field(Path(".titan10"), description="folder of the embedded server, the landing zone and logs")
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
            return exchanges  # refused by its type
        # Imported here: it takes a fifth of a second, which only reading settings has to pay.
        from ccxt import exchanges as known

        for exchange in exchanges:
            if exchange not in known:
                raise ValueError(unknown(f"exchanges.{exchange}", exchange, known, "ccxt has no such exchange"))
        return exchanges

    @field_validator("exchanges")
    @classmethod
    def _have_the_timeframe(cls, exchanges: dict[str, ExchangeSettings]) -> dict[str, ExchangeSettings]:
        for name, exchange in exchanges.items():
            why_not = _why_not(name, exchange.timeframe.name)
            if why_not is not None:
                allowed = ", ".join(one for one in TIMEFRAMES if _why_not(name, one) is None)
                raise ValueError(f"exchanges.{name}.timeframe: {why_not}; it has {allowed}")
        return exchanges

    @model_validator(mode="after")
    def _prefers_known_exchanges(self) -> Settings:
        for key, order in self.selection.named.items():
            if not order and key != "selection.order":
                raise ValueError(f"{key}: names no exchange; leave it out: selection.order serves")
            for exchange in order:
                if exchange not in self.exchanges:
                    raise ValueError(unknown(key, exchange, self.exchanges, f"no section [exchanges.{exchange}]"))
            if len(set(order)) < len(order):
                raise ValueError(f"{key}: an exchange stands there twice")
        return self

    @property
    def preferences(self) -> Mapping[str, tuple[str, ...]]:
        """The exchanges in the order of preference, by symbol; under "*" for all symbols that are not named."""
        return {"*": self.selection.order or tuple(self.exchanges), **self.selection.symbols}

    @property
    def enabled(self) -> Mapping[str, ExchangeSettings]:
        """The exchanges that are switched on, by name."""
        return {name: self.exchanges[name] for name in sorted(self.exchanges) if self.exchanges[name].enabled}

    @property
    def history_start(self) -> date:
        """First UTC day of the partitions, the same for all exchanges: the earliest of their starts."""
        return min((exchange.start for exchange in self.exchanges.values()), default=date(2017, 1, 1))

    @property
    def landing(self) -> Path:
        return self.data / "landing"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = TomlConfigSettingsSource(settings_cls, cls.toml_file)
        return init_settings, env_settings, dotenv_settings, toml


def _why_not(exchange: str, timeframe: str) -> str | None:
    """Why candles of this length cannot be had of the exchange; None if they can."""
    if timeframe not in _timeframes_of(exchange):
        return f"it has no {timeframe} candles"
    if timeframe == "1m":  # every minute is on the grid
        return None
    # Imported here: it takes a third of a second, which only who asks for longer candles has to pay.
    from titan10_dagster.exchanges.capabilities import capabilities_of

    begins = capabilities_of(exchange).off_grid.get(timeframe)
    return (
        f"its {timeframe} candles begin at {begins}, off the UTC grid, so that none could be stored" if begins else None
    )


@cache
def _timeframes_of(exchange: str) -> frozenset[str]:
    """The names of the timeframes that ccxt knows of the exchange."""
    import ccxt

    return frozenset(getattr(ccxt, exchange)().timeframes or {})


def home() -> Path:
    """The folder that holds titan10.toml, .env and dagster.yaml: TITAN10_HOME, or where we stand."""
    return Path(os.environ.get(f"{PREFIX}HOME") or Path.cwd()).resolve()


def load(folder: Path | None = None) -> Settings:
    """The settings of `folder` (default: `home()`), relative paths made absolute under it.

    Raises:
        SettingsError: a key is unknown, missing or not allowed, or a file is not TOML; every fault is named.
    """
    folder = folder or home()
    toml_file, dotenv = folder / "titan10.toml", folder / ".env"
    _refuse_no_file(toml_file)
    _refuse_unknown_variables(os.environ)
    source = type("Settings", (Settings,), {"toml_file": toml_file, "__module__": __name__})
    try:
        settings: Settings = source(_env_file=dotenv)
    except ValidationError as error:
        raise SettingsError(_sentences(error)) from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise SettingsError(f"{toml_file} or {dotenv} cannot be read: {error}") from None
    return settings.model_copy(update={"data": folder / settings.data})


def _refuse_no_file(toml_file: Path) -> None:
    """pydantic-settings passes over what is no file, so that nothing at all would be set, silently."""
    if toml_file.is_dir():
        raise SettingsError(
            f"{toml_file} is a folder, and should be a file: Docker makes one where the file that it is to mount is "
            "missing. Remove it, and put the project's titan10.toml there."
        )
    if not toml_file.is_file():
        raise SettingsError(
            f"There is no titan10.toml in {toml_file.parent}: go to the project's folder, or set {PREFIX}HOME."
        )


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    """pydantic-settings passes over a variable it does not know, so that a typo would set nothing, silently."""
    for variable in environment:
        if not variable.startswith(PREFIX) or variable.startswith(BESIDE_SETTINGS):
            continue
        key = variable.removeprefix(PREFIX).lower().split("__")[0]
        if key not in Settings.model_fields:
            raise SettingsError(unknown(variable, key, Settings.model_fields, "no such setting"))


def unknown(what: str, word: str, known: Iterable[str], sentence: str) -> str:
    """`known` as a hint: the close ones where there are some, else all if they are few."""
    allowed = sorted(known)
    close = get_close_matches(word, allowed, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"allowed are {', '.join(allowed)}."
    return f"{what}: {sentence}; {hint}"


def _sentences(error: ValidationError) -> str:
    return "\n".join(_sentence(fault) for fault in error.errors(include_url=False, include_input=False))


def _sentence(fault: Mapping[str, Any]) -> str:
    path = [str(part) for part in fault["loc"]]
    key = ".".join(path)
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return unknown(key, path[-1], _section(path).model_fields, "no such setting")
    return message if message.startswith(key) else f"{key}: {message}"


def _section(path: list[str]) -> type[BaseModel]:
    """The section that the last part of `path` stands in."""
    if path[0] == "exchanges" and len(path) > 1:
        return ExchangeSettings
    if len(path) > 1:
        section = Settings.model_fields[path[0]].annotation
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        return section
    return Settings
