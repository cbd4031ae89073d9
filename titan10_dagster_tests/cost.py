"""The cost of a piece of work, measured so that a busy machine does not fail a test.

Elapsed time depends on other processes, so a limit for it must be generous and only detects large slowdowns. The CPU
time of our own process hardly depends on other processes, so its limit may be tight. `python -m benchmarks.ledger`
measures the real figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """The elapsed seconds, and the CPU seconds of this process."""

    clock: float
    processor: float


def least(work: Callable[[], object], rounds: int = 3) -> Cost:
    """Return the smallest elapsed time and the smallest CPU time of `rounds` rounds."""
    costs = [_cost(work) for _ in range(rounds)]
    return Cost(min(cost.clock for cost in costs), min(cost.processor for cost in costs))


def seconds_without_core() -> float:
    """Return how long this thread has been ready to run without a core since it began.

    A busy machine is the only cause of this time. Linux measures it; elsewhere the result is 0.
    """
    path = Path("/proc/thread-self/schedstat")
    return int(path.read_text().split()[1]) / 1e9 if path.exists() else 0.0


def _cost(work: Callable[[], object]) -> Cost:
    began, busy = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - began, time.process_time() - busy)
