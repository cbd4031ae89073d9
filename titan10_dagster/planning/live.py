"""Which candles a live poll asks for: those since the last one that it was given, at most a page of them.

The ledger remembers how far polling got: what it expects of a live slice ends with the last candle that came. So a
pause heals page by page over the next polls, and no candle has to be read to know where to go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from titan10_dagster.candles.slices import Series, SliceState, Window, midnight

LOOK_BACK = 5  # candles asked for again: one may come late, or be corrected just after it closed
_DAY = timedelta(days=1)
_HORIZON_SLACK = 2  # candles: it moves while the request is under way


@dataclass(frozen=True)
class Polled:
    """A slice in the ledger, as far as polling is concerned; `until`: how far it is covered, aware, UTC."""

    state: SliceState
    until: datetime


@dataclass(frozen=True)
class LivePlan:
    """One series' part of a poll. `resumed` is the end of the last candle that is known; `window` begins a little
    before it, and `is_full` says that it ends before now for want of room."""

    window: Window
    resumed: datetime
    is_full: bool

    def covered(self, last_end: datetime | None) -> datetime:
        """How far polling got when the answer's last candle ended at `last_end` (None: it held none).

        Without a new candle it got nowhere, for the exchange may be late; but a whole page without one is passed over
        to come nearer to now. What is missing there is settled with its day.
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
) -> LivePlan | None:
    """What to ask for now; None where no candle is over that is not known.

    `known`: what the ledger has of yesterday and today. A series that it has nothing of begins with today; if the
    exchange gives only its last `depth` candles, with all of these that are not older than yesterday.

    `gap`: from when on candles are missing that will soon be out of reach. They are asked for in passing, if one page
    reaches from there to now.
    """
    step = series.timeframe.delta
    until = _floor(now, step)
    oldest = _floor(now, step) - (depth - _HORIZON_SLACK) * step if depth is not None else None
    resumed = max(_resumed(known, now, oldest, step), oldest or midnight(now.date() - _DAY))
    first_live = [midnight(day) for day, polled in known.items() if polled.state == SliceState.LIVE]
    start = max(min([resumed, *first_live]), resumed - LOOK_BACK * step, oldest or resumed - LOOK_BACK * step)
    if gap is not None:
        start = min(start, max(_floor(gap, step), oldest or gap, until - page_size * step))
    end = min(until, start + page_size * step)
    if start >= end or resumed >= until:
        return None
    return LivePlan(Window(series, start, end), resumed, is_full=end < until)


def seconds_to_ask(now: datetime) -> float:
    """How long a poll that begins now may send requests: what is under way then has to end, and be written, before the
    next minute's poll begins. At least ten seconds, for a poll that began late."""
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
