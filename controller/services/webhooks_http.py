"""The HTTP client of webhook deliveries: POST over kept HTTP/1.1 connections, and nothing else.

Patchbay sends about twelve webhooks for each callback, so what one costs decides what a callback costs: this client takes a
third to a sixth of the CPU of a general one (measured in docs/why/performance.md).  Parsing is llhttp's, by httptools.
It follows no redirect, keeps no cookie, reads no body: the status counts, and the rest is passed over up to ``BOUND`` bytes.
Only what asks a question (``Reading``) reads the answer, up to the same bound.
"""

import asyncio
import os
import socket
import ssl
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httptools

from controller.services.webhooks_guard import Forbidden, Guard, Target

BOUND = 65_536
"""Bytes of an answer, headers included, after which the connection is dropped."""
IDLE_S = 30.0
"""How long a connection is kept without a request."""
IDLE_PER_HOST = 32

_Key = tuple[bool, str, int]


class NoAnswer(Exception):
    """There was no HTTP answer; the message says why, without addresses."""


class Closed(NoAnswer):
    """The other side closed the connection."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``retry_after``: the header as received; ``body``: where the connection reads it."""

    status: int
    retry_after: str | None = None
    body: bytes = b""


class _Connection(asyncio.Protocol):
    """One connection, one request at a time.  The parser calls the ``on_`` methods."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Answer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._status = 0
        self._retry_after: str | None = None
        self.received = 0
        self.reusable = True
        self.used_at = 0.0

    # --- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.over(NoAnswer("data that nobody asked for"))
            return
        self.received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.over(NoAnswer("the answer is no HTTP"))
        if self._answer is not None and self.received > BOUND:
            self.over(NoAnswer("the answer is too large"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.over(Closed("the connection was closed before an answer"))

    # --- the parser

    def on_message_begin(self) -> None:
        """A second answer to one request: nothing that comes after it can be trusted."""
        self.reusable = self.reusable and self._answer is not None

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        if len(name) == 11 and name.lower() == b"retry-after":
            self._retry_after = value.decode("latin-1")[:64]

    def on_headers_complete(self) -> None:
        """From here on the status counts, whatever comes of the body.  1xx announces another answer."""
        status = self._parser.get_status_code()
        if status >= 200 or status == 101:
            self._status = status

    def on_message_complete(self) -> None:
        """The connection is free for the next request if both sides keep it."""
        if self._status:
            self.reusable = self.reusable and self._status != 101 and self._parser.should_keep_alive()
            self._settle()

    # --- requests

    def ask(self, request: bytes, read_s: float) -> asyncio.Future[Answer]:
        """Send a request; its answer, or NoAnswer, will be in the future."""
        loop = asyncio.get_running_loop()
        self._answer = answer = loop.create_future()
        self._status, self._retry_after, self.received = 0, None, 0
        self._timer = loop.call_later(read_s, self.over, NoAnswer(f"no answer within {read_s:g} s"))
        self.transport.write(request)
        return answer

    def _settle(self, failure: NoAnswer | None = None) -> None:
        answer, self._answer = self._answer, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if answer is None or answer.done():
            return
        if failure is None:
            answer.set_result(self._made())
        else:
            answer.set_exception(failure)

    def _made(self) -> Answer:
        return Answer(self._status, self._retry_after)

    def over(self, reason: NoAnswer) -> None:
        """This connection has no future; a status that was received still counts."""
        self.reusable = False
        self._settle(None if self._status else reason)
        self.transport.abort()


class Reading(_Connection):
    """One whose answers have bodies that are read, up to ``BOUND``; an answer that was cut off is none."""

    def __init__(self) -> None:
        super().__init__()
        self._body = bytearray()
        self._framed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Whether the body says where it ends (RFC 9112 6.3): else the end of the connection does."""
        self._framed = self._framed or name.lower() in (b"content-length", b"transfer-encoding")
        super().on_header(name, value)

    def on_body(self, data: bytes) -> None:
        """Some of it."""
        self._body += data
        if len(self._body) > BOUND:
            self._body.clear()
            self.over(NoAnswer("the answer is too large"))

    def ask(self, request: bytes, read_s: float) -> asyncio.Future[Answer]:
        """Send a request; its answer, or NoAnswer, will be in the future."""
        self._body.clear()
        self._framed = False
        return super().ask(request, read_s)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._status and not self._framed and exc is None:
            self.reusable = False
            self._settle()
        super().connection_lost(exc)

    def over(self, reason: NoAnswer) -> None:
        """This connection has no future, and half an answer is none."""
        self.reusable = False
        self._settle(reason)
        self.transport.abort()

    def _made(self) -> Answer:
        return Answer(self._status, self._retry_after, bytes(self._body))


