from __future__ import annotations

import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from titan10_dagster_tests.alone import alone, one_of_many


def hold(folder: Path, by_itself: bool, journal: Path) -> None:
    with (alone if by_itself else one_of_many)(folder):
        began = time.monotonic()
        time.sleep(0.3)
        with journal.open("a") as file:
            file.write(f"{by_itself} {began} {time.monotonic()}\n")


def test_usual_tests_share_and_a_lonely_one_does_not(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    spawn = get_context("spawn")
    processes = [spawn.Process(target=hold, args=(tmp_path, kind, journal)) for kind in (False, True, False, False)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    spans = [line.split() for line in journal.read_text().splitlines()]
    assert len(spans) == 4
    ((lonely_from, lonely_to),) = [(float(began), float(ended)) for kind, began, ended in spans if kind == "True"]
    for kind, began, ended in spans:
        if kind == "False":
            assert float(ended) <= lonely_from or float(began) >= lonely_to


def test_a_waiting_lonely_test_is_not_overtaken(tmp_path: Path) -> None:
    """As soon as a test waits to run alone, further tests wait at the turnstile."""
    journal = tmp_path / "journal"
    spawn = get_context("spawn")
    lonely = spawn.Process(target=hold, args=(tmp_path, True, journal))
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
