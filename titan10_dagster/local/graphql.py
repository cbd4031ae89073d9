"""The UI's own interface, GraphQL over HTTP, as far as the commands need it."""

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
BACKFILL = """query ($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on PartitionBackfill { status numPartitions error { message } runs { runId status tags { key value } } }
    ... on Error { message }
  }
}"""


class GraphQLError(Titan10Error):
    """The UI answered with an error, or not at all."""


def run_query(url: str, query: str, **variables: Any) -> dict[str, Any]:
    """The `data` of a GraphQL answer of the UI at `url`.

    Raises:
        GraphQLError: it does not answer, or refuses the question.
    """
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            read: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:  # a question it does not understand; the reason is in the body
        raise GraphQLError(f"The UI at {url} refused: {error} {error.read(500).decode(errors='replace')}") from None
    except (OSError, ValueError) as error:
        raise GraphQLError(f"The UI at {url} does not answer: {error}") from None
    if read.get("errors"):
        raise GraphQLError(f"The UI at {url} refused: {read['errors'][0].get('message')}")
    data: dict[str, Any] = read["data"]
    return data


def make_pools(url: str, pools: Iterable[str]) -> None:
    """Gives each pool that Dagster does not know yet its limit of 1; limits set in the UI stay.

    Dagster makes a pool when its first run is queued, and lets all runs of that moment through.
    """
    known = {limit["concurrencyKey"] for limit in run_query(url, POOLS)["instance"]["concurrencyLimits"]}
    for pool in sorted(set(pools) - known):
        run_query(url, SET_POOL, pool=pool)


def launch_backfill(url: str, assets: Iterable[Sequence[str]], days: Iterable[date]) -> str:
    """Launches a partition backfill, as the UI's button does, and returns its id."""
    backfill: Mapping[str, Any] = {
        "assetSelection": [{"path": list(key)} for key in assets],
        "partitionNames": [str(day) for day in days],
        "tags": [],
    }
    answer = run_query(url, LAUNCH, backfill=backfill)["launchPartitionBackfill"]
    if answer["__typename"] != "LaunchBackfillSuccess":
        raise GraphQLError(f"The backfill was not launched: {answer.get('message', answer['__typename'])}")
    return str(answer["backfillId"])


def backfill_of(url: str, backfill_id: str) -> dict[str, Any]:
    """What the UI knows of a backfill: `status`, `numPartitions`, `error`, `runs`."""
    answer: dict[str, Any] = run_query(url, BACKFILL, id=backfill_id)["partitionBackfillOrError"]
    if answer["__typename"] != "PartitionBackfill":
        raise GraphQLError(f"The backfill {backfill_id} is not known: {answer.get('message')}")
    return answer
