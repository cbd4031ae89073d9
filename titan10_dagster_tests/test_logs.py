# `from __future__ import annotations` must not be used here: Dagster reads the annotations of contexts.

import io
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import dagster as dg
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from titan10_dagster.dagster_internals.console_logger import CALLERS
from titan10_dagster.defs.assets import logged
from titan10_dagster.logs import HIDDEN, about, configure, redacted, secrets_of
from titan10_dagster.settings import AlertSettings, DatabaseSettings, ExchangeSettings, LogSettings, Settings

PASSWORD, TOKEN, PROXY = "p@ss/w:rd 1", "AAE-jx_Bt0kenT0ken", "pr0xyPassw0rd"


def settings(**logs: Any) -> Settings:
    return Settings.model_construct(
        logs=LogSettings(**{"format": "json", "level": "DEBUG", **logs}),
        database=DatabaseSettings(url=SecretStr(f"postgresql://titan10:{quote(PASSWORD, safe='')}@db:5432/titan10")),
        alerts=AlertSettings(urls=(SecretStr(f"tgram://{TOKEN}/12345678"), SecretStr("file:///var/log/alerts"))),
        exchanges={
            "okx": ExchangeSettings(
                symbols=("BTC/USDT",), start="2024-01-01", proxy=SecretStr(f"http://user:{PROXY}@proxy:8080")
            )
        },
    )


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Yield the log of this process, until the end of the test."""
    root, console = logging.getLogger(), CALLERS[0].create_console_logger
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure(settings(), stream=stream)
    yield stream
    root.handlers[:] = handlers
    for caller in CALLERS:
        caller.create_console_logger = console
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_line_is_json_with_what_was_bound(written: io.StringIO) -> None:
    with about(exchange="okx", symbol=None), about(symbol="BTC/USDT"):
        logging.getLogger("titan10_dagster.somewhere").warning("%s candles", 5)
        structlog.get_logger().info("landed", file="x")
    logging.getLogger("titan10_dagster.somewhere").info("later")
    first, second, third = lines(written)
    assert first["event"] == "5 candles"
    assert (first["level"], first["logger"]) == ("warning", "titan10_dagster.somewhere")
    assert (first["exchange"], first["symbol"]) == ("okx", "BTC/USDT")
    assert first["timestamp"].endswith("Z")
    assert (second["event"], second["file"], second["exchange"]) == ("landed", "x", "okx")
    assert "exchange" not in third


@pytest.mark.parametrize(
    ("partitions", "expected"),
    [
        ((), None),
        (("2024-03-01",), "2024-03-01"),
        (("2024-03-01", "2024-03-02", "2024-03-03"), "2024-03-01...2024-03-03"),
    ],
)
def test_the_work_of_a_run_is_logged_with_its_partitions(
    written: io.StringIO, partitions: tuple[str, ...], expected: str | None
) -> None:
    with logged("run-1", "okx", partitions):
        logging.getLogger("titan10_dagster").info("working")
    (line,) = lines(written)
    assert (line["run"], line["exchange"], line.get("partition")) == ("run-1", "okx", expected)


def test_messages_of_dagster_about_a_run_have_the_same_fields(written: io.StringIO) -> None:
    @dg.op
    def speak(context: dg.OpExecutionContext) -> None:
        context.log.warning("a ban")

    @dg.job(tags={"dagster/partition": "2024-03-01"})
    def talk() -> None:
        speak()

    run = talk.execute_in_process()
    entries = lines(written)
    (line,) = [entry for entry in entries if entry["event"] == "a ban"]
    assert (line["run"], line["job"], line["step"], line["partition"]) == (
        run.run_id,
        "talk",
        "speak",
        "2024-03-01",
    )
    assert {entry.get("run") for entry in entries if entry["logger"] == "dagster"} == {run.run_id}


def test_messages_of_a_sensor_are_written_the_same_way(written: io.StringIO) -> None:
    @dg.sensor(name="watch")
    def watch(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        context.log.warning(f"tried {PROXY}")
        return dg.SkipReason("nothing")

    with dg.build_sensor_context(sensor_name="watch") as context:
        watch.evaluate_tick(context)
    entries = [line["event"] for line in lines(written)]
    assert any("tried" in entry for entry in entries)
    assert PROXY not in written.getvalue()


def test_an_exception_is_one_line(written: io.StringIO) -> None:
    try:
        raise RuntimeError(f"cannot connect to postgresql://titan10:{PASSWORD}@db/x")
    except RuntimeError:
        logging.getLogger("titan10_dagster").exception("it failed")
    (line,) = lines(written)
    assert "RuntimeError" in line["exception"]
    assert PASSWORD not in written.getvalue()


def test_in_a_terminal_lines_are_to_be_read() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, is_json in ((Terminal(), False), (io.StringIO(), True)):
        configure(settings(format="auto"), stream=stream)
        logging.getLogger("titan10_dagster").warning("five candles")
        (line,) = stream.getvalue().splitlines()
        assert "five candles" in line
        assert line.startswith("{") is is_json
    remove_ours()


def test_what_is_less_than_the_level_is_not_written() -> None:
    stream = io.StringIO()
    configure(settings(level="WARNING"), stream=stream)
    logging.getLogger("titan10_dagster").info("all is well")
    assert stream.getvalue() == ""
    remove_ours()


def remove_ours() -> None:
    root = logging.getLogger()
    root.handlers[:] = [
        handler for handler in root.handlers if not type(handler).__module__.startswith("titan10_dagster")
    ]
    root.setLevel(logging.WARNING)
    structlog.reset_defaults()


# -- secrets --------------------------------------------------------------------------------------------------

LEAKS = (
    "cannot connect to postgresql+psycopg2://titan10:hunter2@db:5432/titan10",
    "postgresql://titan10:hun/ter@2@db:5432/titan10: hunter2",
    "host=db user=titan10 password=hunter2 dbname=x",
    "host=db password='hunter2 with spaces' dbname=x",
    'connecting with {"user": "me", "password": "hunter2"}',
    "connecting with {'api_key': 'hunter2', 'apiKey': 'hunter2', 'secret': 'hunter2'}",
    "GET https://api.example.com/v1?symbol=BTC&signature=hunter2&timestamp=1",
    "GET https://api.example.com/v1?apiKey=hunter2",
    "GET /bot?token=hunter2#x",
    "Authorization: Bearer hunter2",
    "'Authorization': 'Basic aHVudGVyMjpodW50ZXIy'",
    "proxy http://me:hunter2@10.0.0.1:8080 refused",
    "socks5://me:hunter2@proxy",
    "mailto://me:hunter2@example.com",
    "PGPASSWORD=hunter2 psql",
    "access_token: hunter2",
)


@pytest.mark.parametrize("leak", LEAKS)
def test_texts_that_look_like_secrets_are_not_written(leak: str, written: io.StringIO) -> None:
    logging.getLogger("titan10_dagster").error(leak.replace("%", "%%"))
    structlog.get_logger().error("failed", detail=leak)
    if "2@db" not in leak:
        assert "hunter2" not in written.getvalue()
    assert "aHVudGVyMjp" not in written.getvalue()
    assert "hun/ter" not in written.getvalue()
    assert HIDDEN in written.getvalue()
    assert len(lines(written)) == 2


@pytest.mark.parametrize("secret", [PASSWORD, quote(PASSWORD, safe=""), TOKEN, PROXY])
def test_secrets_of_the_settings_are_not_written_in_any_form(secret: str, written: io.StringIO) -> None:
    logging.getLogger("apprise").warning("POST https://api.telegram.org/bot%s/sendMessage failed", secret)
    logging.getLogger("titan10_dagster").warning({"tried": secret})
    structlog.get_logger().warning("tried", values=[secret], other={"deep": {"er": secret}})
    assert secret not in written.getvalue()
    assert written.getvalue().count(HIDDEN) >= 4


def test_a_field_whose_name_says_secret_is_not_written(written: io.StringIO) -> None:
    structlog.get_logger().warning("tried", password="x y", my_token="q", symbol="BTC/USDT", signal="TERM")
    (line,) = lines(written)
    assert (line["password"], line["my_token"], line["symbol"], line["signal"]) == (HIDDEN, HIDDEN, "BTC/USDT", "TERM")


def test_dagsters_own_lines_hide_them_too(written: io.StringIO) -> None:
    @dg.op
    def leak(context: dg.OpExecutionContext) -> None:
        context.log.warning(f"tried {PROXY}")
        raise RuntimeError(f"tried tgram://{TOKEN}/12345678")

    @dg.job
    def leaks() -> None:
        leak()

    assert not leaks.execute_in_process(raise_on_error=False).success
    assert "tried" in written.getvalue()
    assert PROXY not in written.getvalue()
    assert TOKEN not in written.getvalue()


@given(st.text(alphabet=[chr(n) for n in range(33, 127) if chr(n) not in "\"'<>"], min_size=1))
def test_passwords_with_any_characters_are_removed_from_urls(password: str) -> None:
    assert redacted(f"at postgresql://me:{password}@host/db now") == f"at postgresql://{HIDDEN}@host/db now"


@pytest.mark.parametrize(
    "harmless",
    [
        "binance BTC/USDT 2024-03-01: 1440 candles, open 61234.5",
        "GET https://api.binance.com/api/v3/klines?symbol=BTCUSDT&limit=1000 429",
        "the token bucket is empty; the signs of a ban: 418",
        "file:///var/log/alerts was written",
    ],
)
def test_text_that_is_not_secret_is_unchanged(harmless: str) -> None:
    assert redacted(harmless, secrets_of(settings())) == harmless


def test_words_of_an_alerts_address_are_no_secrets_but_its_password_and_tokens_are() -> None:
    urls = ("https://hooks.example.com/services/T0KEN1/binance?from=titan10", "mailto://user:lettersonly@example.com")
    secrets = secrets_of(Settings.model_construct(alerts=AlertSettings(urls=tuple(map(SecretStr, urls)))))
    assert redacted("titan10_dagster: services of binance", secrets) == "titan10_dagster: services of binance"
    assert redacted("posted to T0KEN1 as lettersonly", secrets) == f"posted to {HIDDEN} as {HIDDEN}"
