"""What is left to fetch: the ledger and the landing zone against what a run was asked for."""

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
    """Every slice asked for stands in exactly one of these, in the order it was asked for.

    `before_start` lies before the exchange's configured first day; `settled` is known whole to the ledger, and not
    unconfirmed; `landed` was fetched whole by a run that died before it stored it; `fetch` is the rest.
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
    """Sort `slices` by what has to be done for them.

    Args:
        start: first UTC day worth a request.
        settled: the slices that the ledger calls settled.
        landed: the record of each slice in the landing zone.
        usable: whether a landed slice keeps the candle rules; asked only for slices that would be resumed.
        unconfirmed: settled slices to look at again, with the time of the look that settled them: what was landed
            since then is the second look, and only has to be stored.
        refresh: fetch again what is settled or landed.
    """
    before = [slice_ for slice_ in slices if slice_.day < start]
    asked = [slice_ for slice_ in slices if slice_.day >= start]
    if refresh:
        return FetchPlan(tuple(before), (), (), tuple(asked))
    done = [slice_ for slice_ in asked if slice_ in settled and slice_ not in unconfirmed]
    open_ = [slice_ for slice_ in asked if slice_ not in settled or slice_ in unconfirmed]
    resumed = {
        slice_
        for slice_ in open_
        if slice_ in landed
        and landed[slice_].answered
        and landed[slice_].fetched_at >= slice_.end  # one fetched while its day ran is not whole
        and (slice_ not in unconfirmed or landed[slice_].fetched_at > unconfirmed[slice_])
        and usable(slice_)
    }
    return FetchPlan(
        before_start=tuple(before),
        settled=tuple(done),
        landed=tuple(slice_ for slice_ in open_ if slice_ in resumed),
        fetch=tuple(slice_ for slice_ in open_ if slice_ not in resumed),
    )
