from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.planning.missing_days import (
    LONGEST_HOLE,
    FailedRequest,
    KnownDays,
    Missing,
    MissingDays,
    Stretch,
    around,
    between,
    missing_days,
    still_missing,
    with_failed_requests,
)

START = date(2024, 1, 1)
ONE = timedelta(days=1)
MINUTE = TIMEFRAMES["1m"]


def day(n: int) -> date:
    return START + n * ONE


def stretches(*pairs: tuple[int, int]) -> tuple[Stretch, ...]:
    return tuple(Stretch(day(first), day(last)) for first, last in pairs)


def known(*pairs: tuple[int, int], on_duty_since: int | None = None) -> KnownDays:
    since = None if on_duty_since is None else day(on_duty_since)
    return KnownDays("binance", MINUTE, ("BTC/USDT",), stretches(*pairs), since)


def split(known_days: KnownDays, yesterday: int) -> tuple[list[Stretch], list[Stretch]]:
    """Return the holes and the history of one symbol."""
    missing = missing_days([known_days], {"binance": START}, day(yesterday))
    return [each.stretch for each in missing.holes], [each.stretch for each in missing.history]


def test_all_days_of_an_outage_are_holes_and_days_before_the_first_fetch_are_history() -> None:
    holes, history = split(known((100, 120), (500, 510), on_duty_since=118), 530)
    assert holes == [*stretches((121, 499), (511, 530))]
    assert history == [*stretches((0, 99))]


def test_an_old_day_fetched_on_trial_does_not_set_off_the_years_that_follow_it() -> None:
    holes, history = split(known((100, 100)), 530)
    assert holes == []
    assert history == [*stretches((0, 99), (101, 530))]


def test_what_one_failed_run_of_a_backfill_left_out_is_a_hole() -> None:
    assert split(known((0, 30), (30 + LONGEST_HOLE + 1, 200)), 200) == ([*stretches((31, 30 + LONGEST_HOLE))], [])
    longer = known((0, 30), (30 + LONGEST_HOLE + 2, 200))
    assert split(longer, 200) == ([], [*stretches((31, 30 + LONGEST_HOLE + 1))])


def test_a_symbol_without_ledger_rows_has_only_history() -> None:
    assert split(known(), 200) == ([], [*stretches((0, 200))])


def test_nothing_is_missing_before_the_start_of_the_exchange() -> None:
    early = KnownDays("binance", MINUTE, ("BTC/USDT",), (Stretch(START - 9 * ONE, START - 5 * ONE),), None)
    assert missing_days([early], {"binance": START}, day(3)).history == (
        MissingDays("binance", MINUTE, ("BTC/USDT",), Stretch(day(0), day(3))),
    )
    assert split(known((0, 3)), 3) == ([], [])
    assert split(known(), -1) == ([], [])


offsets = st.integers(-40, 40)


def as_stretches(days: set[int]) -> tuple[Stretch, ...]:
    """Return the days as in the ledger: ascending stretches that neither overlap nor touch."""
    firsts = sorted(n for n in days if n - 1 not in days)
    lasts = sorted(n for n in days if n + 1 not in days)
    return stretches(*zip(firsts, lasts, strict=True))


@given(days=st.sets(offsets), first=offsets, last=offsets)
def test_every_day_is_known_or_missing_and_none_is_both(days: set[int], first: int, last: int) -> None:
    missing = list(between(as_stretches(days), day(first), day(last)))
    yielded = [day for stretch in missing for day in stretch]
    assert yielded == [day(n) for n in range(first, last + 1) if n not in days]
    assert missing == sorted(missing)


@given(days=st.sets(st.integers(0, 120)), since=st.none() | st.integers(0, 120))
def test_missing_days_are_either_holes_or_history(days: set[int], since: int | None) -> None:
    one = KnownDays("binance", MINUTE, ("A", "B"), as_stretches(days), None if since is None else day(since))
    missing = missing_days([one], {"binance": START}, day(120))
    yielded = [each for part in (missing.holes, missing.history) for hole in part for each in hole.stretch]
    assert sorted(yielded) == [day(n) for n in range(121) if n not in days]
    assert sum(part.slices for part in (*missing.holes, *missing.history)) == 2 * len(yielded)


@given(days=st.lists(offsets, min_size=1), most=st.integers(1, 50))
def test_a_run_of_days_is_contiguous_and_as_long_as_it_can_be(days: list[int], most: int) -> None:
    all_days = {day(n) for n in days}
    chosen = day(days[0])
    stretch = around(chosen, all_days, most)
    assert chosen in set(stretch) <= all_days
    assert stretch.days <= most
    if stretch.days < most:
        assert not {stretch.first - ONE, stretch.last + ONE} & all_days


def of_failed_run(first: int, last: int, *symbols: str, exchange: str = "binance") -> FailedRequest:
    stretch = Stretch(date(2024, 1, first), date(2024, 1, last))
    return FailedRequest(exchange, stretch, frozenset(symbols) or None)


def history_of(*symbols: str) -> Missing:
    """Return ten days without a ledger row."""
    stretch = Stretch(date(2024, 1, 1), date(2024, 1, 10))
    return Missing((), (MissingDays("binance", MINUTE, symbols, stretch),))


def parts(missing: Sequence[MissingDays]) -> list[tuple[int, int, tuple[str, ...]]]:
    return [(days.stretch.first.day, days.stretch.last.day, days.symbols) for days in missing]


def test_days_of_a_failed_run_are_a_hole_wherever_they_lie() -> None:
    found = with_failed_requests(history_of("A", "B"), [of_failed_run(3, 5)])
    assert parts(found.holes) == [(3, 5, ("A", "B"))]
    assert parts(found.history) == [(1, 2, ("A", "B")), (6, 10, ("A", "B"))]


def test_a_failed_run_of_one_symbol_leaves_the_others_as_history() -> None:
    found = with_failed_requests(history_of("A", "B"), [of_failed_run(9, 12, "B")])
    assert parts(found.holes) == [(9, 10, ("B",))]
    assert parts(found.history) == [(1, 8, ("A", "B")), (9, 10, ("A",))]


def test_overlapping_failed_runs_are_one_hole_per_set_of_symbols() -> None:
    found = with_failed_requests(history_of("A", "B"), [of_failed_run(1, 4, "A"), of_failed_run(3, 6, "B")])
    assert parts(found.holes) == [(1, 2, ("A",)), (3, 4, ("A", "B")), (5, 6, ("B",))]
    assert parts(found.history) == [(1, 2, ("B",)), (5, 6, ("A",)), (7, 10, ("A", "B"))]


def test_failed_runs_of_other_exchanges_symbols_and_days_change_nothing() -> None:
    missing = history_of("A")
    elsewhere = [of_failed_run(1, 9, exchange="kraken"), of_failed_run(1, 9, "Z"), of_failed_run(20, 25)]
    assert with_failed_requests(missing, elsewhere) == missing


def test_days_of_failed_runs_are_still_missing_as_holes_and_as_history() -> None:
    missing = missing_days([known((10, 12), (20, 22))], {"binance": START}, day(30))
    assert [part.stretch for part in missing.holes] == [*stretches((13, 19))]
    failed = [FailedRequest("binance", Stretch(day(8), day(14))), FailedRequest("okx", Stretch(day(0), day(30)))]
    found = sorted(part.stretch for part in still_missing(missing, failed))
    assert found == [*stretches((8, 9), (13, 14))]
    assert still_missing(missing, []) == []
