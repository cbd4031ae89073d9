"""Finds days that an exchange no longer serves by REST, but possibly has in its archive.

The reason `beyond_horizon` is final only as long as no new source exists. If the note of a slice in the ledger begins
with the archive's prefix, the archive was already tried: it had no file, or the file did not contain the candles. If
the archive could not answer or had not published the file yet, it is tried again a day later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from titan10_dagster.candles.slices import Series
from titan10_dagster.planning.missing_days import MissingDays, Stretch
from titan10_dagster.store.database import Database
from titan10_dagster.store.statements import statement

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Tried:
    """Describes the ledger's notes about slices for which the archive was already tried.

    prefix: every such note begins with this text.
    passing: if the note contains one of these texts, the archive may have the slice later.
    before: a slice with a passing note is tried again if it was fetched at or before this time (aware, UTC).
    """

    prefix: str
    passing: Sequence[str]
    before: datetime

    def reopens(self, note: str | None, fetched_at: datetime) -> bool:
        """Return whether to try the archive for a slice with this note.

        The statement `reopened_days` has the same rule.
        """
        if note is None or not note.startswith(self.prefix):
            return True
        return fetched_at <= self.before and any(part in note for part in self.passing)


def reopened_days(db: Database, firsts: Mapping[Series, date], tried: Tried) -> list[MissingDays]:
    """Return the days beyond the horizon for which to try the archive.

    `firsts`: the series, each with its first day. Earlier days are left out. The result is in the order of the series.
    """
    series = list(firsts)
    parameters = {
        "exchanges": [each.exchange for each in series],
        "symbols": [each.symbol for each in series],
        "timeframes": [each.timeframe.name for each in series],
        "firsts": list(firsts.values()),
        "tried": f"{tried.prefix}%",
        "passing": [f"%{part}%" for part in tried.passing],
        "before": tried.before,
    }
    rows = db.query(statement("reopened_days"), parameters)
    found: list[MissingDays] = []
    for number, each in enumerate(series, start=1):
        for stretch in stretches(row.day for row in rows if row.number == number):
            found.append(MissingDays(each.exchange, each.timeframe, (each.symbol,), stretch))
    return found


def stretches(days: Iterable[date]) -> list[Stretch]:
    """Group days, which must be in ascending order, into stretches of consecutive days."""
    found: list[Stretch] = []
    for day in days:
        if found and found[-1].last + _DAY == day:
            found[-1] = Stretch(found[-1].first, day)
        else:
            found.append(Stretch(day, day))
    return found
