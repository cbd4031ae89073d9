"""Dagster's console loggers, which write the log messages of runs, sensors and schedules to standard error.

There is no public way to replace the console logger of a run, except in the run's config, which a backfill does not
have. This module therefore replaces the function that creates the logger, in the two modules that use it.
"""

from __future__ import annotations

import logging
from typing import Any

from dagster import _loggers
from dagster._core.definitions import instigation_logger

# The modules that call `create_console_logger`: one for runs, one for sensors and schedules.
CALLERS: tuple[Any, ...] = (_loggers, instigation_logger)


def send_console_logs_to(handler: logging.Handler) -> None:
    """Make all of Dagster's console loggers of this process write to `handler`."""

    def create_console_logger(name: str, level: str | int) -> logging.Logger:
        number = level if isinstance(level, int) else logging.getLevelNamesMapping()[level.upper()]
        logger = logging.getLoggerClass()(name, level=max(number, logging.getLogger().level))
        logger.addHandler(handler)
        return logger

    for module in CALLERS:
        module.create_console_logger = create_console_logger
    logging.getLogger("dagster").handlers.clear()
