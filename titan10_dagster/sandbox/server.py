"""The sandbox: exchanges to practise on, over real HTTP on 127.0.0.1.

with Sandbox(["binance", "kraken"]) as sandbox:
    sandbox.url("binance")      # replaces scheme and host of every URL in ccxt's exchange.urls["api"]
"""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

from titan10_dagster.errors import Titan10Error
from titan10_dagster.sandbox.clock import Clock, instant_ms
from titan10_dagster.sandbox.control import PREFIX, NoSuchControl, control
from titan10_dagster.sandbox.limits import Governor
from titan10_dagster.sandbox.pages import BlockCache
from titan10_dagster.sandbox.site import JSON, Reply, Site, Span
from titan10_dagster.sandbox.truth import Floats
from titan10_dagster.sandbox.venues.registry import VENUES, venue
from titan10_dagster.sandbox.venues.venue import ClosedMarket, SandboxVenue
from titan10_dagster.sandbox.venues.wire import Edges

HOST = "127.0.0.1"


class PortTaken(Titan10Error):
    """Another program listens on an exchange's port."""


class Sandbox:
    """Exchanges, each on a port of its own; a context manager that serves them from a thread.

    `clock`: None (real time), an aware datetime (time stands still) or a function that returns the time.
    `enforce_limits`: refuse what is beyond the exchange's rate limits (usage is counted either way);
    `limit_factor` scales what is allowed, `ban_seconds` replaces the length of every ban, `limit_clock` is the clock of
    the limits, in epoch seconds.
    `latency`: seconds added to every answer. `replay`: file of real candles for (exchange, symbol).
    `symbols`: what an exchange lists instead of its default. `trading`: the period, or the periods, in which (exchange,
    symbol) trades there; before its first listing the exchange does not know it. `edges`: how an exchange reads the
    bounds of a request, where its documents leave that open. `closed_markets`: what a request for candles of a delisted
    market gets, see `SandboxVenue`. `ports`: 0 lets the system choose (the default here), None is the venue's own port.
    `log`: a file to which every request is appended as a line of JSON.
    """

    def __init__(
        self,
        venues: Iterable[str] = tuple(VENUES),
        *,
        clock: datetime | Callable[[], datetime] | None = None,
        enforce_limits: bool = True,
        limit_factor: float = 1.0,
        ban_seconds: float | None = None,
        limit_clock: Callable[[], float] = time.time,
        latency: float = 0.0,
        replay: Mapping[tuple[str, str], Path | str] | None = None,
        symbols: Mapping[str, Sequence[str]] | None = None,
        trading: Mapping[tuple[str, str], Span | Sequence[Span]] | None = None,
        edges: Mapping[str, Edges] | None = None,
        closed_markets: Mapping[str, ClosedMarket] | None = None,
        ports: Mapping[str, int | None] | None = None,
        log: Path | None = None,
        cache_bytes: int = 512 * 1024 * 1024,  # of answers: 90 days of 20 symbols, which a benchmark asks for again
    ) -> None:
        self.clock = Clock(clock)
        files = replay or {}
        chosen = list(venues)
        for exchange, symbol in files:
            if exchange not in chosen:
                raise ValueError(f"replay of {symbol} on {exchange}, which is not among {', '.join(chosen)}")
        self.sites: dict[str, Site] = {}
        for name in chosen:
            played = _variant(venue(name), (edges or {}).get(name), (closed_markets or {}).get(name))
            spans = {symbol: span for (exchange, symbol), span in (trading or {}).items() if exchange == name}
            self.sites[name] = Site(
                played,
                clock=self.clock,
                governor=Governor(
                    played,
                    enforce=enforce_limits,
                    factor=limit_factor,
                    ban_seconds=ban_seconds,
                    now=limit_clock,
                ),
                cache=BlockCache(cache_bytes // len(chosen)),
                symbols=(symbols or {}).get(name),
                trading=spans,
                replay={symbol: Path(file) for (exchange, symbol), file in files.items() if exchange == name},
                latency=latency,
                log=log,
            )
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
        """Serve from a thread. Raises PortTaken."""
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
        """Stop serving; connections that are open are closed."""
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(_finish(self._runners), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    async def serve(self) -> list[web.ServerRunner]:
        """Listen, in the running loop. After PortTaken no port is open."""
        runners: list[web.ServerRunner] = []
        try:
            for name, site in self.sites.items():
                runners.append(await _listen(site, self._wanted_ports[name]))
                self._ports[name] = runners[-1].addresses[0][1]
        except BaseException:
            await close(runners)
            raise
        return runners

    def url(self, exchange: str) -> str:
        """Return the base URL of an exchange, such as http://127.0.0.1:18801, without a slash at its end."""
        return f"http://{HOST}:{self._ports[self._site(exchange).venue.id]}"

    @property
    def urls(self) -> dict[str, str]:
        return {name: self.url(name) for name in self.sites}

    def fault(self, exchange: str, kind: str, **options: Any) -> dict[str, Any]:
        """Set a fault, see faults.FAULT_KINDS. Raises ValueError, which lists what is allowed."""
        return self._site(exchange).fault(kind, **options).described()

    def clear_faults(self, exchange: str | None = None) -> None:
        for site in self.sites.values() if exchange is None else [self._site(exchange)]:
            site.faults.clear()

    def requests(self, exchange: str, since: int = 0) -> list[dict[str, Any]]:
        """Return the log of requests whose number is `since` or higher, see journal.Entry."""
        return self._site(exchange).journal.entries(since)

    def clear_requests(self, exchange: str) -> None:
        self._site(exchange).journal.clear()

    def limits(self, exchange: str) -> dict[str, Any]:
        """Return the highest usage of each limit, violations and bans, see limits.Governor.report."""
        return self._site(exchange).governor.report()

    def set_limits(
        self, exchange: str, *, enforce: bool = True, factor: float = 1.0, ban_seconds: float | None = None
    ) -> None:
        """Change the limits and reset the counts."""
        self._site(exchange).governor.configure(enforce=enforce, factor=factor, ban_seconds=ban_seconds)

    def wait_for_silence(self, timeout: float = 60.0) -> None:
        """Wait until all clients are disconnected and everything that they sent is answered and logged.

        Raises TimeoutError, which names the exchanges that still have a connection.
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
        while calm < 5:  # rounds of the loop accept, read and answer what a client sent before it disconnected
            await asyncio.sleep(0.001)
            calm = 0 if self._busy() else calm + 1

    def _busy(self) -> list[str]:
        served = zip(self.sites, self._runners, strict=True)
        return [name for name, runner in served if runner.server is not None and runner.server.connections]

    def truth(
        self, exchange: str, symbol: str, start: datetime | int, end: datetime | int, timeframe: str = "1m"
    ) -> Floats:
        """Return finished candles of the half-open range, with replays and events: (n, 6), times in epoch ms."""
        return self._site(exchange).truth(symbol, instant_ms(start), instant_ms(end), timeframe)

    def set_latency(self, seconds: float, exchange: str | None = None) -> None:
        for site in self.sites.values() if exchange is None else [self._site(exchange)]:
            site.latency = seconds

    def _site(self, exchange: str) -> Site:
        if exchange not in self.sites:
            raise ValueError(f"{exchange!r} is not served here; {', '.join(self.sites)} are")
        return self.sites[exchange]


def serve(sandbox: Sandbox, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. `announce` gets a line for each exchange. Raises PortTaken."""
    asyncio.run(_serve(sandbox, announce))


async def close(runners: Iterable[web.ServerRunner]) -> None:
    for runner in runners:
        await runner.cleanup()


async def _finish(runners: Iterable[web.ServerRunner]) -> None:
    """Close, and cancel the answers that are still stalled or slow."""
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


async def _listen(site: Site, wanted: int | None) -> web.ServerRunner:
    port = site.venue.port if wanted is None else wanted
    server = web.Server(_handler(site), access_log=None, keepalive_timeout=3_600)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port, backlog=512).start()
    except OSError as error:
        await runner.cleanup()
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortTaken(
            f"port {port} for {site.venue.id} is taken, perhaps by another sandbox; stop it or choose another port"
        ) from error
    return runner


def _variant(played: SandboxVenue, edges: Edges | None, closed_market: ClosedMarket | None) -> SandboxVenue:
    """Return the venue with another reading of what its documents leave open."""
    if edges is not None:
        played = replace(played, wire=replace(played.wire, edges=edges))
    return played if closed_market is None else replace(played, closed_market=closed_market)


def _handler(site: Site) -> Callable[[web.BaseRequest], Any]:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith(PREFIX):
            return await _control(site, request)
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
    """Return the query, and the members of a JSON body as further parameters; nested objects are flattened."""
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
    """Send half an answer or none, and end the connection."""
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
    # Lingering for no time turns the close into a RST.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
