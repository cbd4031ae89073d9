"""Starts dagster-webserver behind the guard of `same_origin`. The options are those of dagster-webserver.

    python -m titan10_dagster.dagster_internals.webserver --host 127.0.0.1 --port 3000 --workspace workspace.yaml

The guard accepts the local names of this machine, and the names in the settings `server.host` and
`server.allowed_hosts`.
"""

from __future__ import annotations

from typing import Any

from dagster_webserver import cli

from titan10_dagster import settings
from titan10_dagster.dagster_internals.same_origin import LOCAL_HOSTS, SameOriginOnly

_cli: Any = cli
_create_app = _cli.create_app_from_workspace_process_context


def guarded_app(*args: Any, **options: Any) -> SameOriginOnly:
    """Return Dagster's application, wrapped in the guard."""
    server = settings.load().server
    return SameOriginOnly(_create_app(*args, **options), (*LOCAL_HOSTS, server.host, *server.allowed_hosts))


def main() -> None:
    _cli.create_app_from_workspace_process_context = guarded_app
    _cli.main()


if __name__ == "__main__":
    main()
