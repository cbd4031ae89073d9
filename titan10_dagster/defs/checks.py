"""The asset checks of `<exchange>/candles` (fetched candles) and `<exchange>/ohlcv` (stored candles).

The module `ingest.findings` decides the result of a check. This module contains names and descriptions, and passes the
results to Dagster. A run can cover many days, but Dagster keeps only one result for each check and run. Therefore the
result of each day is reported too, so that the UI shows a status for every partition (dagster issues 17005, 32894).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Any

import dagster as dg

from titan10_dagster.candles.deviation import EVERY_MINUTES
from titan10_dagster.candles.inspection import SliceInspected
from titan10_dagster.candles.rules import RULES, Concern
from titan10_dagster.dagster_internals.check_results import latest_materializations, report_evaluation
from titan10_dagster.defs.metadata import MOST_ROWS, table
from titan10_dagster.defs.partitions import PARTITION, to_days
from titan10_dagster.defs.requests import symbols_of_run
from titan10_dagster.defs.step_errors import retried_or_failed
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import read_ledger
from titan10_dagster.ingest.findings import (
    Finding,
    Severity,
    is_accounted_for,
    is_complete,
    is_explained,
    is_near,
    is_same_series,
    keeps_rules,
    of_run,
)
from titan10_dagster.ingest.inspection import inspect_slices, price_distances, series_events, unaccounted_slices

# If a run has these tags, the daemon executes its failed steps again, up to three times. See run_retries in
# dagster.yaml.
EXECUTED_AGAIN = {"dagster/retry_on_asset_or_op_failure": "true", "dagster/max_retries": "3"}
SEVERITIES = {Severity.WARN: dg.AssetCheckSeverity.WARN, Severity.ERROR: dg.AssetCheckSeverity.ERROR}


@dataclass(frozen=True)
class CandleCheck:
    """A check of the landed slices.

    `find`: a function that returns the finding for the given slices (of one day, or of a whole run).
    `concern`: the subject of the checked rules (the values or the time of a candle), or None if the check is not about
        rules.
    """

    name: str
    description: str
    find: Callable[[Sequence[SliceInspected]], Finding]
    concern: Concern | None = None

    def of_run(self, slices: Sequence[SliceInspected]) -> Finding:
        """Return the finding for all slices of a run."""
        finding = self.find(slices)
        return finding if self.concern is None else of_run(finding, self.concern, slices)


def rule_sentences(concern: Concern) -> str:
    """Return a text with the sentences of all rules of one concern (the values or the time of a candle)."""
    return " ".join(rule.sentence for rule in RULES if rule.concern is concern)


def _rule_check(name: str, concern: Concern) -> CandleCheck:
    """Return the check for all rules of one concern (the values or the time of a candle).

    The description of the check contains the sentences of these rules.
    """
    return CandleCheck(
        name,
        f"{rule_sentences(concern)} Rows that break a rule are kept in the table `quarantine`. All valid rows are "
        "stored. Warns about a few broken rows. It is an error if both limits are exceeded for a symbol's day: the "
        "number of broken rows is above `checks.broken_rows`, and the share of broken rows is above "
        "`checks.broken_share`.",
        lambda slices: keeps_rules(concern, slices),
        concern,
    )


CANDLE_CHECKS = (
    _rule_check("valid", Concern.VALUE),
    _rule_check("on_grid", Concern.TIME),
    CandleCheck("complete", "Warns if candles are missing. The table `gaps` has the reasons.", is_complete),
)

STORE_CHECKS = {
    "accounted_for": "Fails if a candle of the day is neither stored nor in a gap that has a reason, or if ledger, "
    "candles and gaps do not agree.",
    "explained": "Fails if more than the share `checks.unexplained_share` of a symbol's day is missing without a final "
    "reason. A thinly traded pair fails at first, and passes after the second fetch, six or more hours later.",
    "near_others": "Compares the exchange's closes with the median close of all exchanges that have stored the symbol "
    f"so far. One minute in {EVERY_MINUTES} is compared, if at least three exchanges have a candle with volume in this "
    "minute. Warns if too many closes are far from the median. It is an error if most closes are far from the median. "
    "To repeat the check after other exchanges have stored the day, materialize the day of `ohlcv` again. Settled days "
    "cost no request.",
    "same_series": "Fails if the day's candles belong to a different market than before, if the unit of the prices "
    "changed, or if the exchange rewrote most of a symbol's day. The table `series_events` has the values.",
}


def candle_checks(exchange: str, partitions: dg.PartitionsDefinition[str]) -> dg.AssetChecksDefinition:
    """Return the checks of `<exchange>/candles`, which run in one step.

    If the same run has already checked a file against the candle rules, the cached result is used (see
    `ingest.judge`).
    """
    asset = dg.AssetKey([exchange, "candles"])
    descriptions = {check.name: check.description for check in CANDLE_CHECKS}

    @dg.multi_asset_check(name=f"{exchange}__check_candles", specs=_specs(asset, descriptions, partitions))
    def check_candles(
        context: dg.AssetCheckExecutionContext, titan10: dg.ResourceParam[IngestContext]
    ) -> Iterator[dg.AssetCheckResult]:
        days = to_days(context.partition_keys)
        with executed_again_if_failed(context), retried_or_failed(exchange, titan10.settings.retries, tries(context)):
            inspected = list(inspect_slices(titan10, titan10.slices(exchange, days)))
        requested = symbols_of_run(context.run, exchange) or titan10.exchange(exchange).symbols
        of_this_run = [slice_ for slice_ in inspected if slice_.slice.series.symbol in requested]
        report = DayReport(context, asset, days)
        for check in CANDLE_CHECKS:
            by_day = {}
            for day in days:
                by_day[day] = check.find([slice_ for slice_ in inspected if slice_.slice.day == day])
            report.add(check.name, by_day)
            yield result(asset, check.name, check.of_run(of_this_run))

    return check_candles


def store_checks(exchange: str, partitions: dg.PartitionsDefinition[str]) -> dg.AssetChecksDefinition:
    """Return the checks of `<exchange>/ohlcv`, which run in one step after the write."""
    asset = dg.AssetKey([exchange, "ohlcv"])

    @dg.multi_asset_check(name=f"{exchange}__check_ohlcv", specs=_specs(asset, STORE_CHECKS, partitions))
    def check_ohlcv(
        context: dg.AssetCheckExecutionContext, titan10: dg.ResourceParam[IngestContext]
    ) -> Iterator[dg.AssetCheckResult]:
        days = to_days(context.partition_keys)
        with executed_again_if_failed(context), retried_or_failed(exchange, titan10.settings.retries, tries(context)):
            findings = list(_stored_findings(titan10, exchange, days))
        report = DayReport(context, asset, days)
        for name, by_day, of_all in findings:
            report.add(name, by_day)
            yield result(asset, name, of_all)

    return check_ohlcv


@contextmanager
def executed_again_if_failed(context: dg.AssetCheckExecutionContext) -> Iterator[None]:
    """If a step of checks fails in all of its tries, let Dagster execute the step again in a new run.

    The candles are already stored, so the repair sensor does not fetch these days again. Without a new run, the checks
    of these days would have no result. Dagster's new run executes only the failed steps.
    """
    try:
        yield
    except dg.Failure:
        context.instance.add_run_tags(context.run.run_id, EXECUTED_AGAIN)
        raise


def tries(context: dg.AssetCheckExecutionContext) -> int:
    """Return the number of earlier attempts at this step."""
    previous: int = context.get_step_execution_context().previous_attempt_count
    return previous


def _stored_findings(
    titan10: IngestContext, exchange: str, days: Sequence[date]
) -> Iterator[tuple[str, dict[date, Finding], Finding]]:
    """Yield the name of each check of stored candles, with the finding for each day and the finding for the run."""
    checks = titan10.settings.checks
    unaccounted = unaccounted_slices(titan10, exchange, days)
    known = read_ledger(titan10, titan10.slices(exchange, days))
    not_requested, rows = known.not_requested(), list(known.ledger.values())
    by_day = {}
    for day in days:
        contradicting = [slice_ for slice_ in unaccounted if slice_.slice.day == day]
        by_day[day] = is_accounted_for(contradicting, [slice_ for slice_ in not_requested if slice_.day == day])
    yield "accounted_for", by_day, is_accounted_for(unaccounted, not_requested)

    most = checks.unexplained_share
    by_day = {}
    for day in days:
        by_day[day] = is_explained([row for row in rows if row.slice.day == day], most)
    yield "explained", by_day, is_explained(rows, most)

    distances = price_distances(titan10, exchange, days)
    by_day = {day: is_near({day: found}, checks.stray_share) for day, found in distances.items()}
    yield "near_others", by_day, is_near(distances, checks.stray_share)

    events = series_events(titan10, exchange, days)
    by_day = {day: is_same_series(events.get(day, ())) for day in days}
    yield "same_series", by_day, is_same_series(list(chain.from_iterable(events.values())))


def _specs(
    asset: dg.AssetKey, descriptions: Mapping[str, str], partitions: dg.PartitionsDefinition[str]
) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(name, asset=asset, description=description, partitions_def=partitions)
        for name, description in descriptions.items()
    ]


class DayReport:
    """Reports a check's result for each day of a run, in addition to the result for the whole run.

    If the run has only one partition, nothing is reported, because the result for the run is also the result for the
    partition.
    """

    def __init__(self, context: dg.AssetCheckExecutionContext, asset: dg.AssetKey, days: Sequence[date]) -> None:
        self._context = context
        self._asset = asset
        self._needed = PARTITION not in context.run.tags
        keys = [day.isoformat() for day in days]
        self._targets = latest_materializations(context.instance, asset, keys) if self._needed else {}

    def add(self, name: str, by_day: Mapping[date, Finding]) -> None:
        """Report the results of one check for each day."""
        if not self._needed:
            return
        for day, finding in by_day.items():
            of_day = result(self._asset, name, finding)
            evaluation = dg.AssetCheckEvaluation(
                asset_key=self._asset,
                check_name=name,
                passed=finding.passed,
                severity=of_day.severity,
                description=finding.sentence,
                metadata=of_day.metadata,
                partition=day.isoformat(),
                target_materialization_data=self._targets.get(day.isoformat()),
            )
            report_evaluation(self._context, evaluation)


def result(asset: dg.AssetKey, name: str, finding: Finding) -> dg.AssetCheckResult:
    """Return the finding as Dagster's result of the check."""
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=name,
        passed=finding.passed,
        severity=SEVERITIES[finding.severity],
        description=finding.sentence,
        metadata=metadata(finding),
    )


def metadata(finding: Finding) -> dict[str, Any]:
    """Return the numbers of a finding, and a table with at most MOST_ROWS of its rows."""
    shown: dict[str, Any] = dict(finding.numbers)
    if len(finding.rows) > MOST_ROWS:
        shown["rows_not_shown"] = len(finding.rows) - MOST_ROWS
    if finding.rows:
        shown["details"] = table(finding.rows)
    return shown
