"""Reads the market lists of new exchanges at the start of a stack.

`<exchange>/candles` depends on `<exchange>/markets`. Until the market list is read for the first time, the UI warns
before each materialization that the materialization may fail. Therefore `titan10 up` reads the missing lists, in one
run per exchange.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from titan10_dagster.local.graphql import GraphQLError, is_finished, launch_run, materialized
from titan10_dagster.local.instance import Say

# the limit for all lists together, so that an exchange that does not answer cannot delay the start for long
WAIT_SECONDS = 30.0
POLL_SECONDS = 0.5


def read_missing_lists(url: str, exchanges: Iterable[str], say: Say, *, go_on: Callable[[], bool]) -> list[str]:
    """Launch a run for each exchange for which no market list was ever read, and wait until the runs have ended.

    Return the exchanges that still have no list. `url` is the address of the UI. The wait takes at most WAIT_SECONDS,
    and ends as soon as `go_on` returns False.
    """
    missing = _missing(url, exchanges)
    if not missing:
        return []
    say(f"Reading the market lists of {', '.join(missing)} ...")
    runs = []
    for exchange in missing:
        with suppress(GraphQLError):  # the check below then reports the list as missing
            runs.append(launch_run(url, [(exchange, "markets")]))
    deadline = time.monotonic() + WAIT_SECONDS
    while go_on() and time.monotonic() < deadline and not _have_ended(url, runs):
        time.sleep(POLL_SECONDS)
    missing = _missing(url, missing)
    if missing and go_on():
        say(
            f"The market lists of {', '.join(missing)} were not read within {WAIT_SECONDS:.0f} s. See {url}/runs for "
            "the reason. The schedule `read_markets` and the next start read the lists again."
        )
    return missing


def _missing(url: str, exchanges: Iterable[str]) -> list[str]:
    """Return the exchanges for which no market list was ever read. If the UI does not answer, return an empty list."""
    names = list(exchanges)
    try:
        found = materialized(url, [(name, "markets") for name in names])
    except GraphQLError:
        return []
    return [name for name in names if found.get((name, "markets")) is False]


def _have_ended(url: str, runs: Iterable[str]) -> bool:
    try:
        return all(is_finished(url, run) for run in runs)
    except GraphQLError:
        return False
