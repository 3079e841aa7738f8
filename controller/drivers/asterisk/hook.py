"""The hook: a FastAGI server of our own, to which every held leg knocks.

A session stays open as long as its leg is held.  What is asked of the leg runs in it as a native subroutine (AGI ``GOSUB``),
which needs nobody at this end: Asterisk does not look at the socket before it is over.  If we are gone then, the leg knocks
elsewhere and says what it did.  Nothing here waits for a peer: bytes come by callback, so one that connects and closes, or says
nothing, holds nobody up.
"""

import asyncio
import hmac
import re
import socket
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import structlog
from ulid import ULID

from controller.core import ids
from controller.ports import Unreachable, VerbRefused

log = structlog.get_logger(__name__)

ARGUMENTS = tuple(f"agi_arg_{number}" for number in range(1, 10))
_ARRIVAL = (re.compile(r"[A-Za-z0-9._-]{1,149}"), re.compile(r"[a-z][a-z0-9_-]{0,39}"), *[re.compile(r"(\+?[0-9]{1,20})?")] * 2)
LONGEST_GREETING = 16_384
LONGEST_LINE = 8_192
GREET_WITHIN_S = 5.0
ANSWER_WITHIN_S = 5.0
SESSIONS_AT_MOST = 25_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """A leg that came in, as the dialplan saw it.  ``channel``: Asterisk's own id of it; the numbers are digits and ``+``."""

    channel: str
    trunk: str
    caller: str = field(repr=False)
    called: str = field(repr=False)


