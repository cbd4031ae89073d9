"""The terminal shows the reasons of waits."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path

import pytest

from titan10_dagster.local import waiting
from titan10_dagster.local.waiting import LOGGERS, waits_shown


def test_the_first_reason_is_shown_at_once_and_the_next_ones_later(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    with waits_shown(shown.append):
        for number in range(3):
            logging.getLogger(LOGGERS[0]).warning("the disk is full (%d)", number)
        assert shown == ["Waiting: the disk is full (0)."]
        monkeypatch.setattr(waiting, "QUIET_SECONDS", 0)
    with waits_shown(shown.append):
        for name in LOGGERS:
            logging.getLogger(name).warning("the server is away")
    assert shown[1:] == ["Waiting: the server is away."] * len(LOGGERS)


def test_other_messages_and_messages_afterwards_are_not_shown() -> None:
    shown: list[str] = []
    with waits_shown(shown.append):
        logging.getLogger("titan10_dagster.ingest.store").warning("another matter")
        logging.getLogger(LOGGERS[0]).info("nothing to wait for")
    logging.getLogger(LOGGERS[0]).warning("too late")
    assert shown == []


@pytest.mark.parametrize("name", LOGGERS)
def test_each_logger_is_a_module_that_logs_a_warning(name: str) -> None:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert "log.warning(" in Path(spec.origin).read_text()
