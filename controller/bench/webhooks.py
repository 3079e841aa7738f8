"""What a webhook costs the sender: HTTP clients side by side, and the whole of a delivery.

    python -m controller.bench.webhooks [requests]

Each line is a process of its own that posts to one receiver process over loopback, eight requests at a time, from a kept
connection each; CPU time is the sender's, user and system.  ``delivery`` is the service itself on a SQLite database: facts
committed to the hot path, encoded, signed, posted, their cursors saved.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import aiohttp
import httpx2
import uvloop

from controller.config import Webhooks as Settings
from controller.core.call import Call, CallStatus
from controller.core.facts import Fact
from controller.ports import Unit
from controller.services.clock import SystemClock
from controller.services.webhooks import Webhooks
from controller.services.webhooks_guard import Guard, parse
from controller.services.webhooks_http import Client
from controller.store.database import Database
from controller.store.rows import Endpoint

AT_ONCE = 8
FACTS = 12
"""Facts of one callback."""
BODY = json.dumps(
    {"id": "evt_" + "0" * 31, "type": "call.leg.ringing", "data": {"leg": "caller", "number": "x" * 200}}
).encode()
HEADERS = {"content-type": "application/json", "webhook-id": "evt_" + "0" * 31, "webhook-signature": "v1," + "x" * 44}
Send = Callable[[], Awaitable[int]]


class Receiver(asyncio.Protocol):
    """As little of a receiver as answers a request whose head and body come in one piece."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(b"HTTP/1.1 204 No Content\r\nserver: bench\r\n\r\n" * data.count(b"POST /hook HTTP/1.1\r\n"))


async def receive() -> None:
    """Listen until killed; the port is the first line."""
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


async def _many(send: Send, count: int) -> float:
    """CPU microseconds of one request."""
    left = iter(range(count))

    async def one_after_another() -> None:
        for _ in left:
            assert await send() == 204

    await send()
    began = time.process_time()
    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
    return (time.process_time() - began) / count * 1e6


async def ours(url: str, count: int) -> float:
    """The service's own client."""
    client, target = Client(Guard(("127.0.0.0/8",)), 5, 15), parse(url)
    lines = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items()).encode()

    async def send() -> int:
        return (await client.post(target, lines, BODY)).status

    return await _many(send, count)


async def with_aiohttp(url: str, count: int) -> float:
    """aiohttp, with nothing on that is not needed."""
    timeout = aiohttp.ClientTimeout(connect=5, sock_read=15)
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as session:

        async def send() -> int:
            async with session.post(url, data=BODY, headers=HEADERS, allow_redirects=False) as answer:
                await answer.content.read(65_536)
                return answer.status

        return await _many(send, count)


async def with_httpx2(url: str, count: int) -> float:
    """httpx2."""
    async with httpx2.AsyncClient(timeout=15) as client:

        async def send() -> int:
            async with client.stream("POST", url, content=BODY, headers=HEADERS) as answer:
                return answer.status_code

        return await _many(send, count // 5)


async def delivery(url: str, count: int) -> float:
    """The service: CPU microseconds of one fact, the encoding and the saving of cursors included."""
    with tempfile.TemporaryDirectory() as folder:
        database = await Database.open(f"sqlite:///{Path(folder) / 'bench.db'}")
        await database.tenants.add("bench", "bench", 1)
        await database.endpoints.add(Endpoint("e", "bench", url, "whsec_YmVuY2gtc2VjcmV0LWJlbmNoLXNlY3JldA==", ("*",), 1))
        webhooks = Webhooks(database.webhooks, Settings(allow_private=("127.0.0.0/8",)), SystemClock())
        await webhooks.reload()
        calls = [_call(number) for number in range(count // FACTS)]
        units = [[_unit(call, sequence) for sequence in range(1, FACTS + 1)] for call in calls]
        for call in calls:
            await database.calls.commit(Unit(call, created=True))
        running = asyncio.create_task(webhooks.run())
        await asyncio.sleep(0.5)
        began = time.process_time()
        for first in range(0, len(calls), AT_ONCE):
            for at_once in zip(*units[first : first + AT_ONCE], strict=True):
                for unit in at_once:
                    webhooks.committed(unit.call, unit.call, unit.facts)
                await asyncio.sleep(0)
        for _ in range(600):
            if webhooks.stats()["delivered"] == len(calls) * FACTS and not webhooks.stats()["calls_in_memory"]:
                break
            await asyncio.sleep(0.1)
        used = time.process_time() - began
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await database.close()
    return used / (len(calls) * FACTS) * 1e6


def _call(number: int) -> Call:
    return Call(f"{number:026d}", "bench", "callback", "callback", "1", time.time_ns() // 1_000_000, reference="order-42")


def _unit(call: Call, sequence: int) -> Unit:
    status = CallStatus.ended if sequence == FACTS else CallStatus.bridged
    fact = Fact(call.id, sequence, "call.leg.ringing", call.requested_at, {"leg": "caller", "sip_status": 180})
    return Unit(replace(call, sequence=sequence, status=status), (fact,))


SENDERS = {"ours": ours, "aiohttp": with_aiohttp, "httpx2": with_httpx2, "delivery": delivery}


def _run(work: Coroutine[None, None, float | None], loop: str) -> float | None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
        return runner.run(work)


def main(count: int) -> None:
    """Measure all, and print a table."""
    receiver = subprocess.Popen([sys.executable, "-m", __spec__.name, "receive"], stdout=subprocess.PIPE, text=True)
    assert receiver.stdout is not None
    try:
        url = f"http://127.0.0.1:{receiver.stdout.readline().strip()}/hook"
        for name in SENDERS:
            for loop in ("asyncio", "uvloop"):
                command = [sys.executable, "-m", __spec__.name, name, loop, url, str(count)]
                found = [float(subprocess.check_output(command, text=True)) for _ in range(3)]
                print(f"{name:9} {loop:8} {min(found):6.1f} us CPU a request")
    finally:
        receiver.kill()
        receiver.wait()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["receive"]:
            _run(receive(), "uvloop")
        case [name, loop, url, count]:
            print(_run(SENDERS[name](url, int(count)), loop))
        case [*some]:
            main(int(some[0]) if some else 20_000)
