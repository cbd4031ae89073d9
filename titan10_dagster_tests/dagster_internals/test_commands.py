"""The installed versions accept the command lines of Dagster's processes."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from titan10_dagster.dagster_internals import commands

WORKSPACE, SOCKET, FOLDER = Path("/no/workspace.yaml"), Path("/no/code.sock"), Path("/no")
COMMANDS = {
    "code server": commands.code_server(SOCKET, module="m", location="l", folder=FOLDER),
    "webserver": commands.webserver("127.0.0.1", 3000, WORKSPACE),
    "daemon": commands.daemon(WORKSPACE),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_the_help_of_the_program(name: str) -> None:
    command: Sequence[str] = COMMANDS[name]
    arguments = command[3:]
    subcommand = ["run"] if arguments[0] == "run" else []
    shown = subprocess.run([*command[:3], *subcommand, "--help"], capture_output=True, text=True, check=True).stdout
    options = [argument for argument in arguments if argument.startswith("--")]
    assert options
    for option in options:
        assert option in shown


def test_an_unknown_option_is_refused_by_each_program() -> None:
    for command in COMMANDS.values():
        arguments = [*command[:3], *(["run"] if command[3] == "run" else []), "--no-such-option"]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
