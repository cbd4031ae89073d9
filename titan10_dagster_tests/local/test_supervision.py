from __future__ import annotations

from titan10_dagster.local.supervision import LONGEST_PAUSE, SETTLED_SECONDS, Pauses


def test_a_process_that_keeps_dying_is_started_less_and_less_often() -> None:
    pauses, now = Pauses(), 1000.0
    waited = []
    for _ in range(7):
        pauses.note_start(now)
        waited.append(pauses.note_death(now + 1))
        assert not pauses.are_over(now + 1)
        now += 1 + waited[-1]
        assert pauses.are_over(now)
    assert waited == [1, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE]


def test_a_process_that_ran_for_a_while_is_restarted_at_once() -> None:
    pauses = Pauses()
    for _ in range(5):
        pauses.note_start(0.0)
        pauses.note_death(1.0)
    pauses.note_start(0.0)
    assert pauses.note_death(SETTLED_SECONDS + 1) == 1
