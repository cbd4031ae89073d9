"""The number of requests of each slice, and how long the slice stayed open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from titan10_dagster.candles.slices import from_ms

SliceKey = tuple[str, str, date]  # exchange, symbol and UTC day


def days_requested(entry: Mapping[str, Any], timeframe: str, step: timedelta, days: Iterable[date]) -> Iterator[date]:
    """Yield the `days` of the candles that an entry of the sandbox's log requested, for the timeframe of the series."""
    if entry["timeframe"] != timeframe or entry["since"] is None:
        return
    since = from_ms(entry["since"])
    until = since + entry["limit"] * step
    if entry["end"] is not None:
        until = min(until, from_ms(entry["end"]))
    for day in days:
        start = datetime(day.year, day.month, day.day, tzinfo=since.tzinfo)
        if since < start + timedelta(days=1) and until > start:
            yield day


def distribution(counts: Iterable[float]) -> str:
    """Describe counts: their number, the median, the ninetieth percentile, and the maximum."""
    ordered = sorted(counts)
    if not ordered:
        return "none"
    median, ninetieth = (ordered[min(int(len(ordered) * share), len(ordered) - 1)] for share in (0.5, 0.9))
    return f"{len(ordered)} slices, median {median:g}, 90 % up to {ninetieth:g}, maximum {ordered[-1]:g}"


def healing_hours(open_until: Mapping[SliceKey, datetime]) -> list[float]:
    """Return the number of hours for which each slice stayed open after its day.

    It is 0 if the slice was not open then.
    """
    hours = []
    for (_, _, day), at in open_until.items():
        end = datetime(day.year, day.month, day.day, tzinfo=at.tzinfo) + timedelta(days=1)
        hours.append(round(max((at - end) / timedelta(hours=1), 0.0), 1))
    return hours


def most_requested(requests: Counter[SliceKey], count: int) -> str:
    """Return a text with the slices that were requested most often."""
    named = []
    for (exchange, symbol, day), times in requests.most_common(count):
        named.append(f"{exchange} {symbol} {day}: {times}")
    return "; ".join(named)
