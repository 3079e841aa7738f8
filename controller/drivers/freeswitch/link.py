"""The link to one FreeSWITCH: logs in, watches that somebody is there, and comes back after a loss until it is closed.

A session is: connect, subscribe to the few events that are read, let the driver say its part (``up``).  Then a beat each
second: it writes into FreeSWITCH until when we count as alive, and one that nobody answers ends the session, so a cable
that was cut is noticed within ``BEAT_EVERY_S + BEAT_WITHIN_S``.  A refused password is final: trying on would only fill a log.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from controller.config import Esl
from controller.drivers.freeswitch import commands
from controller.drivers.freeswitch.esl import LoginRefused
from controller.drivers.freeswitch.frames import Frame
from controller.drivers.freeswitch.thread import Host
from controller.ports import Unreachable

log = structlog.get_logger(__name__)

ACT_WITHIN_S = 5.0
CONNECT_WITHIN_S = 5.0
BEAT_EVERY_S = 1.0
BEAT_WITHIN_S = 3.0
BACKOFF_S = (0.1, 0.25, 0.5, 1.0, 2.0)


class Link:
    """One ESL session after another.

    ``up``: called in each new session before events count; ``heard``: every event's JSON; ``down``: why a session that was up
    ended, or why none can come.
    """

    def __init__(
        self, esl: Esl, up: Callable[[], Awaitable[None]], heard: Callable[[bytes], None], down: Callable[[str], None]
    ) -> None:
        self._esl, self._up, self._heard, self._down = esl, up, heard, down
        self._host: Host | None = None
        self.is_up = False

    async def run(self) -> None:
        """Hold the link until cancelled or refused."""
        failures = 0
        host = self._host = Host(self._hear)
        try:
            while True:
                try:
                    reason = await self._session(host)
                    failures = 0
                except LoginRefused:
                    log.error("freeswitch refuses our password or address; giving up", host=self._esl.host, port=self._esl.port)
                    self._down("login refused")
                    return
                except (OSError, TimeoutError, Unreachable) as error:
                    reason = type(error).__name__
                    if failures == 0:
                        log.warning("freeswitch cannot be reached", host=self._esl.host, port=self._esl.port, reason=reason)
                host.cut(reason)
                if self.is_up:
                    self.is_up = False
                    self._down(reason)
                await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)] * random.uniform(0.8, 1.2))
                failures += 1
        finally:
            self.is_up = False
            await host.stop()

    async def _session(self, host: Host) -> str:
        """One session from connect to loss; why it ended."""
        password = self._esl.password.get_secret_value()
        lost = await host.connect((self._esl.host, self._esl.port, commands.one_line(password), CONNECT_WITHIN_S))
        for command in commands.SUBSCRIBE:
            await self.act(command)
        await self._up()
        self.is_up = True
        beating = asyncio.create_task(self._beat())
        try:
            await asyncio.wait((lost, beating), return_when=asyncio.FIRST_COMPLETED)
            return lost.result() if lost.done() else "no answer to a beat"
        finally:
            beating.cancel()
            await asyncio.wait((beating,))  # to await the task itself would take a cancel of ours for its own
            _forget(beating)

    async def _beat(self) -> None:
        """Say that we are alive, until nobody answers.  The first word is the driver's (``up``)."""
        while True:
            await asyncio.sleep(BEAT_EVERY_S)
            async with asyncio.timeout(BEAT_WITHIN_S):  # not wait_for: that may swallow a cancel (Python 3.11)
                await self.send(commands.BEAT)

    def _hear(self, event: bytes) -> None:
        if self.is_up:
            self._heard(event)

    # --- commands

    def send(self, command: str) -> "asyncio.Future[Frame]":
        """Put a command on the wire; the future ends with its reply, or ``Unreachable`` when the session ends first."""
        if self._host is None:
            raise Unreachable("the link to the PBX is down")
        return self._host.send(command)

    async def act(self, command: str) -> str:
        """Send a command and wait for its answer: the reply's text or the body.  Raises Unreachable.

        Replies come in order and carry no name, so after a missing one none can be trusted: the session is cut."""
        try:
            async with asyncio.timeout(ACT_WITHIN_S):
                frame = await self.send(command)
        except TimeoutError:
            self.cut()
            raise Unreachable("the PBX did not answer in time") from None
        return frame.body.decode("utf-8", "replace") if frame.kind == "api/response" else frame.reply

    def cut(self) -> None:
        """End this session; ``run`` begins another."""
        if self._host is not None:
            self._host.cut("cut")


def _forget(task: "asyncio.Task[None]") -> None:
    if not task.cancelled():
        task.exception()
