"""Describe the candle files that an exchange publishes.

An `Archive` is a part of the exchange's record (`Venue`). It describes the paths of the files and their usual format.
The package `archives` uses this description to download, verify and parse the files. Exchanges have changed the formats
of their files. Therefore the real format of a file (header, time unit, order of columns, covered hours) is read from
the file itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum


class Cadence(StrEnum):
    """The length of time that one file covers: a day or a month."""

    DAILY = "daily"
    MONTHLY = "monthly"


class Format(StrEnum):
    """The format of a file: how the rows are written and compressed."""

    ZIP_CSV = "zip_csv"  # a zip file with one CSV file
    GZIP_CSV = "gzip_csv"
    ZIP_XLSX = "zip_xlsx"  # a zip file with one Excel workbook; reading it needs the optional dependency "xlsx"


@dataclass(frozen=True)
class Tree:
    """A group of files with the same pattern of paths, for example the daily files of all symbols.

    cadence: whether the files are daily or monthly.
    path: a template (for `str.format`) of the path below the archive's base URL. The fields of the template are
        `symbol` (in the archive's spelling), `timeframe`, and `label` (the date in the file's name, with a format such
        as `{label:%Y-%m-%d}`).
    separator: the text between base and quote in `symbol`: "" for BTCUSDT, "-" for BTC-USDT.
    digest: a template of the path of the digest file; None if the archive publishes no digests. The fields of the
        template are `path` (the path of the data file) and `stem` (the same path without its last suffix).
    timeframes: the timeframes for which there are files, each with the timeframe's name in the paths.
    quote_first: whether the quote comes before the base in `symbol`, as in KRW-BTC.
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

    trees: the groups of files. Trees of the same cadence are tried in this order.
    first_day: the first UTC day for which files are requested.
    columns: the name of each column in a file without a header: time, open, high, low, close, volume (in the base
        currency), or "" for a column that is not read.
    source: where the facts in this record come from.
    header: for a column name as in `columns`, the other names (in lower case) that header lines use for this column.
    format: the format of the files.
    label_offset: the 24 hours of a file begin this long before 00:00 UTC of the day in the file's name. For days in
        UTC+8, the offset is eight hours. If the rows of a file show other hours, those hours are used.
    sparse: whether files leave out minutes without trades. If False, a minute that is absent from a file is an outage
        or a defect of the file.
    published_after: the time from the end of a day to the expected publication of the daily file.
    missing_for_good_after: a length of time for each cadence. A file that is still absent this long after its expected
        publication counts as permanently absent.
    absent: the HTTP statuses that show that a file does not exist, each with a text. The body of the answer must
        contain this text. With the text "", every body is accepted.
    etag_is_md5: whether the ETag is the MD5 digest of the file. An ETag with a dash (multipart upload) is not a digest.
    daily_preferred: the UTC days for which monthly files are known to be worse than daily files.
    licence: the terms that the user has to accept; None if there are none. An archive with terms is used only if the
        settings enable the archive.
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