class Client:
    """Kept connections to all webhook hosts."""

    def __init__(
        self, guard: Guard, connect_s: float, read_s: float, ca_file: Path | None = None, kind: type[_Connection] = _Connection
    ) -> None:
        self._guard, self._connect_s, self._read_s, self._kind = guard, connect_s, read_s, kind
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        if ca_file is not None:
            self._tls.load_verify_locations(ca_file)
        self._idle: defaultdict[_Key, list[_Connection]] = defaultdict(list)

    async def post(self, target: Target, headers: bytes, body: bytes) -> Answer:
        """POST ``body`` with further header lines (each with its CRLF).  Raises NoAnswer, Forbidden.

        A kept connection that turns out to be dead is replaced once by a new one."""
        request = b"%b%d\r\n%b\r\n%b" % (target.head, len(body), headers, body)
        key = (target.tls, target.host, target.port)
        kept = self._idle.get(key)
        while kept:
            connection = kept.pop()
            if connection.transport.is_closing():
                continue
            try:
                return await self._ask(connection, key, request)
            except Closed:
                if connection.received:
                    raise
                break
        return await self._ask(await self._connect(target), key, request)

    async def _ask(self, connection: _Connection, key: _Key, request: bytes) -> Answer:
        try:
            answer = await connection.ask(request, self._read_s)
        except asyncio.CancelledError:
            connection.over(NoAnswer("cancelled"))
            raise
        kept = self._idle[key]
        if connection.reusable and len(kept) < IDLE_PER_HOST and not connection.transport.is_closing():
            connection.used_at = asyncio.get_running_loop().time()
            kept.append(connection)
        else:
            connection.transport.abort()
        return answer

    async def _connect(self, target: Target) -> _Connection:
        try:
            async with asyncio.timeout(self._connect_s):
                addresses = await self._guard.addresses(target)
                return await self._first(target, addresses)
        except TimeoutError:
            raise NoAnswer(f"no connection within {self._connect_s:g} s") from None
        except Forbidden:
            raise
        except OSError as error:
            raise NoAnswer(_in_words(error)) from None

    async def _first(self, target: Target, addresses: list[str]) -> _Connection:
        """A connection to the first of the checked addresses that takes one, each in its share of the time."""
        share = self._connect_s / len(addresses)
        for number, address in enumerate(addresses, 1):
            try:
                async with asyncio.timeout(share):
                    return await self._open(target, address)
            except OSError:
                if number == len(addresses):
                    raise
        raise AssertionError("there is at least one address")

    async def _open(self, target: Target, address: str) -> _Connection:
        """Connect to the literal address: there is no second look-up that could answer otherwise."""
        _, connection = await asyncio.get_running_loop().create_connection(
            self._kind,
            address,
            target.port,
            ssl=self._tls if target.tls else None,
            server_hostname=target.host if target.tls else None,
            ssl_handshake_timeout=self._connect_s if target.tls else None,
            flags=socket.AI_NUMERICHOST,
        )
        return connection

    def sweep(self) -> None:
        """Close what was idle for too long."""
        before = asyncio.get_running_loop().time() - IDLE_S
        for key, kept in list(self._idle.items()):
            for connection in [c for c in kept if c.used_at < before or c.transport.is_closing()]:
                kept.remove(connection)
                connection.transport.abort()
            if not kept:
                del self._idle[key]

    def close(self) -> None:
        """Drop all connections."""
        for kept in self._idle.values():
            for connection in kept:
                connection.transport.abort()
        self._idle.clear()
        self._guard.close()


def _in_words(error: OSError) -> str:
    """Why there is no connection, for the endpoint's owner: no addresses."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'handshake failed'}"
    if isinstance(error, socket.gaierror):
        return "the host is not known"
    return os.strerror(error.errno) if error.errno else "no connection"
