"""dagster-webserver with the guard of `same_origin` in front of it. It takes the same options.

    python -m titan10_dagster.dagster_internals.webserver --host 127.0.0.1 --port 3000 --workspace workspace.yaml

The names of the UI are those of this machine, `server.host` and `server.allowed_hosts` of the settings.
"""

from __future__ import annotations

from typing import Any

from dagster_webserver import cli

from titan10_dagster import settings
from titan10_dagster.dagster_internals.same_origin import LOCAL_HOSTS, SameOriginOnly

_cli: Any = cli
_create_app = _cli.create_app_from_workspace_process_context


def guarded_app(*args: Any, **options: Any) -> SameOriginOnly:
    """Return Dagster's application behind the guard."""
    server = settings.load().server
    return SameOriginOnly(_create_app(*args, **options), (*LOCAL_HOSTS, server.host, *server.allowed_hosts))


def main() -> None:
    _cli.create_app_from_workspace_process_context = guarded_app
    _cli.main()


if __name__ == "__main__":
    main()
