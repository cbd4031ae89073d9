"""Finds days with the reason `beyond_horizon` whose candles a source in the settings possibly has.

If REST no longer serves a candle, the candle has the reason `beyond_horizon`. If Titan-10 can read an archive of the
exchange, the archive possibly has the candle. Therefore the archive is tried for slices with this reason.

If the archive was already tried for a slice, the ledger's note of the slice begins with a fixed prefix. If the archive
had no file, or if the file did not contain the candles, the archive is not tried again. But if the archive could not
answer, or had not published the file yet, the archive is tried again a day later.

If the archive was the only source, the note says so. Such a slice is requested by REST after REST became a source.
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
    """A rule that decides, from the ledger's notes, for which slices to try a source.

    prefix: if the archive was already tried for a slice, the slice's note begins with this text.
    passing: if such a note contains one of these texts, the source possibly has the candles now.
    before: if such a note contains one of the texts in `passing`, the source is tried if the last attempt was at or
        before this time (aware, UTC).
    untried: whether to try the source for slices for which the archive was not tried yet.
    """

    prefix: str
    passing: Sequence[str]
    before: datetime
    untried: bool = True

    def reopens(self, note: str | None, fetched_at: datetime) -> bool:
        """Return whether to try the source for a slice with this note.

        The file sql/statements/reopened_days.sql contains the same rule. Change both rules together.
        """
        if note is None or not note.startswith(self.prefix):
            return self.untried
        return fetched_at <= self.before and any(part in note for part in self.passing)


def reopened_days(db: Database, firsts: Mapping[Series, date], tried: Tried) -> list[MissingDays]:
    """Return the days for which to try a source, in the order of the series. Their candles are `beyond_horizon`.

    `firsts`: the series, each with its first day. Days before the first day are left out.
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
        "untried": tried.untried,
    }
    rows = db.query(statement("reopened_days"), parameters)
    found: list[MissingDays] = []
    for number, each in enumerate(series, start=1):
        for stretch in stretches(row.day for row in rows if row.number == number):
            found.append(MissingDays(each.exchange, each.timeframe, (each.symbol,), stretch))
    return found


def stretches(days: Iterable[date]) -> list[Stretch]:
    """Group days into stretches of consecutive days. `days`: in ascending order."""
    found: list[Stretch] = []
    for day in days:
        if found and found[-1].last + _DAY == day:
            found[-1] = Stretch(found[-1].first, day)
        else:
            found.append(Stretch(day, day))
    return found
