"""A business's webhook receiver: a real HTTP server on loopback that notes what it gets and answers as it is told."""

import asyncio
import json
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Request:
    """One request as it came in; ``connection`` counts from 1."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def event(self) -> dict[str, Any]:
        """The envelope."""
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass(frozen=True)
class Reply:
    """How to answer.  ``raw``: instead of all else; ``after``: not before; ``close``: the connection; ``endless``: a body
    without end."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    after: asyncio.Event | None = None
    close: bool = False
    endless: bool = False


OK = Reply()
CLOSE = Reply(raw=b"", close=True)
Answer = Callable[[Request], Reply]


class Receiver:
    """``async with Receiver() as receiver``: ``receiver.url`` can be called."""

    def __init__(
        self, answer: Answer = lambda _request: OK, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.connections = 0
        self.bytes_sent = 0
        self.port = 0
        self._host, self._tls = host, tls
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http{'s' if self._tls else ''}://{self._host}:{self.port}/hook"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = await asyncio.start_server(self._accept, self._host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Go down: connections are cut."""
        if self._server is not None:
            self._server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer, self.connections))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        try:
            while True:
                request = await _read(reader, connection)
                async with self._changed:
                    self.requests.append(request)
                    self._changed.notify_all()
                reply = self.answer(request)
                if reply.after is not None:
                    await reply.after.wait()
                writer.write(_bytes(reply))
                await writer.drain()
                while reply.endless:
                    writer.write(b"x" * 4096)
                    await writer.drain()
                    self.bytes_sent += 4096
                if reply.close:
                    return
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def until(self, enough: Callable[["Receiver"], bool]) -> None:
        """Wait until what came in is enough."""
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: enough(self))

    async def got(self, count: int) -> list[Request]:
        """Wait for this many requests; all so far."""
        await self.until(lambda receiver: len(receiver.requests) >= count)
        return self.requests

    def sequences(self, call: str) -> list[int]:
        """The sequence numbers of a call as they came in."""
        return [r.event["sequence"] for r in self.requests if r.event["call_id"] == "call_" + call]


async def _read(reader: asyncio.StreamReader, connection: int) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    method, path, _ = head[0].split(" ")
    assert method == "POST"
    return Request(path, headers, await reader.readexactly(int(headers["content-length"])), connection)


def _bytes(reply: Reply) -> bytes:
    if reply.raw is not None:
        return reply.raw
    length = {"content-length": str(1 << 40)} if reply.endless else {} if reply.status == 204 else {"content-length": "0"}
    headers = {**length, **reply.headers, **({"connection": "close"} if reply.close else {})}
    return (f"HTTP/1.1 {reply.status} Status\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n").encode()
