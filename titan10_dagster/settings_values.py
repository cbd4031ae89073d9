"""Parsing and checks of single setting values.

The functions raise ValueError with the problem and the correction. The caller adds the key to this message. If a value
may contain a password, the message does not repeat the value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from titan10_dagster.candles.timeframes import TIMEFRAMES, Timeframe
from titan10_dagster.errors import SettingsError
from titan10_dagster.exchanges import proxy_urls
from titan10_dagster.settings_errors import unknown_name
from titan10_dagster.store.urls import sqlalchemy_url

DATABASE_SCHEMES = ("postgresql://", "postgres://", "postgresql+psycopg2://")
SOURCES = ("archive", "rest")
# The name of a landed file contains the symbol, and file systems allow names of at most 255 bytes.
LONGEST_SYMBOL = 64
_QUOTES = "'\"`"
# Former ids of exchanges in ccxt, and their current ids.
RENAMED_EXCHANGES = {
    "bitfinex2": "bitfinex",
    "coinbasepro": "coinbaseexchange",
    "gateio": "gate",
    "huobi": "htx",
    "huobipro": "htx",
    "okex": "okx",
    "okex5": "okx",
}
FIRST_DAY = date(2009, 1, 3)  # the day of the first Bitcoin block; no candle is older than this day


def parse_timeframe(value: object) -> Timeframe:
    if isinstance(value, Timeframe):
        return value
    return Timeframe.parse(str(value))


def parse_names(value: object) -> object:
    """Return a list of names from an environment variable: `A, B` or the JSON list `["A", "B"]`.

    Values that are not texts are returned unchanged.
    """
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _parse_json_list(value)
    return _without_empty(value.split(","))


def parse_urls(value: object) -> object:
    """Return a list of URLs from an environment variable: URLs separated by commas or spaces, or a JSON list.

    A comma inside a URL stays part of the URL.
    """
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _parse_json_list(value)
    return _without_empty(re.split(r"[,\s]+(?=[\w+-]+://)", value))


def parse_folder(value: object) -> object:
    """Return the path of a folder. Replace `~` by the home folder, because neither TOML nor Docker does so."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        raise ValueError("must be the path of a folder")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError("begins with ~, and this account has no home folder; write the whole path") from None


def parse_day(value: object) -> object:
    """Return the value. Refuse texts that are not YYYY-MM-DD, because pydantic also reads `1704067200` as a date."""
    if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        raise ValueError("must be a date, such as 2024-01-31")
    return value


def check_exchange(exchange: str, timeframe: Timeframe, sources: Sequence[str]) -> None:
    """Refuse a timeframe or a source that the exchange does not have."""
    try:
        check_timeframe(exchange, timeframe)
    except ValueError as error:
        raise ValueError(f"exchanges.{exchange}.timeframe: {error}") from None
    if "archive" in sources:
        try:
            check_archive(exchange)
        except ValueError as error:
            raise ValueError(f"exchanges.{exchange}.sources: {error}") from None


def check_start(exchange: str, start: date, first_day: date) -> None:
    if start < first_day:
        raise ValueError(
            f"exchanges.{exchange}.start: {start} is before first_day ({first_day}): set first_day to {start} or an"
            " earlier day"
        )
    if start > datetime.now(UTC).date():
        raise ValueError(
            f"exchanges.{exchange}.start: {start} is in the future, so no day would be fetched: set it to today or an"
            " earlier day"
        )


def check_database_url(url: str) -> None:
    if not url.startswith(DATABASE_SCHEMES):
        raise ValueError(f"must start with one of {', '.join(DATABASE_SCHEMES)}")
    try:
        sqlalchemy_url(url)
    except SettingsError as error:
        raise ValueError(str(error)) from None


def check_host(host: object) -> object:
    """Refuse a text that is no host. If the host is empty, the UI would listen on all addresses."""
    if isinstance(host, str) and not re.fullmatch(r"[\w.:%-]+", host):
        raise ValueError("must be an address or a host name without port and brackets, such as 127.0.0.1 or ::1")
    return host


def check_base_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and "@" not in url and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is not a number, or an IPv6 address has no closing bracket
        is_address = False
    if not is_address:
        raise ValueError("must be http:// or https:// and a host, without user and password")


def check_proxy(url: str) -> None:
    fault = proxy_urls.fault_of(proxy_urls.normalized(url) if "://" in url else url)
    if fault:
        raise ValueError(fault)


def check_alert_url(url: str) -> None:
    if "://" not in url:
        raise ValueError("each must be an apprise URL, such as tgram://token/chat or file:///var/log/alerts")


