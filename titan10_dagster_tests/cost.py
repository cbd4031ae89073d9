"""The cost of a piece of work, measured so that a busy machine does not fail a test.

The clock goes on while others have the processors: a bound on it must leave much room, and only catches what is slower
by far. The seconds that processors spent on our own process hardly depend on others, and may be bounded closely.
`python -m benchmarks.ledger` measures the real figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of a processor in this process."""

    clock: float
    processor: float


def least(work: Callable[[], object], rounds: int = 3) -> Cost:
    """The least of each, of so many rounds."""
    costs = [_cost(work) for _ in range(rounds)]
    return Cost(min(one.clock for one in costs), min(one.processor for one in costs))


def _cost(work: Callable[[], object]) -> Cost:
    began, busy = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - began, time.process_time() - busy)
