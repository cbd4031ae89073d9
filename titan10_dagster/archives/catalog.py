"""Find out which files of an archive contain a slice, and where these files are. This module downloads nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series, Slice, midnight
from titan10_dagster.exchanges.archive_record import Archive, Cadence, Tree

_DAY = timedelta(days=1)
# If at least this many days of a month are needed, the monthly file is read first. Then daily files are read only for
# days on which the monthly file is incomplete, and for days in `Archive.daily_preferred`. The download of the monthly
# file costs about as much as the download of eight daily files: the monthly file is larger, but each daily file needs
# two requests (file and digest).
FEWEST_DAYS_OF_A_MONTH = 8


@dataclass(frozen=True)
class ArchiveFile:
    """A file of an archive with the candles of one series on one day or in one month.

    `label`: the day of a daily file, or the first day of the month of a monthly file.
    """

    archive: Archive
    tree: Tree
    series: Series
    market: Market
    label: date

    @property
    def path(self) -> str:
        """Return the path below the archive's base URL."""
        assets = [self.market.base_id, self.market.quote_id]
        if self.tree.quote_first:
            assets.reverse()
        return self.tree.path.format(
            symbol=self.tree.separator.join(assets).upper(),
            timeframe=self.tree.timeframes[self.series.timeframe.name],
            label=self.label,
        )

    @property
    def digest_path(self) -> str | None:
        """Return the path of the digest file; None if the archive publishes no digest files."""
        if self.tree.digest is None:
            return None
        return self.tree.digest.format(path=self.path, stem=self.path.rpartition(".")[0])

    @property
    def start(self) -> datetime:
        """Return the start of the time range that the label denotes (aware, UTC)."""
        return midnight(self.label) - self.archive.label_offset

    @property
    def end(self) -> datetime:
        """Return the end of the time range that the label denotes (aware, UTC, exclusive)."""
        after = self.label + _DAY if self.tree.cadence is Cadence.DAILY else month_after(self.label)
        return midnight(after) - self.archive.label_offset

    @property
    def published_at(self) -> datetime:
        """Return the time at which the archive is expected to publish the file (aware, UTC)."""
        if self.tree.cadence is Cadence.DAILY:
            return daily_file_published_at(self.archive, self.label)
        return first_monday(month_after(self.label)) + _DAY

    def may_still_appear(self, now: datetime) -> bool:
        """Return whether a file that is absent at `now` (aware, UTC) can still be published later."""
        return now < self.published_at + self.archive.missing_for_good_after[self.tree.cadence]

    def __str__(self) -> str:
        return self.path


def month_of(day: date) -> date:
    """Return the first day of the month that contains `day`."""
    return day.replace(day=1)


def month_after(day: date) -> date:
    """Return the first day of the month after the month that contains `day`."""
    return (month_of(day) + timedelta(days=32)).replace(day=1)


def first_monday(month: date) -> datetime:
    """Return the first Monday of the month at midnight (aware, UTC)."""
    return datetime(month.year, month.month, 1 + -month.weekday() % 7, tzinfo=UTC)


def daily_file_published_at(archive: Archive, label: date) -> datetime:
    """Return the time at which the archive is expected to publish the daily file with this label (aware, UTC)."""
    return midnight(label + _DAY) - archive.label_offset + archive.published_after


def labels_of(day: date, offset: timedelta) -> list[date]:
    """Return the labels of the daily files that are needed to cover a UTC day.

    `offset`: how long before 00:00 UTC the days of the archive begin. If the offset is not zero, a UTC day is in two
    files.
    """
    return [day] if not offset else [day, day + _DAY]


def monthly_labels(archive: Archive, unit: Unit) -> list[date]:
    """Return the labels of the monthly files that contain the unit's slices.

    The list is empty if the unit is read from daily files. If the archive's days are days in UTC+8, the last eight
    hours of a UTC month are in the file of the next month. This file is in the list only if a slice needs these hours.
    """
    if not unit.monthly:
        return []
    after = month_after(unit.month)
    needs_next = archive.label_offset and any(slice_.day + _DAY == after for slice_ in unit.slices)
    return [unit.month, after] if needs_next else [unit.month]


def serves(archive: Archive, series: Series, cadence: Cadence) -> bool:
    """Return whether the archive has files of this cadence (daily or monthly) for the timeframe of the series."""
    return any(tree.cadence is cadence and series.timeframe.name in tree.timeframes for tree in archive.trees)


