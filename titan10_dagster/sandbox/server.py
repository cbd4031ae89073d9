"""The sandbox: simulated exchanges for tests and demos, over real HTTP on 127.0.0.1.

with Sandbox(["binance", "kraken"]) as sandbox:
    sandbox.url("binance")      # use this in place of scheme and host of every URL in ccxt's exchange.urls["api"]
"""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

from titan10_dagster.errors import Titan10Error
from titan10_dagster.sandbox.answering import JSON, Reply
from titan10_dagster.sandbox.archives import SHELVES, FileServer
from titan10_dagster.sandbox.control import PREFIX, NoSuchControl, control
from titan10_dagster.sandbox.exchanges import Exchanges
from titan10_dagster.sandbox.site import Site
from titan10_dagster.sandbox.venues.registry import VENUES

HOST = "127.0.0.1"


class PortTaken(Titan10Error):
    """An error: another program listens on an exchange's port."""


class Sandbox(Exchanges):
    """A context manager that serves simulated exchanges from a thread, each on its own port.

    `ports`: the port of each exchange; 0 (the default): any free port; None: the port in the venue's record.
    `options`: see `Exchanges`.
    """

    def __init__(
        self,
        venues: Iterable[str] = tuple(VENUES),
        *,
        ports: Mapping[str, int | None] | None = None,
        **options: Any,
    ) -> None:
        chosen = list(venues)
        super().__init__(chosen, **options)
        self.files = {name: FileServer(site, SHELVES[name]) for name, site in self.sites.items() if name in SHELVES}
        self._wanted_ports: dict[str, int | None] = {name: (ports or {}).get(name, 0) for name in chosen}
        self._ports: dict[str, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start a thread that serves the exchanges. Raises PortTaken."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox", daemon=True)
        self._thread.start()
        try:
            self._runners = asyncio.run_coroutine_threadsafe(self.serve(), self._loop).result()
        except BaseException:
            self._runners = []
            self.stop()
            raise

    def stop(self) -> None:
        """Stop serving and close all open connections."""
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(_finish(self._runners), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    async def serve(self) -> list[web.ServerRunner]:
        """Start to listen on all ports, in the running event loop.

        If a port is taken, close the ports that are already open, and raise PortTaken.
        """
        runners: list[web.ServerRunner] = []
        try:
            for name, site in self.sites.items():
                runners.append(await _listen(site, self.files.get(name), self._wanted_ports[name]))
                self._ports[name] = runners[-1].addresses[0][1]
        except BaseException:
            await close(runners)
            raise
        return runners

    def url(self, exchange: str) -> str:
        """Return the base URL of an exchange, such as http://127.0.0.1:18801, without a slash at its end."""
        return f"http://{HOST}:{self._ports[self.site(exchange).venue.id]}"

    @property
    def urls(self) -> dict[str, str]:
        return {name: self.url(name) for name in self.sites}

    def wait_for_silence(self, timeout: float = 60.0) -> None:
        """Wait until all clients have disconnected, and all their requests are answered and logged.

        Raises TimeoutError after `timeout` seconds. The message lists the exchanges that still have a connection.
        """
        if self._loop is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(asyncio.wait_for(self._silence(), timeout), self._loop).result()
        except TimeoutError:
            raise TimeoutError(
                f"a client is still connected to {', '.join(self._busy())} after {timeout:g} s"
            ) from None

    async def _silence(self) -> None:
        calm = 0
        # A client can send a request and disconnect at once. Its request is answered a few passes of the event loop
        # later. So the wait ends only after five consecutive passes without a connection.
        while calm < 5:
            await asyncio.sleep(0.001)
            calm = 0 if self._busy() else calm + 1

    def _busy(self) -> list[str]:
        busy = []
        for name, runner in zip(self.sites, self._runners, strict=True):
            if runner.server is not None and runner.server.connections:
                busy.append(name)
        return busy


def serve(sandbox: Sandbox, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. Call `announce` with one line for each exchange. Raises PortTaken."""
    asyncio.run(_serve(sandbox, announce))


async def close(runners: Iterable[web.ServerRunner]) -> None:
    for runner in runners:
        await runner.cleanup()


async def _finish(runners: Iterable[web.ServerRunner]) -> None:
    """Close the servers, and cancel answers that are still in progress, such as delayed answers."""
    await close(runners)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _serve(sandbox: Sandbox, announce: Callable[[str], None]) -> None:
    runners = await sandbox.serve()
    for name, url in sandbox.urls.items():
        announce(f"{name:<10} {url}")
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    await close(runners)


async def _listen(site: Site, files: FileServer | None, wanted: int | None) -> web.ServerRunner:
    port = site.venue.port if wanted is None else wanted
    server = web.Server(_handler(site, files), access_log=None, keepalive_timeout=3_600)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port, backlog=512).start()
    except OSError as error:
        await runner.cleanup()
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortTaken(
            f"port {port} for {site.venue.id} is taken, perhaps by another sandbox; stop that program or choose "
            "another port"
        ) from error
    return runner


def _handler(site: Site, files: FileServer | None) -> Callable[[web.BaseRequest], Any]:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith(PREFIX):
            return await _control(site, request)
        if files is not None and files.owns(request.path):
            files.note(request.path)
            file = await asyncio.to_thread(files.answer, request.path)
            return web.Response(status=file.status, body=file.body, headers=file.headers)
        reply = site.answer(request.path, await _parameters(request))
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.wire is not None:
            return await _broken(request, reply)
        return web.Response(
            status=reply.status, body=reply.body, content_type=reply.content_type, headers=reply.headers
        )

    return handle


async def _parameters(request: web.BaseRequest) -> Mapping[str, str]:
    """Return one mapping with the query parameters, and with the members of the JSON body of a POST request.

    If a member of the body is an object, the mapping contains the members of this object instead.
    """
    if request.method != "POST":
        return request.query
    try:
        sent = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        return request.query
    given: dict[str, str] = dict(request.query)
    for name, value in sent.items() if isinstance(sent, dict) else ():
        nested = value if isinstance(value, dict) else {name: value}
        given.update({inner: str(text) for inner, text in nested.items()})
    return given


async def _control(site: Site, request: web.BaseRequest) -> web.Response:
    sent = await request.read()
    try:
        found = control(site, request.method, request.path, request.query, orjson.loads(sent) if sent else {})
    except NoSuchControl as error:
        return _error_answer(404, str(error))
    except (ValueError, KeyError, TypeError) as error:
        return _error_answer(400, f"{type(error).__name__}: {error}")
    return web.Response(body=orjson.dumps(found), content_type=JSON)


def _error_answer(status: int, text: str) -> web.Response:
    return web.Response(status=status, body=orjson.dumps({"error": text}), content_type=JSON)


async def _broken(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Send half of the answer, or nothing. Then end the connection."""
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_type = reply.content_type
    if reply.wire in {"stall", "short_body"}:
        response.content_length = max(len(reply.body), 2)
        await response.prepare(request)
        await response.write(reply.body[: len(reply.body) // 2])
    if reply.wire == "stall":
        await asyncio.sleep(reply.stall)
    _hang_up(request, reset=reply.wire != "short_body")
    return response


def _hang_up(request: web.BaseRequest, *, reset: bool) -> None:
    transport = request.transport
    if transport is None:
        return
    if not reset:
        transport.close()
        return
    # With a linger time of 0, closing the socket sends a RST.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
