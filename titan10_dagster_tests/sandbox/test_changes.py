from __future__ import annotations

import numpy as np

from titan10_dagster.sandbox.changes import Changes, Rescaling, Shift
from titan10_dagster.sandbox.truth import DAY_MS, RawCandles

MINUTE_MS = 60_000


def day(rows: int = 10) -> RawCandles:
    """Return the first minutes of 1970, with prices of 100 and volumes of 5. The last minute has no volume."""
    values = np.tile(np.array([100, 100, 100, 100, 5], np.int64), (rows, 1))
    values[-1, 4] = 0
    return RawCandles(np.arange(rows, dtype=np.int64) * MINUTE_MS, values)


def test_without_a_change_a_day_stays_as_it_is() -> None:
    found = Changes().applied(day(), 0)
    np.testing.assert_array_equal(found.values, day().values)


def test_candles_are_restated_removed_and_added() -> None:
    changes = Changes()
    changes.restate(0, np.array([7.0, 7, 7, 7, 7]))
    changes.restate(MINUTE_MS, None)
    changes.restate(20 * MINUTE_MS, np.array([8.0, 8, 8, 8, 8]))
    changes.restate(DAY_MS, np.array([9.0, 9, 9, 9, 9]))
    found = changes.applied(day(), 0)
    assert found.times.tolist() == [0, *range(2 * MINUTE_MS, 10 * MINUTE_MS, MINUTE_MS), 20 * MINUTE_MS]
    assert found.values[[0, -1], 0].tolist() == [7, 8]
    assert changes.restated_times() == [0, 20 * MINUTE_MS, DAY_MS]


def test_a_rescaling_never_makes_something_nothing() -> None:
    changes = Changes()
    changes.rescale(Rescaling(5 * MINUTE_MS, None, 10.0, 0.001))
    found = changes.applied(day(), 0)
    assert found.values[4].tolist() == [100, 100, 100, 100, 5]
    assert found.values[5].tolist() == [1_000, 1_000, 1_000, 1_000, 1]
    assert found.values[9].tolist() == [1_000, 1_000, 1_000, 1_000, 0]


def test_candles_are_hidden_and_shown_again() -> None:
    changes = Changes()
    changes.hide(0, 3 * MINUTE_MS)
    assert len(changes.applied(day(), 0).times) == 7
    changes.show(0, 3 * MINUTE_MS)
    assert len(changes.applied(day(), 0).times) == 10


def test_a_shift_moves_the_times_of_a_stretch() -> None:
    changes = Changes()
    changes.shift(Shift(2 * MINUTE_MS, 4 * MINUTE_MS, 14_789))
    times = changes.applied(day(), 0).times
    assert times[1:5].tolist() == [MINUTE_MS, 2 * MINUTE_MS + 14_789, 3 * MINUTE_MS + 14_789, 4 * MINUTE_MS]
