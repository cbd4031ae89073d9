"""The comparison of one series with the rules in `oracle`, minute by minute, at the end of a week."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

import numpy as np

from titan10_dagster.candles.slices import days, from_ms, midnight, to_ms
from titan10_dagster_tests.simulation.audit import Audit
from titan10_dagster_tests.simulation.events import Listing
from titan10_dagster_tests.simulation.grid import Mask
from titan10_dagster_tests.simulation.story import SETTLE
from titan10_dagster_tests.simulation.tables import Key, read_series
from titan10_dagster_tests.simulation.truth import Truth
from titan10_dagster_tests.simulation.week import Week

_MOST = 4  # the maximum number of complaints of one kind


class Expectation:
    """The tables of one series over the simulated time, compared with its truth."""

    def __init__(self, week: Week, key: Key) -> None:
        self.week, self.key = week, key
        self.story, self.grid = week.story, week.story.grid
        self.truth = Truth(week, key)
        self.tables = read_series(week.url, key, self.story.timeframe, self.grid.start, self.grid.end)
        self.audit = Audit(self.tables, self.grid)
        self.judged = self.grid.within(self.story.start, self.story.judged_end)
        self.there = self.audit.stored & self.judged
        self.reachable = self.truth.reachable(self.since)

    @property
    def since(self) -> date:
        """The first day that must be stored.

        If a symbol is listed during the story, the result is the day of the listing. Before the listing, the symbol
        could be misspelled, so nothing about it is recorded. Days before the first stored day are history, which only a
        backfill fetches. Otherwise the first day of the story must be stored. It may be missing only if the exchange
        had trouble on this day, so that it answered no request.
        """
        for listing in self.truth.mine(Listing):
            return listing.span.end.date()
        first = min(self.tables.ledger, default=self.story.start.date())
        settled = midnight(first) + SETTLE
        bad = any(at <= settled for at in self.week.record.disturbed[self.key[0]])
        return first if bad else self.story.start.date()

    def complaints(self) -> Iterator[str]:
        yield from self.audit.complaints()
        yield from self._unsettled()
        yield from self._wrong_presence()
        yield from self._wrong_values()
        yield from self._wrong_reasons()
        yield from self._wrong_fills()
        yield from self._wrong_restatements()
        yield from self._wrong_breaks()

    def _unsettled(self) -> Iterator[str]:
        for day in days(self.since, self.story.last_day):
            row = self.tables.ledger.get(day)
            if row is None or row.state != "settled":
                yield f"{day}: {'never fetched' if row is None else row.state}"

    def _wrong_presence(self) -> Iterator[str]:
        yield from self._spans(
            self.truth.exists & self.reachable & ~self.there, "could have been had and is not stored"
        )
        yield from self._spans(self.there & ~self.truth.exists, "is stored and never was")
        early = self.grid.within(self.grid.start, self.story.start)
        yield from self._spans(self.audit.stored & early, "is stored, and lies before the configured start")
        for day in self.tables.ledger:
            if day < self.story.start.date():
                yield f"{day}: is in the ledger, and lies before the configured start"

    def _wrong_values(self) -> Iterator[str]:
        wrong = 0
        for (time, *stored), (_, *final) in self._compared():
            time_ms, values = int(time), tuple(stored)
            allowed = {tuple(final)}
            if time_ms in self.truth.rewrites:
                ledger = self.tables.ledger.get(from_ms(time_ms).date())
                allowed = self.truth.values(time_ms, ledger.fetched_at if ledger else None)
            if values not in allowed:
                wrong += 1
                if wrong <= _MOST:
                    yield f"{from_ms(time_ms)}: stored {values}, the exchange had {sorted(allowed)}"

    def _compared(self) -> Iterator[tuple[list[float], list[float]]]:
        """Yield stored candles and the exchange's candles of the same minutes, if they differ or were rewritten."""
        stored, final = self.tables.candles, self.truth.final
        _, in_stored, in_final = np.intersect1d(stored[:, 0], final[:, 0], return_indices=True)
        stored, final = stored[in_stored], final[in_final]
        concerned = (stored != final).any(axis=1) | np.isin(stored[:, 0], list(self.truth.rewrites))
        yield from zip(stored[concerned].tolist(), final[concerned].tolist(), strict=True)

    def _wrong_reasons(self) -> Iterator[str]:
        allowed = self.truth.allowed(self.reachable)
        had = self.truth.exists & self.reachable  # an existing candle without a row causes another complaint
        for reason, missing in self.audit.missing.items():
            wrong = missing & self.judged & ~self.there & ~allowed.get(reason, self.grid.none())
            yield from self._spans(wrong & ~had, f"is called {reason}", allowed)

    def _wrong_fills(self) -> Iterator[str]:
        """Yield complaints about filled candles without a proven absence: minutes without a candle in which the
        exchange traded.
        """
        truth = self.truth
        proven = truth.silent & ~truth.off_list & ~truth.certain_standstill
        yield from self._spans(self.audit.filled() & self.judged & ~proven, "is filled, and no proven absence")

    def _wrong_restatements(self) -> Iterator[str]:
        kept = self.tables.restated
        known = set()
        for rewrites in self.truth.rewrites.values():
            for rewrite in rewrites:
                known |= {(rewrite.time, rewrite.old), (rewrite.time, rewrite.new)}
                now = self._stored_at(to_ms(rewrite.time))
                if rewrite.stored is not None and now != rewrite.stored and (rewrite.time, rewrite.stored) not in kept:
                    yield f"{rewrite.time}: {rewrite.stored} was replaced by {now} and not kept"
        for time, old in sorted(kept - known)[:_MOST]:
            if not self.truth.unfinished[self.grid.cell(time)]:
                yield f"{time}: {old} is in the restatements, and the exchange did not rewrite it"

    def _wrong_breaks(self) -> Iterator[str]:
        found = set(self.tables.breaks)
        for span in self.truth.breaks():
            inside = {instant for instant in self.tables.breaks if span.holds(instant)}
            if not inside:
                yield f"no break is recorded in {span}"
            found -= inside
        for instant in sorted(found):
            yield f"a break is recorded at {instant}, and nothing broke"

    def _stored_at(self, time_ms: int) -> tuple[float, ...] | None:
        rows = self.tables.candles[np.flatnonzero(self.tables.candles[:, 0] == time_ms)]
        return tuple(rows[0, 1:].tolist()) if len(rows) else None

    def _spans(self, wrong: Mask, what: str, allowed: Mapping[str, Mask] | None = None) -> Iterator[str]:
        """Yield a complaint for each of the first runs of minutes."""
        for span, cells in list(self.grid.spans(wrong))[:_MOST]:
            wanted = ""
            if allowed is not None:
                cell = self.grid.cell(span.start)
                wanted = f", not {' or '.join(reason for reason, mask in allowed.items() if mask[cell])}"
            yield f"{span} ({cells}) {what}{wanted}"
