"""What is left to fetch: the ledger and the landing zone against what a run was asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from titan10_dagster.candles.fetched import FetchRecord
from titan10_dagster.candles.slices import Slice


@dataclass(frozen=True)
class FetchPlan:
    """Every slice asked for stands in exactly one of these, in the order it was asked for.

    `before_start` lies before the exchange's configured first day; `settled` is known whole to the ledger;
    `landed` was fetched whole by a run that died before it stored it; `fetch` is the rest.
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
    sound: Callable[[Slice], bool],
    refresh: bool = False,
) -> FetchPlan:
    """Sort `slices` by what has to be done for them.

    Args:
        start: first UTC day worth a request.
        settled: the slices that the ledger calls settled.
        landed: the record of each slice in the landing zone.
        sound: whether a landed slice keeps the candle rules; asked only for slices that would be resumed.
        refresh: fetch again what is settled or landed.
    """
    before = [slice_ for slice_ in slices if slice_.day < start]
    asked = [slice_ for slice_ in slices if slice_.day >= start]
    if refresh:
        return FetchPlan(tuple(before), (), (), tuple(asked))
    done = [slice_ for slice_ in asked if slice_ in settled]
    open_ = [slice_ for slice_ in asked if slice_ not in settled]
    resumed = {slice_ for slice_ in open_ if slice_ in landed and landed[slice_].answered and sound(slice_)}
    return FetchPlan(
        before_start=tuple(before),
        settled=tuple(done),
        landed=tuple(slice_ for slice_ in open_ if slice_ in resumed),
        fetch=tuple(slice_ for slice_ in open_ if slice_ not in resumed),
    )
