"""Sentences for invalid settings: the key, the variable that set it, what is wrong and what to write."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from titan10_dagster.settings_errors import sentences, unknown_name


class Server(BaseModel):
    model_config = ConfigDict(extra="forbid")
    port: int = Field(1, ge=1, le=9)
    name: str = "x"


class Example(BaseModel):
    model_config = ConfigDict(extra="forbid")
    server: Server = Server()
    servers: dict[str, Server] = {}
    enabled: bool = False


def errors_of(values: object) -> list[str]:
    with pytest.raises(ValidationError) as invalid:
        Example.model_validate(values)
    return sentences(invalid.value, Example, "EXAMPLE_").splitlines()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"server": {"port": 0}}, "server.port: must be at least 1"),
        ({"server": {"port": 10}}, "server.port: must be at most 9"),
        ({"server": {"port": "x"}}, "server.port: must be a whole number"),
        ({"server": {"name": 1}}, "server.name: must be a text in quotes"),
        ({"server": 1}, "server: must be a section of keys and values"),
        ({"enabled": "perhaps"}, "enabled: must be true or false"),
        ({"server": {"prot": 1}}, "server.prot: there is no such setting; did you mean port?"),
        ({"servers": {"one": {"prot": 1}}}, "servers.one.prot: there is no such setting; did you mean port?"),
        ({"colour": 1}, "colour: there is no such setting; allowed are enabled, server, servers."),
    ],
)
def test_a_fault_has_one_sentence_with_its_key(values: object, sentence: str) -> None:
    assert errors_of(values) == [sentence]


def test_each_fault_has_a_line() -> None:
    assert len(errors_of({"server": {"port": 0, "name": 1}, "enabled": "perhaps"})) == 3


def test_the_variable_that_set_a_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_SERVER__PORT", "0")
    assert errors_of({"server": {"port": 0}}) == ["server.port (set by EXAMPLE_SERVER__PORT): must be at least 1"]


def test_close_names_are_suggested_and_few_names_are_listed() -> None:
    assert unknown_name("x", "binanse", ["binance", "kraken"], "no") == "x: no; did you mean binance?"
    assert unknown_name("x", "zzz", ["b", "a"], "no") == "x: no; allowed are a, b."
    assert unknown_name("x", "zzz", [], "no") == "x: no; there are no names to choose from."
