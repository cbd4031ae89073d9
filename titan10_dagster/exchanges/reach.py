"""The range of a series that an exchange can serve: from its listing or horizon to its end."""

from __future__ import annotations

from titan10_dagster.candles.fetched import HORIZON_SLACK
from titan10_dagster.exchanges.pages import LONG_AGO, PagePlanner
from titan10_dagster.exchanges.stretches import OpenStretches

_FOR_EVER = 1 << 62


class Reach:
    """The limits of that range. Open candles beyond the limits are closed. Instants are milliseconds since 1970 (UTC).

    depth: how many candles back from now the exchange serves; None: all.
    horizon: the first candle that it still serves, if it no longer serves earlier candles.
    """

    def __init__(self, planner: PagePlanner, open_: OpenStretches, depth: int | None) -> None:
        self._planner = planner
        self._open = open_
        self._depth = depth
        self._seen: int | None = None  # the horizon according to one answer
        self.horizon: int | None = None

    def absent_before(self, instant: int) -> None:
        """Record that there are no candles before `instant`, and close them."""
        self._planner.begins = max(self._planner.begins, self._up(instant))
        self._open.close(LONG_AGO, self._planner.begins)

    def absent_from(self, instant: int) -> None:
        """Record that there are no candles from `instant` on, and close them."""
        self._open.close(instant // self._planner.step * self._planner.step, _FOR_EVER)

    def forgotten_before(self, instant: int) -> None:
        """Record that the exchange no longer serves candles before `instant`."""
        horizon = self._up(instant)
        self.horizon = horizon if self.horizon is None else max(self.horizon, horizon)
        self.absent_before(horizon)

    def see_horizon(self, first: int) -> None:
        """Process the first row of a full page of last rows: it is the horizon, once a second answer agrees.

        A single answer may have lost its first rows, or come from a stale server.
        """
        if self._seen is None:
            self._seen = first
        else:
            self.forgotten_before(min(self._seen, first))

    @property
    def awaits_second_answer(self) -> bool:
        """Return whether candles are open before a horizon that only one answer has shown."""
        return self._seen is not None and self.horizon is None and bool(self._open) and self._open.start < self._seen

    def apply_depth(self, now: int, *, shows_itself: bool) -> None:
        """Close candles that are older than `depth` allows.

        shows_itself: the exchange returns its last rows, so the answers show the horizon. If it leaves out minutes
            without trades, these rows go back further than the same number of minutes.
        """
        if self._depth is None or not self._open or self._seen is not None:
            return
        step = self._planner.step
        oldest = (now // step - self._depth + HORIZON_SLACK) * step
        if self._open.start < oldest and not (shows_itself and self._open.end > oldest):
            self.forgotten_before(oldest)

    def _up(self, instant: int) -> int:
        """Return the first candle that starts at `instant` or later."""
        return -(-instant // self._planner.step) * self._planner.step
