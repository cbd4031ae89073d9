"""The part of a venue record about the candle files that an exchange publishes.

An `Archive` is a declaration: `titan10_dagster.archives` downloads, verifies and parses by it. It has the paths of the
files and their usual format. The real format of a file (header, time unit, order, the day of its label) is read from
the file itself, because every exchange has changed its format at least once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum


class Cadence(StrEnum):
    """The length of time that one file covers."""

    DAILY = "daily"
    MONTHLY = "monthly"


class Format(StrEnum):
    """The file format in which rows are packed."""

    ZIP_CSV = "zip_csv"  # one CSV member
    GZIP_CSV = "gzip_csv"
    ZIP_XLSX = "zip_xlsx"  # one workbook; needs the optional extra "xlsx"


@dataclass(frozen=True)
class Tree:
    """Files with names of one pattern, such as the daily files of all symbols.

    `path` is a `str.format` template below the archive's base URL. Its fields are `symbol` (in the archive's spelling),
    `timeframe` and `label`, the date that names the file, with its own format: `{label:%Y-%m-%d}`. `digest` is the
    template of the file that holds the published digest; None if no digest is published. `{path}` stands for the data
    file's path, `{stem}` for that path without its last suffix. `separator` joins base and quote in `symbol`: "" for
    BTCUSDT, "-" for BTC-USDT. `quote_first`: as in KRW-BTC.
    """

    cadence: Cadence
    path: str
    separator: str = ""
    digest: str | None = None
    timeframes: Mapping[str, str] = field(default_factory=lambda: {"1m": "1m"}, hash=False)
    quote_first: bool = False


@dataclass(frozen=True)
class Archive:
    """The candle files of one exchange.

    trees: the families of files; those of one cadence in order of preference.
    first_day: no file is requested for days before this UTC day.
    columns: the meaning of each column in a file without a header. Names are time, open, high, low, close, volume (base
        currency), and "" for a column that is not read.
    header: the spellings of each of the six names in headers, in lower case.
    label_offset: a file covers 24 hours, which begin this long before midnight UTC of the day in its label. It is eight
        hours for days of UTC+8. If the rows of a file show other hours, those hours apply.
    sparse: minutes without trades are left out. Otherwise an absent minute is an outage or a defect of the file.
    published_after: a daily file is not expected before this time after the end of its day.
    missing_for_good_after: the time after the expected publication, by cadence. An absent file then no longer counts as
    late.
    absent: HTTP statuses of a file that does not exist, each with a text that the body must contain ("" for any).
    etag_is_md5: the ETag is the MD5 digest of the file, unless it has a dash (multipart upload).
    daily_preferred: UTC days for which monthly files are known to be worse than daily files.
    licence: terms that the user has to accept; an archive with terms is off until the settings switch it on.
    """

    base_url: str
    trees: tuple[Tree, ...]
    first_day: date
    columns: tuple[str, ...]
    source: str
    header: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    format: Format = Format.ZIP_CSV
    label_offset: timedelta = timedelta(0)
    sparse: bool = False
    published_after: timedelta = timedelta(hours=33)
    missing_for_good_after: Mapping[Cadence, timedelta] = field(
        default_factory=lambda: {Cadence.DAILY: timedelta(days=3), Cadence.MONTHLY: timedelta(days=35)}, hash=False
    )
    absent: Mapping[int, str] = field(default_factory=lambda: {404: ""}, hash=False)
    etag_is_md5: bool = False
    daily_preferred: frozenset[date] = frozenset()
    licence: str | None = None
