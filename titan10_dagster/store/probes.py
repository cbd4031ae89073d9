"""Stores the probes of each exchange. A probe measures how the exchange's API behaves (see `planning/probe.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2.extras import Json

from titan10_dagster.planning.probe import Finding, Property
from titan10_dagster.store.database import Database
from titan10_dagster.store.statements import statement


@dataclass(frozen=True)
class Probe:
    """The result of one probe of an exchange.

    `probed_at`: the start of the probe (aware, UTC). `requests`: the number of requests. `findings`: one finding for
    each property of the exchange.
    """

    exchange: str
    probed_at: datetime
    requests: int
    findings: tuple[Finding, ...]

    @property
    def differences(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.differs]


class ProbeStore:
    """Reads and writes probes. All probes of an exchange are kept."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def keep(self, probe: Probe) -> None:
        with self._db.transaction() as cursor:
            cursor.execute(
                statement("write_probe"),
                {
                    "exchange": probe.exchange,
                    "probed_at": probe.probed_at,
                    "requests": probe.requests,
                    "measured": Json(_known(probe.findings, "measured")),
                    "expected": Json(_known(probe.findings, "expected")),
                },
            )

    def last_values(self, exchange: str) -> dict[Property, str]:
        """Return the latest measured value of each property. Possibly the values come from different probes."""
        rows = self._db.query(statement("last_probe_values"), {"exchange": exchange})
        values = {row.property: row.measured for row in rows}
        return {property_: values[property_.value] for property_ in Property if property_.value in values}

    def history(self, exchange: str) -> list[Probe]:
        """Return all stored probes of the exchange, newest first."""
        newest_first = "SELECT * FROM exchange_probes WHERE exchange = %s ORDER BY probed_at DESC"
        return [_probe(row) for row in self._db.query(newest_first, [exchange])]


def _known(findings: Sequence[Finding], column: str) -> dict[str, str]:
    """Return the values of a column by the name of the property. Properties without a value are left out.

    `column`: "measured" or "expected".
    """
    known = {}
    for finding in findings:
        value = getattr(finding, column)
        if value is not None:
            known[finding.subject.value] = value
    return known


def _probe(row: Any) -> Probe:
    findings = []
    for property_ in Property:
        name = property_.value
        findings.append(Finding(property_, row.measured.get(name), row.expected.get(name)))
    return Probe(row.exchange, row.probed_at, row.requests, tuple(findings))
