"""The candle frame: candles as a pandas DataFrame, for users. The project itself works on `columns.Candles`.

| column                         | dtype                | meaning                       |
|--------------------------------|----------------------|-------------------------------|
| time                           | datetime64[ms, UTC]  | start of the candle           |
| open, high, low, close, volume | float64              | NaN: the exchange gave none   |

The index is a RangeIndex.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from titan10_dagster.candles.slices import Times

VALUES = ("open", "high", "low", "close", "volume")
COLUMNS = ("time", *VALUES)

_TIME = pd.DatetimeTZDtype("ms", "UTC")


def from_columns(time: Times, values: Iterable[NDArray[np.float64]]) -> pd.DataFrame:
    """Build a frame around (n,) datetime64[ms], naive UTC, and five (n,) float64 arrays, without copying them."""
    data = {"time": pd.array(time, dtype=_TIME), **dict(zip(VALUES, values, strict=True))}
    return pd.DataFrame(data, copy=False)
