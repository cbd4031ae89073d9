"""The real stack with a small code location.

A dead process is restarted, and no process remains after the stack has ended.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from titan10_dagster import settings as titan10_settings
from titan10_dagster.dagster_internals.code_server import NAME, PRELOADED
from titan10_dagster.errors import SettingsError
from titan10_dagster.local.graphql import GraphQLError, make_pools, run_query
from titan10_dagster.local.services import socket_path
from titan10_dagster.local.stack import Stack
from titan10_dagster.local.stack_lock import RunningStack, running_stack
from titan10_dagster_tests.processes import processes_of, wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")

PROJECT = Path(__file__).parents[2]
PATIENCE = 120  # in seconds; enough for a busy machine
DEFINITIONS = """
import pathlib, time
import dagster as dg

home = pathlib.Path({home!r})
while (home / "hold").exists():  # a run that loads these definitions stays in the state STARTING
    time.sleep(0.05)

@dg.asset(pool="binance")
def waiting() -> None:
    (home / "begun").touch()
    while not (home / "go").exists():
        time.sleep(0.05)

defs = dg.Definitions(assets=[waiting], jobs=[dg.define_asset_job("wait")], executor=dg.in_process_executor)
"""
PROGRAM = """
import pathlib, sys
from titan10_dagster import settings
from titan10_dagster.local.stack import Stack, run
home = pathlib.Path(sys.argv[1])
run(Stack(settings.load(home), home, lambda words: print(words, flush=True), module="waiting_definitions"))
"""
LAUNCH = """mutation {
  launchRun(executionParams: {selector: {repositoryLocationName: "titan10_dagster", repositoryName: "__repository__",
                                         jobName: "wait"}}) {
    ... on LaunchRunSuccess { run { runId } } ... on Error { message }
  }
}"""
RUNS = "{ runsOrError { ... on Runs { results { runId status parentRunId } } } }"
HEALTH = "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy } } } }"


class Up:
    """`titan10 up` as a process, in a project folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.said: list[str] = []
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TITAN10_")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(home)], cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True
        )
        self.wait_for("Titan-10 is up")
        running = running_stack(home / ".titan10")
        assert running is not None
        self.url = running.url

    def wait_for(self, words: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if words in line:
                return
        pytest.fail(f"it ended without saying {words!r}: {self.said}")

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs, the newest first."""
        found: list[dict[str, Any]] = run_query(self.url, RUNS)["runsOrError"]["results"]
        return found

    def launch(self) -> str:
        """Launch a run and wait until its step has begun. Return the id of the run."""
        run_id = self.request_run()
        wait_until((self.home / "begun").exists, PATIENCE)
        return run_id

    def request_run(self) -> str:
        (self.home / "go").unlink(missing_ok=True)
        (self.home / "begun").unlink(missing_ok=True)
        launched: list[str] = []

        def launch() -> bool:
            """Return False while the UI has no connection to a new code server."""
            answer = run_query(self.url, LAUNCH)["launchRun"]
            launched.extend([answer["run"]["runId"]] if "run" in answer else [])
            return bool(launched)

        wait_until(launch, PATIENCE)
        return launched[0]

    def pid_of(self, *words: str) -> int:
        return next(pid for pid, line in processes_of(self.home).items() if all(word in line for word in words))

    def end(self, number: signal.Signals) -> float:
        """Send a signal, and return how many seconds the end took."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE)
        return time.monotonic() - began


def stands_still(pid: int) -> bool:
    return _stat(pid)[0] == "T"


def parent_of(pid: int) -> int:
    return int(_stat(pid)[1])


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the third field on: state, parent, ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def answers(up: Up) -> bool:
    try:
        return bool(up.runs() or True)
    except GraphQLError:
        return False


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    folder.chmod(0o711)  # if root runs the tests, PostgreSQL runs as another account
    shutil.copy(PROJECT / "dagster.yaml", folder)
    (folder / "waiting_definitions.py").write_text(DEFINITIONS.format(home=str(folder)))
    (folder / "titan10.toml").write_text(
        '[server]\nport = 0\npostgres_port = 0\n[exchanges.binance]\nsymbols = ["BTC/USDT"]\nstart = 2026-01-01\n'
    )
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def up(home: Path) -> Iterator[Up]:
    """One stack for all tests. The last of them kills it."""
    up = Up(home)
    yield up
    if up.process.poll() is None:
        up.end(signal.SIGTERM)
    assert processes_of(home) == {}


def test_every_daemon_is_healthy(up: Up) -> None:
    def all_healthy() -> bool:
        statuses = run_query(up.url, HEALTH)["instance"]["daemonHealth"]["allDaemonStatuses"]
        return all(status["healthy"] for status in statuses)

    wait_until(all_healthy, PATIENCE)


def test_other_accounts_cannot_read_what_its_processes_write(up: Up) -> None:
    data = up.home / ".titan10"
    for words in ("dagster_internals.code_server", "dagster_internals.webserver", "dagster._daemon"):
        pid = up.pid_of(words)
        assert re.search(r"^Umask:\s+0077$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    written = [path for name in ("dagster", "logs", "landing") for path in (data / name).rglob("*")]
    assert socket_path(data) in written
    assert {path.name for path in written} >= {"code-server.log", "webserver.log", "daemon.log"}
    assert [path for path in written if path.lstat().st_mode & 0o077 and not path.is_symlink()] == []


def test_a_second_one_in_the_same_folder_is_refused_and_names_the_first(up: Up) -> None:
    assert running_stack(up.home / ".titan10") == RunningStack(up.process.pid, up.url)
    with pytest.raises(SettingsError, match=f"already runs here, as process {up.process.pid}"):
        Stack(titan10_settings.load(up.home), up.home, print).start()
    assert answers(up)


def test_a_taken_port_of_the_ui_is_refused_with_the_setting(
    up: Up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TITAN10_SERVER__PORT", up.url.rsplit(":", 1)[1])
    monkeypatch.setenv("TITAN10_DATA", str(tmp_path))
    with pytest.raises(SettingsError, match=r"server\.port: the Dagster UI cannot listen"):
        Stack(titan10_settings.load(up.home), up.home, print).start()
    assert running_stack(tmp_path) is None


def test_an_exchange_has_a_pool_before_its_first_run(up: Up) -> None:
    limits = run_query(up.url, "{ instance { concurrencyLimits { concurrencyKey slotCount } } }")["instance"]
    assert {"concurrencyKey": "binance", "slotCount": 1} in limits["concurrencyLimits"]
    make_pools(up.url, ["binance"])


def test_a_killed_webserver_is_restarted(up: Up) -> None:
    os.kill(up.pid_of("dagster_internals.webserver"), signal.SIGKILL)
    up.wait_for("The webserver ended: starting it again")
    wait_until(lambda: answers(up), PATIENCE)


def test_a_killed_postgresql_is_restarted_at_the_same_address(up: Up) -> None:
    pid_file = up.home / ".titan10/postgres/cluster/postmaster.pid"
    if not pid_file.exists():
        pytest.skip("the server's account cannot reach this folder, so its data is elsewhere: this was NOT tested")
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
    up.wait_for("PostgreSQL ended: starting it again")
    wait_until(lambda: answers(up), PATIENCE)


def test_a_run_is_a_copy_of_a_process_that_has_imported_everything(up: Up) -> None:
    up.launch()
    line = processes_of(up.home)[parent_of(up.pid_of(NAME))]
    assert "multiprocessing.forkserver" in line
    assert all(module in line for module in PRELOADED)
    (up.home / "go").touch()
    wait_until(lambda: up.runs()[0]["status"] == "SUCCESS", PATIENCE)


def test_a_run_ends_with_the_process_it_is_a_copy_of_and_is_run_again(up: Up) -> None:
    lost = up.launch()
    (up.home / "begun").unlink()
    run = up.pid_of(NAME)
    os.kill(parent_of(run), signal.SIGKILL)
    wait_until(lambda: run not in processes_of(up.home), PATIENCE)
    (up.home / "go").touch()
    wait_until(lambda: up.runs()[0]["parentRunId"] == lost and up.runs()[0]["status"] == "SUCCESS", PATIENCE)


def test_a_run_whose_process_is_killed_is_run_again(up: Up) -> None:
    lost = up.launch()
    (up.home / "begun").unlink()
    os.kill(up.pid_of(NAME), signal.SIGKILL)
    (up.home / "go").touch()
    wait_until(lambda: up.runs()[0]["parentRunId"] == lost and up.runs()[0]["status"] == "SUCCESS", PATIENCE)


def test_the_daemon_is_paused_without_a_code_server(up: Up) -> None:
    daemon, code_server = up.pid_of("dagster._daemon"), up.pid_of("dagster_internals.code_server")
    os.kill(code_server, signal.SIGKILL)
    wait_until(lambda: stands_still(daemon), PATIENCE)
    up.wait_for("The code server ended: starting it again")
    wait_until(lambda: not stands_still(daemon), PATIENCE)
    assert up.pid_of("dagster_internals.code_server") != code_server


def test_no_socket_stays_behind_a_code_server_that_was_killed(up: Up) -> None:
    assert len(list(socket_path(up.home / ".titan10").parent.glob("listener-*"))) == 1


def test_a_run_whose_code_server_is_killed_is_run_again(up: Up) -> None:
    lost = up.launch()
    os.kill(up.pid_of("dagster_internals.code_server"), signal.SIGKILL)
    up.wait_for("The code server ended: starting it again")
    wait_until(lambda: not any(NAME in line for line in processes_of(up.home).values()), PATIENCE)
    (up.home / "go").touch()
    wait_until(lambda: up.runs()[0]["parentRunId"] == lost and up.runs()[0]["status"] == "SUCCESS", PATIENCE)


def test_it_stops_with_a_run_under_way_leaves_no_process_and_goes_on_at_the_next_start(home: Path, up: Up) -> None:
    lost = up.launch()
    assert up.end(signal.SIGINT) < 60
    assert processes_of(home) == {}
    assert running_stack(home / ".titan10") is None
    (home / "go").touch()
    up.__init__(home)  # type: ignore[misc]  # the fixture ends it
    wait_until(lambda: up.runs()[0]["parentRunId"] == lost and up.runs()[0]["status"] == "SUCCESS", PATIENCE)


def test_killed_it_leaves_no_process_either(home: Path, up: Up) -> None:
    up.launch()
    up.end(signal.SIGKILL)
    wait_until(lambda: processes_of(home) == {}, PATIENCE)


def test_a_run_that_was_starting_when_everything_was_killed_is_run_again_soon(home: Path, up: Up) -> None:
    (home / "go").touch()  # for the run that the test before has left
    up.__init__(home)  # type: ignore[misc]  # the test before has killed it
    wait_until(lambda: all(run["status"] == "SUCCESS" for run in up.runs()[:1]), PATIENCE)
    (home / "hold").touch()
    lost = up.request_run()
    wait_until(lambda: any(NAME in line for line in processes_of(home).values()), PATIENCE)
    assert (up.runs()[0]["runId"], up.runs()[0]["status"]) == (lost, "STARTING")
    for pid in processes_of(home):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    up.end(signal.SIGKILL)
    (home / "hold").unlink()
    (home / "go").touch()
    up.__init__(home)  # type: ignore[misc]
    began = time.monotonic()
    # Without help, Dagster fails the run after 180 s, and it holds the slot of its pool until then.
    wait_until(lambda: up.runs()[0]["parentRunId"] == lost and up.runs()[0]["status"] == "SUCCESS", PATIENCE)
    print(f"run again {time.monotonic() - began:.1f} s after the start")  # noqa: T201


def test_a_failed_start_shows_the_last_output_and_leaves_no_process(
    home: Path, open_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("dagster.yaml", "titan10.toml"):
        shutil.copy(home / name, open_folder)
    stack = Stack(titan10_settings.load(open_folder), open_folder, print, module="no_such_module")
    with pytest.raises(Exception, match=r"(?s)The code server ended while starting.*no_such_module"):
        stack.start()
    assert processes_of(open_folder) == {}
