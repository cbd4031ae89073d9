"""Count the requests of a fetch without making a request.

The rehearsal runs the same surveys (`survey.Survey`) as `fetching`, in the same order, with a simulated exchange. The
simulated exchange has every candle and always answers completely. Page size, overlap and depth have the same effect as
in the real fetch, and so do the rules for the first and last candle of a window (see `evidence`). A real fetch can need
more requests, because the exchange leaves out minutes, or because the fetch repeats failed requests or searches for the
first or last candle of a series.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np

from titan10_dagster.candles.slices import Series, Slice, to_ms, windows
from titan10_dagster.exchanges.evidence import Times
from titan10_dagster.exchanges.fetching import pages_ahead
from titan10_dagster.exchanges.pages import PageRequest
from titan10_dagster.exchanges.survey import NoProgress, Survey, survey_of
from titan10_dagster.exchanges.venues.venue import Venue


def count_requests(
    venue: Venue, slices: Sequence[Slice], *, now: datetime, in_flight: int, listed: Mapping[str, datetime]
) -> int:
    """Return the number of pages that a fetch of the slices requests.

    `in_flight`: the number of simultaneous requests.
    `listed`: the symbols with a known first candle, each with the start of this candle.
    """
    ready = deque(_surveys(venue, slices, now, listed))
    flight: deque[tuple[Survey, PageRequest]] = deque()
    requests, now_ms = 0, to_ms(now)
    while True:
        while ready and len(flight) < in_flight:
            survey = ready.popleft()
            request = survey.next_request(now_ms)
            if request is not None:
                flight.append((survey, request))
                ready.append(survey)
        if not flight:
            return requests
        survey, request = flight.popleft()
        requests += 1
        try:
            survey.learn(request, _answer(venue, request, _step(request), now_ms), now_ms)
        except NoProgress:  # after this error, the real fetch also makes no more requests for the symbol
            ready = deque(other for other in ready if other is not survey)
            flight = deque(pair for pair in flight if pair[0] is not survey)
            continue
        if survey not in ready:
            ready.append(survey)


def _surveys(venue: Venue, slices: Sequence[Slice], now: datetime, listed: Mapping[str, datetime]) -> list[Survey]:
    by_series: dict[Series, list[Slice]] = {}
    for slice_ in sorted(set(slices)):
        by_series.setdefault(slice_.series, []).append(slice_)
    surveys = []
    for series, wanted in by_series.items():
        stretches = [(to_ms(window.start), to_ms(window.end)) for window in windows(wanted)]
        survey = survey_of(
            venue, stretches, step=series.timeframe.ms, now=to_ms(now), ahead=pages_ahead(len(by_series))
        )
        if series.symbol in listed:
            survey.reach.absent_before(to_ms(listed[series.symbol]))
        surveys.append(survey)
    return surveys


def _step(request: PageRequest) -> int:
    return (request.until - request.since) // request.limit


def _answer(venue: Venue, request: PageRequest, step: int, now: int) -> Times:
    """Return the starts of the candles in the simulated exchange's answer to the request."""
    if venue.no_since:
        last = now // step * step
        return np.arange(last - (venue.page_size - 1) * step, last + step, step, dtype=np.int64)
    return np.arange(request.since, min(request.until, now), step, dtype=np.int64)
