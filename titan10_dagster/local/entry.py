"""The entry point of the command `titan10`. The module is small, so that Ctrl-C during imports shows no stack trace."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line."""
    try:
        from titan10_dagster.local.cli import main as command
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. Nothing was done.\n")
        sys.stderr.flush()
        os._exit(130)  # the value of INTERRUPTED in exit_codes.py; this module is possibly not imported yet
    command()


if __name__ == "__main__":
    main()
