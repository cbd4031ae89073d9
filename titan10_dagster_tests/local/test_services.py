"""The addresses of Dagster's processes, and the checks that they answer."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from titan10_dagster import settings as titan10_settings
from titan10_dagster.errors import SettingsError
from titan10_dagster.local.services import UiAddress, dagster_services, socket_path, ui_address


def settings_with_port(folder: Path, port: int) -> titan10_settings.Settings:
    (folder / "titan10.toml").write_text(
        f'[server]\nport = {port}\n[exchanges.binance]\nsymbols = ["BTC/USDT"]\nstart = 2026-01-01\n'
    )
    return titan10_settings.load(folder)


def test_the_code_servers_socket_is_short_enough_wherever_the_project_is(tmp_path: Path) -> None:
    deep = tmp_path / ("deep/" * 40)
    assert len(os.fsencode(socket_path(deep))) < 104
    assert socket_path(deep) == socket_path(deep)
    assert socket_path(Path("/data")).parent == Path("/data/dagster")


def test_the_ui_takes_the_configured_port_and_refuses_one_that_is_in_use(tmp_path: Path) -> None:
    with socket.socket() as other_program:
        other_program.bind(("127.0.0.1", 0))
        other_program.listen()
        port = other_program.getsockname()[1]
        settings = settings_with_port(tmp_path, port)
        with pytest.raises(SettingsError, match=rf"server\.port: the Dagster UI cannot listen on 127\.0\.0\.1:{port}"):
            ui_address(settings)
    assert ui_address(settings) == UiAddress("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "name.invalid"])
def test_a_host_that_is_not_of_this_machine_is_refused_as_a_host(tmp_path: Path, host: str) -> None:
    settings = settings_with_port(tmp_path, 3000)
    settings = settings.model_copy(update={"server": settings.server.model_copy(update={"host": host})})
    with pytest.raises(SettingsError, match=rf"server\.host: the Dagster UI cannot listen on {host}"):
        ui_address(settings)


def test_port_0_becomes_a_port_that_a_server_can_listen_on(tmp_path: Path) -> None:
    address = ui_address(settings_with_port(tmp_path, 0))
    with socket.socket() as server:
        server.bind((address.host, address.port))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:3000"),
        ("0.0.0.0", "http://127.0.0.1:3000"),
        ("::", "http://[::1]:3000"),
        ("fe80::1", "http://[fe80::1]:3000"),
    ],
)
def test_this_machine_reaches_the_ui_also_if_it_listens_on_all_addresses(host: str, url: str) -> None:
    assert UiAddress(host, 3000).url == url


def test_the_code_server_answers_while_its_socket_listens(tmp_path: Path) -> None:
    (tmp_path / "dagster").mkdir()
    code_server, webserver, daemon = dagster_services(tmp_path, tmp_path, "some_module", UiAddress("127.0.0.1", 1))
    path = socket_path(tmp_path)
    assert not code_server.answers()
    assert not webserver.answers()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert code_server.answers()
    assert not code_server.answers()
    workspace = (tmp_path / "dagster" / "workspace.yaml").read_text()
    assert str(path) in workspace
    for service in (webserver, daemon):
        assert str(tmp_path / "dagster" / "workspace.yaml") in service.command
