"""The GraphQL queries that the commands send to the UI over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from titan10_dagster.errors import Titan10Error

TIMEOUT_SECONDS = 60
POOLS = "{ instance { concurrencyLimits { concurrencyKey } } }"
SET_POOL = "mutation ($pool: String!) { setConcurrencyLimit(concurrencyKey: $pool, limit: 1) }"
LAUNCH = """mutation ($backfill: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $backfill) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on Error { message }
  }
}"""
MATERIALIZED = """query ($keys: [AssetKeyInput!]) {
  assetNodes(assetKeys: $keys) { assetKey { path } assetMaterializations(limit: 1) { runId } }
}"""
LAUNCH_RUN = """mutation ($execution: ExecutionParams!) {
  launchRun(executionParams: $execution) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on Error { message }
  }
}"""
CHECKS = "{ assetNodes { assetKey { path } assetChecksOrError { ... on AssetChecks { checks { name } } } } }"
EXECUTIONS = """query ($key: AssetKeyInput!, $check: String!) {
  assetCheckExecutions(assetKey: $key, checkName: $check, limit: 1000) { status }
}"""
FAILED_CHECK = {"FAILED", "EXECUTION_FAILED"}
RUN = "query ($id: ID!) { runOrError(runId: $id) { __typename ... on Run { status } } }"
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
BACKFILL = """query ($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on PartitionBackfill { status numPartitions error { message } runs { runId status tags { key value } } }
    ... on Error { message }
  }
}"""


class GraphQLError(Titan10Error):
    """The UI answered with an error, or the UI did not answer."""


def run_query(url: str, query: str, **variables: Any) -> dict[str, Any]:
    """Send a query to the UI at `url`, and return the `data` of the answer.

    Raises:
        GraphQLError: the UI does not answer, or rejects the query.
    """
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            read: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:  # the UI rejected the query; the reason is in the body
        raise GraphQLError(
            f"The UI at {url} rejected a query: {error} {error.read(500).decode(errors='replace')}"
        ) from None
    except (OSError, ValueError) as error:
        raise GraphQLError(f"The UI at {url} does not answer: {error}") from None
    if read.get("errors"):
        raise GraphQLError(f"The UI at {url} rejected a query: {read['errors'][0].get('message')}")
    data: dict[str, Any] = read["data"]
    return data


def make_pools(url: str, pools: Iterable[str]) -> None:
    """Create the pools that do not exist yet, with a limit of 1. Limits of existing pools do not change.

    Dagster itself creates a pool only when the first run of the pool is queued. Runs that Dagster starts before the
    pool exists are not limited.
    """
    known = {limit["concurrencyKey"] for limit in run_query(url, POOLS)["instance"]["concurrencyLimits"]}
    for pool in sorted(set(pools) - known):
        run_query(url, SET_POOL, pool=pool)


def launch_backfill(url: str, assets: Iterable[Sequence[str]], days: Iterable[date]) -> str:
    """Launch a partition backfill in the same way as the UI, and return its id."""
    backfill: Mapping[str, Any] = {
        "assetSelection": [{"path": list(key)} for key in assets],
        "partitionNames": [str(day) for day in days],
        "tags": [],
    }
    answer = run_query(url, LAUNCH, backfill=backfill)["launchPartitionBackfill"]
    if answer["__typename"] != "LaunchBackfillSuccess":
        raise GraphQLError(f"The backfill was not launched: {answer.get('message', answer['__typename'])}")
    return str(answer["backfillId"])


def launch_run(url: str, assets: Iterable[Sequence[str]]) -> str:
    """Launch a run that materializes these assets, which have no partitions, and return its id."""
    selector = {
        "repositoryLocationName": "titan10_dagster",
        "repositoryName": "__repository__",
        "jobName": "__ASSET_JOB",
        "assetSelection": [{"path": list(key)} for key in assets],
    }
    answer = run_query(url, LAUNCH_RUN, execution={"selector": selector})["launchRun"]
    if answer["__typename"] != "LaunchRunSuccess":
        raise GraphQLError(f"The run was not launched: {answer.get('message', answer['__typename'])}")
    return str(answer["run"]["runId"])


def is_finished(url: str, run_id: str) -> bool:
    """Return whether a run has ended, with any result. A run that does not exist counts as ended."""
    run = run_query(url, RUN, id=run_id)["runOrError"]
    return run["__typename"] != "Run" or run["status"] in ENDED


def materialized(url: str, assets: Iterable[Sequence[str]]) -> dict[tuple[str, ...], bool]:
    """Return for each of the given assets whether it was ever materialized. Assets that do not exist are left out."""
    keys = [{"path": list(key)} for key in assets]
    nodes = run_query(url, MATERIALIZED, keys=keys)["assetNodes"]
    return {tuple(node["assetKey"]["path"]): bool(node["assetMaterializations"]) for node in nodes}


def failed_checks(url: str) -> list[str]:
    """Return the asset checks that failed for at least one partition. A check that only warns counts too.

    Each text has the form `binance/candles complete`.
    """
    failed = []
    for node in run_query(url, CHECKS)["assetNodes"]:
        key = node["assetKey"]
        for check in node["assetChecksOrError"].get("checks", ()):
            found = run_query(url, EXECUTIONS, key=key, check=check["name"])["assetCheckExecutions"]
            if any(execution["status"] in FAILED_CHECK for execution in found):
                failed.append(f"{'/'.join(key['path'])} {check['name']}")
    return failed


def backfill_of(url: str, backfill_id: str) -> dict[str, Any]:
    """Return the state of a backfill from the UI, with the keys `status`, `numPartitions`, `error` and `runs`."""
    answer: dict[str, Any] = run_query(url, BACKFILL, id=backfill_id)["partitionBackfillOrError"]
    if answer["__typename"] != "PartitionBackfill":
        raise GraphQLError(f"There is no backfill {backfill_id}: {answer.get('message')}")
    return answer
