"""Candles in the form of the sandbox's truth: (n, 6) float64 with times in milliseconds."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from titan10_dagster.candles.frame import VALUES


def as_table(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Convert a candle frame to such a table."""
    return np.column_stack([frame["time"].astype(np.int64), *(frame[name] for name in VALUES)]).astype(np.float64)
