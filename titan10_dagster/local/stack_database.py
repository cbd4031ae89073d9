"""The database of a stack: the embedded server or the database of database.url.

The embedded server is restarted when it dies.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from titan10_dagster.errors import Titan10Error
from titan10_dagster.local.instance import Say, embedded
from titan10_dagster.local.supervision import LONGEST_PAUSE, Pauses
from titan10_dagster.settings import Settings


class StackDatabase:
    """The database of a stack.

    The embedded server is started, restarted when it dies, and stopped. If database.url is set, the server at this URL
    is neither started nor stopped.
    """

    def __init__(self, settings: Settings, say: Say) -> None:
        self._settings = settings
        self._say = say
        self._pauses = Pauses()
        self._reported: set[str] = set()  # sentences reported since the server ended; they are not repeated
        self.server = embedded(settings, say)  # None if database.url is set
        self.url = ""

    def start(self) -> None:
        """Start the embedded server, or join the server if it runs already. If database.url is set, use this URL.

        Raises:
            DatabaseUnavailable: the server does not start.
        """
        if self.server is not None:
            self._say("Starting PostgreSQL ...")
            self._pauses.note_start(time.monotonic())
            self.url = self.server.start()
        else:
            assert self._settings.database.url is not None
            self.url = self._settings.database.url.get_secret_value()

    def stop(self) -> None:
        """Stop using the embedded server. The server ends if no other process uses it."""
        if self.server is not None:
            self.server.stop()

    def revive(self) -> bool:
        """If the server is dead and its pause has ended, start the server again. Return whether its URL has changed.

        The URL changes if another program took the server's port meanwhile.
        """
        if self.server is None or self.server.running():
            return False
        if not self._reported:
            pause = self._pauses.note_death(time.monotonic())
            self._report_once(f"PostgreSQL ended: starting it again in {pause:.0f} s ({self.server.files.log}).")
        if not self._pauses.are_over(time.monotonic()):
            return False
        self._pauses.note_start(time.monotonic())
        try:
            url = self.server.start()
        except Titan10Error as error:
            self._pauses.note_death(time.monotonic())
            self._report_once(f"{error}\nTrying again, at least every {LONGEST_PAUSE:.0f} s.")
            return False
        self._reported.clear()
        moved = url != self.url
        self.url = url
        return moved

    def stop_command(self) -> Sequence[str]:
        """Return a command for the watchdog. The command stops the server if no process uses the server any more.

        If database.url is set, the command is empty.
        """
        if self.server is None:
            return []
        return [sys.executable, "-m", "titan10_dagster.local.postgres", str(self.server.files.folder)]

    def _report_once(self, sentence: str) -> None:
        """Report a sentence about an unavailable database. A sentence that was reported before is not repeated."""
        if sentence not in self._reported:
            self._reported.add(sentence)
            self._say(sentence)
