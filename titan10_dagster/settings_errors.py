"""Messages for invalid settings. Each message has the key, the fault and the correction."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

# Messages by the type of a pydantic error. Values such as {gt} are filled in from the error's context.
_SENTENCES = {
    "missing": "is required",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "date_from_datetime_inexact": "must be a date, such as 2024-01-31",
    "date_from_datetime_parsing": "must be a date, such as 2024-01-31",
    "date_parsing": "must be a date, such as 2024-01-31",
    "date_type": "must be a date, such as 2024-01-31",
    "dict_type": "must be a section of keys and values",
    "enum": "must be {expected}",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number with fewer digits",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "model_type": "must be a section of keys and values",
    "path_type": "must be the path of a folder",
    "string_type": "must be a text in quotes",
    "time_parsing": "must be a time of day, such as 06:00:00",
    "time_type": "must be a time of day, such as 06:00:00",
    "too_short": "must not be empty",
    "tuple_type": 'must be a list, such as ["A", "B"]',
}


def unknown_name(where: str, name: str, known: Iterable[str], sentence: str) -> str:
    """Return a sentence with the known names that are similar to `name`, or with all known names if none is similar."""
    allowed = sorted(known)
    folded = get_close_matches(name.casefold(), {known_name.casefold() for known_name in allowed}, n=3)
    close = [known_name for match in folded for known_name in allowed if known_name.casefold() == match]
    if close:
        hint = f"did you mean {' or '.join(close)}?"
    elif allowed:
        hint = f"allowed are {', '.join(allowed)}."
    else:
        hint = "there are no names to choose from."
    return f"{where or repr(where)}: {sentence}; {hint}"


def sentences(error: ValidationError, settings: type[BaseModel], prefix: str) -> str:
    """Return a text with one line for each fault. `prefix`: the prefix of the environment variables."""
    faults = error.errors(include_url=False, include_input=False)
    return "\n".join(_sentence(fault, settings, prefix) for fault in faults)


def _sentence(fault: Mapping[str, Any], settings: type[BaseModel], prefix: str) -> str:
    path = [str(part) for part in fault["loc"]]
    key = ".".join(path)
    variable = prefix + "__".join(path).upper()
    where = f"{key} (set by {variable})" if variable in os.environ else key
    if fault["type"] == "extra_forbidden":
        section = _section(settings, path[:-1])
        return unknown_name(where, path[-1], section.model_fields, "there is no such setting")
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] in _SENTENCES:
        message = _SENTENCES[fault["type"]].format_map(fault.get("ctx", {}))
    return message if message.startswith(key) else f"{where}: {message}"


def _section(settings: type[BaseModel], path: Iterable[str]) -> type[BaseModel]:
    """Return the model of the section at `path`. The path may contain names that the user chose."""
    section = settings
    model: Any = settings
    for part in path:
        # A dict of sections, such as `exchanges`, is not a model. The next part of the path is then a key that the user
        # chose, and the type of its section is the last argument of the dict's type.
        model = section.model_fields[part].annotation if model is section else get_args(model)[-1]
        if isinstance(model, type) and issubclass(model, BaseModel):
            section = model
    return section


def unreadable_variable(message: str, prefix: str) -> str:
    """Return a message for a section with a variable that is not valid JSON.

    The message of pydantic-settings contains only the section. This message also contains the section's variables.
    """
    section = message.split('"')[1]
    whole = f"{prefix}{section.upper()}"
    variables = [name for name in sorted(os.environ) if name.startswith(whole)]
    if whole in variables:
        return f"{whole} is a section. Set a single value, as in {whole}__<KEY>, or write the section as JSON."
    names = " or ".join(variables) or f"A variable of {section} in .env"
    example = f"""{prefix}SELECTION__SYMBOLS='{{"BTC/USD": ["kraken"]}}'"""
    return f"{names} is not valid JSON; write it as in {example}."
