"""The slices that a run still has to fetch, found by comparing its slices with the ledger and the landing zone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType

from titan10_dagster.candles.fetched import FetchRecord
from titan10_dagster.candles.slices import Slice

_NONE: Mapping[Slice, datetime] = MappingProxyType({})


@dataclass(frozen=True)
class FetchPlan:
    """The slices of a run, each in exactly one group, in the order of the run.

    Attributes:
        before_start: days before the exchange's configured first day.
        settled: complete in the ledger, with nothing left to confirm.
        landed: fetched completely by an earlier run that stopped before it stored them.
        fetch: all others.
    """

    before_start: tuple[Slice, ...]
    settled: tuple[Slice, ...]
    landed: tuple[Slice, ...]
    fetch: tuple[Slice, ...]


def plan_fetch(
    slices: Sequence[Slice],
    *,
    start: date,
    settled: Collection[Slice],
    landed: Mapping[Slice, FetchRecord],
    usable: Callable[[Slice], bool],
    unconfirmed: Mapping[Slice, datetime] = _NONE,
    refresh: bool = False,
) -> FetchPlan:
    """Divide `slices` into groups by the work that a run has to do for them.

    Args:
        slices: the slices of the run.
        start: first UTC day of the exchange's configured history.
        settled: the slices that are settled in the ledger.
        landed: the record of each slice in the landing zone.
        usable: whether a landed slice may be stored as it is. Called only for slices that would not be fetched,
            because it reads the file.
        unconfirmed: settled slices with a gap that needs a second fetch, and the time of the first one.
        refresh: fetch settled and landed slices again.
    """
    before_start: list[Slice] = []
    settled_slices: list[Slice] = []
    resumed: list[Slice] = []
    fetch: list[Slice] = []
    for slice_ in slices:
        if slice_.day < start:
            before_start.append(slice_)
        elif refresh:
            fetch.append(slice_)
        elif slice_ in settled and slice_ not in unconfirmed:
            settled_slices.append(slice_)
        elif _can_resume(landed.get(slice_), unconfirmed.get(slice_)) and usable(slice_):
            resumed.append(slice_)
        else:
            fetch.append(slice_)
    return FetchPlan(tuple(before_start), tuple(settled_slices), tuple(resumed), tuple(fetch))


def _can_resume(record: FetchRecord | None, first_fetch: datetime | None) -> bool:
    """Return whether the landed file of a slice replaces a fetch.

    Args:
        record: the record of the landed file, None without one.
        first_fetch: when the slice was fetched first, if it waits for a second fetch that confirms its gaps.
    """
    if record is None or not record.answered:
        return False
    if record.fetched_at < record.slice.end:
        return False  # fetched before the end of its day, so it is incomplete
    # A file that landed after the first fetch is the second fetch and only has to be stored.
    return first_fetch is None or record.fetched_at > first_fetch
