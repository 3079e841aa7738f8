"""An event socket that misbehaves on purpose: it stands where no real FreeSWITCH can be made to fail so exactly."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self

from pydantic import SecretStr

from controller.config import Esl

Answer = Callable[[str, "FakeEsl"], bytes | None]
PASSWORD = "a-long-enough-password"
BOOT = "8a2d4f9e-0000-4000-8000-000000000001"


def frame(kind: str, body: bytes = b"", reply: str = "") -> bytes:
    """A frame as FreeSWITCH writes it."""
    head = f"Content-Type: {kind}\n"
    if reply:
        head += f"Reply-Text: {reply}\n"
    if body:
        head = f"Content-Length: {len(body)}\n" + head
    return head.encode() + b"\n" + body


def api(body: str) -> bytes:
    """The answer to an ``api`` command."""
    return frame("api/response", body.encode())


def event(name: str, **headers: Any) -> bytes:
    """An event; ``Unique_ID`` for ``Unique-ID``."""
    fields = {key if key.startswith("variable_") else key.replace("_", "-"): value for key, value in headers.items()}
    return frame(
        "text/event-json", json.dumps({"Event-Name": name, "Event-Date-Timestamp": "1700000000000000", **fields}).encode()
    )


def obey(command: str, _: "FakeEsl") -> bytes | None:
    """What a FreeSWITCH without a call says."""
    if command.startswith("api global_getvar"):
        return api(BOOT)
    if command.startswith("api show channels"):
        return api('{"row_count":0}')
    if command.startswith("api show tasks"):
        return api("")
    return api("+OK\n") if command.startswith("api") else frame("command/reply", reply="+OK")


class FakeEsl:
    """A server.  ``answer``: what it says to a command, None for nothing; ``budget``: it dies after so many bytes, once."""

    def __init__(self, answer: Answer = obey) -> None:
        self.answer = answer
        self.greeting = frame("auth/request")
        self.commands: list[str] = []
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.readers: list[asyncio.StreamReader] = []
        self.budget: Callable[[], int | None] = lambda: None
        self.port = 0
        self._server: asyncio.Server | None = None
        self._news = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, reuse_port=True)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.hang_up()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def settings(self) -> Esl:
        """How to reach it."""
        return Esl(port=self.port, password=SecretStr(PASSWORD))

    def send(self, data: bytes) -> None:
        """Say something on the newest connection."""
        self.writers[-1].write(data)

    def hang_up(self) -> None:
        """Close every connection as a crash would."""
        for writer in self.writers:
            writer.transport.abort()

    def count(self, begin: str) -> int:
        """How many commands that begin so were received."""
        return sum(command.startswith(begin) for command in self.commands)

    async def until(self, there: Callable[[], bool], within_s: float = 30.0) -> None:
        """Wait until something was received."""
        async with asyncio.timeout(within_s):
            while not there():
                self._news.clear()
                await self._news.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        self.connections += 1
        self.writers.append(writer)
        self.readers.append(reader)
        self._news.set()
        left = self.budget()
        try:
            left = _write(writer, self.greeting, left)
            while True:
                command = (await reader.readuntil(b"\n\n")).decode().strip("\n")
                if body := re.search(r"^content-length: (\d+)$", command, re.MULTILINE):
                    command += "\n\n" + (await reader.readexactly(int(body[1]))).decode()
                self.commands.append(command)
                self._news.set()
                said = self._login(command) if command.startswith("auth ") else self.answer(command, self)
                if said is not None:
                    left = _write(writer, said, left)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.transport.abort()

    @staticmethod
    def _login(command: str) -> bytes:
        right = command == f"auth {PASSWORD}"
        return frame("command/reply", reply="+OK accepted" if right else "-ERR invalid")


def _write(writer: asyncio.StreamWriter, data: bytes, left: int | None) -> int | None:
    if left is None:
        writer.write(data)
        return None
    writer.write(data[:left])
    if len(data) >= left:
        raise ConnectionResetError
    return left - len(data)


@asynccontextmanager
async def fake_esl(answer: Answer = obey) -> AsyncIterator[FakeEsl]:
    """A server that is there as long as the block."""
    async with FakeEsl(answer) as server:
        yield server


@contextmanager
def not_yet() -> Iterator[FakeEsl]:
    """A server that is not there until it is entered: its port is kept for it, and nobody listens."""
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind(("127.0.0.1", 0))
        server = FakeEsl()
        server.port = kept.getsockname()[1]
        yield server
