"""Decide which candles a live poll requests: at most one page, beginning with the last received candles.

The ledger records the end of the polled part of each live slice. A poll continues at this end and does not have to read
stored candles. After a pause of Titan-10, each poll fetches one page until the current time is reached.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from titan10_dagster.candles.fetched import HORIZON_SLACK
from titan10_dagster.candles.slices import Series, SliceState, Window, midnight

# Each poll also requests the candles before the first new candle, at most this many. Such a candle can arrive late, or
# the exchange can correct the candle shortly after its end.
LOOK_BACK = 5
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Polled:
    """The facts about a slice that polling reads from the ledger. `until`: the end of the polled part (aware, UTC)."""

    state: SliceState
    until: datetime


@dataclass(frozen=True)
class LivePlan:
    """The request of a poll for one series.

    window: the candles to request. It usually begins a few candles before `resumed`.
    resumed: the end of the last known candle, or the time at which polling starts if no candle is known.
    is_full: whether the window ends before the current time, because a page cannot contain more candles.
    """

    window: Window
    resumed: datetime
    is_full: bool

    def covered(self, last_end: datetime | None) -> datetime:
        """Return the new end of the polled part after the answer: the end of the last candle, if this candle is new.

        If the answer has no new candle, the end usually does not change, because the exchange is possibly late.
        Exception: if the window ends before the current time, the whole window is skipped, so that polling gets closer
        to the current time. The daily settlement fetches the skipped candles later.

        `last_end`: the end of the last candle in the answer; None if the answer has no candles.
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
    """Return the request for one series at `now` (aware, UTC); None if all candles that have ended are known.

    known: the slices of yesterday and today in the ledger. If there are none, polling starts with today. Exception: if
        the exchange serves only its newest candles, polling starts with the oldest of these candles, but not before
        yesterday.
    page_size: the maximum number of candles in a page.
    depth: the number of newest candles that the exchange serves; None means all candles.
    gap: the start of missing candles that the exchange will soon no longer serve. Usually the request begins at this
        time or earlier. If the gap is more than one page old, the request begins one page before `now`.
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
    """Return for how many seconds a poll may send requests. `now`: the start of the poll.

    The answers must arrive and be written before the poll of the next minute starts. A poll that starts late in its
    minute still gets ten seconds.
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
