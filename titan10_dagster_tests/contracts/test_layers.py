"""Imports run in one direction, from the use cases down to the candles. The contracts are in pyproject.toml."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from titan10_dagster_tests.contracts.sources import PACKAGE, ROOT, modules, text


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter over the package below `root`."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    environment = {**os.environ, "PYTHONPATH": str(root), "COLUMNS": "200"}
    return subprocess.run(
        [*command, "--no-cache"], cwd=root, env=environment, capture_output=True, text=True, check=False
    )


def test_the_imports_keep_all_contracts() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_an_import_against_the_direction_is_found(tmp_path: Path) -> None:
    """This shows that the contracts can fail.

    A module of `candles` that imports the store breaks the layers and the rule for the database.
    """
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / PACKAGE.name / "candles" / "intruder.py").write_text("import titan10_dagster.store.database\n")
    result = lint(tmp_path)
    assert result.returncode == 1
    assert "titan10_dagster.candles.intruder" in result.stdout


def test_packages_are_empty() -> None:
    """Each symbol has one import path, so no package re-exports anything."""
    for path in sorted(PACKAGE.rglob("__init__.py")):
        assert path.read_text() == "", f"{path}: move the code to a module"


def test_only_one_folder_uses_the_private_api_of_dagster() -> None:
    """So a new version of Dagster can break only this folder, and canary tests check each use in this folder."""
    private = re.compile(
        r"^\s*(?:from|import) (?:dagster\w*\.)+_\w+|^\s*from dagster\w*(?:\.\w+)* import _", re.MULTILINE
    )
    for module in modules():
        if not module.startswith("dagster_internals/"):
            assert not private.search(text(module)), f"{module}: move it to dagster_internals"
