"""The rules for the tables at the end of a week.

They are derived from the events of the week, without functions of the pipeline.

**Stored candles**: every candle that the exchange has at the end and could have given must be stored. An exchange that
serves its whole history could give all of its candles. An exchange with a short memory (Kraken: 720 minutes) could give
a candle if it answered a live poll after the candle had ended and was published, while it was complete and still
served. If the exchange had no trouble for longer than the pause of a breaker, the poll must have an answer. A candle
that breaks a rule until the end counts as absent.

**Values**: a candle has the values that the exchange gave at the time of the fetch in the ledger. If a rewritten candle
was beyond the horizon at this time, it may have any values that the exchange ever gave. `restatements` has exactly the
stored values that were replaced.

**Missing minutes**: each has a reason that fits its events, see `Truth.allowed`. `ohlcv_filled` fills only proven
absences. Breaks are recorded exactly where a market changed.

**Notifications**: see `notifications`.

**Requests**: no slice is requested for ever. The last step of the story comes after all later checks. By then no slice
of the week may still be requested or open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from titan10_dagster_tests.simulation.events import Ban, Delisting, Relisting, WrongClock
from titan10_dagster_tests.simulation.expectation import Expectation
from titan10_dagster_tests.simulation.notifications import WELL, wrong_notifications
from titan10_dagster_tests.simulation.tables import read_keys, read_silent_slices
from titan10_dagster_tests.simulation.truth import unknown_market
from titan10_dagster_tests.simulation.week import Week

# The maximum of requests by runs for one slice, in a week with its tail. A day takes five requests of the smallest
# pages, and is fetched about five times: at its settlement, for the second observation, after a failure, a day and a
# week later. During a storm each request is repeated within a fetch, nine times at most (three attempts, by three runs
# of a step).
MOST_REQUESTS = 150
# The same for a day with less than half of its candles. Each empty page takes two or three requests, and the day is
# possibly searched a second time from the last known candle on. So a fetch takes up to 23 requests. It proves nothing
# until the market trades again.
MOST_REQUESTS_OF_SILENT_DAY = 300
ENDED = timedelta(hours=20)  # in this time before the end of the story, nothing of the week may be requested


@dataclass(frozen=True)
class Complaint:
    """A broken rule."""

    exchange: str
    text: str

    def __str__(self) -> str:
        return f"{self.exchange} {self.text}"


def judge(week: Week, exchange: str | None = None) -> list[Complaint]:
    """Return all broken rules at the end of a week. `exchange`: judge only the configured series of this exchange."""
    complaints = [Complaint("", text) for text in week.record.complaints]
    complaints += _unanswered(week)
    complaints += [Complaint(exchange, text) for exchange, text in wrong_notifications(week)]
    complaints += _endless_requests(week)
    complaints += _of_series(week, exchange)
    return complaints


def _of_series(week: Week, only: str | None) -> Iterator[Complaint]:
    configured = {(exchange, symbol) for exchange, symbols in week.story.symbols.items() for symbol in symbols}
    for exchange, symbol in sorted(read_keys(week.url, week.story.timeframe) - configured):
        yield Complaint(exchange, f"{symbol} is in the tables, and nothing configured it")
    for key in sorted(configured):
        if only not in (None, key[0]):
            continue
        for text in Expectation(week, key).complaints():
            yield Complaint(key[0], f"{key[1]} {text}")


def _unanswered(week: Week) -> Iterator[Complaint]:
    """Yield polls that should have been answered, because the exchange had no trouble for a while."""
    for poll in week.record.polls:
        well = not any(poll.at - WELL <= at <= poll.at for at in week.record.disturbed[poll.exchange])
        well = well and not _still_paused(week, poll.exchange, poll.at)
        missing = set()
        for symbol in set(week.story.symbols[poll.exchange]) - poll.answered:
            if _is_refused(week, poll.exchange, symbol, poll.at):
                continue
            unknown = unknown_market(week, (poll.exchange, symbol))
            if not any(span.start <= poll.at <= span.end for span in unknown):
                missing.add(symbol)
        if well and missing:
            yield Complaint(poll.exchange, f"was well, but {sorted(missing)} got no answer at {poll.at}")


def _still_paused(week: Week, exchange: str, at: datetime) -> bool:
    """Return whether a ban has not ended yet by this machine's clock, because the clock was set back."""
    behind = max((-event.ahead for event in week.story.of(WrongClock) if event.span.holds(at)), default=timedelta(0))
    bans = [ban.span for ban in week.story.of(Ban) if ban.exchange == exchange]
    return any(ban.start <= at <= ban.end + behind for ban in bans)


def _is_refused(week: Week, exchange: str, symbol: str, at: datetime) -> bool:
    """Return whether the market is closed and the exchange refuses requests for candles of this market."""
    for event in week.story.events:
        if not isinstance(event, (Delisting, Relisting)) or event.refusal is None:
            continue
        if (event.exchange, event.symbol) == (exchange, symbol) and event.span.start <= at <= event.span.end:
            return True
    return False


def _endless_requests(week: Week) -> Iterator[Complaint]:
    record, first, last_day = week.record, week.story.start.date(), week.story.last_day
    silent = read_silent_slices(week.url)
    for (exchange, symbol, day), count in record.requests.items():
        if first <= day <= last_day:
            last = record.requested_last[exchange, symbol, day]
            if count > (MOST_REQUESTS_OF_SILENT_DAY if (exchange, symbol, day) in silent else MOST_REQUESTS):
                yield Complaint(exchange, f"{symbol} {day} was requested {count} times")
            if last > week.story.end - ENDED:
                yield Complaint(exchange, f"{symbol} {day} is still requested at {last}")
    for (exchange, symbol, day), at in record.open_until.items():
        # Candles that an exchange no longer serves may stay in quarantine for ever, because they are not requested
        # again.
        served = exchange != "kraken" and not _is_refused(week, exchange, symbol, at)
        if first <= day <= last_day and at == record.steps[-1] and served:
            yield Complaint(exchange, f"{symbol} {day} is still open at the end")
