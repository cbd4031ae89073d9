from __future__ import annotations

from datetime import UTC, datetime, timedelta

from titan10_dagster.planning.probe import Finding, Property
from titan10_dagster.store.database import Database
from titan10_dagster.store.probes import Probe, ProbeStore

FIRST = datetime(2024, 6, 3, 4, 20, tzinfo=UTC)


def probe(at: datetime, size: str | None, order: str | None, exchange: str = "binance") -> Probe:
    findings = []
    measured = {Property.PAGE_SIZE: size, Property.ORDER: order}
    expected = {Property.PAGE_SIZE: "1000"}
    for property_ in Property:
        findings.append(Finding(property_, measured.get(property_), expected.get(property_)))
    return Probe(exchange, at, 7, tuple(findings))


def test_the_history_is_kept_and_read_newest_first(db: Database) -> None:
    store = ProbeStore(db)
    probes = [probe(FIRST + timedelta(weeks=week), size, "oldest first") for week, size in enumerate(["1000", "333"])]
    for kept in probes:
        store.keep(kept)
        store.keep(kept)
    assert store.history("binance") == probes[::-1]
    assert [found.measured for found in store.history("binance")[0].differences] == ["333"]
    assert store.history("okx") == []


def test_the_last_values_are_the_newest_known_ones_of_each_property(db: Database) -> None:
    store = ProbeStore(db)
    store.keep(probe(FIRST, "1000", "oldest first"))
    store.keep(probe(FIRST + timedelta(weeks=1), "333", None))
    store.keep(probe(FIRST + timedelta(weeks=2), None, None))
    store.keep(probe(FIRST, "300", "newest first", exchange="okx"))
    assert store.last_values("binance") == {Property.PAGE_SIZE: "333", Property.ORDER: "oldest first"}
    assert store.last_values("kraken") == {}
