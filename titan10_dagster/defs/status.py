"""The asset `system/health`, which shows the state of each exchange as a table in the UI."""

# `from __future__ import annotations` must not be used here: Dagster reads the annotations of configs and resources.

from collections.abc import Sequence
from typing import Any

import dagster as dg

from titan10_dagster.defs.assets import OWNERS
from titan10_dagster.defs.metadata import table
from titan10_dagster.defs.schedules import materializing
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.operate.status import ExchangeHealth, flat, health_report

KEY = dg.AssetKey(["system", "health"])
JOB = "health"


def health_asset() -> dg.AssetsDefinition:
    """Return `system/health`. The asset reads the ledger and the breakers, but no candles, and sends no requests."""

    @dg.asset(
        key=KEY,
        group_name="system",
        owners=OWNERS,
        kinds={"python", "postgres"},
        description="Health of each exchange: breaker and pace, used share of the request budget, live lag, gaps by "
        "reason, the day up to which its history is complete, and its last error. The same data as `titan10 status`.",
    )
    def health(titan10: dg.ResourceParam[IngestContext]) -> dg.MaterializeResult[Any]:
        return dg.MaterializeResult(metadata=health_metadata(health_report(titan10, titan10.now())))

    return health


def health_schedule() -> dg.ScheduleDefinition:
    """Return the schedule that records the health every 15 minutes."""
    return materializing(
        KEY,
        at="*/15 * * * *",
        name="look_at_health",
        job=JOB,
        description="Records the health of each exchange in `system/health`.",
    )


def health_metadata(report: Sequence[ExchangeHealth]) -> dict[str, Any]:
    """Return a table of the exchanges, and the numbers that the UI plots over time."""
    rows = []
    for exchange in report:
        rows.append({"exchange": exchange.exchange} | {name: _cell(value) for name, value in flat(exchange).items()})
    return {
        "exchanges": table(rows),
        "open_breakers": sum(row.health.state.value != "closed" for row in report),
        "unexplained_candles": sum(flat(row)["missing"].get("unknown", 0) for row in report),
        "unasked_slices": sum(row.history.unasked for row in report),
        **({"live_lag_seconds": max(lags)} if (lags := _lags(report)) else {}),
    }


def _lags(report: Sequence[ExchangeHealth]) -> list[float]:
    return [row.live_lag.total_seconds() for row in report if row.live_lag is not None]


def _cell(value: Any) -> Any:
    """Return the value as a number, a text or a bool, because a cell can contain only these types."""
    match value:
        case None:
            return ""
        case float():
            return round(value, 3)
        case bool() | int() | str():
            return value
        case dict():
            return ", ".join(f"{count} {name}" for name, count in value.items())
        case list():
            return ", ".join(value)
        case _:
            return str(value)
