"""A project folder with a working installation. Each test breaks it in one way."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest
from click.testing import CliRunner

from titan10_dagster.local.cli import main
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.store.migrations import migrate
from titan10_dagster_tests.instances import ROOT

SETTINGS = """
data = "data"
[exchanges.binance]
symbols = [{symbols}]
start = 2024-01-01
base_url = "{url}"
"""
GOOD = '"BTC/USDT", "ETH/USDT"'

Findings = dict[str, list[tuple[str, str, str]]]


@dataclass
class Site:
    """A project folder. Its methods run `titan10 doctor` in the folder."""

    folder: Path
    environment: dict[str, str | None] = field(default_factory=dict)
    exit_code: int = 0

    def write(self, url: str, symbols: str = GOOD, more: str = "") -> None:
        (self.folder / "titan10.toml").write_text(SETTINGS.format(symbols=symbols, url=url) + more)

    def doctor(self, *arguments: str) -> str:
        variables = {
            name: None for name in os.environ if name.startswith(("TITAN10_", "SSL_CERT")) or "proxy" in name.lower()
        }
        done = CliRunner().invoke(
            main, ["doctor", *arguments], env={**variables, "TITAN10_HOME": str(self.folder), **self.environment}
        )
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        self.exit_code = done.exit_code
        return done.stdout

    def findings(self) -> Findings:
        """Return the findings by check: level, finding and advice."""
        by_check: Findings = {}
        for finding in json.loads(self.doctor("--json")):
            found = (finding["level"], finding["found"], finding["advice"])
            by_check.setdefault(finding["check"], []).append(found)
        return by_check

    def problem(self, check: str) -> tuple[str, str]:
        """Return the finding and the advice of the only problem, and check the exit code."""
        problems = [
            (name, found, advice)
            for name, entries in self.findings().items()
            for level, found, advice in entries
            if level == "problem"
        ]
        assert [name for name, _, _ in problems] == [check], problems
        assert self.exit_code == 1
        return problems[0][1:]


@pytest.fixture
def exchange() -> Iterator[str]:
    with Sandbox(["binance"], clock=datetime.now(UTC)) as sandbox:
        yield sandbox.url("binance")


@pytest.fixture
def site(tmp_path: Path, database_url: str, exchange: str) -> Site:
    """A working installation. A test breaks it in one way."""
    migrate(database_url)
    site = Site(tmp_path, {"TITAN10_DATABASE__URL": database_url})
    site.write(exchange)
    (tmp_path / "dagster.yaml").symlink_to(ROOT / "dagster.yaml")
    return site


def execute(url: str, *statements: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def name_of(url: str) -> str:
    return url.rsplit("/", 1)[1]
