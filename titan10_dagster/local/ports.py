"""A search for free TCP ports of this machine."""

from __future__ import annotations

import socket

from titan10_dagster.errors import DatabaseUnavailable

ADDRESS = "127.0.0.1"


def free_port(wanted: int = 0) -> int:
    """Return the port `wanted`, or the next free port above it.

    If `wanted` is 0, or if no port of the next hundred is free, return any free port.
    """
    candidates = [*range(wanted, min(wanted + 100, 65536)), 0] if wanted else [0]
    for port in candidates:
        with socket.socket() as probe:
            # Without this option, a port counts as taken while old connections of an earlier server are closing.
            # PostgreSQL sets the same option.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ADDRESS, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DatabaseUnavailable(f"There is no free port at {ADDRESS}.")
