"""Redirects Dagster's console loggers, which write the log messages of runs, sensors and schedules to standard error.

Dagster's public way to replace the console logger of a run is the run's config, but the runs of a backfill have none.
Therefore this module replaces the function that creates the logger, in the two modules that use this function.
"""

from __future__ import annotations

import logging
from typing import Any

from dagster import _loggers
from dagster._core.definitions import instigation_logger

# The modules that call `create_console_logger`. The first is for runs, the second for sensors and schedules.
CALLERS: tuple[Any, ...] = (_loggers, instigation_logger)


def send_console_logs_to(handler: logging.Handler) -> None:
    """Let all of Dagster's console loggers in this process write to `handler`."""

    def create_console_logger(name: str, level: str | int) -> logging.Logger:
        number = level if isinstance(level, int) else logging.getLevelNamesMapping()[level.upper()]
        logger = logging.getLoggerClass()(name, level=max(number, logging.getLogger().level))
        logger.addHandler(handler)
        return logger

    for module in CALLERS:
        module.create_console_logger = create_console_logger
    logging.getLogger("dagster").handlers.clear()
