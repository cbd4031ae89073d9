"""A page of another site, open in a real browser beside the running stack, can neither read nor change anything."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from titan10_dagster import settings as titan10_settings
from titan10_dagster.local.graphql import run_query
from titan10_dagster.local.stack import Stack
from titan10_dagster_tests.databases import passable_folder

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
# Everything that a page can try. `UI` and the mutations are filled in; each attempt reports when it has ended.
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


@pytest.fixture(scope="module")
def ui() -> Iterator[str]:
    """A running stack with an asset and a job; its UI's address."""
    with passable_folder() as home:
        shutil.copy(PROJECT / "dagster.yaml", home)
        (home / "guarded_definitions.py").write_text(DEFINITIONS)
        (home / "titan10.toml").write_text(
            '[server]\nport = 0\npostgres_port = 0\n[exchanges.binance]\nsymbols = ["BTC/USDT"]\nstart = 2026-01-01\n'
        )
        stack = Stack(titan10_settings.load(home), home, print, module="guarded_definitions")
        try:
            yield stack.start()
        finally:
            stack.stop()


@pytest.fixture(scope="module")
def other_site(ui: str) -> Iterator[int]:
    """The port of a server with the attacking page."""
    texts = {"ui": ui, "set_pool": json.dumps(SET_POOL % "evil"), "launch": json.dumps(LAUNCH)}
    page = (ATTACK % texts).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

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
    page = browser.new_page()
    page.goto(f"http://{name}:{other_site}/")
    outcome = page.evaluate("attack()")
    page.wait_for_timeout(1000)
    frames = [frame.url for frame in page.frames]
    page.close()
    assert state(ui) == before
    assert outcome["read"].startswith("failed")
    assert outcome["websocket"] == "closed"
    assert len(outcome) == 12, frames


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


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/graphql", {"Content-Type": "text/plain", "Origin": "http://evil.test"}),
        ("/graphql", {"Content-Type": "text/plain"}),
        ("/graphql", {"Content-Type": "application/json", "Host": "evil.test"}),
        ("/report_asset_materialization/evil", {"Origin": "http://evil.test"}),
        ("/report_asset_materialization/evil", {}),
    ],
)
def test_requests_as_attackers_send_them_are_refused(ui: str, path: str, headers: dict[str, str]) -> None:
    before = state(ui)
    with pytest.raises(HTTPError) as refused:
        urlopen(Request(ui + path, b'{"query": "mutation { x }"}', headers), timeout=30)
    assert refused.value.code == 403
    refused.value.close()
    assert state(ui) == before
