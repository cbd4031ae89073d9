"""Creates the metadata that the UI shows for a partition."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

import dagster as dg

from titan10_dagster.candles.daily import DayFetched, by_day_fetched
from titan10_dagster.candles.slices import Slice, SliceState
from titan10_dagster.ingest.fetch import Fetch
from titan10_dagster.planning.forecast import result_sentence
from titan10_dagster.planning.resume import FetchPlan
from titan10_dagster.store.ledger import LedgerRow
from titan10_dagster.store.writer import SliceResult, WriteReport

Metadata = Mapping[str, Any]
FAILURES = "failures"  # metadata key of the failed symbols, each with its error
# Largest number of rows in a table. A run of a month with 20 symbols has 600 slices. A table with a row for each slice
# would be too large for one event of Dagster.
MOST_ROWS = 200
OfSlice = TypeVar("OfSlice", SliceResult, LedgerRow)


def candles_metadata(plan: FetchPlan, fetch: Fetch, *, forecast: str, alternative: str) -> dict[str, Metadata]:
    """Return metadata about the fetch of a run, by partition key.

    `forecast`: the forecast for the whole run. All partitions get the same text.
    `alternative`: a text about another way to get days that the exchange no longer serves.
    """
    fetched = by_day_fetched(fetch.landed)
    groups = {
        "settled_before": _count_by_day(plan.settled),
        "landed_before": _count_by_day(plan.landed),
        "before_start": _count_by_day(plan.before_start),
    }
    slices = [*plan.fetch, *plan.settled, *plan.landed, *plan.before_start]
    result = result_sentence(fetch.spent, sum(rows for _, rows in fetch.landed.values()))
    by_key: dict[str, Metadata] = {}
    for day in sorted({slice_.day for slice_ in slices}):
        found: dict[str, Any] = {
            **_failures_on(day, plan, fetch),
            **_fetched(fetched.get(day, DayFetched()), alternative),
        }
        for name, counts in groups.items():
            if counts[day]:
                found[f"slices_{name}"] = counts[day]
        if plan.fetch:
            found |= {"run_forecast": forecast, "run_result": result}
        by_key[day.isoformat()] = found
    return by_key


def _failures_on(day: date, plan: FetchPlan, fetch: Fetch) -> Metadata:
    """Return metadata about the failed symbols of a day, each with its error."""
    symbols = [slice_.series.symbol for slice_ in plan.fetch if slice_.day == day]
    errors = {symbol: str(fetch.failed[symbol]) for symbol in symbols if symbol in fetch.failed}
    return {"failed_symbols": list(errors), FAILURES: errors} if errors else {}


def stored_metadata(days: Iterable[date], report: WriteReport, rows: Iterable[LedgerRow]) -> dict[date, Metadata]:
    """Return metadata about the written candles and the ledger rows of each UTC day."""
    written, known = _by_day(report.by_slice.values()), _by_day(rows)
    return {day: {**_written(written[day]), **_known(known[day])} for day in days}


def _written(results: Sequence[SliceResult]) -> Metadata:
    counts: dict[str, Any] = {"slices_written": len(results)}
    for name in ("inserted", "restated", "unchanged"):
        counts[name] = sum(getattr(result, name) for result in results)
    return counts


def _known(rows: Sequence[LedgerRow]) -> Metadata:
    missing: Counter[str] = Counter()
    for row in rows:
        missing.update({f"missing_{reason}": count for reason, count in row.missing.items() if count})
    return {
        "expected": sum(row.expected for row in rows),
        "rows": sum(row.present for row in rows),
        "missing": sum(missing.values()),
        **dict(sorted(missing.items())),
        "quarantined": sum(row.quarantined for row in rows),
        **({"slices_not_settled": open_} if (open_ := sum(row.state != SliceState.SETTLED for row in rows)) else {}),
    }


def _by_day(items: Iterable[OfSlice]) -> defaultdict[date, list[OfSlice]]:
    days: defaultdict[date, list[OfSlice]] = defaultdict(list)
    for item in items:
        days[item.slice.day].append(item)
    return days


def _fetched(day: DayFetched, alternative: str) -> Metadata:
    return {
        "slices_fetched": day.slices,
        "rows": day.rows,
        "expected": day.expected,
        "missing": day.expected - min(day.rows, day.expected),
        "requests": day.requests,
        "retries": day.retries,
        "seconds": round(day.seconds, 3),
        "candles_per_second": round(day.candles_per_second),
        "slices_by_source": {source.value: slices for source, slices in day.sources.items()},
        **({"files": day.files} if day.files else {}),
        **({"beyond_horizon": list(day.beyond_horizon), "instead": alternative} if day.beyond_horizon else {}),
    }


def _count_by_day(slices: Iterable[Slice]) -> Counter[date]:
    return Counter(slice_.day for slice_ in slices)


def table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Return the first `MOST_ROWS` rows as a table of the UI. All rows must have the same keys."""
    columns = [dg.TableColumn(name, _type(value)) for name, value in (rows[0] if rows else {}).items()]
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows[:MOST_ROWS]], dg.TableSchema(columns))


def _type(value: Any) -> str:
    return {int: "int", float: "float", bool: "bool"}.get(type(value), "string")
