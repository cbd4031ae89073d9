"""What must be true at the end of a week, by what happened in it; nothing here asks the pipeline what it thinks.

**Stored** must be every candle that an exchange has at last, if it could ever have given it: always, of an exchange
with its whole history; of one with a short memory (Kraken: 720 minutes), if a live poll was answered while the candle
was over, published, whole and within reach. And where the exchange was well for longer than a breaker rests, that poll
must have been answered. A candle that breaks a rule to the end counts as not there.

**Its values** are those that the exchange gave when the ledger says that its day was fetched. Of a rewritten candle
that was beyond the horizon by then, any values that the exchange ever gave. A stored value that was replaced stands in
`restatements`, and nothing else does.

**A missing minute** has one of the reasons that fit what happened to it, see `Truth.allowed`. `ohlcv_filled` makes up
no minute but proven absences. Breaks are recorded where a market changed, and nowhere else.

**Notifications**: see `notifications`.

**Requests**: no slice is requested without end. The last step of the story comes after all later checks: by then no
slice of the week may still be requested, and none may be open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from titan10_dagster_tests.simulation.expectation import Expectation
from titan10_dagster_tests.simulation.notifications import WELL, wrong_notifications
from titan10_dagster_tests.simulation.tables import read_keys
from titan10_dagster_tests.simulation.truth import unknown_market
from titan10_dagster_tests.simulation.week import Week

# Requests of runs for one slice of a whole week with its tail. A day takes five requests of the smallest pages, and is
# fetched about five times: at its settlement, for the second observation, after a failure, a day and a week later. A
# stormy one is requested again within each fetch: nine times at most (three attempts, by three runs of a step).
MOST_REQUESTS = 150
ENDED = timedelta(hours=20)  # before the end of the story, in which nothing of the week may be requested


@dataclass(frozen=True)
class Complaint:
    """Something that is not as it must be."""

    exchange: str
    text: str

    def __str__(self) -> str:
        return f"{self.exchange} {self.text}"


def judge(week: Week) -> list[Complaint]:
    """Return everything that is wrong with what a week left behind."""
    complaints = [Complaint("", text) for text in week.record.complaints]
    complaints += _unanswered(week)
    complaints += [Complaint(exchange, text) for exchange, text in wrong_notifications(week)]
    complaints += _endless_requests(week)
    complaints += _of_all_series(week)
    return complaints


def _of_all_series(week: Week) -> Iterator[Complaint]:
    configured = {(exchange, symbol) for exchange, symbols in week.story.symbols.items() for symbol in symbols}
    for exchange, symbol in sorted(read_keys(week.url, week.story.timeframe) - configured):
        yield Complaint(exchange, f"{symbol} is in the tables, and nothing configured it")
    for key in sorted(configured):
        for text in Expectation(week, key).complaints():
            yield Complaint(key[0], f"{key[1]} {text}")


def _unanswered(week: Week) -> Iterator[Complaint]:
    """Yield polls that should have been answered: nothing had disturbed the exchange for a while."""
    for poll in week.record.polls:
        well = not any(poll.at - WELL <= at <= poll.at for at in week.record.disturbed[poll.exchange])
        missing = set()
        for symbol in set(week.story.symbols[poll.exchange]) - poll.answered:
            unknown = unknown_market(week, (poll.exchange, symbol))
            if not any(span.start <= poll.at <= span.end for span in unknown):
                missing.add(symbol)
        if well and missing:
            yield Complaint(poll.exchange, f"was well, but {sorted(missing)} got no answer at {poll.at}")


def _endless_requests(week: Week) -> Iterator[Complaint]:
    record, first, last_day = week.record, week.story.start.date(), week.story.last_day
    for (exchange, symbol, day), count in record.requests.items():
        if first <= day <= last_day:
            last = record.requested_last[exchange, symbol, day]
            if count > MOST_REQUESTS:
                yield Complaint(exchange, f"{symbol} {day} was requested {count} times")
            if last > week.story.end - ENDED:
                yield Complaint(exchange, f"{symbol} {day} is still requested at {last}")
    for (exchange, symbol, day), at in record.open_until.items():
        # What an exchange no longer serves may stay in quarantine for good: nothing is requested for it.
        if first <= day <= last_day and at == record.steps[-1] and exchange != "kraken":
            yield Complaint(exchange, f"{symbol} {day} is still open at the end")
