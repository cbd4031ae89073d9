"""The containers are hardened, pinned, and start modules that exist. No container engine runs in these tests."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "deploy/compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["mem_limit"]
    assert service["cpus"]
    assert service["pids_limit"]
    assert "privileged" not in service
    assert set(service.get("cap_add", ())) <= {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}


@pytest.mark.parametrize("name", SERVICES)
def test_each_image_has_a_version(name: str) -> None:
    assert re.search(r":\d+\.\d+\.\d+", SERVICES[name]["image"])


def test_the_base_image_has_a_version() -> None:
    assert re.search(r"^ARG PYTHON=python:3\.\d+\.\d+-", (PROJECT / "deploy/Dockerfile").read_text(), re.MULTILINE)


def test_only_the_ui_is_published_and_only_on_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"webserver": ["127.0.0.1:3000:3000"]}


def test_the_modules_that_are_started_exist() -> None:
    for service in SERVICES.values():
        command = service.get("command", [])
        if "-m" in command:
            assert importlib.util.find_spec(command[command.index("-m") + 1]) is not None


def test_the_application_does_not_log_in_as_the_superuser() -> None:
    database = SERVICES["database"]["environment"]
    url = SERVICES["code"]["environment"]["TITAN10_DATABASE__URL"]
    assert url.startswith("postgresql://titan10:")
    assert database["POSTGRES_USER"] != "titan10"
    assert "CREATE ROLE titan10 LOGIN NOSUPERUSER" in (PROJECT / "deploy/create-roles.sh").read_text()


def test_the_database_is_healthy_only_after_its_roles_are_created() -> None:
    """The entrypoint creates the roles with a server that listens only on a Unix socket.

    So a check by TCP fails until the roles exist.
    """
    assert SERVICES["database"]["healthcheck"]["test"][:3] == ["CMD", "pg_isready", "-h"]
    assert SERVICES["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}


def test_files_that_are_mounted_exist() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (PROJECT / "deploy" / source).resolve().is_file()
            else:
                assert source in COMPOSE["volumes"]
