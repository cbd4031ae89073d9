"""Measure a backfill of several runs with the complete stack. It is launched in the same way as by the UI's button.

    python -m benchmarks.runs [--days 90] [--symbols 20] [--round-trip 150]

The backfill fetches from the sandbox's Binance: first with rate limits and a round trip, then without both. Webserver,
daemon, queue, code server, PostgreSQL and sandbox share the machine. A run can fetch while the previous run checks and
stores. The result has

- the time from the start of the first run to the end of the last run (the daemon needs up to 30 s before that to find a
  new backfill)
- the pace from the first to the last request of the backfill, compared with the pace within a run
- the longest pauses between two requests, in which the next run starts
- the memory of the runs' processes
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.backfill import LAST, open_context, servers, symbols_of
from benchmarks.pace import candle_requests, spacing_of
from titan10_dagster import settings as titan10_settings
from titan10_dagster.candles.slices import days
from titan10_dagster.dagster_internals.code_server import NAME
from titan10_dagster.local.graphql import backfill_of, launch_backfill, run_query
from titan10_dagster.local.ports import free_port
from titan10_dagster.local.stack import Stack

TITLE = "A backfill of several runs"
EXCHANGE = "binance"
PROJECT = Path(__file__).parents[1]
PATIENCE = 1800.0  # seconds
RUNS = "{ runsOrError { ... on Runs { results { startTime endTime tags { key } } } } }"


@dataclass
class Memory:
    """The highest memory of the runs' processes, in MB.

    together: the memory of all processes, with shared pages counted once (PSS). own: the memory of one process, without
    shared pages (USS).
    """

    together: float = 0.0
    own: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self.over.wait(0.25):
            sizes = [_sizes(path) for path in Path("/proc").glob("[0-9]*") if _is_run(path)]
            self.together = max([self.together, sum(pss for pss, _ in sizes)])
            self.own = max([self.own, *(own for _, own in sizes)])


def main() -> None:
    arguments = _arguments()
    texts = [
        _measured(arguments.days, arguments.symbols, arguments.round_trip, limited=True),
        _measured(arguments.days, arguments.symbols, 0, limited=False),
    ]
    text = "\n".join(texts)
    print(text)  # noqa: T201
    if arguments.write:
        about = (__doc__ or "").split("\n\n", 2)[2].strip()
        results.write(TITLE, f"{about}\n\n```\n{text}\n```", beside="embedded PostgreSQL 18")


def _measured(wanted: int, count: int, round_trip: int, *, limited: bool) -> str:
    options = ["--latency", str(round_trip), *([] if limited else ["--no-limits"])]
    with servers(EXCHANGE, *options) as (sandbox, database), tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        spacing = _spacing(sandbox, database, Path(folder) / "spacing") if limited else None
        _write_project(Path(folder), sandbox, database, symbols_of(sandbox)[:count], paced=limited)
        with _up(Path(folder)) as stack, _watched() as memory:
            _backfill(stack, wanted)
            spans = list(_spans(stack))
        head = f"{wanted * count * 1440:,} candles of {count} symbols in {len(spans)} runs, "
        head += f"a round trip of {round_trip} ms, {'limits enforced' if limited else 'no limits'}"
        return "\n".join((head, *_lines(wanted * count * 1440, spans, list(candle_requests(sandbox)), spacing, memory)))


def _lines(
    candles: int,
    spans: Sequence[tuple[float, float]],
    arrivals: Sequence[dict[str, Any]],
    spacing: float | None,
    memory: Memory,
) -> Iterator[str]:
    times = sorted(entry["monotonic"] for entry in arrivals)
    pauses = sorted((later - earlier for earlier, later in pairwise(times)), reverse=True)
    took, requesting = max(end for _, end in spans) - min(start for start, _ in spans), times[-1] - times[0]
    pace = f": {(len(times) - 1) * spacing / requesting:.1%} of our own pace" if spacing else ""
    yield f"  from the first run's start to the last's end  {took:6.1f} s, {candles / took:,.0f} candles a second"
    yield f"  from the first to the last request            {requesting:6.1f} s{pace}"
    longest = ", ".join(f"{pause:.1f}" for pause in pauses[: len(spans) - 1])
    yield f"  longest pauses between two requests           {longest} s, for {len(spans) - 1} changes of runs"
    yield f"  requests {len(times):,}, refused {sum(entry['throttled'] for entry in arrivals)}"
    yield (
        f"  memory of the runs: a single process at most {memory.own:.0f} MB; all together, shared pages once,"
        f" {memory.together:.0f} MB"
    )


def _backfill(stack: Stack, wanted: int) -> None:
    assets = [(EXCHANGE, "candles"), (EXCHANGE, "ohlcv")]
    backfill = launch_backfill(stack.url, assets, days(LAST - timedelta(days=wanted - 1), LAST))
    deadline = time.monotonic() + PATIENCE
    while (status := backfill_of(stack.url, backfill)["status"]) in {"REQUESTED", "CANCELING"}:
        if time.monotonic() > deadline:
            raise SystemExit("The backfill did not end in time.")
        stack.tend()
        time.sleep(0.2)
    assert status == "COMPLETED_SUCCESS", status


def _spans(stack: Stack) -> Iterator[tuple[float, float]]:
    """Yield the start and the end of each run of the backfill."""
    for run in run_query(stack.url, RUNS)["runsOrError"]["results"]:
        if any(tag["key"] == "dagster/backfill" for tag in run["tags"]):
            yield run["startTime"], run["endTime"]


def _spacing(sandbox: str, database: str, folder: Path) -> float:
    titan10 = open_context(EXCHANGE, symbols_of(sandbox), sandbox, database, folder, paced=True)
    return asyncio.run(spacing_of(titan10, EXCHANGE))


def _write_project(folder: Path, sandbox: str, database: str, symbols: tuple[str, ...], *, paced: bool) -> None:
    lines = ['data = "."', "[database]", f'url = "{database}"', "[server]", f"port = {free_port(0)}"]
    lines += [f"[exchanges.{EXCHANGE}]", f"symbols = {json.dumps(symbols)}", f'base_url = "{sandbox}"']
    lines += [f"paced = {str(paced).lower()}", f"start = {LAST - timedelta(days=365)}", "[live]", "enabled = false"]
    (folder / "titan10.toml").write_text("\n".join(lines) + "\n")
    (folder / "dagster.yaml").symlink_to(PROJECT / "dagster.yaml")


@contextmanager
def _up(folder: Path) -> Iterator[Stack]:
    os.environ["TITAN10_HOME"] = str(folder)
    stack = Stack(titan10_settings.load(folder), folder, lambda _: None)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@contextmanager
def _watched() -> Iterator[Memory]:
    memory = Memory()
    thread = threading.Thread(target=memory.watch)
    thread.start()
    try:
        yield memory
    finally:
        memory.over.set()
        thread.join()


def _is_run(process: Path) -> bool:
    try:
        return (process / "comm").read_text().strip() == NAME
    except OSError:
        return False


def _sizes(process: Path) -> tuple[float, float]:
    """Return PSS and USS of the process in MB. Return zeros if the process has just ended."""
    try:
        rows = (line.split() for line in (process / "smaps_rollup").read_text().splitlines()[1:])
        size = {row[0]: int(row[1]) / 1024 for row in rows}
    except (OSError, IndexError):
        return 0.0, 0.0
    return size["Pss:"], size["Private_Clean:"] + size["Private_Dirty:"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--round-trip", type=int, default=150)
    parser.add_argument("--no-write", dest="write", action="store_false", help="do not change RESULTS.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
