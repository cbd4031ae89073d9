"""Free TCP ports of this machine."""

from __future__ import annotations

import socket

from titan10_dagster.errors import DatabaseUnavailable

ADDRESS = "127.0.0.1"


def free_port(wanted: int = 0) -> int:
    """Return `wanted` if it is free, else the next free port above it; 0: any free port."""
    candidates = [*range(wanted, min(wanted + 100, 65536)), 0] if wanted else [0]
    for port in candidates:
        with socket.socket() as probe:
            # The same option as PostgreSQL's: connections of the last server that are still closing do not occupy the
            # port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ADDRESS, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DatabaseUnavailable(f"There is no free port at {ADDRESS}.")
