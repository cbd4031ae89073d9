"""The candle frame: candles as a pandas DataFrame, for users. Titan-10 itself uses the class `columns.Candles`.

| column                         | dtype                | meaning                       |
|--------------------------------|----------------------|-------------------------------|
| time                           | datetime64[ms, UTC]  | start of the candle           |
| open, high, low, close, volume | float64              | NaN: not sent by the exchange |

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
    """Return a frame that uses the given arrays without a copy.

    `time`: an array of shape (n,) and type datetime64[ms], in UTC without a time zone.
    `values`: five arrays of shape (n,) and type float64: open, high, low, close, volume.
    """
    data = {"time": pd.array(time, dtype=_TIME), **dict(zip(VALUES, values, strict=True))}
    return pd.DataFrame(data, copy=False)
