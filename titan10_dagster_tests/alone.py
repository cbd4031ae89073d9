"""Tests that measure time run alone, also if two processes share the tests (`pytest -n 2`).

A test with a limit for seconds or processor time is marked `alone`. Each process of pytest-xdist takes a lock for each
test. The lock is exclusive for a test that is marked `alone`, and shared for all other tests. The second lock file is a
turnstile. Without the turnstile, other tests could follow each other for ever while a marked test waits.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def one_of_many(folder: Path) -> Iterator[None]:
    """Keep the context open while no test runs alone."""
    with _locked(folder / "turnstile", fcntl.LOCK_EX):
        running = (folder / "running").open("a")
        fcntl.flock(running, fcntl.LOCK_SH)
    with running:
        yield


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep the context open while no other test runs."""
    with _locked(folder / "turnstile", fcntl.LOCK_EX), _locked(folder / "running", fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    with path.open("a") as file:  # closing the file releases the lock, and so does the end of the process
        fcntl.flock(file, kind)
        yield
