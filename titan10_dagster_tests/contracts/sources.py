"""The parsed source files of the package, for the contracts in this folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "titan10_dagster"
TESTS = ROOT / "titan10_dagster_tests"


@cache
def modules() -> tuple[str, ...]:
    """Return every module of the package with code, as a path below the package, such as `store/writer.py`."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name != "__init__.py":
            found.append(path.relative_to(PACKAGE).as_posix())
    return tuple(found)


@cache
def text(module: str) -> str:
    """Return the source text of a module."""
    return (PACKAGE / module).read_text(encoding="utf-8")


@cache
def tree(module: str) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(text(module))


def lines(module: str) -> int:
    """Return the number of lines of a module."""
    return text(module).count("\n")


def classes(module: str) -> Iterator[tuple[str, int]]:
    """Return the name and the number of methods of each class of a module."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ClassDef):
            methods = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
            yield node.name, len(methods)


def loop_variables(module: str) -> Iterator[str]:
    """Return the names of the loop variables in `for` statements and comprehensions of a module."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            for target in ast.walk(node.target):
                if isinstance(target, ast.Name):
                    yield target.id


def comprehensions(module: str) -> int:
    """Return the number of comprehensions and generator expressions in a module."""
    kinds = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    return sum(isinstance(node, kinds) for node in ast.walk(tree(module)))
