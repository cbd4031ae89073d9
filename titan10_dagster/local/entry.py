"""The entry point of the command `titan10`.

If a signal interrupts the import of the other modules, this module prints one sentence and no stack trace. A signal
that arrives before `main` runs ends the process without this sentence. To keep this time short, the top of this module
imports only modules that Python has already loaded.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line. SIGTERM and SIGHUP interrupt a command like Ctrl-C, even while its modules are imported."""
    try:
        import signal

        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` starts a command with SIGHUP ignored
                signal.signal(number, _interrupt)
        from titan10_dagster.local.cli import main as command
    except BaseException as error:
        if not is_interruption(error):
            raise
        _end("Interrupted. Nothing was done.")
    try:
        command()
    except KeyboardInterrupt:  # a command handles signals itself, so this signal came before or after the command
        _end("Interrupted.")
    finally:
        # The command has ended. While Python frees its modules, SIGTERM and SIGHUP must not change the exit code.
        # Ctrl-C still ends the process at once, in case a thread hangs.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def is_interruption(error: BaseException | None) -> bool:
    """Return whether the error is a KeyboardInterrupt, or was raised because of a KeyboardInterrupt.

    For example, if an import is interrupted while Python creates a class, the error is a RuntimeError.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _end(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
    os._exit(130)  # the value of INTERRUPTED in exit_codes.py, which is possibly not imported yet


if __name__ == "__main__":
    main()
