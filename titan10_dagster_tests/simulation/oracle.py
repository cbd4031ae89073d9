"""What must be true at the end of a week, by what happened in it; nothing here asks the pipeline what it thinks.

**Stored** must be every candle that an exchange has at last, if it could ever have given it to us: always, of an
exchange with its whole history; of one with a short memory (Kraken: 720 minutes), if a live poll of ours was answered
while the candle was over, published, whole and within reach. And where the exchange was well for longer than a breaker
rests, that poll must have been answered. A candle that breaks a rule to the end counts as not there.

**Its values** are those that the exchange gave when the ledger says that its day was fetched. Of a rewritten candle
that was beyond the horizon by then, any values that the exchange ever gave. A value of ours that was replaced stands
in `restatements`, and nothing else does.

**A human** hears only of what we cannot mend ourselves, once, and once when it is over; and of every long ban.

**A missing minute** has one of the reasons that fit what happened to it, see `_allowed`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from titan10_dagster.planning.alerts import Kind
from titan10_dagster_tests.simulation.events import Ban, Delisting, Downtime, Listing, Outage, Storm
from titan10_dagster_tests.simulation.expectation import END, Expectation
from titan10_dagster_tests.simulation.record import SentAlert
from titan10_dagster_tests.simulation.story import HOUR, MINUTE, START
from titan10_dagster_tests.simulation.tables import read_keys
from titan10_dagster_tests.simulation.week import Week

WELL = timedelta(hours=1, minutes=10)  # longer than the longest pause of a breaker
_TROUBLE = (Ban, Outage, Storm)


@dataclass(frozen=True)
class Complaint:
    """Something that is not as it must be."""

    exchange: str
    text: str

    def __str__(self) -> str:
        return f"{self.exchange} {self.text}"


def judge(week: Week) -> list[Complaint]:
    """Everything that is wrong with what a week left behind."""
    complaints = [Complaint("", text) for text in week.record.complaints]
    complaints += _unanswered(week)
    complaints += _alarms(week)
    complaints += _of_all_series(week)
    return complaints


def _of_all_series(week: Week) -> Iterator[Complaint]:
    configured = {(exchange, symbol) for exchange, symbols in week.story.symbols.items() for symbol in symbols}
    for exchange, symbol in sorted(read_keys(week.url, "1m") - configured):
        yield Complaint(exchange, f"{symbol} is in the tables, and nothing configured it")
    for key in sorted(configured):
        for text in Expectation(week, key).complaints():
            yield Complaint(key[0], f"{key[1]} {text}")


def _unanswered(week: Week) -> Iterator[Complaint]:
    """Polls that should have been answered: nothing had disturbed the exchange for a while."""
    for poll in week.record.polls:
        well = not any(poll.at - WELL <= at <= poll.at for at in week.record.disturbed[poll.exchange])
        listed = {
            symbol
            for symbol in week.story.symbols[poll.exchange]
            if _known_since(week, poll.exchange, symbol) < poll.at
        }
        if well and listed - poll.answered:
            yield Complaint(poll.exchange, f"was well, but {sorted(listed - poll.answered)} got no answer at {poll.at}")


def _alarms(week: Week) -> Iterator[Complaint]:
    """Letters that nobody should have had to read, and letters that are missing."""
    standing: dict[tuple[str, Kind], SentAlert] = {}
    for letter in week.record.notifications:
        key = letter.exchange, letter.kind
        if letter.begins == (key in standing):
            yield Complaint(letter.exchange, f"the alert {letter.kind} begins or ends twice at {letter.at}")
        if letter.begins:
            standing[key] = letter
            if not _is_justified(week, letter):
                yield Complaint(letter.exchange, f"the alert {letter.kind} at {letter.at} has no reason")
        else:
            standing.pop(key, None)
    for letter in standing.values():
        yield Complaint(letter.exchange, f"the alert {letter.kind} of {letter.at} was never taken back")
    other = [one for one in week.story.events if isinstance(one, (Outage, Storm))]
    for ban in week.story.of(Ban):
        # Where answers do not come through, nobody hears of the ban at once.
        clear = not any(
            one.exchange == ban.exchange and one.span.start < ban.span.end and ban.span.start < one.span.end
            for one in other
        )
        if clear and not _was_told_of(week, ban):
            yield Complaint(ban.exchange or "", f"nobody was told of the ban of {ban.span}")


def _is_justified(week: Week, letter: SentAlert) -> bool:
    """Whether something went on that we cannot mend: of the exchange until just now, or of ourselves this morning."""
    if letter.kind is Kind.GAPS:
        return False  # no trouble of the week lasts for days
    if letter.kind is Kind.LIVE and _nothing_trades(week, letter.exchange, letter.at - WELL):
        return True
    back = 10 * HOUR if letter.kind is Kind.SETTLEMENT else WELL
    trouble = [one.span for one in week.story.events if one.exchange == letter.exchange and isinstance(one, _TROUBLE)]
    if letter.kind is Kind.SETTLEMENT:
        trouble += [one.span for one in week.story.of(Downtime)]
    disturbed = any(letter.at - back <= at <= letter.at for at in week.record.disturbed[letter.exchange])
    return disturbed or any(span.start <= letter.at and span.end >= letter.at - back for span in trouble)


def _nothing_trades(week: Week, exchange: str, at: datetime) -> bool:
    """Whether none of our symbols traded there: not any more, or not yet as far as we could know."""
    gone = {one.symbol for one in week.story.of(Delisting) if one.exchange == exchange and one.span.start <= at}
    return all(symbol in gone or _known_since(week, exchange, symbol) > at for symbol in week.story.symbols[exchange])


def _was_told_of(week: Week, ban: Ban) -> bool:
    """Whether a letter was sent of the ban, if it was so long that one is due: an hour after we ran into it."""
    inside = [at for at in week.record.steps if ban.span.holds(at)]
    late = [at for at in inside if at >= inside[0] + HOUR + MINUTE]
    letters = [one for one in week.record.notifications if (one.exchange, one.kind) == (ban.exchange, Kind.BREAKER)]
    before = [one for one in letters if late and one.at <= late[0]]
    return not late or bool(before and (before[-1].begins or before[-1].at >= inside[0]))


def _known_since(week: Week, exchange: str, symbol: str) -> datetime:
    """From when on we can know that the exchange lists the symbol: its list is read once a day."""
    for one in week.story.of(Listing):
        if (one.exchange, one.symbol) == (exchange, symbol):
            return min((at for at in week.record.markets_read[exchange] if at >= one.span.end), default=END)
    return START
