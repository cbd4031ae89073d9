"""The checks of dagster.yaml and workspace.yaml: each fault is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from titan10_dagster.dagster_internals.configuration import fault_of_instance, fault_of_workspace
from titan10_dagster_tests.instances import ROOT

INSTANCE = (ROOT / "dagster.yaml").read_text()
WORKSPACE = (ROOT / "workspace.yaml").read_text()
UNFINISHED = "x: [\n"

FAULTS = {
    f"{INSTANCE}\nbogus: 1\n": 'there is no key "bogus" at the root',
    INSTANCE.replace("dequeue_interval_seconds", "dequeue_interval_secs"): (
        'there is no key "dequeue_interval_secs" at path root:run_queue; did you mean dequeue_interval_seconds?'
    ),
    INSTANCE.replace("poll_interval_seconds: 5", "poll_interval_seconds: five"): (
        "root:run_monitoring:poll_interval_seconds"
    ),
    INSTANCE.replace("granularity: op", "granularity: opp"): "Expected value 'run' or 'op'",
    INSTANCE.replace("config: {}", "config: {bogus: 1}"): 'there is no key "bogus" at the root',
    INSTANCE.replace("dagster_internals.storage", "no_module"): "No module named 'titan10_dagster.no_module'",
    INSTANCE.replace("class: PooledPostgresStorage", "class: Missing"): "has no attribute 'Missing'",
    f"{INSTANCE}\nrun_coordinator: {{module: a, class: b}}\n": "incompatible with `run_coordinator`",
    INSTANCE + UNFINISHED: f"it is not valid YAML: line {len(INSTANCE.splitlines()) + 2}: expected the node content",
    "a:\n\tb: 1\n": "it is not valid YAML: line 2: found character '\\t'",
    "- a\n": "it must have keys and values",
    "storage:\n": "NoneType",
}


@pytest.mark.parametrize(("text", "sentence"), FAULTS.items(), ids=FAULTS.values())
def test_a_wrong_instance_file_gets_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "dagster.yaml"
    file.write_text(text)
    fault = fault_of_instance(file)
    assert sentence in fault
    assert "\n" not in fault
    assert len(fault) < 250


def test_files_that_dagster_can_use_have_no_fault(tmp_path: Path) -> None:
    assert fault_of_instance(ROOT / "dagster.yaml") == ""
    assert fault_of_workspace(ROOT / "workspace.yaml") == ""
    empty = tmp_path / "dagster.yaml"
    empty.touch()
    assert fault_of_instance(empty) == ""


def test_a_file_that_is_not_text_or_is_missing_has_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "dagster.yaml"
    assert "No such file" in fault_of_instance(file)
    file.write_bytes(b"\xff\xfe")
    assert "can't decode byte" in fault_of_instance(file)


def test_a_wrong_workspace_file_gets_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "workspace.yaml"
    file.write_text(WORKSPACE.replace("module_name", "modul_name"))
    assert 'there is no key "modul_name" at path root:load_from[0]:python_module' in fault_of_workspace(file)
    assert "did you mean module_name?" in fault_of_workspace(file)
    file.write_text(UNFINISHED)
    assert fault_of_workspace(file).startswith("it is not valid YAML: line 2")
