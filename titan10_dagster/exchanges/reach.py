"""The candles of a series that an exchange can serve at all: from its listing or horizon to its end."""

from __future__ import annotations

from titan10_dagster.candles.fetched import HORIZON_SLACK
from titan10_dagster.exchanges.pages import LONG_AGO, PagePlanner
from titan10_dagster.exchanges.stretches import OpenStretches

_FOR_EVER = 1 << 62


class Reach:
    """Closes open candles that the exchange cannot serve. Instants are milliseconds since 1970 (UTC).

    depth: how many candles back from now the exchange serves, None for all.
    horizon: the first candle that it still serves, if it serves none from before.
    """

    def __init__(self, planner: PagePlanner, open_: OpenStretches, depth: int | None) -> None:
        self._planner = planner
        self._open = open_
        self._depth = depth
        self._seen: int | None = None  # the horizon, by one answer
        self.horizon: int | None = None

    def absent_before(self, instant: int) -> None:
        """Learn from elsewhere that there are no candles before `instant`, and request none."""
        self._planner.begins = max(self._planner.begins, self._up(instant))
        self._open.close(LONG_AGO, self._planner.begins)

    def absent_from(self, instant: int) -> None:
        """Learn from elsewhere that there are no candles from `instant` on."""
        self._open.close(instant // self._planner.step * self._planner.step, _FOR_EVER)

    def forgotten_before(self, instant: int) -> None:
        """Learn that the exchange no longer serves candles from before `instant`."""
        horizon = self._up(instant)
        self.horizon = horizon if self.horizon is None else max(self.horizon, horizon)
        self.absent_before(horizon)

    def see_horizon(self, first: int) -> None:
        """Learn the first row of a full page of last rows: the horizon, once a second answer agrees.

        One answer alone may have lost its first rows, or come from a stale server.
        """
        if self._seen is None:
            self._seen = first
        else:
            self.forgotten_before(min(self._seen, first))

    @property
    def awaits_second_answer(self) -> bool:
        """Whether one answer showed a horizon and no other one has confirmed it, while candles before it are open."""
        return self._seen is not None and self.horizon is None and bool(self._open) and self._open.start < self._seen

    def apply_depth(self, now: int, *, shows_itself: bool) -> None:
        """Give up candles that lie deeper than the exchange serves.

        shows_itself: the exchange gives its last rows, which show the horizon. Where it leaves out minutes without
        trades, they reach further back than as many minutes.
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
