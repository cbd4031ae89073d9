"""The alert sensor: every five minutes it looks whether a human has to hear of something, keeps it, and sends it."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.operate.alerts import Told, tend

EVERY = timedelta(minutes=5)


def alert_sensor() -> dg.SensorDefinition:
    """It runs although alerts.urls may name nobody: `titan10 alerts` and Grafana show what it keeps. It starts no run:
    a tick takes half a minute at most."""

    @dg.sensor(
        name="send_alerts",
        minimum_interval_seconds=int(EVERY.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Keeps what a human has to hear of, for self-repair has given up, and tells those whom alerts.urls "
        "names: once, and once when it is over.",
    )
    def send_alerts(context: dg.SensorEvaluationContext, titan10: dg.ResourceParam[IngestContext]) -> dg.SkipReason:
        told = tend(titan10, titan10.now())
        if told.failed:
            context.log.warning(sentence(told))
        return dg.SkipReason(sentence(told))

    return send_alerts


def sentence(told: Told) -> str:
    """What a tick did."""
    if not told.open:
        return "Nothing that a human has to hear of."
    failed = f", {told.failed} were not taken and are sent again" if told.failed else ""
    return f"{told.open} alerts are open or waiting to be; {told.sent} letters were sent{failed}."
