"""Free ports: the wanted port, or else a free port above it."""

from __future__ import annotations

import socket

from titan10_dagster.local.ports import ADDRESS, free_port


def test_any_free_port_can_be_listened_on() -> None:
    port = free_port()
    with socket.socket() as server:
        server.bind((ADDRESS, port))
        server.listen()
        assert free_port(port) != port


def test_a_free_port_is_taken_as_wanted() -> None:
    port = free_port()
    assert free_port(port) == port


def test_instead_of_a_port_in_use_one_above_it_is_taken() -> None:
    with socket.socket() as server:
        server.bind((ADDRESS, 0))
        server.listen()
        taken = server.getsockname()[1]
        port = free_port(taken)
    assert port != taken
    assert port > taken or taken > 65_436  # with no free port among the next hundred, any port


def test_above_the_highest_port_any_port_is_taken() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((ADDRESS, 65_535))
        server.listen()
        assert 0 < free_port(65_535) < 65_535
