"""The link to one Asterisk: logs in, watches that somebody is there, and comes back after a loss until it is closed.

A session is: connect, log in without events, wait until Asterisk has booted, let the driver say its part (``up``), switch the
events on.  Silence is broken by a ping, and a ping that nobody answers ends the session, so a cable that was cut is noticed
within ``PING_EVERY_S + PING_WITHIN_S``.  A refused name or secret is final: trying on would lock us out.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog

from controller.config import Ami
from controller.drivers.asterisk import commands
from controller.drivers.asterisk.ami import AmiManager, AmiProtocol, Message, PendingAction
from controller.ports import Unreachable

log = structlog.get_logger(__name__)

ACT_WITHIN_S = 5.0
CONNECT_WITHIN_S = 5.0
BOOT_WITHIN_S = 120.0
PING_EVERY_S = 2.0
PING_WITHIN_S = 3.0
TICK_S = 0.5
BACKOFF_S = (0.1, 0.25, 0.5, 1.0, 2.0)


class LoginRefused(Unreachable):
    """Asterisk does not know our name and secret, or does not let our address in."""


class Link:
    """One AMI session after another.

    ``up``: called in each new session before events flow; ``heard``: every event; ``down``: why a session that was up ended, or
    why none can come.
    """

    def __init__(
        self,
        ami: Ami,
        up: Callable[[], Awaitable[None]],
        heard: Callable[[Message], None],
        down: Callable[[str], None],
    ) -> None:
        self._ami, self._up, self._heard, self._down = ami, up, heard, down
        self._manager = AmiManager(ami.host, ami.port, self._hear)
        self._booted = asyncio.Event()
        self._protocol: AmiProtocol | None = None
        self.is_up = False

    async def run(self) -> None:
        """Hold the link until cancelled or refused."""
        failures = 0
        while True:
            try:
                reason = await self._session()
                failures = 0
            except LoginRefused:
                log.error("asterisk refuses our name or secret; giving up", host=self._ami.host, port=self._ami.port)
                self._down("login refused")
                return
            except (OSError, TimeoutError, Unreachable) as error:
                reason = type(error).__name__
                if failures == 0:
                    log.warning("asterisk cannot be reached", host=self._ami.host, port=self._ami.port, reason=reason)
            finally:
                self._drop()
            if self.is_up:
                self.is_up = False
                self._down(reason)
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)] * random.uniform(0.8, 1.2))
            failures += 1

    def _drop(self) -> None:
        if self._protocol is not None:
            self._protocol.abort()
            self._protocol = None

    async def _session(self) -> str:
        """One session from connect to loss; why it ended."""
        self._booted.clear()
        protocol = self._protocol = await self._manager.establish(CONNECT_WITHIN_S)
        watching = asyncio.create_task(self._watch(protocol))
        try:
            await self._log_in()
            async with asyncio.timeout(BOOT_WITHIN_S):
                await self._booted.wait()
            await self._up()
            await self.act({"Action": "Events", "EventMask": "on"})
            self.is_up = True
            return await watching
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _log_in(self) -> None:
        answer = await self.act(commands.login(self._ami.username, self._ami.secret.get_secret_value()))
        if answer["Response"] != "Success":
            raise LoginRefused(answer.get("Message", ""))

    async def _watch(self, protocol: AmiProtocol) -> str:
        """Until the session is lost: fail what is overdue, and ping into silence."""
        pinged_at: float | None = None
        while True:
            await asyncio.wait((protocol.lost,), timeout=TICK_S)
            now = time.monotonic()
            if protocol.lost.done():
                return "connection closed"
            protocol.expire(now)
            if pinged_at is not None and protocol.heard_at < pinged_at:
                if now - pinged_at >= PING_WITHIN_S:
                    protocol.abort()
                    return "no answer to a ping"
            elif now - protocol.heard_at >= PING_EVERY_S:
                pinged_at = now
                self.send({"Action": "Ping"}).add_done_callback(_forget)

    def _hear(self, message: Message) -> None:
        if message["Event"] == "FullyBooted":
            self._booted.set()
        else:
            self._heard(message)

    # --- actions

    def send(self, fields: Mapping[str, str | list[str]], is_list: bool = False) -> "asyncio.Future[Message]":
        """Put an action on the wire.  The future ends within ACT_WITHIN_S or so: with the answer, or ``Unreachable``."""
        action = PendingAction(fields, is_list, time.monotonic() + ACT_WITHIN_S)
        future: asyncio.Future[Message] = self._manager.send_action(action)
        return future

    def send_both(
        self, first: Mapping[str, str | list[str]], second: Mapping[str, str | list[str]]
    ) -> "tuple[asyncio.Future[Message], asyncio.Future[Message]]":
        """Put two actions on the wire, in this order."""
        deadline = time.monotonic() + ACT_WITHIN_S
        actions = [PendingAction(fields, False, deadline) for fields in (first, second)]
        self._manager.send_actions(actions)
        return actions[0].future, actions[1].future

    async def act(self, fields: Mapping[str, str | list[str]]) -> Message:
        """Send an action and wait for its response, which may be an error.  Raises Unreachable."""
        return await self.send(fields)

    async def rows(self, fields: Mapping[str, str | list[str]]) -> list[Message]:
        """Send an action that answers with a list.  Raises Unreachable."""
        answer = await self.send(fields, is_list=True)
        rows: list[Message] = answer  # type: ignore[assignment]
        if rows and "Response" in rows[0]:
            raise Unreachable("the PBX refused a list")
        return rows

    def cut(self) -> None:
        """End this session; ``run`` begins another."""
        if self._protocol is not None:
            self._protocol.abort()


def _forget(answer: "asyncio.Future[Message]") -> None:
    if not answer.cancelled():
        answer.exception()
