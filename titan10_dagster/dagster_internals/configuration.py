"""Checks dagster.yaml and workspace.yaml before Dagster reads these files.

Dagster reports a misspelled key with a stack trace in each of its processes. This module reports such a mistake in
one sentence.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from dagster._config import resolve_to_config_type, validate_config
from dagster._core.errors import DagsterInvalidConfigError
from dagster._core.instance.ref import InstanceRef
from dagster._core.workspace.config_schema import ensure_workspace_config
from dagster._serdes import ConfigurableClassData

_NAME = re.compile(r"unexpected config entry \"(.+?)\"")
_KNOWN = re.compile(r"(\w+)\??: ")  # a key in Dagster's description of the expected keys
_KEYS = 60  # a message shows at most this many characters of Dagster's list of keys


def fault_of_instance(file: Path) -> str:
    """Return the mistake in a dagster.yaml, or "" if there is none. The classes named in the file are imported."""
    return _fault(file, lambda _: _load_instance(file))


def fault_of_workspace(file: Path) -> str:
    """Return the mistake in a workspace.yaml, or "" if there is none. The code locations are not loaded."""
    return _fault(file, lambda content: ensure_workspace_config(content, str(file)))


def _fault(file: Path, check: Callable[[Mapping[str, object]], object]) -> str:
    try:
        content = yaml.safe_load(file.read_text())
        if content is not None and not isinstance(content, dict):
            return "it must have keys and values"
        check(content or {})
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        return f"it is not valid YAML: {line}{error.problem}"
    except DagsterInvalidConfigError as error:
        return "; ".join(_sentence(fault.message) for fault in error.errors) or _first_line(error)
    except Exception as error:  # noqa: BLE001  # Dagster's reader raises errors of any type if a file is wrong
        return _first_line(error)
    return ""


def _load_instance(file: Path) -> None:
    """Check the file as Dagster does when it opens the instance. The instance is not created."""
    reference = InstanceRef.from_dir(str(file.parent), config_filename=file.name)
    for value in reference._asdict().values():
        if isinstance(value, ConfigurableClassData):
            _check_class(value)


def _check_class(data: ConfigurableClassData) -> None:
    named: Any = getattr(importlib.import_module(data.module_name), data.class_name)
    # Environment variables named in the file are not read, because Titan-10 sets some of these variables later.
    result = validate_config(resolve_to_config_type(named.config_type()), data.config_dict)
    if not result.success:
        raise DagsterInvalidConfigError("a wrong config", result.errors, data.config_dict)  # type: ignore[no-untyped-call]


def _sentence(message: str) -> str:
    """Return Dagster's message in one sentence.

    Dagster's message lists all possible keys. If the message is about an unknown key, the most similar key replaces the
    list. If no key is similar, the list is left out.
    """
    stated, _, expected = message.partition(" Expected: ")
    stated = stated.rstrip(".").replace("Received unexpected config entry", "there is no key")
    misspelled = _NAME.search(message)
    if misspelled is None:
        return f"{stated}. Expected: {expected[:_KEYS]}".removesuffix(". Expected: ")
    near = get_close_matches(misspelled[1], set(_KNOWN.findall(expected)), n=1)
    return f"{stated}; did you mean {near[0]}?" if near else stated


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].removeprefix("Failure condition: ")
