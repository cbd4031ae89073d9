from __future__ import annotations

import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from titan10_dagster_tests.alone import alone, one_heavy, one_of_many

KINDS = {"usual": one_of_many, "heavy": one_heavy, "alone": alone}
Span = tuple[float, float]


def hold(folder: Path, kind: str, journal: Path) -> None:
    with KINDS[kind](folder):
        began = time.monotonic()
        time.sleep(0.3)
        with journal.open("a") as file:
            file.write(f"{kind} {began} {time.monotonic()}\n")


def held(folder: Path, *kinds: str) -> dict[str, list[Span]]:
    """Start a process for each of the kinds; return from when to when each held its lock."""
    journal = folder / "journal"
    spawn = get_context("spawn")
    processes = [spawn.Process(target=hold, args=(folder, kind, journal)) for kind in kinds]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    spans: dict[str, list[Span]] = {kind: [] for kind in kinds}
    for line in journal.read_text().splitlines():
        kind, began, ended = line.split()
        spans[kind].append((float(began), float(ended)))
    return spans


def apart(first: Span, second: Span) -> bool:
    return first[1] <= second[0] or second[1] <= first[0]


def test_usual_tests_share_and_a_lonely_one_does_not(tmp_path: Path) -> None:
    spans = held(tmp_path, "usual", "alone", "usual", "usual")
    assert len(spans["usual"]) == 3
    assert all(apart(usual, spans["alone"][0]) for usual in spans["usual"])


def test_two_heavy_tests_run_one_after_the_other_and_not_beside_a_lonely_one(tmp_path: Path) -> None:
    spans = held(tmp_path, "heavy", "alone", "heavy")
    assert apart(*spans["heavy"])
    assert all(apart(heavy, spans["alone"][0]) for heavy in spans["heavy"])


def test_a_usual_test_runs_beside_a_heavy_one(tmp_path: Path) -> None:
    with one_heavy(tmp_path):
        assert held(tmp_path, "usual")["usual"]


def test_a_waiting_lonely_test_is_not_overtaken(tmp_path: Path) -> None:
    """A stream of usual tests ends at the turnstile once a test wants to be alone."""
    journal = tmp_path / "journal"
    spawn = get_context("spawn")
    lonely = spawn.Process(target=hold, args=(tmp_path, "alone", journal))
    with one_of_many(tmp_path):
        lonely.start()
        deadline = time.monotonic() + 30
        while not _turnstile_is_taken(tmp_path):
            assert time.monotonic() < deadline, "the lonely test never arrived"
            time.sleep(0.01)
    with one_of_many(tmp_path):
        assert journal.exists()
    lonely.join()


def _turnstile_is_taken(folder: Path) -> bool:
    import fcntl

    with (folder / "turnstile").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.mark.alone
def test_the_mark_is_known() -> None:
    """`--strict-markers` refuses unknown marks."""
