"""An AMI server that misbehaves on purpose: it stands where no real Asterisk can be made to fail so exactly."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Self

from pydantic import SecretStr

from controller.config import Ami

Answer = Callable[[dict[str, str], "FakeAmi"], bytes | None]


def reply(action: dict[str, str], *lines: str, response: str = "Success") -> bytes:
    """A response to an action."""
    return "\r\n".join((f"Response: {response}", f"ActionID: {action['ActionID']}", *lines, "", "")).encode()


def event(*lines: str) -> bytes:
    """An event."""
    return "\r\n".join((*lines, "", "")).encode()


BOOTED = event("Event: FullyBooted", "Status: Fully Booted")


class FakeAmi:
    """A server.  ``answer``: what it says to an action, None for nothing; without it every action succeeds."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer or (lambda action, _: reply(action))
        self.actions: list[dict[str, str]] = []
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, reuse_port=True)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self.writers:
            writer.transport.abort()
        await self._server.wait_closed()

    @property
    def settings(self) -> Ami:
        """How to reach it."""
        return Ami(port=self.port, secret=SecretStr("secret"))

    def send(self, data: bytes) -> None:
        """Say something on the newest connection."""
        self.writers[-1].write(data)

    def hang_up(self) -> None:
        """Close the newest connection."""
        self.writers[-1].transport.abort()

    def count(self, name: str) -> int:
        """How many actions of a name were received."""
        return sum(action["Action"] == name for action in self.actions)

    async def until(self, there: Callable[[], bool], within_s: float = 30.0) -> None:
        """Wait until something was received."""
        async with asyncio.timeout(within_s):
            while not there():
                self._news.clear()
                await self._news.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        writer.write(b"Asterisk Call Manager/11.0.0\r\n")
        self._news.set()
        try:
            while True:
                text = (await reader.readuntil(b"\r\n\r\n")).decode()
                action = dict(line.split(": ", 1) for line in text.strip().split("\r\n"))
                self.actions.append(action)
                self._news.set()
                said = self.answer(action, self)
                if said is not None:
                    writer.write(said)
                if action["Action"] == "Login" and said is not None and b"Success" in said:
                    writer.write(BOOTED)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.transport.abort()


@asynccontextmanager
async def fake_ami(answer: Answer | None = None) -> AsyncIterator[FakeAmi]:
    """A server that is there as long as the block."""
    async with FakeAmi(answer) as server:
        yield server


@contextmanager
def not_yet() -> Iterator[FakeAmi]:
    """A server that is not there until it is entered: its port is kept for it, and nobody listens."""
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind(("127.0.0.1", 0))
        server = FakeAmi()
        server.port = kept.getsockname()[1]
        yield server
