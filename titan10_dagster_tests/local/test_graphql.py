"""Queries to a real webserver, which has one asset and no daemon."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import Request, urlopen

import pytest

from titan10_dagster.dagster_internals import commands
from titan10_dagster.local.graphql import (
    GraphQLError,
    backfill_of,
    failed_checks,
    is_finished,
    launch_backfill,
    launch_run,
    make_pools,
    materialized,
    run_query,
)
from titan10_dagster.local.ports import free_port as find_free_port
from titan10_dagster_tests.webservers import running_webserver

DEFINITIONS = """
import dagster as dg

@dg.asset(partitions_def=dg.DailyPartitionsDefinition("2024-01-01"))
def candles() -> None: ...

@dg.asset
def markets() -> None: ...

@dg.asset_check(asset=candles)
def complete() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)

defs = dg.Definitions(assets=[candles, markets], asset_checks=[complete])
"""
LIMITS = "{ instance { concurrencyLimits { concurrencyKey slotCount } } }"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a webserver; Dagster's tables are in SQLite files of its own folder."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        (home / "titan10.toml").write_text('[exchanges.binance]\nsymbols = ["BTC/USDT"]\nstart = 2024-01-01\n')
        (home / "defs.py").write_text(DEFINITIONS)
        (home / "workspace.yaml").write_text("load_from:\n  - python_file: defs.py\n")
        port = find_free_port()
        command = commands.webserver("127.0.0.1", port, home / "workspace.yaml")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TITAN10_")}
        url = f"http://127.0.0.1:{port}"
        with running_webserver(command, url, home, {**environment, "DAGSTER_HOME": folder, "TITAN10_HOME": folder}):
            yield url


def test_variables_are_sent_with_the_query(url: str) -> None:
    found = run_query(url, "query ($id: ID!) { runOrError(runId: $id) { __typename } }", id="no-such-run")
    assert found == {"runOrError": {"__typename": "RunNotFoundError"}}


def test_pools_are_created_once_and_limits_of_the_user_stay(url: str) -> None:
    make_pools(url, ["binance"])
    run_query(url, 'mutation { setConcurrencyLimit(concurrencyKey: "binance", limit: 7) }')
    make_pools(url, ["okx", "binance"])
    limits = run_query(url, LIMITS)["instance"]["concurrencyLimits"]
    assert {limit["concurrencyKey"]: limit["slotCount"] for limit in limits} == {"binance": 7, "okx": 1}


def test_a_backfill_is_launched_over_the_given_days(url: str) -> None:
    backfill = launch_backfill(url, [["candles"]], [date(2024, 1, 5), date(2024, 1, 6)])
    found = backfill_of(url, backfill)
    assert (found["status"], found["numPartitions"], found["runs"]) == ("REQUESTED", 2, [])


def test_a_backfill_of_an_unknown_asset_is_not_launched(url: str) -> None:
    with pytest.raises(GraphQLError):
        launch_backfill(url, [["no_such_asset"]], [date(2024, 1, 5)])


def test_assets_that_were_never_materialized_are_found_and_unknown_ones_left_out(url: str) -> None:
    assert materialized(url, [("markets",), ("no_such_asset",)]) == {("markets",): False}
    run_query(
        url,
        "mutation { reportRunlessAssetEvents(eventParams: {eventType: ASSET_MATERIALIZATION, assetKey: "
        '{path: ["markets"]}}) { __typename } }',
    )
    assert materialized(url, [("markets",)]) == {("markets",): True}


def report_check(url: str, day: str, *, passed: bool) -> None:
    """Report a result of the check through the UI's API for other programs."""
    result = {
        "asset_key": "candles",
        "check_name": "complete",
        "passed": passed,
        "severity": "WARN",
        "metadata": {"day": day},
    }
    body = json.dumps(result).encode()
    with urlopen(
        Request(f"{url}/report_asset_check/candles", body, {"Content-Type": "application/json"}), timeout=60
    ) as answer:
        assert answer.status == 200


def test_a_check_that_failed_once_is_a_failed_check_although_it_passed_later(url: str) -> None:
    report_check(url, "2024-01-05", passed=True)
    assert failed_checks(url) == []
    report_check(url, "2024-01-06", passed=False)
    report_check(url, "2024-01-07", passed=True)
    assert failed_checks(url) == ["candles complete"]


def test_a_run_of_an_unknown_asset_is_not_launched(url: str) -> None:
    with pytest.raises(GraphQLError):
        launch_run(url, [["no_such_asset"]])


def test_a_run_that_does_not_exist_is_not_waited_for(url: str) -> None:
    assert is_finished(url, "no-such-run")


def test_an_unknown_backfill_is_named(url: str) -> None:
    with pytest.raises(GraphQLError, match="There is no backfill nosuch"):
        backfill_of(url, "nosuch")


def test_a_query_that_the_ui_rejects_is_an_error_with_the_reason(url: str) -> None:
    with pytest.raises(GraphQLError, match=r"(?s)rejected a query.*noSuchField"):
        run_query(url, "{ noSuchField }")


def test_a_ui_that_does_not_run_is_named(free_port: Callable[[], int]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(GraphQLError, match=f"The UI at {url} does not answer"):
        run_query(url, "{ version }")
