"""Checks landed slices against the candle rules ("judges" them), and caches the results ("verdicts").

A run executes all its steps in one process. The planning of the fetch, the asset checks and the write to the database
need the same verdict. Therefore each slice is checked when a step needs it for the first time, and `JudgedFiles` keeps
the verdict for the other steps. A slice is checked again only if its file was replaced, or if the cache does not have
the verdict or the candles any more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Lock

import numpy as np

from titan10_dagster.candles.fetched import FetchedSlice, FetchRecord, JudgedSlice
from titan10_dagster.candles.rules import Broken, Concern, Verdict, judge, names_of
from titan10_dagster.candles.slices import Slice
from titan10_dagster.landing.zone import FileIdentity, LandingZone
from titan10_dagster.settings import CheckSettings

# Largest number of files in the cache. An entry without candles takes about 1 kB. A run of a month with 40 symbols has
# 1,240 slices.
MOST_FILES = 4096
# Largest size of all candles in the cache. A day of 1m candles takes 69 kB. Candles that do not fit into the cache are
# read again when they are stored.
MOST_BYTES = 48 << 20


@dataclass(frozen=True)
class SliceVerdict:
    """The result of checking a slice against the candle rules, without the candles.

    `valid`, `broken`: the numbers of valid rows and of broken rows. `counts`: for each rule that is broken, the number
    of rows that break it. `by_concern`: for each concern, the number of rows that break at least one rule of this
    concern. `shift`: the most common distance of off-grid rows from the timeframe's grid, or None if all rows are on
    the grid.
    """

    record: FetchRecord
    valid: int
    broken: int
    counts: Mapping[str, int]
    by_concern: Mapping[Concern, int]
    shift: timedelta | None

    @property
    def broken_share(self) -> float:
        """The share of broken rows in all rows (0.0 to 1.0). It is 0.0 if the slice has no rows."""
        rows = self.valid + self.broken
        return self.broken / rows if rows else 0.0


def verdict_of(fetched: FetchedSlice) -> Verdict:
    """Check a slice against the candle rules. Candles that had not ended at the time of the fetch are broken."""
    return judge(fetched.candles, fetched.record.slice, fetched.record.fetched_at)


def summary_of(record: FetchRecord, verdict: Verdict) -> SliceVerdict:
    """Return a verdict without its candles."""
    broken = verdict.broken
    by_concern: dict[Concern, int] = {}
    if len(broken):
        by_concern = {concern: _rows_broken(broken, concern) for concern in Concern}
    shift = _shift(broken, record.slice)
    return SliceVerdict(record, len(verdict.valid), len(broken), verdict.counts, by_concern, shift)


def exceeds_broken_limit(verdict: SliceVerdict, checks: CheckSettings) -> bool:
    """Return whether a slice exceeds both limits for broken rows in the settings: their number and their share."""
    return verdict.broken > checks.broken_rows and verdict.broken_share > checks.broken_share


def judge_slice(fetched: FetchedSlice) -> JudgedSlice:
    """Check a slice against the candle rules, and return the slice with its verdict."""
    return JudgedSlice(fetched.record, verdict_of(fetched))


def _rows_broken(broken: Broken, concern: Concern) -> int:
    """Return the number of rows that break at least one rule of the concern. Each row counts only once."""
    names = names_of(concern)
    return sum(1 for rules in broken.rules if not names.isdisjoint(rules))


def _shift(broken: Broken, slice_: Slice) -> timedelta | None:
    """Return the most common distance of off-grid rows from the timeframe's grid, or None if all are on the grid."""
    offsets = broken.candles.times.view(np.int64) % slice_.series.timeframe.ms
    offsets = offsets[offsets != 0]
    if not len(offsets):
        return None
    values, counts = np.unique(offsets, return_counts=True)
    return timedelta(milliseconds=int(values[counts.argmax()]))


