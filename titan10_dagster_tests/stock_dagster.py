"""Dagster without Titan-10's storage, run launcher and code server.

This shows that everything also works with Dagster's own classes.

With `TITAN10_TEST_STOCK_DAGSTER=1` the tests of the folders defs/, integration/ and e2e/ use Dagster's own classes
throughout:

    TITAN10_TEST_STOCK_DAGSTER=1 python -m pytest titan10_dagster_tests/defs titan10_dagster_tests/integration
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
WANTED = os.environ.get("TITAN10_TEST_STOCK_DAGSTER") == "1"
STORAGE: Mapping[str, Any] = {"postgres": {"postgres_url": {"env": "TITAN10_DATABASE__DAGSTER_URL"}}}


def configuration(*, stock: bool = WANTED) -> str:
    """Return dagster.yaml; `stock`: with Dagster's PostgreSQL storage and its default run launcher."""
    text = (ROOT / "dagster.yaml").read_text()
    if not stock:
        return text
    settings = yaml.safe_load(text)
    del settings["run_launcher"]
    return yaml.safe_dump({**settings, "storage": dict(STORAGE)})


def storage(*, stock: bool = WANTED) -> dict[str, Any]:
    """Return the section `storage` of dagster.yaml."""
    found: dict[str, Any] = yaml.safe_load(configuration(stock=stock))["storage"]
    return found


def code_server(socket: Path, *, module: str, location: str, folder: Path) -> Sequence[str]:
    """Return the command of Dagster's own code server, which starts a new Python for each run."""
    return [
        *(sys.executable, "-m", "dagster", "api", "grpc", "--socket", str(socket)),
        *("--module-name", module, "--location-name", location, "--working-directory", str(folder)),
    ]
