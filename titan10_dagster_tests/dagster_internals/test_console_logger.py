"""Log messages of runs and sensors go to the given handler, at the level of the root logger."""

# `from __future__ import annotations` must not be used here: Dagster reads the annotations of contexts.

import logging
from collections.abc import Iterator

import dagster as dg
import pytest

from titan10_dagster.dagster_internals.console_logger import CALLERS, send_console_logs_to


class Records(logging.Handler):
    """A handler that keeps the records that it receives."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@pytest.fixture
def records() -> Iterator[Records]:
    """A handler to which Dagster's console loggers write until the test ends."""
    originals = [caller.create_console_logger for caller in CALLERS]
    handlers, level = list(logging.getLogger("dagster").handlers), logging.getLogger().level
    logging.getLogger().setLevel(logging.INFO)
    records = Records()
    send_console_logs_to(records)
    yield records
    for caller, original in zip(CALLERS, originals, strict=True):
        caller.create_console_logger = original
    logging.getLogger("dagster").handlers[:] = handlers
    logging.getLogger().setLevel(level)


@dg.op
def speaking(context: dg.OpExecutionContext) -> None:
    context.log.debug("a detail")
    context.log.warning("a warning")


@dg.job
def job() -> None:
    speaking()


def test_the_logs_of_a_run_go_to_the_handler(records: Records) -> None:
    assert job.execute_in_process(instance=dg.DagsterInstance.ephemeral()).success
    assert any("a warning" in text for text in records.texts)
    assert not any("a detail" in text for text in records.texts)


@pytest.mark.parametrize("level", ["info", "INFO", logging.INFO])
def test_sensors_and_schedules_get_a_logger_of_the_same_handler(records: Records, level: str | int) -> None:
    for caller in CALLERS:
        logger = caller.create_console_logger("a sensor", level)
        assert logger.level == logging.INFO
        logger.info("a tick")
    assert records.texts == ["a tick", "a tick"]