@dataclass(frozen=True, eq=False)
class _Known:
    """The cached data of a landed file.

    `verdict`: the verdict without the candles, or None if the file was not checked yet. `candles`: the verdict with the
    candles. It is None if the file was not checked yet, if `take` has returned the candles, or if they do not fit into
    the cache.
    """

    identity: FileIdentity
    record: FetchRecord
    verdict: SliceVerdict | None = None
    candles: Verdict | None = None

    @property
    def bytes(self) -> int:
        """The size of the candles in bytes."""
        if self.candles is None:
            return 0
        return self.candles.valid.bytes + self.candles.broken.candles.bytes


class JudgedFiles:
    """A cache of the landed files that this process has checked against the candle rules. Threads can share it.

    If a file was replaced, for example by another process, its identity has changed. Then it is read and checked again.
    """

    def __init__(self, landing: LandingZone, *, most_files: int = MOST_FILES, most_bytes: int = MOST_BYTES) -> None:
        self._landing = landing
        self._most_files = most_files
        self._most_bytes = most_bytes
        self._known: OrderedDict[Slice, _Known] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def add(self, landed: FetchedSlice) -> None:
        """Check a slice that this process has just written into the landing zone, and keep the result in the cache."""
        identity = self._landing.identity(landed.record.slice)
        if identity is not None:
            self._judge(identity, landed)

    def records(self, slices: Iterable[Slice]) -> dict[Slice, FetchRecord]:
        """Return the records of the slices that are in the landing zone, in the given order.

        A slice with an unreadable file is left out; see `LandingZone.records`.
        """
        found: dict[Slice, FetchRecord] = {}
        for slice_ in slices:
            record = self._record(slice_)
            if record is not None:
                found[slice_] = record
        return found

    def verdict(self, slice_: Slice) -> SliceVerdict | None:
        """Return the verdict on a slice, or None if the slice has no readable file in the landing zone."""
        known = self._get(slice_)
        if known is None or known.verdict is None:
            known = self._read(slice_)
        return None if known is None else known.verdict

    def take(self, slice_: Slice) -> JudgedSlice | None:
        """Return a slice with its checked candles, or None if the slice has no readable file in the landing zone.

        The candles are removed from the cache, because they are usually needed only once. The verdict stays.
        """
        known = self._get(slice_)
        if known is None or known.candles is None:
            known = self._read(slice_)
        if known is None or known.candles is None:
            return None
        self._keep(replace(known, candles=None))
        return JudgedSlice(known.record, known.candles)

    def _record(self, slice_: Slice) -> FetchRecord | None:
        identity = self._landing.identity(slice_)
        known = self._get(slice_)
        if identity is None or known is not None:
            return None if known is None else known.record
        record = self._landing.records([slice_]).get(slice_)
        if record is not None:
            self._keep(_Known(identity, record))
        return record

    def _read(self, slice_: Slice) -> _Known | None:
        # The identity is read before the file. If another process replaces the file in between, the cached identity
        # differs from the identity of the new file, so the file is read again when it is needed.
        identity = self._landing.identity(slice_)
        landed = None if identity is None else self._landing.read_or_quarantine(slice_)
        return None if identity is None or landed is None else self._judge(identity, landed)

    def _judge(self, identity: FileIdentity, landed: FetchedSlice) -> _Known:
        verdict = verdict_of(landed)
        known = _Known(identity, landed.record, summary_of(landed.record, verdict), verdict)
        self._keep(known)
        return known

    def _get(self, slice_: Slice) -> _Known | None:
        identity = self._landing.identity(slice_)
        with self._lock:
            known = self._known.get(slice_)
        return known if known is not None and known.identity == identity else None

    def _keep(self, known: _Known) -> None:
        with self._lock:
            former = self._known.pop(known.record.slice, None)
            self._bytes -= 0 if former is None else former.bytes
            if self._bytes + known.bytes > self._most_bytes:
                known = replace(known, candles=None)
            self._known[known.record.slice] = known
            self._bytes += known.bytes
            while len(self._known) > self._most_files:
                _, oldest = self._known.popitem(last=False)
                self._bytes -= oldest.bytes
