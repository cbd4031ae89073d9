"""Find the slices that a run still has to fetch, by comparing its slices with the ledger and the landing zone."""

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
    """The slices of a run in four groups. Each slice is in exactly one group.

    Attributes:
        before_start: the slices before the exchange's configured first day.
        settled: the slices that are settled in the ledger and need no second fetch.
        landed: the slices that an earlier run fetched completely but did not store.
        fetch: all other slices. The run has to fetch them.
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
    """Divide the slices of a run into groups, depending on what the run has to do.

    Args:
        slices: the slices of the run.
        start: the first UTC day of the exchange's configured history.
        settled: the slices that are settled in the ledger.
        landed: the slices in the landing zone, each with the record of its fetch.
        usable: returns whether a slice in the landing zone can be stored. This function reads the slice's file.
            Therefore it is called last, after all other conditions are met.
        unconfirmed: the settled slices that have to be fetched once more, each with the time of its last fetch in the
            ledger.
        refresh: whether to fetch settled and landed slices again.
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


def _can_resume(record: FetchRecord | None, known_fetch: datetime | None) -> bool:
    """Return whether the run can use a slice's file in the landing zone, so that no fetch is needed.

    Args:
        record: the fetch record in the file; None if the slice has no file.
        known_fetch: the time of the slice's last fetch in the ledger, if it has to be fetched once more; else None.
    """
    if record is None or not record.answered:
        return False
    if record.fetched_at < record.slice.end:
        return False  # the file was fetched before the end of its day, so it is incomplete
    # If the slice has to be fetched once more, and the file is newer than the fetch in the ledger, the file is the
    # result of this additional fetch. It only has to be stored.
    return known_fetch is None or record.fetched_at > known_fetch
