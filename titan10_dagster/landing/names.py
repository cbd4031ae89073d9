"""File names of landed slices. For usual symbols the names are readable. Two symbols never have the same name.

The file name of `BTC/USDT` is `BTC-USDT.parquet`, and the file name of `BTC/USDT:USDT` is `BTC-USDT_USDT.parquet`. The
characters `-` and `_` themselves, and other special characters, are written as `%` and their hexadecimal code. On a
disk that ignores case, `AAPLx/USD` and `AAPLX/USD` would have the same file. Also, some disks change the encoding of
accented letters. Therefore the file name contains a short digest if the symbol has lower-case letters, or characters
with several encodings: `AAPLx-USD~3F9A21C0.parquet`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256
from unicodedata import normalize

from titan10_dagster.candles.slices import Series
from titan10_dagster.errors import LandingError

SUFFIX = ".parquet"

# The maximum number of bytes that a symbol can have in a file name. File systems allow 255 bytes for a file name, and
# the longest names (of evidence files) also contain a time, two digests and a suffix.
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

    The names of two symbols differ, even on disks that ignore case. The name is never a path to another folder.

    Raises:
        LandingError: no file name can be made from the symbol.
    """
    name = readable_name(exchange, symbol)
    return name if is_plain(symbol) else f"{name}~{digest(symbol.encode())}"


def former_file_name(series: Series) -> str | None:
    """Return the name that older versions gave to the series' files. This name has no digest.

    Return None if older versions used the same name as this version.
    """
    if is_plain(series.symbol):
        return None
    return readable_name(series.exchange, series.symbol) + SUFFIX


def is_plain(symbol: str) -> bool:
    """Return whether the symbol has no lower-case letters and only one encoding in Unicode.

    Such a symbol needs no digest.
    """
    return symbol == symbol.upper() == normalize("NFKD", symbol)


def readable_name(exchange: str, symbol: str) -> str:
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
    """Return the name under which an unreadable file is kept. The name contains a digest of the file's bytes."""
    return f"{name}.{digest(content)}.corrupt"


def files_of(symbol_name: str) -> re.Pattern[str]:
    """Return a pattern of the names of all files of a symbol: landed slices, evidence and unreadable files.

    Names of evidence and unreadable files from older versions have no digest of the content. A name must match as a
    whole, because the names of AVAX/USDC.E also begin with `AVAX-USDC`.
    """
    name, digits = re.escape(symbol_name), r"(\.[0-9A-F]{8})?"
    return re.compile(rf"{name}{SUFFIX}|{name}\.\d{{8}}T\d+Z{digits}{SUFFIX}\.old|{name}{SUFFIX}{digits}\.corrupt")


def digest(content: bytes) -> str:
    """Return eight hexadecimal digits of a hash of the content."""
    return sha256(content).hexdigest()[:8].upper()
