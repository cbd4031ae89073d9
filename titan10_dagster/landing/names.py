"""File names of landed slices. The names are readable for usual symbols, and two symbols never have the same name.

The file name of `BTC/USDT` is `BTC-USDT.parquet`, and the file name of `BTC/USDT:USDT` is `BTC-USDT_USDT.parquet`. The
characters `-` and `_` themselves, and other special characters, are written as `%` and their code. On a disk that
ignores case, `AAPLx/USD` and `AAPLX/USD` would have the same file. Also, some disks change the encoding of accented
letters. Therefore a symbol with lower-case letters, or with characters that have several encodings, also gets a short
digest: `AAPLx-USD~3F9A21C0.parquet`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256
from unicodedata import normalize

from titan10_dagster.candles.slices import Series
from titan10_dagster.errors import LandingError

SUFFIX = ".parquet"

# In bytes, the longest name of a symbol in a file name. File systems allow 255 bytes for the name of a file, and the
# name of an evidence file adds a time, a digest and a suffix.
_LONGEST_NAME = 200
# "/" and ":" are replaced by "-" and "_", and "~" precedes the digest. So "-", "_" and "~" in a symbol must be escaped.
_ESCAPED = re.compile(r'[-_~%\\*?"<>|]')


def file_name(series: Series) -> str:
    """Return the name of the series' files.

    Raises:
        LandingError: no file name can be made from the symbol.
    """
    return symbol_name(series.exchange, series.symbol) + SUFFIX


def symbol_name(exchange: str, symbol: str) -> str:
    """Return the part of a file name that represents the symbol.

    The names of two symbols differ, even on disks that ignore case. A name never leads to another folder.

    Raises:
        LandingError: no file name can be made from the symbol.
    """
    name = _readable_name(exchange, symbol)
    return name if is_plain(symbol) else f"{name}~{digest(symbol.encode())}"


def former_file_name(series: Series) -> str | None:
    """Return the file name that older versions used, without a digest. Return None if the name is still the same."""
    if is_plain(series.symbol):
        return None
    return _readable_name(series.exchange, series.symbol) + SUFFIX


def is_plain(symbol: str) -> bool:
    """Return whether the symbol has no lower-case letters and only one encoding in Unicode.

    Such a symbol needs no digest.
    """
    return symbol == symbol.upper() == normalize("NFKD", symbol)


def _readable_name(exchange: str, symbol: str) -> str:
    """Return the symbol with "-" instead of "/" and "_" instead of ":". Other special characters are escaped."""
    escaped = _ESCAPED.sub(lambda sign: f"%{ord(sign[0]):02X}", symbol)
    name = escaped.replace("/", "-").replace(":", "_")
    if not name.isprintable() or name != name.strip(" .") or not 0 < len(name.encode()) <= _LONGEST_NAME:
        raise LandingError(f"The symbol {symbol!r} of {exchange} cannot be a file name. Remove it from the settings.")
    return name


def superseded_name(name: str, fetched_at: datetime, content: bytes) -> str:
    """Return the name under which a replaced file is kept as evidence.

    The name contains the time of the file's fetch and a digest of its bytes. Two different files never get the same
    name, so evidence is never overwritten.
    """
    stem = name.removesuffix(SUFFIX)
    return f"{stem}.{fetched_at.astimezone(UTC):%Y%m%dT%H%M%S%f}Z.{digest(content)}{SUFFIX}.old"


def unreadable_name(name: str, content: bytes) -> str:
    """Return the name under which an unreadable file is kept as evidence. It contains a digest of the file's bytes."""
    return f"{name}.{digest(content)}.corrupt"


def digest(content: bytes) -> str:
    """Return eight hexadecimal digits of a hash of the content."""
    return sha256(content).hexdigest()[:8].upper()
