"""`python -m titan10_dagster_tests.simulation --seed N`: simulate a week, and print it step by step.

With --seeds, several weeks are simulated.
"""

from __future__ import annotations

import gc
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click

from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster_tests import databases
from titan10_dagster_tests.simulation.away import hurry
from titan10_dagster_tests.simulation.oracle import Complaint, judge
from titan10_dagster_tests.simulation.record import Record
from titan10_dagster_tests.simulation.requests import distribution, healing_hours
from titan10_dagster_tests.simulation.story import Story, write
from titan10_dagster_tests.simulation.week import Week


@click.command()
@click.option("--seed", type=int, default=0, help="The first seed.")
@click.option("--seeds", type=int, default=1, help="How many seeds, from there on.")
@click.option("--server", default=None, envvar="TITAN10_TEST_POSTGRES_URL", help="A PostgreSQL to make databases in.")
@click.option("--verbose/--quiet", default=None, help="Print every step; the default for a single seed.")
@click.option("--shrink", is_flag=True, help="Remove the events that do not matter from a week that fails.")
def main(seed: int, seeds: int, server: str | None, verbose: bool | None, shrink: bool) -> None:
    """Simulate weeks, and print the rules that are broken at the end of each week."""
    printing = seeds == 1 if verbose is None else verbose
    failed = []
    gc.freeze()  # otherwise each full collection visits a million objects of the imported modules
    with ExitStack() as stack:
        if server is None:
            folder = stack.enter_context(databases.passable_folder())
            postgres = EmbeddedPostgres(folder / "postgres")
            server = postgres.start()
            stack.callback(postgres.stop)
        template = stack.enter_context(databases.template_database(server, extension=None))

        def live(story: Story) -> list[Complaint]:
            with databases.copied_database(server, template) as url:
                return lived(story, url, printing)

        for number in range(seed, seed + seeds):
            story = write(number)
            if live(story):
                failed.append(number)
                if shrink:
                    click.echo(f"The rest of seed {number}:\n{shrunk(story, live).described()}")
    click.echo(f"{seeds - len(failed)} of {seeds} seeds passed{f'; failed: {failed}' if failed else ''}")
    sys.exit(bool(failed))


def lived(story: Story, url: str, printing: bool) -> list[Complaint]:
    """Simulate a week. Print and return the broken rules."""
    folder, began = Path(tempfile.mkdtemp(prefix="titan10-week-")), time.perf_counter()
    hurry(url)
    if printing:
        click.echo(story.described())
    try:
        with Week(story, url, folder, click.echo if printing else lambda _: None) as week:
            record = week.live()
            wrong = judge(week)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    click.echo(f"seed {story.seed}: {summary(record)}, {time.perf_counter() - began:.1f} s")
    if wrong:
        click.echo(story.described(sorted({complaint.exchange for complaint in wrong})))
        click.echo("\n".join(f"  WRONG {complaint}" for complaint in wrong))
    return wrong


def summary(record: Record) -> str:
    counts = ", ".join(f"{count} {what}" for what, count in sorted(record.counts.items()))
    requests, healing = distribution(record.requests.values()), distribution(healing_hours(record.open_until))
    return (
        f"{len(record.steps)} steps, {counts}, {len(record.notifications)} notifications; requests: {requests}; "
        f"hours until a slice was final: {healing}"
    )


def shrunk(story: Story, live: Callable[[Story], list[Complaint]]) -> Story:
    """Return the story with only those events that are needed for its failure."""
    for event in story.events:
        shorter = replace(story, events=tuple(other for other in story.events if other is not event))
        if live(shorter):
            story = shorter
    return story


if __name__ == "__main__":
    main()