def candidates(archive: Archive, series: Series, market: Market, label: date, cadence: Cadence) -> list[ArchiveFile]:
    """Return the files that possibly contain the candles of a day or month, in the order in which they are tried."""
    files = []
    for tree in archive.trees:
        if tree.cadence is cadence and series.timeframe.name in tree.timeframes:
            files.append(ArchiveFile(archive, tree, series, market, label))
    return files


@dataclass(frozen=True)
class Unit:
    """The unit of reading: the slices of one series in one calendar month.

    month: the first day of the month.
    monthly: whether the monthly file is read first.
    daily_days: the days for which daily files are always read. For the other days of a monthly unit, daily files are
        read only if the monthly file is incomplete on the day.
    """

    series: Series
    market: Market
    month: date
    slices: tuple[Slice, ...]
    monthly: bool
    daily_days: frozenset[date]


def plan_units(
    archive: Archive,
    slices: Iterable[Slice],
    markets: Mapping[str, Market],
    now: datetime,
    beside: Iterable[Slice] = (),
) -> tuple[list[Unit], dict[Slice, str]]:
    """Return the units to read, oldest first, and the slices that the archive cannot have, each with the reason.

    The archive can have a slice if four conditions hold:

    - The market of the slice is known.
    - The day of the slice is not before `first_day` of the archive.
    - The archive has files for the timeframe of the slice.
    - At `now` (aware, UTC), the archive has probably published all daily files of the slice. This is assumed if
      `published_after` has passed since the end of the last day in these files.

    `beside`: more slices, which are not read now. They count for the choice between a monthly file and daily files.
    """
    wanted = set(slices)
    months: dict[tuple[Series, date], list[Slice]] = {}
    unserved: dict[Slice, str] = {}
    for slice_ in sorted(wanted.union(beside)):
        reason = _why_not(archive, slice_, markets, now)
        if reason is None:
            months.setdefault((slice_.series, month_of(slice_.day)), []).append(slice_)
        elif slice_ in wanted:
            unserved[slice_] = reason
    units = []
    for (series, month), servable in months.items():
        unit = _unit(archive, series, markets[series.symbol], month, servable, now)
        read_now = tuple(slice_ for slice_ in servable if slice_ in wanted)
        if read_now:
            daily_days = unit.daily_days & {slice_.day for slice_ in read_now}
            units.append(replace(unit, slices=read_now, daily_days=daily_days))
    return sorted(units, key=lambda unit: (unit.month, unit.series)), unserved


def _why_not(archive: Archive, slice_: Slice, markets: Mapping[str, Market], now: datetime) -> str | None:
    if slice_.series.symbol not in markets:
        return "the exchange does not list the symbol"
    if slice_.day < archive.first_day:
        return f"the archive begins on {archive.first_day}"
    has_daily = serves(archive, slice_.series, Cadence.DAILY)
    if not has_daily and not serves(archive, slice_.series, Cadence.MONTHLY):
        return f"the archive has no files with {slice_.series.timeframe} candles"
    if now < daily_file_published_at(archive, labels_of(slice_.day, archive.label_offset)[-1]):
        return "the archive has not published the day yet"
    return None


def _unit(
    archive: Archive, series: Series, market: Market, month: date, wanted: Sequence[Slice], now: datetime
) -> Unit:
    days = {slice_.day for slice_ in wanted}
    daily = days & archive.daily_preferred
    months = candidates(archive, series, market, month, Cadence.MONTHLY)
    published = any(now >= file.published_at for file in months)
    has_daily = serves(archive, series, Cadence.DAILY)
    monthly = published and (not has_daily or len(days - daily) >= FEWEST_DAYS_OF_A_MONTH)
    return Unit(series, market, month, tuple(wanted), monthly, frozenset(daily if monthly else days))


def uncovered(slices: Collection[Slice], windows: Sequence[tuple[datetime, datetime]]) -> list[Slice]:
    """Return the slices that the windows do not cover completely.

    `windows`: pairs of a start and an end (exclusive), in any order.
    """
    merged: list[tuple[datetime, datetime]] = []
    for start, end in sorted(windows):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    left = []
    for slice_ in sorted(slices):
        if not any(start <= slice_.start and slice_.end <= end for start, end in merged):
            left.append(slice_)
    return left