def check_symbols(symbols: Sequence[str]) -> None:
    """Refuse symbols that are not spot symbols, that cannot be part of a file name, or that are listed twice."""
    for symbol in symbols:
        _check_symbol(symbol)
    duplicates = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
    if duplicates:
        raise ValueError(f"{', '.join(duplicates)} is listed twice; remove one of them")


def _check_symbol(symbol: str) -> None:
    shown = symbol if symbol and symbol.isprintable() else repr(symbol)
    if len(symbol) > LONGEST_SYMBOL:
        raise ValueError(f"{shown[:20]}... has {len(symbol):,} characters; at most {LONGEST_SYMBOL} are allowed")
    if ":" in symbol:
        raise ValueError(f"{shown}: only spot markets are supported, such as BTC/USDT")
    parts = symbol.split("/")
    has_two_parts = len(parts) == 2 and all(parts)
    if symbol.strip(_QUOTES) != symbol:
        raise ValueError(f"{shown}: write it without quotes, such as BTC/USDT; Docker's --env-file keeps quotes")
    if not has_two_parts or not symbol.isprintable() or re.search(r"[\s\\]", symbol):
        raise ValueError(f"{shown}: write BASE/QUOTE, such as BTC/USDT")
    for part in parts:
        if not part.strip("."):  # "." and ".." are names of folders
            raise ValueError(f"{shown}: {part} is not a currency; write BASE/QUOTE, such as BTC/USDT")


def check_sources(sources: Sequence[str]) -> None:
    """Refuse names that are not sources of candles, and a list with the same name twice."""
    for source in sources:
        if source not in SOURCES:
            raise ValueError(f"{source!r} is not a source of candles; write one or both of {', '.join(SOURCES)}")
    if len(set(sources)) < len(sources):
        raise ValueError("lists a source twice")


def check_archive(exchange: str) -> None:
    """Refuse the source `archive` for an exchange if Titan-10 cannot read the exchange's candle files."""
    # The import takes time, and only settings with an archive need it.
    from titan10_dagster.exchanges.venues.registry import all_venues

    known = sorted(name for name, venue in all_venues().items() if venue.archive is not None)
    if exchange not in known:
        raise ValueError(f"Titan-10 reads no archive of {exchange}, only of {', '.join(known)}; remove `archive`")


def check_exchange_id(where: str, exchange: str) -> None:
    """Refuse an id if ccxt has no exchange with this id."""
    # The import takes a fifth of a second, and only commands that read settings need it.
    from ccxt import exchanges as known

    if exchange not in known:
        raise ValueError(unknown_name(where, exchange, known, "ccxt has no such exchange"))


def check_timeframe(exchange: str, timeframe: Timeframe) -> None:
    """Refuse a timeframe that the exchange does not have, or whose candles do not begin on the UTC grid."""
    reason = _why_not(exchange, timeframe.name)
    if reason is not None:
        allowed = [name for name in TIMEFRAMES if _why_not(exchange, name) is None]
        raise ValueError(f"{reason}; it has {', '.join(allowed)}")


def _why_not(exchange: str, timeframe: str) -> str | None:
    """Return why candles of this length cannot be fetched from the exchange; None if they can be fetched."""
    if timeframe not in _timeframes_of(exchange):
        return f"it has no {timeframe} candles"
    if timeframe == "1m":  # all exchanges begin 1m candles on the UTC grid, apart from single broken days
        return None
    # The import takes a third of a second, and only settings with longer candles need it.
    from titan10_dagster.exchanges.venues.registry import venue_of

    begins = venue_of(exchange).off_grid.get(timeframe)
    if begins is None:
        return None
    return f"its {timeframe} candles begin at {begins} and not on the UTC grid, so they cannot be stored"


@cache
def _timeframes_of(exchange: str) -> frozenset[str]:
    """Return the names of the timeframes that the exchange has according to ccxt."""
    import ccxt

    return frozenset(getattr(ccxt, exchange)().timeframes or {})


def _parse_json_list(text: str) -> list[str]:
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError('is not a list of texts; write names separated by commas, or a JSON list such as ["A", "B"]')
    return values


def _without_empty(parts: Sequence[str]) -> list[str]:
    return [part.strip() for part in parts if part.strip()]


def refuse_former_id(exchange: str) -> None:
    """Raise ValueError if ccxt has replaced this id of an exchange. The message has the new id."""
    new = RENAMED_EXCHANGES.get(exchange)
    if new is not None:
        raise ValueError(
            f"exchanges.{exchange}: ccxt calls this exchange {new} now. Rename the section, and move the stored "
            f"history with `titan10 series rename {exchange} --to-exchange {new}`."
        )
