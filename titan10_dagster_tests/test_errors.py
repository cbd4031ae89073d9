from __future__ import annotations

import inspect
import re
from datetime import UTC, datetime, timedelta

import pytest

from titan10_dagster import errors

CLASSES = {
    name: class_
    for name, class_ in vars(errors).items()
    if inspect.isclass(class_) and issubclass(class_, errors.Titan10Error)
}


def drawn_tree() -> dict[str, str]:
    """Return each class of the tree in the module's docstring, with its parent."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        name = re.match(r"([│├└─ ]*)([A-Z]\w+(?:Error|\b))(?=  |$)", line)
        if name is None:
            continue
        depth = len(name[1]) // 4
        path[depth:] = [name[2]]
        if depth:
            parents[name[2]] = path[depth - 1]
    return parents


def test_promises_to_repeat_a_request_are_removed() -> None:
    for promise in errors.PROMISES:
        assert errors.without_promises(f"x: down.{promise} Look it up.") == "x: down. Look it up."


def test_the_docstring_draws_the_tree_of_all_errors() -> None:
    public = {name: class_ for name, class_ in CLASSES.items() if not name.startswith("_")}
    assert set(drawn_tree()) | {"Titan10Error"} == set(public)
    for name, parent in drawn_tree().items():
        assert issubclass(public[name], public[parent]), f"{name} is not a {parent}"


def test_a_fetch_error_keeps_exchange_symbol_and_status() -> None:
    error = errors.TransientError("no answer", exchange="okx", symbol="BTC/USDT", status=500)
    assert (str(error), error.exchange, error.symbol, error.status) == ("no answer", "okx", "BTC/USDT", 500)


def test_errors_that_name_a_time_keep_it() -> None:
    until = datetime(2024, 6, 1, tzinfo=UTC)
    assert errors.Banned("banned", exchange="okx", until=until).until == until
    assert errors.BreakerOpen("open", exchange="okx", until=until).until == until
    assert errors.Throttled("slow", exchange="okx", retry_after=timedelta(1)).retry_after == timedelta(1)


@pytest.mark.parametrize("name", ["MalformedAnswer", "Maintenance"])
def test_what_passes_by_itself_is_a_transient_error(name: str) -> None:
    assert issubclass(CLASSES[name], errors.TransientError)


@pytest.mark.parametrize("name", ["Throttled", "Banned", "Refused", "UnknownSymbol", "BreakerOpen", "Postponed"])
def test_what_must_not_simply_be_repeated_is_no_transient_error(name: str) -> None:
    assert not issubclass(CLASSES[name], errors.TransientError)
