"""The HTTP client of deliveries against real servers that behave well, badly or not at all."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from controller.services.webhooks_guard import Guard, parse
from controller.services.webhooks_http import BOUND, Answer, Client, NoAnswer
from tests.services.authority import Authority
from tests.services.receiver import CLOSE, OK, Receiver, Reply, Request


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """May call loopback; gives up soon."""
    made = Client(Guard(("127.0.0.0/8",)), 5, 5)
    yield made
    made.close()


async def post(client: Client, receiver: Receiver, body: bytes = b"{}") -> Answer:
    return await client.post(parse(receiver.url), b"x-test: yes\r\n", body)


async def test_a_request_arrives_as_it_was_meant(client: Client) -> None:
    async with Receiver() as receiver:
        assert await post(client, receiver, b'{"a":1}') == Answer(204)
        request = receiver.requests[0]
        assert (request.path, request.body) == ("/hook", b'{"a":1}')
        assert request.headers == {"host": f"127.0.0.1:{receiver.port}", "content-length": "7", "x-test": "yes"}


async def test_connections_are_kept_and_as_many_as_requests_at_once(client: Client) -> None:
    go = asyncio.Event()
    async with Receiver(lambda _request: Reply(after=go)) as receiver:
        posts = [asyncio.create_task(post(client, receiver)) for _ in range(3)]
        await receiver.got(3)
        go.set()
        await asyncio.gather(*posts)
        for _ in range(10):
            await post(client, receiver)
        assert receiver.connections == 3


@pytest.mark.parametrize("status", [200, 202, 299, 301, 302, 307, 308, 400, 404, 410, 500, 503])
async def test_the_status_is_what_counts_and_no_redirect_is_followed(client: Client, status: int) -> None:
    async with Receiver() as elsewhere, Receiver(lambda _r: Reply(status, {"location": elsewhere.url})) as receiver:
        assert (await post(client, receiver)).status == status
        assert elsewhere.connections == 0


async def test_retry_after_is_handed_on(client: Client) -> None:
    async with Receiver(lambda _r: Reply(503, {"Retry-After": "7"})) as receiver:
        assert await post(client, receiver) == Answer(503, "7")


async def test_an_answer_of_one_request_says_nothing_about_the_next(client: Client) -> None:
    replies = iter([Reply(503, {"Retry-After": "7"}), OK])
    async with Receiver(lambda _r: next(replies)) as receiver:
        await post(client, receiver)
        assert await post(client, receiver) == Answer(204)
        assert receiver.connections == 1


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", 503),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\ncut", 200),
        (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nxyz", 101),
    ],
)
async def test_every_shape_of_answer_is_understood(client: Client, raw: bytes, status: int) -> None:
    async with Receiver(lambda _r: Reply(raw=raw, close=True)) as receiver:
        assert (await post(client, receiver)).status == status


@pytest.mark.parametrize(
    "raw",
    [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nx: y\r\n", b"hello\r\n\r\n", b"\x16\x03\x01", b"HTTP/1.1 100 Continue\r\n\r\n"],
)
async def test_what_is_no_answer_is_an_error(client: Client, raw: bytes) -> None:
    async with Receiver(lambda _r: Reply(raw=raw, close=True)) as receiver:
        with pytest.raises(NoAnswer):
            await post(client, receiver)


async def test_a_second_answer_that_nobody_asked_for_poisons_only_its_connection(client: Client) -> None:
    twice = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 500 Forged\r\ncontent-length: 0\r\n\r\n"
    replies = iter([Reply(raw=twice), OK])
    async with Receiver(lambda _r: next(replies)) as receiver:
        assert (await post(client, receiver)).status == 200
        assert (await post(client, receiver)).status == 204
        assert receiver.connections == 2


async def test_an_endless_body_is_cut_off_at_the_bound_and_the_status_counts(client: Client) -> None:
    async with Receiver(lambda _r: Reply(200, endless=True)) as receiver:
        assert (await post(client, receiver)).status == 200
        await receiver.stop()
        assert receiver.bytes_sent < BOUND + (16 << 20), "no more than what the system's buffers hold"


async def test_endless_headers_are_an_error(client: Client) -> None:
    raw = b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * (BOUND + 1)
    async with Receiver(lambda _r: Reply(raw=raw)) as receiver:
        with pytest.raises(NoAnswer, match="too large"):
            await post(client, receiver)


async def test_a_slow_receiver_costs_no_more_than_the_read_time_out() -> None:
    client = Client(Guard(("127.0.0.0/8",)), 5, 0.05)
    async with Receiver(lambda _r: Reply(after=asyncio.Event())) as receiver:
        with pytest.raises(NoAnswer, match=r"no answer within 0\.05 s"):
            await post(client, receiver)
    client.close()


async def test_a_receiver_that_drips_its_body_is_not_waited_for_longer() -> None:
    client = Client(Guard(("127.0.0.0/8",)), 5, 0.05)
    async with Receiver(lambda _r: Reply(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")) as receiver:
        assert (await post(client, receiver)).status == 200
    client.close()


async def test_nobody_listens(client: Client) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(NoAnswer, match="refused"):
            await client.post(parse(f"http://127.0.0.1:{taken.getsockname()[1]}/"), b"", b"{}")


async def test_a_kept_connection_that_died_is_replaced(client: Client) -> None:
    """The receiver closes an idle connection in the moment in which the next request is sent."""

    def answer(request: Request) -> Reply:
        return CLOSE if request.connection == 1 and len(receiver.requests) == 2 else OK

    async with Receiver(answer) as receiver:
        await post(client, receiver)
        assert (await post(client, receiver)).status == 204
        assert [request.connection for request in receiver.requests] == [1, 1, 2]


async def test_a_new_connection_that_dies_is_an_error_and_not_tried_again(client: Client) -> None:
    async with Receiver(lambda _r: CLOSE) as receiver:
        with pytest.raises(NoAnswer, match="closed"):
            await post(client, receiver)
        assert len(receiver.requests) == 1


async def test_a_restarted_receiver_is_reached_again(client: Client) -> None:
    async with Receiver() as receiver:
        await post(client, receiver)
        await receiver.stop()
        await receiver.start()
        assert (await post(client, receiver)).status == 204


async def test_idle_connections_are_closed_after_a_while(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.services.webhooks_http.IDLE_S", -1.0)
    async with Receiver() as receiver:
        await post(client, receiver)
        client.sweep()
        await post(client, receiver)
        assert receiver.connections == 2


async def test_a_cancelled_request_takes_its_connection_along(client: Client) -> None:
    replies = iter([Reply(after=asyncio.Event()), OK])
    async with Receiver(lambda _r: next(replies)) as receiver:
        task = asyncio.create_task(post(client, receiver))
        await receiver.got(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert (await post(client, receiver)).status == 204
        assert receiver.connections == 2


async def test_tls_is_checked_against_name_and_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    trusting = Client(Guard(("127.0.0.0/8",)), 5, 5, authority.ca_file)
    strict = Client(Guard(("127.0.0.0/8",)), 5, 5)
    async with (
        Receiver(tls=authority.server("127.0.0.1")) as ours,
        Receiver(tls=authority.server("127.0.0.9")) as other_name,
    ):
        assert (await post(trusting, ours)).status == 204
        assert (await post(trusting, ours)).status == 204
        assert ours.connections == 1
        with pytest.raises(NoAnswer, match="TLS: IP address mismatch"):
            await post(trusting, other_name)
        with pytest.raises(NoAnswer, match="TLS: unable to get local issuer certificate"):
            await post(strict, ours)
    trusting.close()
    strict.close()


async def test_a_server_that_never_shakes_hands_counts_as_no_connection() -> None:
    client = Client(Guard(("127.0.0.0/8",)), 0.05, 5)
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, pytest.raises(NoAnswer, match="no connection within"):
        await client.post(parse(f"https://127.0.0.1:{silent.getsockname()[1]}/"), b"", b"{}")
    client.close()


async def test_the_first_address_that_takes_the_connection_is_used(client: Client) -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.3", "127.0.0.1"]

    several = Client(Guard(("127.0.0.0/8",), resolve), 5, 5)
    async with Receiver() as receiver:
        assert (await several.post(parse(f"http://two.example:{receiver.port}/"), b"", b"{}")).status == 204
    several.close()


def test_it_works_on_the_loop_that_the_controller_runs_on(tmp_path: Path) -> None:
    """uvloop's transports are not asyncio's own."""

    async def talk() -> None:
        authority = Authority(tmp_path)
        client = Client(Guard(("127.0.0.0/8",)), 5, 0.2, authority.ca_file)
        async with Receiver(tls=authority.server("127.0.0.1")) as receiver, Receiver(lambda _r: CLOSE) as closing:
            assert (await post(client, receiver)).status == 204
            assert (await post(client, receiver)).status == 204
            assert receiver.connections == 1
            with pytest.raises(NoAnswer, match="closed"):
                await post(client, closing)
        client.close()

    uvloop.run(talk())
