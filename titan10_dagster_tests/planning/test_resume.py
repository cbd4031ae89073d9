from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.candles.fetched import FetchRecord, Source
from titan10_dagster.candles.slices import Series, Slice, days
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.planning.resume import FetchPlan, plan_fetch

SERIES = Series("binance", "BTC/USDT", TIMEFRAMES["1m"])
MARCH = [Slice(SERIES, day) for day in days(date(2024, 3, 1), date(2024, 3, 10))]
START = date(2024, 3, 3)


def record(slice_: Slice, *, answered: bool = True) -> FetchRecord:
    now = datetime(2024, 4, 1, tzinfo=UTC)
    return FetchRecord(slice_, now, Source.REST, requests=2, retries=0, seconds=1.0, answered=answered, horizon=None)


def plan(
    *,
    settled: set[Slice] | None = None,
    landed: dict[Slice, FetchRecord] | None = None,
    unconfirmed: dict[Slice, datetime] | None = None,
    refresh: bool = False,
) -> FetchPlan:
    return plan_fetch(
        MARCH,
        start=START,
        settled=settled or set(),
        landed=landed or {},
        usable=lambda _: True,
        unconfirmed=unconfirmed or {},
        refresh=refresh,
    )


def test_days_before_the_exchanges_start_are_never_fetched() -> None:
    assert plan().before_start == tuple(MARCH[:2])
    assert plan(refresh=True).before_start == tuple(MARCH[:2])


def test_a_settled_slice_is_not_fetched_again() -> None:
    made = plan(settled={MARCH[4]})
    assert made.settled == (MARCH[4],)
    assert MARCH[4] not in made.fetch


def test_a_slice_that_a_dead_run_landed_is_not_fetched_again() -> None:
    made = plan(landed={MARCH[5]: record(MARCH[5])})
    assert made.landed == (MARCH[5],)
    assert MARCH[5] not in made.fetch


def test_a_slice_that_landed_unanswered_is_fetched_again() -> None:
    assert MARCH[5] in plan(landed={MARCH[5]: record(MARCH[5], answered=False)}).fetch


def test_a_landed_slice_that_breaks_the_rules_is_fetched_again() -> None:
    made = plan_fetch(MARCH, start=START, settled=(), landed={MARCH[5]: record(MARCH[5])}, usable=lambda _: False)
    assert MARCH[5] in made.fetch


def test_refresh_fetches_what_is_settled_or_landed() -> None:
    made = plan(settled={MARCH[4]}, landed={MARCH[5]: record(MARCH[5])}, refresh=True)
    assert made.fetch == tuple(MARCH[2:])


def test_only_slices_are_judged_that_would_be_resumed() -> None:
    asked: list[Slice] = []
    plan_fetch(
        MARCH,
        start=START,
        settled={MARCH[4]},
        landed={slice_: record(slice_) for slice_ in MARCH[3:6]},
        usable=lambda slice_: bool(asked.append(slice_)) or True,
    )
    assert asked == [MARCH[3], MARCH[5]]


def test_an_unconfirmed_slice_is_fetched_again_even_if_it_is_settled_and_landed() -> None:
    looked = record(MARCH[4])
    made = plan(settled={MARCH[4], MARCH[5]}, landed={MARCH[4]: looked}, unconfirmed={MARCH[4]: looked.fetched_at})
    assert MARCH[4] in made.fetch
    assert made.settled == (MARCH[5],)


def test_a_landed_second_observation_is_not_repeated() -> None:
    second = record(MARCH[4])
    first_look = second.fetched_at - timedelta(hours=7)
    made = plan(settled={MARCH[4]}, landed={MARCH[4]: second}, unconfirmed={MARCH[4]: first_look})
    assert made.landed == (MARCH[4],)


@given(settled=st.sets(st.sampled_from(MARCH)), landed=st.sets(st.sampled_from(MARCH)), refresh=st.booleans())
def test_every_slice_stands_in_exactly_one_group(settled: set[Slice], landed: set[Slice], refresh: bool) -> None:
    made = plan(settled=settled, landed={slice_: record(slice_) for slice_ in landed}, refresh=refresh)
    groups = [*made.before_start, *made.settled, *made.landed, *made.fetch]
    assert sorted(groups) == MARCH


@pytest.mark.parametrize("refresh", [True, False])
def test_the_order_asked_for_is_kept(refresh: bool) -> None:
    assert list(plan(refresh=refresh).fetch) == MARCH[2:]
