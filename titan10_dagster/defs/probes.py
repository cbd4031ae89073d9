"""The weekly probe of each exchange. It compares the exchange's behaviour with the exchange's record (its `Venue`)."""

# `from __future__ import annotations` must not be used here: Dagster reads the annotations of configs and resources.

from collections.abc import Iterator
from typing import Any

import dagster as dg

from titan10_dagster.defs.assets import OWNERS
from titan10_dagster.defs.metadata import table
from titan10_dagster.defs.schedules import materializing
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.probe import probe_exchange
from titan10_dagster.planning.probe import SENTENCES, sentence
from titan10_dagster.store.probes import Probe

JOB = "probes"
CHECK = "behaves_as_recorded"
PROBE_AT = "20 4 * * 1"  # on Mondays, after the settlement of Sunday


def probe_key(exchange: str) -> dg.AssetKey:
    return dg.AssetKey([exchange, "probe"])


def probe_asset(exchange: str) -> dg.AssetsDefinition:
    """Return `<exchange>/probe`, with a check that warns if the exchange does not behave as its record says."""

    @dg.asset(
        key=probe_key(exchange),
        description=f"The behaviour of {exchange}: page size, order of rows, rows at the bounds of a request, number "
        "of served candles, rows for minutes without trades, limits, the market list, and ccxt's charge for a request. "
        "The probe sends at most ten requests for settled candles.",
        kinds={"python", "postgres"},
        group_name=exchange,
        owners=OWNERS,
        pool=exchange,
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=probe_key(exchange),
                description="Warns if a measured property differs from the exchange's record in Titan-10. A property "
                "that is not in this record is compared with its last measured value.",
            )
        ],
    )
    def probe(titan10: dg.ResourceParam[IngestContext]) -> Iterator[Any]:
        result = probe_exchange(titan10, exchange)
        yield dg.MaterializeResult(metadata={"requests": result.requests, "properties": table(rows_of(result))})
        yield check_result(result)

    return probe


def rows_of(probe: Probe) -> list[dict[str, str]]:
    """Return a row of texts for each property of a probe."""
    rows = []
    for finding in probe.findings:
        rows.append(
            {
                "property": finding.subject.value,
                "measured": finding.measured or "not known",
                "expected": finding.expected or "nothing",
                "differs": "yes" if finding.differs else "no",
                "meaning": SENTENCES[finding.subject],
            }
        )
    return rows


def check_result(probe: Probe) -> dg.AssetCheckResult:
    """Return the result of the check. Its metadata contains the measured value of each property that differs."""
    sentences = [sentence(finding) for finding in probe.differences]
    text = " ".join(sentences) or "Nothing differs."
    return dg.AssetCheckResult(
        asset_key=probe_key(probe.exchange),
        check_name=CHECK,
        passed=not sentences,
        severity=dg.AssetCheckSeverity.WARN,
        description=text,
        metadata={finding.subject.value: finding.measured for finding in probe.differences},
    )


def probes_schedule(exchanges: tuple[str, ...]) -> dg.ScheduleDefinition:
    """Return the schedule that probes each exchange once a week."""
    return materializing(
        *(probe_key(name) for name in exchanges),
        at=PROBE_AT,
        name="probe_exchanges",
        job=JOB,
        description="Measures the behaviour of each exchange, and compares it with the exchange's record.",
    )
