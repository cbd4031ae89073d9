"""The start of the command `titan10`: a small module, so that Ctrl-C during the imports gives no stack trace."""

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
        os._exit(130)  # of exit_codes.py, which may not be imported yet
    command()


if __name__ == "__main__":
    main()
