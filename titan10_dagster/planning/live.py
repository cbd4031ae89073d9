"""The candles that a live poll requests: those after the last one received, at most one page.

The ledger keeps how far polling got: the expected minutes of a live slice end with its last candle. After a pause, the
next polls therefore catch up page by page, and no candle has to be read to find where to continue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from titan10_dagster.candles.fetched import HORIZON_SLACK
from titan10_dagster.candles.slices import Series, SliceState, Window, midnight

LOOK_BACK = 5  # candles requested again: one may arrive late, or be corrected just after it closed
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Polled:
    """The facts that polling needs about a slice in the ledger. `until`: the end of its covered part (aware, UTC)."""

    state: SliceState
    until: datetime


@dataclass(frozen=True)
class LivePlan:
    """One series' part of a poll.

    window: the candles to request, starting a little before `resumed`. resumed: the end of the last known candle.
    is_full: whether the window ends before now, because a page cannot contain more candles.
    """

    window: Window
    resumed: datetime
    is_full: bool

    def covered(self, last_end: datetime | None) -> datetime:
        """Return the new end of the covered part.

        `last_end` is the end of the answer's last candle, None without candles. Without a new candle the end does not
        move, because the exchange may be late. But a full page without a new candle is skipped, to get closer to now;
        its missing candles are settled with their day.
        """
        if last_end is not None and last_end > self.resumed:
            return last_end
        return self.window.end if self.is_full else self.resumed


def plan_poll(
    series: Series,
    known: Mapping[date, Polled],
    *,
    now: datetime,
    page_size: int,
    depth: int | None,
    gap: datetime | None = None,
    first: date = date.min,
) -> LivePlan | None:
    """Return what to request now; None if every candle that has ended is known.

    known: the ledger's slices of yesterday and today. A series without slices starts with today. If the exchange serves
        only its last `depth` candles, it starts with the first of these since yesterday.
    gap: the start of missing candles that the exchange will soon no longer serve. They are requested too, if one page
        reaches from there to now.
    first: the first UTC day of the exchange's configured history. Earlier candles are never requested.
    """
    step = series.timeframe.delta
    until = _floor(now, step)
    oldest = _floor(now, step) - (depth - HORIZON_SLACK) * step if depth is not None else None
    resumed = max(_resumed(known, now, oldest, step), oldest or midnight(now.date() - _DAY), midnight(first))
    first_live = [midnight(day) for day, polled in known.items() if polled.state == SliceState.LIVE]
    start = max(min([resumed, *first_live]), resumed - LOOK_BACK * step, oldest or resumed - LOOK_BACK * step)
    if gap is not None:
        start = min(start, max(_floor(gap, step), oldest or gap, until - page_size * step))
    start = max(start, midnight(first))
    end = min(until, start + page_size * step)
    if start >= end or resumed >= until:
        return None
    return LivePlan(Window(series, start, end), resumed, is_full=end < until)


def seconds_to_ask(now: datetime) -> float:
    """Return how long a poll that starts now may send requests.

    The last requests must end, and their candles must be written, before the poll of the next minute. A poll that
    started late has at least ten seconds.
    """
    return max(10.0, 45.0 - now.second)


def _resumed(known: Mapping[date, Polled], now: datetime, oldest: datetime | None, step: timedelta) -> datetime:
    today, yesterday = now.date(), now.date() - _DAY
    if today in known:
        return _floor(known[today].until, step)
    if yesterday in known and known[yesterday].state == SliceState.LIVE:
        return _floor(known[yesterday].until, step)
    if yesterday in known or oldest is None:
        return midnight(today)
    return max(midnight(yesterday), min(oldest, midnight(today)))


def _floor(instant: datetime, step: timedelta) -> datetime:
    day = midnight(instant.date())
    return day + (instant - day) // step * step
