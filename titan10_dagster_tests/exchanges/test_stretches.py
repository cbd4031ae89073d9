from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.exchanges.stretches import OpenStretches

stretches = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=6).map(
    lambda parts: [(start, start + length) for start, length in parts]
)


@given(closed=stretches, taken=stretches, start=st.integers(0, 90), length=st.integers(1, 30))
def test_stretches_behave_like_sets_of_instants(
    closed: list[tuple[int, int]], taken: list[tuple[int, int]], start: int, length: int
) -> None:
    open_, instants = OpenStretches([(10, 40), (50, 80)]), {*range(10, 40), *range(50, 80)}
    for a, b in closed:
        open_.close(a, b)
        instants -= set(range(a, b))
    assert bool(open_) == bool(instants)
    if instants:
        assert (open_.start, open_.end) == (min(instants), max(instants) + 1)
    end = start + length
    assert {instant for a, b in open_.within(start, end) for instant in range(a, b)} == instants & set(
        range(start, end)
    )
    assert open_.is_closed(start, end) == instants.isdisjoint(range(start, end))
    outside = instants - {instant for a, b in taken for instant in range(a, b)}
    first = open_.first_outside(taken)
    assert (first is None) == (not outside)
    if first is not None:
        assert first[0] == min(outside)
        assert set(range(*first)) <= outside
