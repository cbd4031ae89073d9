"""Tests of `dagster_internals/frozen.py`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from titan10_dagster.dagster_internals.code_server import PRELOADED

_COPY = """
import gc, os
import titan10_dagster.candles.rules
before = len(gc.get_objects())
import titan10_dagster.dagster_internals.frozen
copy = os.fork()
if copy == 0:
    print(before, gc.get_freeze_count(), len(gc.get_objects()), flush=True)
    os._exit(0)
os.waitpid(copy, 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="runs are forked on Linux only")
def test_a_copy_of_the_template_process_collects_only_its_own_objects() -> None:
    answer = subprocess.run([sys.executable, "-c", _COPY], capture_output=True, text=True, check=True).stdout
    imported, frozen, collected = map(int, answer.split())
    assert imported > 50_000
    assert frozen > 0.9 * imported
    assert collected < 0.01 * imported


def test_it_is_the_last_module_that_the_template_process_imports() -> None:
    assert PRELOADED[-1] == "titan10_dagster.dagster_internals.frozen"
