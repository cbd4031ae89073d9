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

HOST = "127.0.0.1"


class PortTaken(Titan10Error):
    """Another program listens on the port of an exchange."""


class Sandbox:
    """Exchanges, each on a port of its own; a context manager that serves them from a thread.

    `clock`: None (real time), an aware datetime (time stands still) or a function that tells the time.
    `enforce_limits`: refuse what is beyond the exchange's rate limits (usage is counted either way);
    `limit_factor` scales what is allowed, `ban_seconds` replaces the length of every ban, `limit_clock` tells the
    time to the limits, epoch seconds.
    `latency`: seconds added to every answer. `replay`: file of real candles for (exchange, symbol).
    `symbols`: what an exchange lists instead of its default, `trading`: from when to when (exchange, symbol) trades
    there; before its listing the exchange does not know it. `ports`: 0 lets the system choose (the default
    here), None the venue's own port. `log`: a file that every request is appended to as a line of JSON.
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
        trading: Mapping[tuple[str, str], Span] | None = None,
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
        self.sites = {
            name: Site(
                venue(name),
                clock=self.clock,
                governor=Governor(
                    venue(name),
                    enforce=enforce_limits,
                    factor=limit_factor,
                    ban_seconds=ban_seconds,
                    now=limit_clock,
                ),
                cache=BlockCache(cache_bytes // len(chosen)),
                symbols=(symbols or {}).get(name),
                trading={symbol: span for (exchange, symbol), span in (trading or {}).items() if exchange == name},
                replay={symbol: Path(file) for (exchange, symbol), file in files.items() if exchange == name},
                latency=latency,
                log=log,
            )
            for name in chosen
        }
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
        """Listen, in the running loop. Raises PortTaken, then nothing listens."""
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
        """Base URL of an exchange, such as http://127.0.0.1:18801, without a slash at its end."""
        return f"http://{HOST}:{self._ports[self._site(exchange).venue.id]}"

    @property
    def urls(self) -> dict[str, str]:
        return {name: self.url(name) for name in self.sites}

    def fault(self, exchange: str, kind: str, **options: Any) -> dict[str, Any]:
        """Set a fault, see faults.FAULT_KINDS. Raises ValueError naming what is allowed."""
        return self._site(exchange).fault(kind, **options).described()

    def clear_faults(self, exchange: str | None = None) -> None:
        for site in self.sites.values() if exchange is None else [self._site(exchange)]:
            site.faults.clear()

    def requests(self, exchange: str, since: int = 0) -> list[dict[str, Any]]:
        """The log of requests whose number is `since` or higher, see journal.Entry."""
        return self._site(exchange).journal.entries(since)

    def clear_requests(self, exchange: str) -> None:
        self._site(exchange).journal.clear()

    def limits(self, exchange: str) -> dict[str, Any]:
        """Highest usage seen against each limit, violations and bans, see limits.Governor.report."""
        return self._site(exchange).governor.report()

    def set_limits(
        self, exchange: str, *, enforce: bool = True, factor: float = 1.0, ban_seconds: float | None = None
    ) -> None:
        """Change the limits and start counting anew."""
        self._site(exchange).governor.configure(enforce=enforce, factor=factor, ban_seconds=ban_seconds)

    def wait_for_silence(self, timeout: float = 60.0) -> None:
        """Wait until every client has gone, and what they had sent has been answered and is in the log.

        Raises TimeoutError, naming the exchanges that somebody is still connected to.
        """
        if self._loop is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(asyncio.wait_for(self._silence(), timeout), self._loop).result()
        except TimeoutError:
            raise TimeoutError(
                f"somebody is still connected to {', '.join(self._busy())} after {timeout:g} s"
            ) from None

    async def _silence(self) -> None:
        calm = 0
        while calm < 5:  # a round accepts, one reads and one answers what a client left behind when it went
            await asyncio.sleep(0.001)
            calm = 0 if self._busy() else calm + 1

    def _busy(self) -> list[str]:
        served = zip(self.sites, self._runners, strict=True)
        return [name for name, runner in served if runner.server is not None and runner.server.connections]

    def truth(
        self, exchange: str, symbol: str, start: datetime | int, end: datetime | int, timeframe: str = "1m"
    ) -> Floats:
        """Finished candles of the half-open range, with replay and restatements: (n, 6), times in epoch ms."""
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
    """Close, and end the answers that are still stalled or slow."""
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


def _handler(site: Site) -> Callable[[web.BaseRequest], Any]:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith(PREFIX):
            return await _control(site, request)
        reply = site.answer(request.path, request.query)
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.wire is not None:
            return await _broken(request, reply)
        return web.Response(
            status=reply.status, body=reply.body, content_type=reply.content_type, headers=reply.headers
        )

    return handle


async def _control(site: Site, request: web.BaseRequest) -> web.Response:
    sent = await request.read()
    try:
        found = control(site, request.method, request.path, request.query, orjson.loads(sent) if sent else {})
    except NoSuchControl as error:
        return _told(404, str(error))
    except (ValueError, KeyError, TypeError) as error:
        return _told(400, f"{type(error).__name__}: {error}")
    return web.Response(body=orjson.dumps(found), content_type=JSON)


def _told(status: int, text: str) -> web.Response:
    return web.Response(status=status, body=orjson.dumps({"error": text}), content_type=JSON)


async def _broken(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Half an answer or none, and the end of the connection."""
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
