"""The check of landed slices against the candle rules, made once per process for each slice.

A run executes all its steps in one process. The resume check, the asset checks and the write to the database need the
same verdict, so the first one that reads a file judges it, and `JudgedFiles` keeps the verdict for the others.
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

# An entry without candles takes about 1 kB, and a run of a month with 40 symbols has 1,240 slices.
MOST_FILES = 4096
# A day of 1m candles takes 69 kB. Candles that do not fit are read again when they are stored.
MOST_BYTES = 48 << 20


@dataclass(frozen=True)
class SliceVerdict:
    """The verdict on a slice, without the candles: the number of valid candles, and how many rows break each rule.

    `by_concern`: how many rows break at least one rule of a concern. `shift`: the distance from the grid at which most
        off-grid rows start; None if no row is off the grid.
    """

    record: FetchRecord
    valid: int
    broken: int
    counts: Mapping[str, int]
    by_concern: Mapping[Concern, int]
    shift: timedelta | None

    @property
    def broken_share(self) -> float:
        """The broken share of all rows, 0.0 to 1.0; 0.0 if there are none."""
        rows = self.valid + self.broken
        return self.broken / rows if rows else 0.0


def verdict_of(fetched: FetchedSlice) -> Verdict:
    """Check a slice against the candle rules, as of the time of its fetch."""
    return judge(fetched.candles, fetched.record.slice, fetched.record.fetched_at)


def summary_of(record: FetchRecord, verdict: Verdict) -> SliceVerdict:
    """Return the verdict without the candles."""
    broken = verdict.broken
    by_concern: dict[Concern, int] = {}
    if len(broken):
        by_concern = {concern: _rows_broken(broken, concern) for concern in Concern}
    shift = _shift(broken, record.slice)
    return SliceVerdict(record, len(verdict.valid), len(broken), verdict.counts, by_concern, shift)


def exceeds_broken_limit(verdict: SliceVerdict, checks: CheckSettings) -> bool:
    """Whether more rows of a slice break a rule than the settings allow, both by number and by share."""
    return verdict.broken > checks.broken_rows and verdict.broken_share > checks.broken_share


def judge_slice(fetched: FetchedSlice) -> JudgedSlice:
    """Check a slice against the candle rules."""
    return JudgedSlice(fetched.record, verdict_of(fetched))


def _rows_broken(broken: Broken, concern: Concern) -> int:
    """Return how many rows break at least one rule of the concern. A row that breaks three rules counts once."""
    names = names_of(concern)
    return sum(1 for rules in broken.rules if not names.isdisjoint(rules))


def _shift(broken: Broken, slice_: Slice) -> timedelta | None:
    """Return the distance from the grid at which most off-grid rows start; None if no row is off the grid."""
    offsets = broken.candles.times.view(np.int64) % slice_.series.timeframe.ms
    offsets = offsets[offsets != 0]
    if not len(offsets):
        return None
    values, counts = np.unique(offsets, return_counts=True)
    return timedelta(milliseconds=int(values[counts.argmax()]))


@dataclass(frozen=True, eq=False)
class _Known:
    """The cached data of a file: its `verdict` after the check, and its `candles` until their use, if there is room."""

    identity: FileIdentity
    record: FetchRecord
    verdict: SliceVerdict | None = None
    candles: Verdict | None = None

    @property
    def bytes(self) -> int:
        """The size of the candles."""
        if self.candles is None:
            return 0
        return self.candles.valid.bytes + self.candles.broken.candles.bytes


class JudgedFiles:
    """The judged files of this process. Threads may share it.

    A file that another process has replaced has another identity: it is read and judged again.
    """

    def __init__(self, landing: LandingZone, *, most_files: int = MOST_FILES, most_bytes: int = MOST_BYTES) -> None:
        self._landing = landing
        self._most_files = most_files
        self._most_bytes = most_bytes
        self._known: OrderedDict[Slice, _Known] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def add(self, landed: FetchedSlice) -> None:
        """Judge a slice that this process has just landed."""
        identity = self._landing.identity(landed.record.slice)
        if identity is not None:
            self._judge(identity, landed)

    def records(self, slices: Iterable[Slice]) -> dict[Slice, FetchRecord]:
        """Return the records of those slices that are landed, in the given order.

        An unreadable file counts as not landed, see `LandingZone.records`.
        """
        found: dict[Slice, FetchRecord] = {}
        for slice_ in slices:
            record = self._record(slice_)
            if record is not None:
                found[slice_] = record
        return found

    def verdict(self, slice_: Slice) -> SliceVerdict | None:
        """Return the verdict on the landed slice; None if it is not landed or not readable."""
        known = self._get(slice_)
        if known is None or known.verdict is None:
            known = self._read(slice_)
        return None if known is None else known.verdict

    def take(self, slice_: Slice) -> JudgedSlice | None:
        """Return the landed slice with its judged candles, and drop these from the cache; None as in `verdict`."""
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
        # The identity is read before the file, so that a file that another process replaces in between is read again
        # later.
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
