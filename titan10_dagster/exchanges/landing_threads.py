"""Threads that write fetched slices to the landing zone.

A slice lands when a thread writes it to the landing zone. For a slice of 1m candles, this takes about two milliseconds.
The event loop usually waits until the slice has landed. If the event loop worked at the same time, landing would take
more than twice as much CPU time, because the event loop and the thread would exchange Python's global lock in each of
many short numpy calls. The event loop waits for at most 20 ms. If the disk is slower, the event loop continues to
request pages.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from threading import Lock
from typing import Self

from titan10_dagster.candles.fetched import FetchedSlice

_MOST_WAITING = 64  # if more slices than this wait for the disk, no new page is requested
_PATIENCE = 0.02  # the event loop waits for at most this many seconds until a slice has landed
_THREADS = 4  # the number of threads that land slices; while one waits for the disk, the others can continue


class LandingThreads:
    """Threads that pass slices to the function `land`. Use the object inside `async with`.

    At the end of `async with`, the object waits until all slices have landed. If `land` raises an error, no more slices
    land, and `wait` or the end of `async with` raises this error.

    landed, candles: the numbers of slices and candles that have landed.
    seconds: the CPU time that was needed to land the slices.
    """

    def __init__(self, land: Callable[[FetchedSlice], None]) -> None:
        self._land = land
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="landing")
        self._waiting: deque[Future[None]] = deque()
        self._failed = False
        self._counting = Lock()
        self.landed = self.candles = 0
        self.seconds = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.wait(0)
        finally:
            await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    def hand_in(self, fetched: FetchedSlice) -> None:
        """Pass a slice to a thread, which lands the slice.

        If all earlier slices have landed, wait until this slice has landed too, but for at most 20 ms.
        """
        is_busy = any(not earlier.done() for earlier in self._waiting)
        landing = self._threads.submit(copy_context().run, self._write, fetched)
        self._waiting.append(landing)
        if not is_busy:
            wait([landing], _PATIENCE)

    async def wait(self, most: int = _MOST_WAITING) -> None:
        """Wait until at most `most` slices have not landed yet."""
        while self._waiting and (len(self._waiting) > most or self._waiting[0].done()):
            await asyncio.wrap_future(self._waiting.popleft())

    def _write(self, fetched: FetchedSlice) -> None:
        if self._failed:
            return
        began = time.thread_time()
        try:
            self._land(fetched)
        except BaseException:
            self._failed = True
            raise
        with self._counting:
            self.seconds += time.thread_time() - began
            self.landed += 1
            self.candles += len(fetched.candles)
