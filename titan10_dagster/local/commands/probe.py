"""`titan10 probe`: measure how an exchange behaves, and compare the measurements with the expected values."""

from __future__ import annotations

from typing import Any

import click

from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.probe import probe_exchange
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.local.instance import Say, open_tables
from titan10_dagster.local.tables import print_json, print_lines
from titan10_dagster.planning.probe import sentence
from titan10_dagster.settings import Settings
from titan10_dagster.store.probes import Probe, ProbeStore


def run_probe(settings: Settings, exchange: str, say: Say, *, as_json: bool) -> bool:
    """Probe the exchange, show the measurements, and return whether all measurements are as expected.

    Raises:
        FetchError: the exchange refuses the requests, or none of the configured symbols is an active market.
        BreakerOpen: the circuit breaker does not allow requests now.
    """
    with open_tables(settings, say) as db:
        probe = probe_exchange(IngestContext(settings, db, LandingZone(settings.landing)), exchange)
    _show(probe, as_json=as_json)
    return not probe.differences


def show_history(settings: Settings, exchange: str, say: Say, *, as_json: bool) -> None:
    """Show all earlier probes of the exchange, newest first."""
    with open_tables(settings, say) as db:
        probes = ProbeStore(db).history(exchange)
    if as_json:
        print_json([_row(probe) for probe in probes])
        return
    for probe in probes:
        differences = "; ".join(f"{finding.subject.value} {finding.measured}" for finding in probe.differences)
        print_lines(f"{probe.probed_at:%Y-%m-%d %H:%M} UTC  {differences or 'nothing differs'}")
    if not probes:
        click.echo(f"{exchange} was not probed yet: run `titan10 probe {exchange}`.")


def _show(probe: Probe, *, as_json: bool) -> None:
    if as_json:
        print_json(_row(probe))
        return
    for finding in probe.findings:
        mark = "DIFFERS " if finding.differs else ""
        expected = "" if finding.expected is None else f" (expected: {finding.expected})"
        print_lines(f"{finding.subject.value:<14} {mark}{finding.measured or 'not known'}{expected}")
    for finding in probe.differences:
        print_lines(sentence(finding))
    click.echo(f"{probe.exchange}: {probe.requests} requests, {len(probe.differences)} differences.")


def _row(probe: Probe) -> dict[str, Any]:
    return {
        "exchange": probe.exchange,
        "probed_at": probe.probed_at,
        "requests": probe.requests,
        "properties": {
            finding.subject.value: {
                "measured": finding.measured,
                "expected": finding.expected,
                "differs": finding.differs,
            }
            for finding in probe.findings
        },
    }
