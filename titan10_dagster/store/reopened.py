"""Days that the exchange no longer serves but its archive may have.

`beyond_horizon` is final only for the existing sources. A day counts as tried if its note in the ledger begins with the
archive's prefix: the archive had no file, or a file without the candles. The day is tried again a day later if the
archive could not answer, or had not published the file yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from titan10_dagster.candles.slices import Series
from titan10_dagster.planning.missing_days import MissingDays, Stretch
from titan10_dagster.store.database import Database, all_rows
from titan10_dagster.store.statements import statement

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Tried:
    """The form of the ledger's notes about slices for which the archive was tried.

    prefix: the beginning of these notes. passing: parts of notes which mean that the archive may have the slice later.
        before: such a slice is tried again if it was fetched by this time (aware, UTC).
    """

    prefix: str
    passing: Sequence[str]
    before: datetime

    def reopens(self, note: str | None, fetched_at: datetime) -> bool:
        """Return whether to try the archive for a slice with this note. The SQL makes the same decision."""
        if note is None or not note.startswith(self.prefix):
            return True
        return fetched_at <= self.before and any(part in note for part in self.passing)


def reopened_days(db: Database, firsts: Mapping[Series, date], tried: Tried) -> list[MissingDays]:
    """Return the days beyond the horizon for which to try the archive, series by series, from the first day of each."""
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
    with db.transaction() as cursor:
        cursor.execute(statement("reopened_days"), parameters)
        rows = all_rows(cursor)
    found: list[MissingDays] = []
    for number, each in enumerate(series, start=1):
        for stretch in stretches(row.day for row in rows if row.number == number):
            found.append(MissingDays(each.exchange, each.timeframe, (each.symbol,), stretch))
    return found


def stretches(days: Iterable[date]) -> list[Stretch]:
    """Return ascending days as stretches of consecutive days."""
    found: list[Stretch] = []
    for day in days:
        if found and found[-1].last + _DAY == day:
            found[-1] = Stretch(found[-1].first, day)
        else:
            found.append(Stretch(day, day))
    return found
