"""Checks on `<exchange>/candles` before a candle is stored, and on `<exchange>/ohlcv` after.

A run takes many days, but Dagster keeps one result of a check a run: each day's own result is reported beside it,
so that every partition of the UI has its status (dagster issues 17005, 32894).

A broken row is quarantined and a slice with too many of them is withheld; the others go on. Only when most slices
of a run are like that, as after a change of format, nothing is stored: the result of the run blocks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import dagster as dg

from titan10_dagster.candles.deviation import (
    EVERY_MINUTES,
    FEWEST_EXCHANGES,
    Distance,
    comparable,
    over_deviation_limit,
)
from titan10_dagster.candles.gaps import REASONS
from titan10_dagster.candles.inspection import SliceInspected
from titan10_dagster.candles.rules import RULES, Concern, names_of
from titan10_dagster.candles.slices import Slice
from titan10_dagster.dagster_internals.check_results import latest_materializations, report_evaluation
from titan10_dagster.defs.metadata import MOST_ROWS, table
from titan10_dagster.defs.partitions import to_days
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import read_ledger
from titan10_dagster.ingest.inspection import inspect_slices, price_distances, unaccounted_slices
from titan10_dagster.store.audit import Unaccounted
from titan10_dagster.store.ledger import LedgerRow

TIME_RULES = names_of(Concern.TIME)
VALUE_RULES = names_of(Concern.VALUE)
SYSTEMIC_SHARE = 0.5
NOTHING_TO_COMPARE = f"Fewer than {FEWEST_EXCHANGES} exchanges have the same symbol: there is nothing to compare."
PARTITION = "dagster/partition"  # tag of a run of one partition; a range run has others, even for one day

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


@dataclass(frozen=True)
class Finding:
    """The result of a check on a day or on a whole run; `rows` becomes a table of the UI."""

    passed: bool
    sentence: str
    rows: tuple[Mapping[str, Any], ...] = ()
    severity: dg.AssetCheckSeverity = WARN
    numbers: Mapping[str, int] = field(default_factory=dict)

    def metadata(self) -> dict[str, Any]:
        more = {"rows_not_shown": len(self.rows) - MOST_ROWS} if len(self.rows) > MOST_ROWS else {}
        return {**self.numbers, **more, **({"details": table(self.rows)} if self.rows else {})}


@dataclass(frozen=True)
class CandleCheck:
    """`look` judges the slices of one day. A blocking check stops the run when `SYSTEMIC_SHARE` of it is withheld."""

    name: str
    description: str
    blocking: bool
    look: Callable[[Sequence[SliceInspected]], Finding]


def keeps(rules: frozenset[str], slices: Sequence[SliceInspected]) -> Finding:
    """Whether every row keeps the rules; an ERROR where a slice is withheld, else a warning."""
    rows = tuple(
        {
            "day": str(one.slice.day),
            "symbol": one.slice.series.symbol,
            "rule": rule,
            "rows": count,
            "of": one.valid + one.broken,
            "withheld": one.withheld,
        }
        for one in slices
        for rule, count in one.counts.items()
        if rule in rules
    )
    withheld = sum(one.withheld and not rules.isdisjoint(one.counts) for one in slices)
    broken = sum(count for one in slices for rule, count in one.counts.items() if rule in rules)
    sentence = (
        f"{broken} rows break a rule and are quarantined; {withheld} slices are withheld."
        if rows
        else "No row breaks a rule."
    )
    return Finding(not rows, sentence, rows, ERROR if withheld else WARN, {"broken": broken, "withheld": withheld})


def is_complete(slices: Sequence[SliceInspected]) -> Finding:
    """Whether no candle is missing; the table tells per symbol how many are, and what is known of them."""
    rows = tuple(
        {
            "day": str(one.slice.day),
            "symbol": one.slice.series.symbol,
            "missing": one.missing,
            "of": one.slice.expected,
            "why": _why(one),
        }
        for one in slices
        if one.missing
    )
    missing = sum(one.missing for one in slices)
    sentence = f"{missing} candles of {len(rows)} slices are missing." if rows else "No candle is missing."
    return Finding(not rows, sentence, rows, numbers={"missing": missing})


def _why(one: SliceInspected) -> str:
    if one.beyond_horizon:
        return f"beyond the exchange's horizon{f'; {one.note}' if one.note else ''}"
    if not one.answered:
        return one.note or "the exchange did not answer for all of it"
    return f"{one.broken} came broken" if one.broken else "absent from a good answer"


def is_systemic(slices: Sequence[SliceInspected], rules: frozenset[str]) -> bool:
    """Whether most slices of a run are withheld for breaking `rules`, or most rows break them: the format changed."""
    concerned = [one for one in slices if not rules.isdisjoint(one.counts)]
    rows, broken = sum(one.valid + one.broken for one in slices), sum(one.broken for one in concerned)
    return sum(one.withheld for one in concerned) > SYSTEMIC_SHARE * len(slices) or broken > SYSTEMIC_SHARE * rows


def _sentences(rules: frozenset[str]) -> str:
    return " ".join(rule.sentence for rule in RULES if rule.name in rules)


CHECKS = (
    CandleCheck(
        "valid",
        f"{_sentences(VALUE_RULES)} Stops the run only if most of its slices break these.",
        True,
        lambda slices: keeps(VALUE_RULES, slices),
    ),
    CandleCheck(
        "on_grid",
        f"{_sentences(TIME_RULES)} Stops the run only if most of its slices break these.",
        True,
        lambda slices: keeps(TIME_RULES, slices),
    ),
    CandleCheck(
        "complete",
        "Every candle of the day came. A warning: what is missing is in the table `gaps` with its reason.",
        False,
        is_complete,
    ),
)
RULES_OF = {"valid": VALUE_RULES, "on_grid": TIME_RULES}


def candle_checks(exchange: str, partitions: dg.PartitionsDefinition[str]) -> dg.AssetChecksDefinition:
    """The checks of `<exchange>/candles`, in one step that reads each landed file once."""
    asset = dg.AssetKey([exchange, "candles"])

    @dg.multi_asset_check(
        name=f"{exchange}__check_candles",
        specs=[
            dg.AssetCheckSpec(
                check.name,
                asset=asset,
                description=check.description,
                blocking=check.blocking,
                partitions_def=partitions,
            )
            for check in CHECKS
        ],
    )
    def check_candles(
        context: dg.AssetCheckExecutionContext, titan10: dg.ResourceParam[IngestContext]
    ) -> Iterator[dg.AssetCheckResult]:
        days = to_days(context.partition_keys)
        inspected = list(inspect_slices(titan10, titan10.slices(exchange, days)))
        asked = symbols_of_run(context.run, exchange) or titan10.exchange(exchange).symbols
        for check in CHECKS:
            by_day = {day: check.look([one for one in inspected if one.slice.day == day]) for day in days}
            report_days(context, asset, check.name, by_day, blocking=check.blocking)
            yield result(
                asset, check.name, of_run(check, [one for one in inspected if one.slice.series.symbol in asked])
            )

    return check_candles


def symbols_of_run(run: dg.DagsterRun, exchange: str) -> list[str] | None:
    """The symbols that the run's config narrows it to; None: all."""
    ops: Any = run.run_config.get("ops", {})
    symbols: list[str] | None = ops.get(f"{exchange}__candles", {}).get("config", {}).get("symbols")
    return symbols


