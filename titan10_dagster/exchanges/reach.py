"""The time range of a series that an exchange can serve: from the listing or retention horizon to the last candle."""

from __future__ import annotations

from titan10_dagster.candles.fetched import HORIZON_SLACK
from titan10_dagster.exchanges.pages import LONG_AGO, PagePlanner
from titan10_dagster.exchanges.stretches import OpenStretches, Stretch

_FOR_EVER = 1 << 62


class Reach:
    """The limits of the time range that the exchange can serve. Instants are in milliseconds since 1970 UTC.

    Open stretches (see `stretches`) outside of the limits are closed, because the exchange has no candles there.

    depth: the number of newest candles that the exchange serves; None means all candles.
    horizon: the start of the first candle that the exchange still serves; None if no retention horizon is known.
    unproven: the stretches that were closed without a proof that their candles are absent (see `see_horizon`).
    """

    def __init__(self, planner: PagePlanner, open_: OpenStretches, depth: int | None) -> None:
        self._planner = planner
        self._open = open_
        self._depth = depth
        self._seen: int | None = None  # the possible horizon in the first answer; a second answer must confirm it
        self.horizon: int | None = None
        self.unproven: list[Stretch] = []

    def absent_before(self, instant: int) -> None:
        """Record that there are no candles before `instant`, and close the open stretches before `instant`."""
        self._planner.begins = max(self._planner.begins, self._up(instant))
        self._open.close(LONG_AGO, self._planner.begins)

    def absent_from(self, instant: int) -> None:
        """Record that there are no candles from `instant` on, and close the open stretches from `instant` on."""
        self._open.close(instant // self._planner.step * self._planner.step, _FOR_EVER)

    def forgotten_before(self, instant: int) -> None:
        """Record that the exchange no longer serves candles that start before `instant`."""
        horizon = self._up(instant)
        self.horizon = horizon if self.horizon is None else max(self.horizon, horizon)
        self.absent_before(horizon)

    def see_horizon(self, first: int, now: int) -> None:
        """Record a possible horizon. `first`: the time of the first row of a full page with the exchange's newest rows.

        After two such pages, the earlier of the two first rows is the horizon. One page is not enough. Its first rows
        can be lost, or it can come from a server with old data.

        If both pages begin later than `depth` allows, either the market is new, or the exchange returns fewer rows than
        usual. More requests would bring the same rows. So the open stretches before the first row are closed, but the
        ones that the exchange possibly serves count as unproven.
        """
        if self._seen is None:
            self._seen = first
            return
        first, oldest = min(self._seen, first), self._oldest(now)
        if oldest is None or first <= oldest:
            self.forgotten_before(first)
            return
        self.forgotten_before(oldest)
        self.unproven = self._open.within(oldest, first)
        self.absent_before(first)

    def unproven_until(self, start: int, end: int) -> int | None:
        """Return the end of the last unproven stretch between `start` and `end` (exclusive); None if there is none."""
        return max((min(b, end) for a, b in self.unproven if a < end and b > start), default=None)

    @property
    def awaits_second_answer(self) -> bool:
        """Return whether a second answer must confirm the horizon, because candles before it are still open."""
        return self._seen is not None and self.horizon is None and bool(self._open) and self._open.start < self._seen

    def apply_depth(self, now: int, *, shows_itself: bool) -> None:
        """Close the open stretches that are older than the last `depth` candles.

        shows_itself: whether the exchange always returns its newest rows. In this case, the first row of an answer
            shows the horizon, so stretches are closed only if all of them are that old. The reason is that `depth` rows
            reach further back than `depth` minutes if minutes without trades are left out.
        """
        oldest = self._oldest(now)
        if oldest is None or not self._open or self._seen is not None:
            return
        if self._open.start < oldest and not (shows_itself and self._open.end > oldest):
            self.forgotten_before(oldest)

    def _oldest(self, now: int) -> int | None:
        """Return the start of the oldest of the last `depth` candles, or of a candle shortly after it."""
        if self._depth is None:
            return None
        return (now // self._planner.step - self._depth + HORIZON_SLACK) * self._planner.step

    def _up(self, instant: int) -> int:
        """Return the start of the first candle that starts at `instant` or later."""
        return -(-instant // self._planner.step) * self._planner.step
