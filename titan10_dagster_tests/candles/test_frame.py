from __future__ import annotations

import numpy as np

from titan10_dagster.candles.frame import COLUMNS, VALUES, from_columns
from titan10_dagster_tests.candles import strategies as some


def test_a_frame_has_the_documented_columns_types_and_index() -> None:
    frame = from_columns(some.HOURLY.grid(), [np.full(24, float(n)) for n in range(5)])
    assert tuple(frame.columns) == COLUMNS == ("time", *VALUES)
    assert [str(dtype) for dtype in frame.dtypes] == ["datetime64[ms, UTC]", *["float64"] * 5]
    assert frame.index.equals(frame.reset_index(drop=True).index)
    assert frame.loc[3].tolist()[1:] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_frame_shares_the_memory_of_its_columns() -> None:
    opens = np.zeros(24)
    frame = from_columns(some.HOURLY.grid(), [opens, *(np.zeros(24) for _ in range(4))])
    assert np.shares_memory(frame["open"].to_numpy(), opens)
