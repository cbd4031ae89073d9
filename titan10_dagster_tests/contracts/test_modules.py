"""Every module has a test file, or a reason why another file tests the module.

Fixtures and helpers are in the right files.
"""

from __future__ import annotations

import ast

from titan10_dagster_tests.contracts.sources import TESTS, modules

# The modules without a test file of their own, each with the reason.
TESTED_ELSEWHERE: dict[str, str] = {
    "definitions.py": "three statements that compose; every e2e test loads it through workspace.yaml",
    "errors.py": "classes without code; the tests of each layer raise and catch them",
}

# Folders of declarative records. One file tests all records of a folder in the same way.
TESTED_TOGETHER = {
    "exchanges/venues/": "exchanges/venues/test_registry.py",
    "sandbox/venues/": "sandbox/test_venues.py",
}


def test_file(module: str) -> str:
    """Return the path of a module's tests: `store/writer.py` has `store/test_writer.py`."""
    folder, _, name = module.rpartition("/")
    return f"{folder}/test_{name}" if folder else f"test_{name}"


test_file.__test__ = False  # type: ignore[attr-defined]


def test_every_module_has_a_test_file() -> None:
    missing = []
    for module in modules():
        is_exempt = module in TESTED_ELSEWHERE or module.startswith(tuple(TESTED_TOGETHER))
        if not is_exempt and not (TESTS / test_file(module)).is_file():
            missing.append(test_file(module))
    assert missing == [], "Write these test files."


def test_the_exceptions_are_about_modules_that_exist() -> None:
    assert TESTED_ELSEWHERE.keys() - set(modules()) == set()
    assert all(reason.strip() for reason in TESTED_ELSEWHERE.values())


def test_conftest_holds_fixtures_only() -> None:
    """Tests import helpers from modules. A conftest.py defines fixtures, imports them, or registers settings."""
    for path in sorted(TESTS.rglob("conftest.py")):
        for node in ast.parse(path.read_text()).body:
            assert not isinstance(node, ast.ClassDef), f"{path}: move class {node.name} to a module"
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                decorators = " ".join(map(ast.unparse, node.decorator_list))
                is_hook = node.name.startswith("pytest_")
                assert is_hook or "fixture" in decorators, f"{path}: move {node.name} to a module"


def test_no_test_imports_a_conftest() -> None:
    for path in sorted(TESTS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            imported = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            assert not imported.endswith("conftest"), f"{path} imports {imported}"
