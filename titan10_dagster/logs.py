"""The log of a process on standard error, as JSON, or as plain lines in a terminal. It contains no secrets.

Each process that runs Titan-10's code calls `configure` once: commands, the code server and runs. From then on,
Titan-10's modules, libraries and Dagster's runs log through one handler, with the same fields. `run`, `job`, `step` and
`partition` come from Dagster. `about` adds `exchange` and `symbol`. Secrets are removed from the finished line.
Therefore lines of libraries and tracebacks contain no secrets either. Two kinds of texts are removed: the
values of secret settings such as passwords, and texts that look like a secret.

These lines do not go to Dagster's event log, because each line in the event log stays in the database for ever.
Messages for the UI are logged with `context.log`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import Any, TextIO
from urllib.parse import quote, unquote

import structlog
from pydantic import BaseModel, SecretStr

from titan10_dagster.settings import LogSettings, Settings

HIDDEN = "***"
# of these libraries, only warnings and errors are logged
QUIET = ("alembic", "yoyo", "apprise", "urllib3", "sqlalchemy")
_SHORTEST_SECRET = 4  # characters; shorter secrets stay visible, because they also occur in ordinary words

_WORD = re.compile(r"[a-z]+|titan10")
_NAMES = (
    r"\w*(?:passw(?:or)?d|pwd|secret|token|api[_-]?key|access[_-]?key|signature)"
    # `sign` and `auth` do not match inside other words, such as signal or author
    r"|(?<![a-z])(?:sign|auth(?:orization)?)(?![a-z])"
)
_PATTERNS = (
    # The user part of a URL ends at the last @, because a password may contain any character.
    (re.compile(r"""(\b[\w+.-]+://)[^\s"'<>]*@"""), rf"\1{HIDDEN}@"),
    (re.compile(r"""\b(bearer|basic)\s+[\w+/=.~-]{6,}""", re.IGNORECASE), rf"\1 {HIDDEN}"),
    # The first of these two patterns matches "token": "...". The value ends at the quotation mark with which it begins.
    # The second pattern matches password=... and ?signature=...
    (
        re.compile(rf"""(\b(?:{_NAMES})\\?["']?\s*[:=]\s*)(\\?["'])(?:(?!\2).)*\2""", re.IGNORECASE),
        rf"\1\2{HIDDEN}\2",
    ),
    (
        re.compile(
            rf"""(\b(?:{_NAMES})\\?["']?\s*[:=]\s*)(?!\*\*\*|bearer|basic)(?:[^\s"',;&<>{{}}\\]|\\[^"'])+""",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
)

Event = MutableMapping[str, Any]


def about(**fields: str | None) -> AbstractContextManager[None]:
    """Add the given fields to all log lines of this task or thread while the context is open.

    A field with the value None is left out.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    return structlog.contextvars.bound_contextvars(**given)


def configure(settings: Settings, *, level: str | None = None, stream: TextIO | None = None) -> None:
    """Set up the logging of this process according to the settings `logs`.

    A second call replaces the handler of the first call.
    `level`: replaces the level in the settings. `stream`: replaces standard error. Without `stream`, each line goes to
    the current `sys.stderr`, because Dagster replaces standard error by files. If Dagster is already imported, its
    runs, sensors and schedules in this process log in the same way.
    """
    chosen = _chosen(settings.logs, stream or sys.stderr)
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = _Handler(stream)
    handler.setFormatter(_Formatter(chosen, secrets_of(settings)))
    root = logging.getLogger()
    for former in tuple(root.handlers):
        if isinstance(former, _Handler):
            root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level or settings.logs.level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    if "dagster" in sys.modules:  # do not import Dagster here: that takes a second, and some commands do not need it
        from titan10_dagster.dagster_internals.console_logger import send_console_logs_to

        send_console_logs_to(handler)


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text without the given secrets, and without parts that look like a secret."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def secrets_of(settings: Settings) -> list[str]:
    """Return the texts that must not be logged. The longest text comes first.

    They are the secret settings, and the secret parts of URLs.
    """
    spelled: set[str] = set()
    for name, value in _secret_values("", settings):
        for secret in _parts(name, value):
            spelled |= {secret, quote(secret, safe=""), unquote(secret), json.dumps(secret)[1:-1]}
    return sorted((form for form in spelled if len(form) >= _SHORTEST_SECRET), key=len, reverse=True)


class _Handler(logging.StreamHandler[TextIO]):
    """A handler that writes to the given stream, or to the current standard error."""

    def __init__(self, stream: TextIO | None) -> None:
        self._given = stream
        super().__init__(stream)

    @property
    def stream(self) -> TextIO:
        return self._given or sys.stderr

    @stream.setter
    def stream(self, _: TextIO) -> None:
        """Ignore the stream that `logging` sets. The getter looks up the stream each time."""


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """A formatter of structlog that also removes secrets from the finished line."""

    def __init__(self, chosen: str, secrets: list[str]) -> None:
        self._secrets = secrets
        last: list[Any] = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if chosen == "json":
            last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
        super().__init__(
            foreign_pre_chain=[*_SHARED, _from_dagster],
            processors=[_hide_named, structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record), self._secrets)


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def _from_dagster(_: object, __: str, event: Event) -> Event:
    """Return an event of Dagster with the run, job, step and partition as fields.

    Dagster's text repeats these fields. Therefore the original message replaces this text. Other events do not change.
    """
    meta = getattr(event.get("_record"), "dagster_meta", None)
    if meta is None:
        return event
    tags = meta.get("job_tags") or {}
    fields = {
        "run": meta.get("run_id"),
        "job": meta.get("job_name"),
        "step": meta.get("step_key"),
        "partition": tags.get("dagster/partition") or _range(tags),
    }
    return {**event, "event": meta.get("orig_message"), **{name: value for name, value in fields.items() if value}}


def _range(tags: Mapping[str, str]) -> str | None:
    first, last = (tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    return f"{first}...{last}" if first and last else None


def _hide_named(_: object, __: str, event: Event) -> Event:
    """Replace a value of the event by HIDDEN if the name of the value suggests a secret, such as "token"."""
    return {name: HIDDEN if re.search(_NAMES, name, re.IGNORECASE) else value for name, value in event.items()}


def _chosen(settings: LogSettings, stream: TextIO) -> str:
    if settings.format != "auto":
        return settings.format
    return "console" if stream.isatty() else "json"


def _secret_values(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, SecretStr):
        yield name, value.get_secret_value()
    elif isinstance(value, BaseModel):
        for key in type(value).model_fields:
            yield from _secret_values(f"{name}.{key}", getattr(value, key, None))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secret_values(f"{name}.{key}", item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _secret_values(name, item)


def _parts(name: str, value: str) -> Iterator[str]:
    """Yield the secret parts of a secret setting.

    In the URL of a database or proxy, the password is secret. In the URL of an alert service, the whole text after
    `://` is secret, and also each of its parts that is not an ordinary word. A value that is not a URL is secret as a
    whole.
    """
    scheme, separator, rest = value.partition("://")
    if not separator:
        yield value
    elif name.startswith(".alerts") and scheme != "file":
        yield rest
        # Ordinary words in the URL, such as `services`, are left out. Otherwise they would be hidden in every log line.
        for part in re.split(r"[/:@?&=,]", rest):
            if len(part) >= 6 and not _WORD.fullmatch(part):
                yield part
    if separator and scheme != "file" and "@" in rest:
        yield rest.rpartition("@")[0].partition(":")[2]
