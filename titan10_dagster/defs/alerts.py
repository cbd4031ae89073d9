"""The alert sensor. Every five minutes it checks for problems, stores alerts and sends notifications."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from titan10_dagster.defs.requests import REPAIR, failed_requests, fetched_by_other_runs
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.operate.alerts import AlertReport, update_alerts

EVERY = timedelta(minutes=5)


def alert_sensor() -> dg.SensorDefinition:
    """Return the sensor, which does not start runs. A tick sends notifications for at most half a minute.

    The sensor is also active if no recipients are configured, because `titan10 alerts` and Grafana show the alerts.
    """

    @dg.sensor(
        name="send_alerts",
        minimum_interval_seconds=int(EVERY.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Records problems that automatic repair could not fix. Sends a message to the addresses "
        "in alerts.urls when a problem begins, and a second message when the problem ends.",
    )
    def send_alerts(context: dg.SensorEvaluationContext, titan10: dg.ResourceParam[IngestContext]) -> dg.SkipReason:
        failed = failed_requests(context.instance, list(titan10.settings.enabled))
        under_way = fetched_by_other_runs(context.instance, [REPAIR]) if failed else set()
        report = update_alerts(titan10, titan10.now(), failed=failed, under_way=under_way)
        if report.failed:
            context.log.warning(sentence(report))
        return dg.SkipReason(sentence(report))

    return send_alerts


def sentence(report: AlertReport) -> str:
    """Return a sentence that describes the result of a tick."""
    if not report.open:
        return "There are no problems that need you."
    failed = f", {report.failed} were not accepted and will be sent again" if report.failed else ""
    return (
        f"There are {report.open} alerts, including alerts that are not due yet; {report.sent} notifications were sent"
        f"{failed}."
    )