def store_checks(exchange: str, partitions: dg.PartitionsDefinition[str]) -> dg.AssetChecksDefinition:
    """The checks of `<exchange>/ohlcv`: ledger and tables agree about the day, little of it is unexplained, and its
    closes agree with other exchanges."""
    asset = dg.AssetKey([exchange, "ohlcv"])

    @dg.multi_asset_check(
        name=f"{exchange}__check_ohlcv",
        specs=[
            dg.AssetCheckSpec(
                "accounted_for",
                asset=asset,
                description="Every candle of the day is either stored or in a gap that has a reason: ledger, candles "
                "and gaps agree.",
                partitions_def=partitions,
            ),
            dg.AssetCheckSpec(
                "explained",
                asset=asset,
                description="Of no series more candles are missing without a final reason than the settings bear "
                "(checks.unexplained_share). A quiet pair's day fails until the second look, hours later, settles it.",
                partitions_def=partitions,
            ),
            dg.AssetCheckSpec(
                "near_others",
                asset=asset,
                description="Its closes are near the median of all exchanges, for symbols that three or more trade; "
                f"one minute in {EVERY_MINUTES} is compared. A warning, an error where most of them stray. Held "
                "against what is stored then: execute it again once others have the day.",
                partitions_def=partitions,
            ),
        ],
    )
    def check_ohlcv(
        context: dg.AssetCheckExecutionContext, titan10: dg.ResourceParam[IngestContext]
    ) -> Iterator[dg.AssetCheckResult]:
        days = to_days(context.partition_keys)
        unaccounted = unaccounted_slices(titan10, exchange, days)
        known = read_ledger(titan10, titan10.slices(exchange, days))
        unasked = known.not_requested()
        by_day = {day: agrees(_on(day, unaccounted), [one for one in unasked if one.day == day]) for day in days}
        report_days(context, asset, "accounted_for", by_day, blocking=False)
        yield result(asset, "accounted_for", agrees(unaccounted, unasked))
        rows, bearable = known.ledger, titan10.settings.checks.unexplained_share
        explained = {day: is_explained([r for r in rows.values() if r.slice.day == day], bearable) for day in days}
        report_days(context, asset, "explained", explained, blocking=False)
        yield result(asset, "explained", is_explained(list(rows.values()), bearable))
        distances, most = price_distances(titan10, exchange, days), titan10.settings.checks.stray_share
        near = {day: is_near({day: found}, most) for day, found in distances.items()}
        report_days(context, asset, "near_others", near, blocking=False)
        yield result(asset, "near_others", is_near(distances, most))

    return check_ohlcv