class Session(asyncio.Protocol):
    """One leg at our hook.

    ``step``, ``result``, ``data``: the last verb that Asterisk began natively for the leg, and how that ended.  ``verb``: the
    verb that it does now, empty while it waits for one.  ``answered_at``: when the leg was (ms), as Asterisk noted it.
    ``arrival``: set for a leg that came in and was not answered when it knocked; ``named``: Asterisk knows its id.
    """

    def __init__(self, hook: "Hook") -> None:
        self._hook = hook
        self._buffer = b""
        self._greeted = False
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[str] | None = None
        self._began: asyncio.Future[None] | None = None
        self.leg = self.step = self.result = self.data = self.verb = ""
        self.answered_at: int | None = None
        self.arrival: Arrival | None = None
        self.named = True
        self.open = True
        self.idle = asyncio.Event()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is at the door; strangers are sent away."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has no common ancestor with asyncio's
        peer = transport.get_extra_info("peername")
        if not self._hook.welcomes(peer[0] if peer else ""):
            self._transport.abort()
            return
        self._late = asyncio.get_running_loop().call_later(GREET_WITHIN_S, self.leave)

    def data_received(self, data: bytes) -> None:
        """First the greeting up to an empty line, then a line per answer."""
        self._buffer += data
        if not self._greeted:
            greeting, end, rest = self._buffer.partition(b"\n\n")
            if not end:
                if len(self._buffer) > LONGEST_GREETING:
                    self.leave()
                return
            self._greeted, self._buffer = True, rest
            self._late.cancel()
            if not self._hook.lets_in(self, greeting):
                self.leave()
                return
        while self.open and b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            self._line(line.decode("utf-8", "replace").strip())
        if len(self._buffer) > LONGEST_LINE:
            self.leave()

    def _line(self, line: str) -> None:
        if line == "HANGUP":
            self.leave()
        elif line.startswith("100"):
            self._acknowledge()
            if self._began is not None and not self._began.done():
                self._began.set_result(None)
        elif self._began is not None and not self._began.done():
            self._began.set_exception(VerbRefused("the dialplan does not know this subroutine"))
        elif self._answer is not None and not self._answer.done():
            self._answer.set_result(line)

    def _acknowledge(self) -> None:
        """Asterisk leaves Nagle's algorithm on: its next line would wait up to 40 ms for our delayed ACK (tcp(7))."""
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        if sock is not None and hasattr(socket, "TCP_QUICKACK"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        """The leg hung up, or was taken elsewhere."""
        self.leave()

    def leave(self) -> None:
        """End the session.  A leg that still lives knocks again."""
        if not self.open:
            return
        self.open = False
        if self._transport is not None:
            self._transport.close()
        for future in (self._answer, self._began):
            if future is not None and not future.done():
                future.set_exception(Unreachable("the leg left the hook"))
        self.idle.set()
        self._hook.left(self)

    # --- commands

    async def begin(self, verb_id: str, command: str) -> "asyncio.Future[str]":
        """Start a subroutine for a verb; returns once Asterisk has begun it, with the future of its last line.

        Raises VerbRefused, Unreachable.
        """
        self.verb = verb_id
        self.idle.clear()
        loop = asyncio.get_running_loop()
        began, answer = loop.create_future(), loop.create_future()
        answer.add_done_callback(quietly)
        began.add_done_callback(quietly)
        self._began, self._answer = began, answer
        late = loop.call_later(ANSWER_WITHIN_S, fail, began, Unreachable("the leg did not take the command"))
        try:
            self._write(command)
            await began
        except VerbRefused:
            self.done()
            raise
        except Unreachable:
            self.leave()
            raise
        finally:
            late.cancel()
        return answer

    async def ask(self, command: str) -> str:
        """A command that answers at once; its line.  Raises Unreachable."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        answer.add_done_callback(quietly)
        self._answer, self._began = answer, None
        late = loop.call_later(ANSWER_WITHIN_S, fail, answer, Unreachable("the leg did not answer"))
        try:
            self._write(command)
            return await answer
        except Unreachable:
            self.leave()
            raise
        finally:
            late.cancel()

    async def be(self, leg: str) -> None:
        """Give a leg that came in its id, which it will bear in all that is told of it.  Raises Unreachable."""
        await self.ask(f"SET VARIABLE PB_LEG {leg}")
        self.named = True
        self.done()

    async def left(self, within_s: float) -> bool:
        """Whether the leg leaves within this time, while it does a verb."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self.idle.wait()
        return not self.open

    def did(self, step: str, result: str) -> None:
        """What the leg says of the last verb that Asterisk began for it: ``digits:42`` is a result with the keys."""
        self.step = step
        self.result, _, self.data = result.partition(":")

    def done(self) -> None:
        """The verb is over: the leg waits for the next."""
        self.verb = ""
        self.idle.set()

    def _write(self, command: str) -> None:
        if not self.open or self._transport is None:
            raise Unreachable("the leg left the hook")
        self._transport.write(f"{command}\n".encode())


def quietly(future: "asyncio.Future[Any]") -> None:
    """A done callback: that nobody asks how this ended is no fault."""
    if not future.cancelled():
        future.exception()


def fail(future: "asyncio.Future[Any]", error: Exception) -> None:
    """End what waits, unless it has ended."""
    if not future.done():
        future.set_exception(error)


def _arrival(said: list[str]) -> Arrival | None:
    """Who came in, if somebody did.  A number in no form that could be dialled counts as withheld."""
    channel, trunk, caller, called = (
        value if form.fullmatch(value) else "" for form, value in zip(_ARRIVAL, said, strict=True)
    )
    return Arrival(channel, trunk, caller, called) if channel else None


class Hook:
    """The server.  ``knocked``: called for each session that was let in; ``peers``: addresses that may knock (empty: any)."""

    def __init__(self, tokens: Collection[str], peers: Collection[str], knocked: Callable[[Session], None]) -> None:
        self._tokens = [token.encode() for token in tokens]
        self._peers = frozenset(peers)
        self._knocked = knocked
        self._server: asyncio.Server | None = None
        self._waiting: dict[str, asyncio.Future[Session]] = {}
        self.sessions: dict[str, Session] = {}

    async def start(self, host: str, port: int) -> int:
        """Listen; the port.  Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Session(self), host, port, backlog=1024)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop listening and leave every leg to itself: those that are held knock on."""
        if self._server is not None:
            self._server.close()
        for session in list(self.sessions.values()):
            session.leave()
        for waiting in self._waiting.values():
            waiting.cancel()
        if self._server is not None:
            await self._server.wait_closed()

    async def session(self, leg: str, within_s: float) -> Session:
        """The leg's session once it waits for a verb: it may be between two knocks.  Raises VerbRefused."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                session = self.sessions.get(leg) or await self._knock_of(leg)
                while not session.idle.is_set():
                    await session.idle.wait()
                    session = self.sessions.get(leg) or await self._knock_of(leg)
                return session
        raise VerbRefused("the leg is not held" if leg not in self.sessions else "the leg is busy")

    def _knock_of(self, leg: str) -> "asyncio.Future[Session]":
        waiting = self._waiting.get(leg)
        if waiting is None or waiting.done():
            waiting = self._waiting[leg] = asyncio.get_running_loop().create_future()
        return asyncio.shield(waiting)

    def forget(self, leg: str) -> None:
        """The leg is gone: nobody needs to wait for its knock."""
        waiting = self._waiting.pop(leg, None)
        if waiting is not None and not waiting.done():
            waiting.set_exception(VerbRefused("the leg is gone"))
            waiting.exception()

    # --- for sessions

    def welcomes(self, address: str) -> bool:
        """Whether this address may knock, and there is room."""
        return (not self._peers or address in self._peers) and len(self.sessions) < SESSIONS_AT_MOST

    def lets_in(self, session: Session, greeting: bytes) -> bool:
        """Read who knocks.  A wrong token, or what is no leg of ours, is "not mine": it is sent on at once."""
        args = dict.fromkeys(ARGUMENTS, "")  # told last, so that nothing that a stranger wrote before them counts
        for line in greeting.decode("utf-8", "replace").split("\n"):
            name, _, value = line.partition(": ")
            if name in args:
                args[name] = value
        token, leg, step, result, answered, *arrived = args.values()
        session.arrival = _arrival(arrived)
        if session.arrival is not None and not leg:
            session.named, leg = False, ids.leg_id(str(ULID()), 1)
        if not any(hmac.compare_digest(token.encode(), mine) for mine in self._tokens) or not ids.is_leg_id(leg):
            log.warning("a stranger knocked at the hook")
            return False
        session.leg = leg
        session.did(step, result)
        session.answered_at = int(answered) if answered.isascii() and answered.isdigit() and len(answered) < 18 else None
        before = self.sessions.get(leg)
        self.sessions[leg] = session
        if before is not None:
            before.leave()
        if session.named:
            session.done()
        waiting = self._waiting.pop(leg, None)
        self._knocked(session)
        if waiting is not None and not waiting.done():
            waiting.set_result(session)
        return True

    def left(self, session: Session) -> None:
        """A session is over."""
        if self.sessions.get(session.leg) is session:
            del self.sessions[session.leg]
