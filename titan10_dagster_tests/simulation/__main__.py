"""`python -m titan10_dagster_tests.simulation --seed N`: one week, told step by step; several with --seeds."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click

from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster_tests import conftest as databases
from titan10_dagster_tests.simulation.oracle import judge
from titan10_dagster_tests.simulation.story import write
from titan10_dagster_tests.simulation.week import Week, hurry


@click.command()
@click.option("--seed", type=int, default=0, help="The first seed.")
@click.option("--seeds", type=int, default=1, help="How many, from there on.")
@click.option("--server", default=None, envvar="TITAN10_TEST_POSTGRES_URL", help="A PostgreSQL to make databases in.")
@click.option("--verbose/--quiet", default=None, help="Tell every step; the default for a single seed.")
def main(seed: int, seeds: int, server: str | None, verbose: bool | None) -> None:
    """Live through simulated weeks, and tell what is wrong at their ends."""
    telling = seeds == 1 if verbose is None else verbose
    failed = []
    with ExitStack() as stack:
        if server is None:
            folder = stack.enter_context(databases.passable_folder())
            postgres = EmbeddedPostgres(folder / "postgres")
            server = postgres.start()
            stack.callback(postgres.stop)
        template = stack.enter_context(databases.template_database(server, extension=None))
        for number in range(seed, seed + seeds):
            with databases.copied_database(server, template) as url:
                failed += [] if lived_well(number, url, telling) else [number]
    click.echo(f"{seeds - len(failed)} of {seeds} seeds passed{f'; failed: {failed}' if failed else ''}")
    sys.exit(bool(failed))


def lived_well(seed: int, url: str, telling: bool) -> bool:
    folder = Path(tempfile.mkdtemp(prefix="titan10-week-"))
    story, began = write(seed), time.perf_counter()
    hurry(url)
    if telling:
        click.echo(story.told())
    try:
        with Week(story, url, folder, click.echo if telling else lambda _: None) as week:
            record = week.live()
            complaints = judge(week)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    counts = ", ".join(f"{count} {what}" for what, count in sorted(record.counts.items()))
    click.echo(f"seed {seed}: {len(record.steps)} steps, {counts}, {time.perf_counter() - began:.1f} s")
    if complaints:
        click.echo(story.told(sorted({one.exchange for one in complaints})))
        click.echo("\n".join(f"  WRONG {one}" for one in complaints))
    return not complaints


if __name__ == "__main__":
    main()