def _on(day: date, unaccounted: Sequence[Unaccounted]) -> list[Unaccounted]:
    return [one for one in unaccounted if one.slice.day == day]


def agrees(unaccounted: Sequence[Unaccounted], unasked: Sequence[Slice] = ()) -> Finding:
    """Whether nothing is unaccounted for; the table tells which slices are, and what each side counts.

    An ERROR where the tables contradict each other, a warning where slices were never asked for.
    """
    sentence = (
        f"{len(unaccounted)} slices do not add up; {len(unasked)} were never asked for."
        if unaccounted or unasked
        else "Every candle is accounted for."
    )
    rows = tuple(
        {
            "day": str(one.slice.day),
            "symbol": one.slice.series.symbol,
            "expected": one.expected,
            "present": one.present,
            "stored": one.stored,
            "in_gaps": one.in_gaps,
        }
        for one in unaccounted
    )
    return Finding(not unaccounted and not unasked, sentence, rows, ERROR if unaccounted else WARN)


def is_near(distances: Mapping[date, Sequence[Distance]], most: float) -> Finding:
    """Whether no symbol of the days has more than the share `most` of its minutes far from the others' median."""
    rows = tuple(
        {
            "day": str(day),
            "symbol": one.symbol,
            "strayed": one.deviating,
            "of": one.compared,
            "typical_bp": round(one.typical, 1),
            "largest_bp": round(one.largest, 1),
        }
        for day, found in distances.items()
        for one in over_deviation_limit(found, most)
    )
    compared = sum(len(comparable(found)) for found in distances.values())
    if rows:
        sentence = f"{len(rows)} of {compared} slices stray from the other exchanges."
    else:
        sentence = f"{compared} slices are near the other exchanges." if compared else NOTHING_TO_COMPARE
    mostly = any(over_deviation_limit(found, SYSTEMIC_SHARE) for found in distances.values())
    return Finding(not rows, sentence, rows, ERROR if rows and mostly else WARN, {"compared": compared})


def is_explained(rows: Sequence[LedgerRow], bearable: float) -> Finding:
    """Whether no slice misses a larger share than `bearable` without a final reason: unknown, or in quarantine.

    An ERROR, whatever the age of the gap. Right after a first fetch nobody can tell the minutes in which a quiet pair
    was not traded from those that an answer lost: its day fails until the second look settles it, in the run of the
    gap sensor, which executes this check again. What the ledger does not know is told by `accounted_for`.
    """
    found = tuple(
        {
            "day": str(row.slice.day),
            "symbol": row.slice.series.symbol,
            "unexplained": row.unexplained,
            "of": row.expected,
            "share": f"{row.unexplained / row.expected:.1%}",
            **{reason.value: row.missing.get(reason, 0) for reason, facts in REASONS.items() if not facts.settled},
        }
        for row in rows
        if row.unexplained > bearable * row.expected
    )
    sentence = (
        f"Of {len(found)} slices more than {bearable:.0%} is missing without a final reason."
        if found
        else f"Of no slice more than {bearable:.0%} is missing without a final reason."
    )
    return Finding(not found, sentence, found, ERROR)


def of_run(check: CandleCheck, inspected: Sequence[SliceInspected]) -> Finding:
    """The finding for a whole run, an ERROR only where it is systemic, so that one bad slice stops no other."""
    finding = check.look(inspected)
    if not check.blocking:
        return finding
    if not is_systemic(inspected, RULES_OF[check.name]):
        return replace(finding, severity=WARN)
    advice = (
        f"{finding.sentence} Most slices are broken: the exchange may have changed its format. Nothing was stored. "
        "Look at the table, then launch the partitions again with `refresh: true` in the run's config."
    )
    return replace(finding, sentence=advice, severity=ERROR)


def report_days(
    context: dg.AssetCheckExecutionContext,
    asset: dg.AssetKey,
    name: str,
    by_day: Mapping[date, Finding],
    *,
    blocking: bool,
) -> None:
    """Each day's own result, in place of the planned one; a run of one partition needs none, its result has it."""
    if PARTITION in context.run.tags:
        return
    targets = latest_materializations(context.instance, asset, [day.isoformat() for day in by_day])
    for day, finding in by_day.items():
        evaluation = dg.AssetCheckEvaluation(
            asset_key=asset,
            check_name=name,
            passed=finding.passed,
            severity=finding.severity,
            description=finding.sentence,
            metadata=dg.AssetCheckResult(passed=finding.passed, metadata=finding.metadata()).metadata,
            blocking=blocking,
            partition=day.isoformat(),
            target_materialization_data=targets.get(day.isoformat()),
        )
        report_evaluation(context, evaluation)


def result(asset: dg.AssetKey, name: str, finding: Finding) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=name,
        passed=finding.passed,
        severity=finding.severity,
        description=finding.sentence,
        metadata=finding.metadata(),
    )
