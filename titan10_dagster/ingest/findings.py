"""Decides the results of the asset checks on the slices of a day or of a whole run. This module does not use Dagster.

Valid rows are stored even if other rows are broken. Therefore a failed check never stops a run. The severity of a
failed check is usually WARN. It is ERROR if the problem cannot be accidental. The check `explained` always has ERROR.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from titan10_dagster.candles.deviation import FEWEST_EXCHANGES, Distance, comparable, over_deviation_limit
from titan10_dagster.candles.gaps import REASONS
from titan10_dagster.candles.inspection import SliceInspected
from titan10_dagster.candles.rules import RULES, Concern
from titan10_dagster.candles.slices import Slice
from titan10_dagster.store.audit import Unaccounted
from titan10_dagster.store.identities import SeriesEvent
from titan10_dagster.store.ledger import LedgerRow

SYSTEMIC_SHARE = 0.5
MOST_EVENTS = 3  # the sentence of a finding names at most this many events; the finding's table has all events
NOTHING_TO_COMPARE = (
    f"There is nothing to compare: no symbol has enough minutes in which {FEWEST_EXCHANGES} or more exchanges traded."
)


class Severity(StrEnum):
    """The severity of a failed check."""

    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """The result of a check on a day or on a whole run. The UI shows `rows` as a table and `numbers` as plots."""

    passed: bool
    sentence: str
    rows: tuple[Mapping[str, Any], ...] = ()
    severity: Severity = Severity.WARN
    numbers: Mapping[str, int] = field(default_factory=dict)


def keeps_rules(concern: Concern, slices: Sequence[SliceInspected]) -> Finding:
    """Return a finding about the rows that break a candle rule.

    The severity is ERROR if a slice exceeds both limits for broken rows in the settings (their number and their share).

    `concern`: whether to check the rules about the values of candles, or the rules about the times of candles.
    """
    affected = [slice_ for slice_ in slices if slice_.rows_broken(concern)]
    if not affected:
        return Finding(True, "No row breaks a rule.", numbers={"broken": 0})
    broken = sum(slice_.rows_broken(concern) for slice_ in affected)
    total = sum(slice_.rows for slice_ in slices)
    sentence = f"{broken:,} of {total:,} rows break a rule and are quarantined; all valid rows are stored."
    if concern is Concern.TIME:
        sentence += _shifts(affected)
    over_limit = any(slice_.over_broken_limit for slice_ in affected)
    return Finding(
        False, sentence, _rule_table(concern, affected), Severity.ERROR if over_limit else Severity.WARN,
        {"broken": broken},
    )  # fmt: skip


def of_run(finding: Finding, concern: Concern, slices: Sequence[SliceInspected]) -> Finding:
    """Return the finding for a whole run, based on the result of `keeps_rules` for the slices of this run.

    The severity is ERROR only if most rows of the run are broken, for example because the exchange changed its format.
    """
    rows = sum(slice_.rows for slice_ in slices)
    broken = sum(slice_.rows_broken(concern) for slice_ in slices)
    if broken <= SYSTEMIC_SHARE * rows:
        return Finding(finding.passed, finding.sentence, finding.rows, Severity.WARN, finding.numbers)
    sentence = (
        f"{finding.sentence} Most rows of this run are broken. If the exchange changed its format, update Titan-10 and "
        "launch the partitions again with `refresh: true` in the run's config. If the exchange's history is broken, "
        "the gaps become final (`broken_at_source`) when the same rows come a second time."
    )
    return Finding(False, sentence, finding.rows, Severity.ERROR, finding.numbers)


def _rule_table(concern: Concern, slices: Sequence[SliceInspected]) -> tuple[Mapping[str, Any], ...]:
    names = {rule.name for rule in RULES if rule.concern is concern}
    rows: list[Mapping[str, Any]] = []
    for slice_ in slices:
        for rule, count in slice_.counts.items():
            if rule in names:
                rows.append({**_key(slice_.slice), "rule": rule, "rows": count, "of": slice_.rows})
    return tuple(rows)


def _shifts(slices: Sequence[SliceInspected]) -> str:
    """Return a sentence about the most common distance of off-grid rows from the grid, or "" if all are on the grid."""
    shifts = Counter(slice_.shift for slice_ in slices if slice_.shift is not None)
    if not shifts:
        return ""
    shift, _ = shifts.most_common(1)[0]
    return f" The rows that are off the timeframe's grid usually start {_seconds(shift)} after a grid point."


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.3f}".rstrip("0").rstrip(".") + " s"


def is_complete(slices: Sequence[SliceInspected]) -> Finding:
    """Return a finding about the slices with missing candles.

    For each of these slices, the finding's table has the number of missing candles and the cause.
    """
    rows: list[Mapping[str, Any]] = []
    missing = 0
    for slice_ in slices:
        if slice_.missing:
            missing += slice_.missing
            why = _why_missing(slice_)
            rows.append({**_key(slice_.slice), "missing": slice_.missing, "of": slice_.slice.expected, "why": why})
    sentence = "No candle is missing."
    if rows:
        sentence = f"{missing:,} candles of {len(rows)} slices are missing."
    return Finding(not rows, sentence, tuple(rows), numbers={"missing": missing})


def _why_missing(slice_: SliceInspected) -> str:
    if slice_.beyond_horizon:
        horizon = "so old that the exchange no longer serves this day"
        return f"{horizon}; {slice_.note}" if slice_.note else horizon
    if not slice_.answered:
        return slice_.note or "the exchange did not answer for the whole day"
    if slice_.broken:
        return f"{slice_.broken} rows are broken"
    return "absent from a complete answer"


def is_accounted_for(unaccounted: Sequence[Unaccounted], not_requested: Sequence[Slice] = ()) -> Finding:
    """Return a finding about slices with contradictory numbers of candles, and slices that were never requested.

    The numbers of the ledger, of the stored candles and of the gaps must agree. If they contradict each other, the
    severity is ERROR.
    """
    if not unaccounted and not not_requested:
        return Finding(True, "Every candle is accounted for.")
    rows: list[Mapping[str, Any]] = []
    for slice_ in unaccounted:
        counts = {"expected": slice_.expected, "present": slice_.present}
        counted = {"stored": slice_.stored, "in_gaps": slice_.in_gaps}
        rows.append({**_key(slice_.slice), **counts, **counted})
    sentence = (
        f"{len(unaccounted)} slices have contradictory numbers of candles, and {len(not_requested)} slices were never"
        " requested."
    )
    return Finding(False, sentence, tuple(rows), Severity.ERROR if unaccounted else Severity.WARN)


def is_near(distances: Mapping[date, Sequence[Distance]], most: float) -> Finding:
    """Return a finding about the symbols and days with too many deviating minutes.

    A minute deviates if the close is too far from the median close of all exchanges. The severity is ERROR if most of
    the compared minutes of a symbol and day deviate.

    `most`: the allowed share of deviating minutes in the compared minutes of a symbol and day.
    """
    rows: list[Mapping[str, Any]] = []
    compared, mostly = 0, False
    for day, found in distances.items():
        compared += len(comparable(found))
        mostly = mostly or bool(over_deviation_limit(found, SYSTEMIC_SHARE))
        for distance in over_deviation_limit(found, most):
            rows.append(
                {
                    "day": str(day),
                    "symbol": distance.symbol,
                    "deviating": distance.deviating,
                    "of": distance.compared,
                    "typical_bp": round(distance.typical, 1),
                    "largest_bp": round(distance.largest, 1),
                }
            )
    numbers = {"compared": compared}
    if rows:
        sentence = f"{len(rows)} of {compared} slices deviate from the other exchanges."
        return Finding(False, sentence, tuple(rows), Severity.ERROR if mostly else Severity.WARN, numbers)
    if not compared:
        return Finding(True, NOTHING_TO_COMPARE, numbers=numbers)
    return Finding(True, f"{compared} slices are near the other exchanges.", numbers=numbers)


def is_same_series(events: Sequence[SeriesEvent]) -> Finding:
    """Return the finding of the check `same_series`, which passes if there are no events.

    An event is, for example, a changed market, a break, or a restatement of most of a slice.
    """
    if not events:
        return Finding(True, "No series changed.")
    rows = tuple({"day": str(event.at)[:10], "symbol": event.symbol, "what": event.detail} for event in events)
    sentence = " ".join(event.detail for event in events[:MOST_EVENTS])
    if len(events) > MOST_EVENTS:
        sentence = f"{sentence} And {len(events) - MOST_EVENTS} more events."
    return Finding(False, sentence, rows)


def is_explained(rows: Sequence[LedgerRow], most: float) -> Finding:
    """Return a finding about the slices in which too many candles are missing without a final reason.

    `most`: the largest allowed share of such candles.

    The severity is ERROR, even for new gaps. After the first fetch of a thinly traded pair, it is not known whether a
    minute had no trades, or is only missing from the answer. Therefore the check fails until a run of the repair sensor
    has fetched the day a second time. This run also executes the check again. Slices without a ledger row are reported
    by the check `accounted_for`.
    """
    found: list[Mapping[str, Any]] = []
    for row in rows:
        if row.unexplained > most * row.expected:
            share = f"{row.unexplained / row.expected:.1%}"
            of_slice = {"unexplained": row.unexplained, "of": row.expected, "share": share}
            found.append({**_key(row.slice), **of_slice, **_open_reasons(row)})
    if not found:
        sentence = f"No slice has more than {most:.0%} of its candles missing without a final reason."
        return Finding(True, sentence, severity=Severity.ERROR)
    sentence = f"{len(found)} slices have more than {most:.0%} of their candles missing without a final reason."
    return Finding(False, sentence, tuple(found), Severity.ERROR)


def _open_reasons(row: LedgerRow) -> dict[str, int]:
    """Return the number of missing candles for each reason that is not final."""
    counts: dict[str, int] = {}
    for reason, facts in REASONS.items():
        if not facts.settled:
            counts[reason.value] = row.missing.get(reason, 0)
    return counts


def _key(slice_: Slice) -> dict[str, Any]:
    return {"day": str(slice_.day), "symbol": slice_.series.symbol}
