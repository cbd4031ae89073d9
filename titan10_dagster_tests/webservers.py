"""A Dagster webserver in a separate process."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from titan10_dagster.local.graphql import GraphQLError, run_query
from titan10_dagster_tests.processes import wait_until

PATIENCE = 120  # in seconds; enough for a busy machine


@contextmanager
def running_webserver(command: Sequence[str], url: str, home: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Run the command in the folder `home`.

    The block begins when `url` answers. The end of the block stops the command.
    """
    with subprocess.Popen(
        command, cwd=home, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_until(lambda: process.poll() is not None or _answers(url), PATIENCE)
            assert process.poll() is None, "the webserver ended while starting"
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


def _answers(url: str) -> bool:
    try:
        return bool(run_query(url, "{ version }")["version"])
    except GraphQLError:
        return False
