"""Questions over real HTTP: signed, guarded, bounded, soon given up."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from standardwebhooks import Webhook

from controller.config import Webhooks as Settings
from controller.core.breaker import REST_S, TRIES
from controller.services import asking as module
from controller.services.asking import Asker, NotAnswered
from controller.services.clock import SystemClock
from tests.services.facts import secret
from tests.services.receiver import Receiver, Reply

BODY = b'{"id":"ask_1"}'


class Clock(SystemClock):
    """Real time, and more of it where a test says so."""

    def __init__(self) -> None:
        self.later_s = 0.0

    def monotonic(self) -> float:
        """Seconds that only move forward."""
        return super().monotonic() + self.later_s


def says(answer: Any, status: int = 200) -> Reply:
    """JSON."""
    body = json.dumps(answer).encode()
    return Reply(raw=b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


@asynccontextmanager
async def asker(**changes: Any) -> AsyncIterator[Asker]:
    """One that may ask loopback."""
    made = Asker(Settings(**{"allow_private": ("127.0.0.0/8",), **changes}), Clock())
    task = asyncio.create_task(made.run())
    await asyncio.sleep(0)
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ask(made: Asker, receiver: Receiver, within_s: float = 5.0, tenant: str = "t") -> bytes:
    """One question."""
    return await made.ask(tenant, receiver.url, (secret(1),), "ask_1", BODY, within_s)


async def why(made: Asker, receiver: Receiver, within_s: float = 5.0, tenant: str = "t") -> str:
    """Why one question is not answered."""
    with pytest.raises(NotAnswered) as failed:
        await ask(made, receiver, within_s, tenant)
    return failed.value.why


async def test_a_question_is_signed_and_its_answer_read_and_the_connection_kept() -> None:
    async with asker() as made, Receiver(lambda _request: says({"action": "reject"})) as receiver:
        for _ in range(3):
            assert json.loads(await ask(made, receiver)) == {"action": "reject"}
        assert [request.connection for request in receiver.requests] == [1, 1, 1]
        request = receiver.requests[0]
        assert Webhook(secret(1)).verify(request.body, request.headers) == {"id": "ask_1"}
        assert request.headers["webhook-id"] == "ask_1"
        assert made.results == {"answered": 3}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (says({}, 500), "status"),
        (says({}, 302), "status"),
        (Reply(raw=b"", close=True), "failed"),
        (Reply(raw=b"HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\n{}", close=True), "failed"),
        (Reply(raw=b"no HTTP at all\r\n\r\n"), "failed"),
        (Reply(status=200, endless=True), "failed"),
        (Reply(raw=b"HTTP/1.1 200 X\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000), "failed"),
        (Reply(raw=b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}   \r\n"), "timeout"),
    ],
)
async def test_half_an_answer_is_none(reply: Reply, reason: str) -> None:
    async with asker() as made, Receiver(lambda _request: reply) as receiver:
        assert await why(made, receiver, 0.3 if reason == "timeout" else 5.0) == reason
        assert made.results[reason] == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.0 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_an_answer_may_end_as_http_lets_it(raw: bytes) -> None:
    async with asker() as made, Receiver(lambda _request: Reply(raw=raw, close=b"Content" not in raw)) as receiver:
        assert await ask(made, receiver) == b"{}"
        assert await ask(made, receiver) == b"{}"


async def test_who_is_silent_is_given_up_in_time_and_holds_up_nobody_else() -> None:
    go = asyncio.Event()
    async with asker() as made, Receiver(lambda _r: Reply(after=go)) as slow, Receiver(lambda _r: says(1)) as quick:
        waiting = asyncio.create_task(why(made, slow, 0.5))
        await slow.got(1)
        assert await ask(made, quick) == b"1"
        assert made.under_way == 1
        assert await waiting == "timeout"
        assert made.under_way == 0
        go.set()


async def test_no_address_within_is_asked_unless_it_is_allowed() -> None:
    async with asker(allow_private=()) as made, Receiver(lambda _request: says({})) as receiver:
        assert await why(made, receiver) == "failed"
        assert receiver.connections == 0


async def test_only_so_many_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE_EACH", 2)
    monkeypatch.setattr(module, "AT_ONCE", 3)
    go = asyncio.Event()
    async with asker() as made, Receiver(lambda _r: Reply(after=go, raw=says(1).raw)) as receiver:
        first = [asyncio.create_task(ask(made, receiver)) for _ in range(2)]
        await receiver.got(2)
        assert await why(made, receiver) == "too_many"
        first.append(asyncio.create_task(ask(made, receiver, tenant="other")))
        await receiver.got(3)
        assert await why(made, receiver, tenant="third") == "too_many"
        go.set()
        assert await asyncio.gather(*first) == [b"1"] * 3
        assert len(receiver.requests) == 3


async def test_who_keeps_failing_is_left_alone_tried_by_one_and_asked_again() -> None:
    status = 500
    async with asker() as made, Receiver(lambda _request: says({}, status)) as receiver:
        for _ in range(TRIES):
            assert await why(made, receiver) == "status"
        assert (await why(made, receiver), len(receiver.requests), made.resting()) == ("resting", TRIES, 1)
        assert await why(made, receiver, tenant="other") == "status"  # another tenant's failures are its own
        clock = made._clock
        assert isinstance(clock, Clock)
        clock.later_s += REST_S
        assert await why(made, receiver) == "status"
        assert await why(made, receiver) == "resting"
        clock.later_s += 2 * REST_S
        status = 200
        assert await ask(made, receiver) == b"{}"
        assert made.resting() == 0


async def test_an_asker_that_leaves_is_no_failure_of_the_business() -> None:
    go = asyncio.Event()
    async with asker() as made, Receiver(lambda _r: Reply(after=go)) as receiver:
        for turn in range(2 * TRIES):
            task = asyncio.create_task(ask(made, receiver))
            await receiver.got(turn + 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert (made.resting(), made.under_way) == (0, 0)
        go.set()


async def test_hosts_that_are_asked_no_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 3)
    async with asker() as made, Receiver(lambda _request: says(1)) as receiver:
        for number in range(10):
            await ask(made, receiver, tenant=str(number))
        assert len(made._hosts) == 3
