"""File names of landed slices. They are readable for usual symbols, and never the same for two symbols.

`BTC/USDT` is in `BTC-USDT.parquet` and `BTC/USDT:USDT` in `BTC-USDT_USDT.parquet`. Other special characters, and these
two signs themselves, are written as `%` and their code. On a case-insensitive disk `AAPLx/USD` and `AAPLX/USD` would
share a file, and some disks change how accented letters are composed. Therefore a symbol with lower-case letters, or
with characters that have several encodings, also gets a short digest: `AAPLx-USD~3F9A21C0.parquet`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256
from unicodedata import normalize

from titan10_dagster.candles.slices import Series
from titan10_dagster.errors import LandingError

SUFFIX = ".parquet"

_LONGEST_NAME = 200  # bytes; file systems allow 255, and the names of evidence files are longer
# "/" and ":" become "-" and "_", and "~" precedes the digest; so these signs themselves must be escaped.
_ESCAPED = re.compile(r'[-_~%\\*?"<>|]')


def file_name(series: Series) -> str:
    """Return the name of the series' files.

    Raises:
        LandingError: no file name can be made from the symbol.
    """
    return symbol_name(series.exchange, series.symbol) + SUFFIX


def symbol_name(exchange: str, symbol: str) -> str:
    """Return the part of a file name that stands for the symbol.

    Names of two symbols also differ on disks that ignore case, and no name leaves its folder.

    Raises:
        LandingError: no file name can be made from the symbol.
    """
    name = _readable_name(exchange, symbol)
    return name if is_plain(symbol) else f"{name}~{digest(symbol.encode())}"


def former_file_name(series: Series) -> str | None:
    """Return the name of the series' files before names had a digest; None if it has not changed."""
    if is_plain(series.symbol):
        return None
    return _readable_name(series.exchange, series.symbol) + SUFFIX


def is_plain(symbol: str) -> bool:
    """Return whether the symbol needs no digest: it has no lower-case letter, and only one encoding in Unicode."""
    return symbol == symbol.upper() == normalize("NFKD", symbol)


def _readable_name(exchange: str, symbol: str) -> str:
    """Return the symbol with "/" as "-" and ":" as "_", other special characters escaped."""
    escaped = _ESCAPED.sub(lambda sign: f"%{ord(sign[0]):02X}", symbol)
    name = escaped.replace("/", "-").replace(":", "_")
    if not name.isprintable() or name != name.strip(" .") or not 0 < len(name.encode()) <= _LONGEST_NAME:
        raise LandingError(f"The symbol {symbol!r} of {exchange} makes no file name. Remove it from the settings.")
    return name


def superseded_name(name: str, fetched_at: datetime, content: bytes) -> str:
    """Return the name under which a replaced file is kept as evidence.

    It has the time of its fetch and a digest of its bytes.

    Two different files never get the same name, so evidence is never overwritten.
    """
    stem = name.removesuffix(SUFFIX)
    return f"{stem}.{fetched_at.astimezone(UTC):%Y%m%dT%H%M%S%f}Z.{digest(content)}{SUFFIX}.old"


def unreadable_name(name: str, content: bytes) -> str:
    """Return the name under which an unreadable file is kept as evidence, with a digest of its bytes."""
    return f"{name}.{digest(content)}.corrupt"


def digest(content: bytes) -> str:
    """Return eight hexadecimal digits that differ for different contents."""
    return sha256(content).hexdigest()[:8].upper()
