"""`titan10 doctor` on a good installation, and the output of its findings."""

from __future__ import annotations

import json
from contextlib import closing

import psycopg2

from titan10_dagster_tests.json_fields import documented_fields
from titan10_dagster_tests.local.sites import Site, exchange, site

__all__ = ["exchange", "site"]


def test_a_good_installation_has_no_problem_and_nothing_is_changed(site: Site, database_url: str) -> None:
    tables = "SELECT count(*) FROM pg_class"
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(tables)
        before = cursor.fetchone()
        findings = site.findings()
        cursor.execute(tables)
        assert cursor.fetchone() == before
    problems = [entry for entries in findings.values() for entry in entries if entry[0] == "problem"]
    assert problems == []
    assert site.exit_code == 0
    assert {
        "settings",
        "project",
        "disk",
        "database",
        "version",
        "rights",
        "session",
        "tables",
        "dagster",
        "binance",
    } <= (set(findings))
    assert sorted(path.name for path in site.folder.iterdir()) == ["dagster.yaml", "titan10.toml"]


def test_the_fields_of_a_finding_are_documented(site: Site) -> None:
    for finding in json.loads(site.doctor("--json")):
        assert set(finding) == documented_fields("`titan10 doctor --json`")


def test_each_finding_is_one_line_with_what_to_do(site: Site) -> None:
    site.environment["HTTPS_PROXY"] = "proxy.example.com:port"
    lines = site.doctor().splitlines()
    (line,) = [line for line in lines if line.startswith("PROBLEM")]
    assert line == (
        "PROBLEM  proxy: HTTPS_PROXY must be a URL such as http://host:3128, with a port from 1 to 65535. Correct the "
        "variable or remove it; until then no request is made."
    )


def test_without_a_database_the_embedded_one_is_not_started(site: Site) -> None:
    del site.environment["TITAN10_DATABASE__URL"]
    assert site.findings()["database"] == [("ok", "The embedded PostgreSQL does not run; `titan10 up` starts it.", "")]
    assert not (site.folder / "data").exists()
