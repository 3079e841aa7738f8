"""The backend under load posts as many callbacks as it means to, not as many as are taken."""

import asyncio

from controller.bench.post import CONNECTIONS, PROBE_S, Answers, run

ANSWER = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s"
AHEAD, SECONDS = 40, 0.5


async def posted(carried: int) -> tuple[Answers, int]:
    """Fill the queue of an API that starts ``carried`` calls and then none; how many came."""
    taken = 0
    served: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        served.append(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                taken += 1
                body = b'{"queue_position":%d}' % max(0, taken - carried)
                writer.write(ANSWER % (202, len(body), body))
        except asyncio.IncompleteReadError:
            writer.close()
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        plan = {"host": host, "port": port, "key": "k", "body": {}, "per_second": None, "seconds": SECONDS, "ahead": AHEAD}
        answers = await run(plan)
        await asyncio.gather(*filter(None, served))
        return answers, taken


async def test_a_queue_that_is_full_enough_is_only_looked_at() -> None:
    answers, taken = await posted(carried=100)
    assert answers.accepted == taken
    assert 100 + AHEAD <= taken <= 100 + AHEAD + 2 * CONNECTIONS + SECONDS / PROBE_S + 1


async def test_what_starts_at_once_is_posted_as_fast_as_it_is_taken() -> None:
    answers, _taken = await posted(carried=1_000_000)
    assert answers.position == 0
    assert answers.accepted % CONNECTIONS == 0
    assert not answers.refused
