"""The thread with gevent's hub in it, and the way there and back.

In: a bell on the hub's loop (``async_``, which also keeps the hub waiting when nothing else does).  Out:
``call_soon_threadsafe`` of asyncio's, events by the batch.  Events that asyncio has not taken yet are bounded: beyond HIGH
the thread stops reading, and FreeSWITCH queues (100,000, then it drops us).
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event

from controller.drivers.freeswitch.esl import Esl, LoginRefused
from controller.drivers.freeswitch.frames import Frame
from controller.ports import Unreachable

HIGH, LOW = 5_000, 1_000
SLICE_S = 0.001
STOP_WITHIN_S = 5.0

Where = tuple[str, int, str, float]
"""Host, port, password, and within how many seconds to be logged in."""


class Host:
    """One thread, one hub, one connection at a time.  ``heard``: each event's JSON, in order, on asyncio's side."""

    def __init__(self, heard: Callable[[bytes], None]) -> None:
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._events: deque[bytes] = deque()
        self._draining = False
        self._esl: Esl | None = None
        self._inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._stopped = False
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._main, name="esl", daemon=True)
        self._thread.start()

    # --- asyncio's side

    async def connect(self, where: Where) -> "asyncio.Future[str]":
        """A new connection in the place of the old one; the future says why it ended.  Raises LoginRefused, OSError."""
        await asyncio.shield(self._started)
        done, lost = self._loop.create_future(), self._loop.create_future()
        if not self._call(self._connect, where, done, lost):
            raise ConnectionError("the link is closed")
        await done
        return lost

    def send(self, command: str) -> "asyncio.Future[Frame]":
        """Put a command on the wire; its reply, or Unreachable."""
        future: asyncio.Future[Frame] = self._loop.create_future()
        future.add_done_callback(_quietly)
        if not self._call(self._post, command, lambda frame: self._tell(_reply, future, frame)):
            _reply(future, None)
        return future

    def cut(self, reason: str) -> None:
        """End the connection."""
        self._call(self._cut, reason)

    async def stop(self) -> None:
        """End the connection and the thread."""
        await asyncio.shield(self._started)
        self._call(self._leave)
        self._stopped = True
        await asyncio.to_thread(self._thread.join, STOP_WITHIN_S)

    def _call(self, work: Callable[..., None], *args: Any) -> bool:
        """Let the thread do something; False when it is over."""
        if self._stopped or not self._started.done():
            return False
        self._inbox.append((work, args))
        self._bell.send()
        return True

    def _drain(self) -> None:
        until = time.perf_counter() + SLICE_S
        while self._events and time.perf_counter() < until:
            self._heard(self._events.popleft())
        if len(self._events) <= LOW and not self._room.is_set():
            self._call(self._room.set)
        if not self._events:
            self._draining = False
        if self._events:  # out of time, or one came just before we said that we rest
            self._draining = True
            self._loop.call_soon(self._drain)

    # --- the thread's side

    def _main(self) -> None:
        self._room, self._end = gevent.event.Event(), gevent.event.Event()
        self._room.set()
        hub = gevent.get_hub()
        self._bell = hub.loop.async_()
        self._bell.start(self._called)
        self._tell(_settle, self._started, None)
        self._end.wait()
        self._bell.close()
        hub.destroy(destroy_loop=True)

    def _called(self) -> None:
        while self._inbox:
            work, args = self._inbox.popleft()
            work(*args)

    def _tell(self, work: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(work, *args)
        except RuntimeError:  # asyncio's loop is closed, so nobody is left to be told
            self._end.set()

    def _connect(self, where: Where, done: "asyncio.Future[None]", lost: "asyncio.Future[str]") -> None:
        self._cut("another connection")
        esl = self._esl = Esl(*where, self._take, lambda reason: self._tell(_settle, lost, reason))
        gevent.spawn(self._log_in, esl, done)

    def _log_in(self, esl: Esl, done: "asyncio.Future[None]") -> None:
        try:
            esl.connect()
        except (LoginRefused, OSError) as error:
            self._tell(_fail, done, error)
        else:
            self._tell(_settle, done, None)

    def _post(self, command: str, answer: Callable[[Frame | None], None]) -> None:
        if self._esl is None:
            answer(None)
        else:
            self._esl.post(command, answer)

    def _take(self, event: bytes) -> None:
        """Called by the reader for each event; waits while asyncio is behind."""
        self._events.append(event)
        if not self._draining:
            self._draining = True
            self._tell(self._drain)
        if len(self._events) >= HIGH:
            self._room.clear()
            self._room.wait()

    def _cut(self, reason: str) -> None:
        if self._esl is not None:
            esl, self._esl = self._esl, None
            esl.drop(reason)
            self._room.set()

    def _leave(self) -> None:
        self._cut("closed")
        self._end.set()


def _settle(future: "asyncio.Future[Any]", value: object) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def _reply(future: "asyncio.Future[Frame]", frame: Frame | None) -> None:
    if frame is None:
        _fail(future, Unreachable("the link to the PBX was lost"))
    else:
        _settle(future, frame)


def _quietly(future: "asyncio.Future[Frame]") -> None:
    if not future.cancelled():
        future.exception()
