"""A business backend under load, in a process of its own: posts callbacks and says how the API took them.

    python -m controller.bench.post '{"host": ..., "port": ..., "key": ..., "per_second": 50, "seconds": 10, ...}'

With ``per_second`` it posts at that pace; without, it keeps about ``ahead`` calls waiting.  Prints one JSON object.  It speaks
just enough HTTP/1.1 itself, because a full client would cost as much as what it measures, on the same two cores.
"""

import asyncio
import json
import re
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, cast

import uvloop

CONNECTIONS = 16
ANSWERED_WITHIN_S = 60
PROBE_S = 0.05
"""Between looks at a queue that is long enough: fewer calls than any PBX here carries come in by them."""
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_POSITION = re.compile(rb'"queue_position":(\d+)')


@dataclass(slots=True)
class Answers:
    """``accepted``: how many 202; ``refused``: by status; ``took_s``: seconds of each answer."""

    accepted: int = 0
    refused: dict[int, int] = field(default_factory=dict)
    took_s: list[float] = field(default_factory=list)
    position: int = 0

    def take(self, status: int, body: bytes, took_s: float) -> None:
        """Count one answer."""
        self.took_s.append(took_s)
        if status == 202:
            self.accepted += 1
            found = _POSITION.search(body)
            self.position = int(found[1]) if found else 0
        else:
            self.refused[status] = self.refused.get(status, 0) + 1


class Connection(asyncio.Protocol):
    """One kept-alive connection with one request at a time."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._data = b""
        self._began = 0.0
        self.answered = asyncio.Event()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is up."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits is told."""
        self.lost = True
        self.answered.set()

    def close(self) -> None:
        """No more requests."""
        self._transport.close()

    def send(self, request: bytes) -> None:
        """Begin a request."""
        self.answered.clear()
        self._began = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Collect until the answer is whole."""
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if found and length and len(body) >= int(length[1]):
            self._answers.take(int(head[9:12]), body, time.perf_counter() - self._began)
            self._data = b""
            self.answered.set()


class Poster:
    """Posts one callback again and again."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self.answers = Answers()
        self._idle: deque[Connection] = deque()
        body = json.dumps(plan["body"]).encode()
        self._request = (
            f"POST /v1/callbacks HTTP/1.1\r\nHost: {plan['host']}\r\nAuthorization: Bearer {plan['key']}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    async def post(self) -> None:
        """One request; what came of it goes into the answers."""
        if self._idle:
            connection = self._idle.popleft()
        else:
            loop = asyncio.get_running_loop()
            plan = self._plan
            _, connection = await loop.create_connection(lambda: Connection(self.answers), plan["host"], plan["port"])
        connection.send(self._request)
        await asyncio.wait_for(connection.answered.wait(), ANSWERED_WITHIN_S)
        if not connection.lost:
            self._idle.append(connection)

    async def pace(self, per_second: float, seconds: float) -> None:
        """Post at a steady pace, whatever the answers."""
        began, begun, posts = time.monotonic(), 0, set[asyncio.Task[None]]()
        while (passed := time.monotonic() - began) < seconds:
            while begun < passed * per_second:
                begun += 1
                task = asyncio.create_task(self.post())
                posts.add(task)
                task.add_done_callback(posts.discard)
            await asyncio.sleep(0.5 / per_second)
        await asyncio.gather(*posts)

    async def keep_filled(self, ahead: int, seconds: float) -> None:
        """Keep about ``ahead`` calls waiting: many requests at once up to there, then one now and then to see."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.answers.position < ahead:
                await asyncio.gather(*(self.post() for _ in range(CONNECTIONS)))
            else:
                await asyncio.sleep(PROBE_S)
                await self.post()

    async def close(self) -> None:
        """Hang up all connections; they are idle."""
        for connection in self._idle:
            connection.close()
        await asyncio.sleep(0)


async def run(plan: dict[str, Any]) -> Answers:
    """Carry out a plan."""
    poster = Poster(plan)
    if plan.get("per_second"):
        await poster.pace(plan["per_second"], plan["seconds"])
    else:
        await poster.keep_filled(plan["ahead"], plan["seconds"])
    await poster.close()
    return poster.answers


def main() -> None:
    """Read the plan from the first argument."""
    answers = uvloop.run(run(json.loads(sys.argv[1])))
    print(json.dumps({"accepted": answers.accepted, "refused": answers.refused, "took_s": answers.took_s}))


if __name__ == "__main__":
    main()
