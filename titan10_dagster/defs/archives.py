"""The monthly check of an archive. It finds replaced files, and compares a sample of days with REST."""

# `from __future__ import annotations` must not be used here: Dagster reads the annotations of configs and resources.

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from titan10_dagster.defs.assets import OWNERS
from titan10_dagster.defs.metadata import MOST_ROWS, table
from titan10_dagster.defs.schedules import materializing
from titan10_dagster.defs.step_errors import failure
from titan10_dagster.errors import FetchError
from titan10_dagster.ingest.archive import rest_is_a_source
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.reconcile import Reconciliation, reconcile, summary
from titan10_dagster.ingest.replaced_files import FileCheck, check_files, sentence

JOB = "archives"
UNCHANGED, AGREES = "files_unchanged", "agrees_with_rest"
CHECK_AT = "40 4 3 * *"  # on the third of each month; the previous month's daily files are usually published by then
SAMPLE = 20  # number of slices that are compared; each slice takes two or more requests
_DAY = timedelta(days=1)


def archive_key(exchange: str) -> dg.AssetKey:
    return dg.AssetKey([exchange, "archive"])


def archive_asset(exchange: str) -> dg.AssetsDefinition:
    """Return `<exchange>/archive`. One check finds replaced files, and another check compares a sample with REST."""
    key = archive_key(exchange)

    @dg.asset(
        key=key,
        description=f"The candle files of {exchange} from which stored candles were read. If the archive has replaced "
        "a file, the days of this file are read again, and changed values are recorded in `restatements`. For a sample "
        "of days, the candles in the files are compared with REST.",
        kinds={"python", "postgres"},
        group_name=exchange,
        owners=OWNERS,
        pool=exchange,
        check_specs=[
            dg.AssetCheckSpec(
                UNCHANGED,
                asset=key,
                description="Warns if the archive replaced or removed a file after Titan-10 had read the file, or if a "
                "file could not be checked. The days of a replaced file were read again.",
            ),
            dg.AssetCheckSpec(
                AGREES,
                asset=key,
                description="Compares the candles in the archive's files with the candles from REST, for at most "
                f"{SAMPLE} settled slices (a slice is one day of one symbol). Each month the slices are chosen at "
                "random. Warns if values differ. Stored candles do not change. See `titan10 reconcile`.",
            ),
        ],
    )
    def archive(titan10: dg.ResourceParam[IngestContext]) -> Iterator[Any]:
        try:
            files = check_files(titan10, exchange)
            compared = _compare(titan10, exchange)
        except FetchError as error:
            raise failure(exchange, error) from None
        yield dg.MaterializeResult(
            metadata={
                "files_checked": files.checked,
                "files_replaced": len(files.replaced),
                "files_absent": len(files.absent),
                "files_not_checked": len(files.failed),
                "requests": compared.requests if compared else 0,
            }
        )
        yield unchanged_result(exchange, files)
        yield agrees_result(exchange, compared)

    return archive


def _compare(titan10: IngestContext, exchange: str) -> Reconciliation | None:
    """Compare the files with REST for a sample of slices. Return None if REST is not a source in the settings."""
    if not rest_is_a_source(titan10, exchange):
        return None
    now = titan10.now()
    start, yesterday = titan10.exchange(exchange).start, now.date() - _DAY
    return reconcile(titan10, exchange, start, yesterday, share=1, seed=now.year * 12 + now.month, most=SAMPLE)


def unchanged_result(exchange: str, files: FileCheck) -> dg.AssetCheckResult:
    """Return the result of the check for replaced files."""
    sentences = [sentence(exchange, replaced) for replaced in files.replaced]
    sentences += [
        f"{exchange} no longer has the file {url}. The candles of this file stay in the database."
        for url in files.absent
    ]
    sentences += list(files.failed.values())
    shown = sentences[:MOST_ROWS]
    return dg.AssetCheckResult(
        asset_key=archive_key(exchange),
        check_name=UNCHANGED,
        passed=not sentences,
        severity=dg.AssetCheckSeverity.WARN,
        description=shown[0] if shown else f"No file was replaced or removed. Files checked: {files.checked:,}.",
        metadata={"files": table([{"file": text} for text in shown])} if shown else {},
    )


def agrees_result(exchange: str, compared: Reconciliation | None) -> dg.AssetCheckResult:
    """Return the result of the comparison with REST."""
    if compared is None:
        return dg.AssetCheckResult(
            asset_key=archive_key(exchange),
            check_name=AGREES,
            passed=True,
            description=f"Nothing was compared, because exchanges.{exchange}.sources does not contain REST.",
        )
    rows: list[dict[str, str]] = []
    for difference in compared.differences:
        if len(rows) == MOST_ROWS:
            break
        rows.append(
            {
                "series": str(difference.slice.series),
                "minute": f"{difference.time:%Y-%m-%d %H:%M}",
                "column": difference.column,
                "archive": str(difference.archive),
                "rest": str(difference.rest),
            }
        )
    low, high = compared.rate.interval
    return dg.AssetCheckResult(
        asset_key=archive_key(exchange),
        check_name=AGREES,
        passed=not compared.rate.differing,
        severity=dg.AssetCheckSeverity.WARN,
        description=summary(compared),
        metadata={
            "compared_days": compared.rate.days,
            "differing_candles": compared.rate.differing,
            "rate_low": low,
            "rate_high": high,
            **({"differences": table(rows)} if rows else {}),
        },
    )


def archives_schedule(exchanges: tuple[str, ...]) -> dg.ScheduleDefinition:
    """Return the schedule that checks the archives of these exchanges once a month."""
    return materializing(
        *(archive_key(name) for name in exchanges),
        at=CHECK_AT,
        name="check_archives",
        job=JOB,
        description="Finds archive files that were replaced, and reads their days again. For a sample of days, "
        "compares the candles in the files with REST.",
    )
