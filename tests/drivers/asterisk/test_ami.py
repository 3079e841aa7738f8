"""Every known hazard of panoramisk 1.4, each shown to be gone."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import pytest

from controller.drivers.asterisk.ami import AmiManager, AmiProtocol, LinkLost, Message, PendingAction, parse
from controller.ports import Unreachable
from tests.drivers.asterisk.fake_ami import FakeAmi, event, fake_ami, reply

ORIGINATE = {"Action": "Originate", "Channel": "PJSIP/+14155550101@out", "Async": "true"}


class Client:
    """A manager with a list of what it heard."""

    def __init__(self, server: FakeAmi) -> None:
        self.heard: list[Message] = []
        self.news = asyncio.Event()
        self.manager = AmiManager("127.0.0.1", server.port, self.hear)
        self.protocol: AmiProtocol

    def hear(self, message: Message) -> None:
        self.heard.append(message)
        self.news.set()
        if message["Event"] == "Bad":
            raise ValueError("+14155550199")

    async def connect(self) -> "Client":
        self.protocol = await self.manager.establish(30)
        return self

    def act(self, is_list: bool = False, within_s: float = 30.0, **fields: str) -> "asyncio.Future[Message]":
        action = PendingAction(fields, is_list, time.monotonic() + within_s)
        future: asyncio.Future[Message] = self.manager.send_action(action)
        return future

    async def until_heard(self, name: str) -> Message:
        async with asyncio.timeout(30):
            while True:
                for message in self.heard:
                    if message["Event"] == name:
                        return message
                self.news.clear()
                await self.news.wait()


@pytest.fixture
async def server() -> AsyncIterator[FakeAmi]:
    async with fake_ami() as running:
        yield running


@pytest.fixture
async def client(server: FakeAmi) -> AsyncIterator[Client]:
    client = await Client(server).connect()
    yield client
    client.protocol.abort()


async def test_an_unanswered_originate_fails_with_the_link_and_is_never_sent_again(server: FakeAmi, client: Client) -> None:
    server.answer = lambda *_: None
    future = client.act(**ORIGINATE)
    await server.until(lambda: server.count("Originate") == 1)
    server.hang_up()
    with pytest.raises(LinkLost):
        await future
    server.answer = lambda action, _: reply(action)
    await client.connect()
    server.send(event("Event: FullyBooted"))  # panoramisk's cue to send what it has kept
    assert (await client.act(Action="Ping"))["Response"] == "Success"
    assert server.count("Originate") == 1


async def test_an_action_on_a_lost_link_fails_at_once_and_does_not_fire_later(server: FakeAmi, client: Client) -> None:
    server.hang_up()
    await client.protocol.lost
    with pytest.raises(LinkLost):
        await client.act(**ORIGINATE)
    await client.connect()
    await client.act(Action="Ping")
    assert server.count("Originate") == 0


async def test_an_action_before_any_link_fails_at_once(server: FakeAmi) -> None:
    with pytest.raises(LinkLost):
        await Client(server).act(Action="Ping")


async def test_an_originate_without_async_ends_with_its_response(client: Client) -> None:
    assert (await client.act(Action="Originate", Channel="PJSIP/+14155550101@out"))["Response"] == "Success"


async def test_an_originate_is_answered_by_its_response_and_its_outcome_is_an_event(server: FakeAmi, client: Client) -> None:
    server.answer = lambda action, _: (
        reply(action, "Message: Originate successfully queued")
        + event("Event: OriginateResponse", f"ActionID: {action['ActionID']}", "Response: Failure", "Uniqueid: x")
    )
    assert (await client.act(**ORIGINATE))["Response"] == "Success"
    assert (await client.until_heard("OriginateResponse"))["Uniqueid"] == "x"


async def test_an_outcome_that_overtakes_the_response_is_still_an_event(server: FakeAmi, client: Client) -> None:
    server.answer = lambda action, _: (
        event("Event: OriginateResponse", f"ActionID: {action['ActionID']}", "Response: Failure", "Uniqueid: x")
        + reply(action, "Message: Originate successfully queued")
    )
    assert (await client.act(**ORIGINATE))["Message"] == "Originate successfully queued"
    assert (await client.until_heard("OriginateResponse"))["Response"] == "Failure"


async def test_an_event_with_the_id_of_a_pending_action_is_not_swallowed(server: FakeAmi, client: Client) -> None:
    server.answer = lambda action, _: event("Event: Newstate", f"ActionID: {action['ActionID']}") + reply(action)
    assert (await client.act(Action="Ping"))["Response"] == "Success"
    assert client.heard == [{"Event": "Newstate", "ActionID": client.heard[0]["ActionID"]}]


async def test_an_error_to_a_list_ends_it(server: FakeAmi, client: Client) -> None:
    server.answer = lambda action, _: reply(action, "Message: Permission denied", response="Error")
    rows: object = await client.act(is_list=True, Action="Status")
    assert isinstance(rows, list)
    assert rows[0]["Message"] == "Permission denied"


async def test_an_action_whose_message_sounds_like_a_list_ends_with_its_response(server: FakeAmi, client: Client) -> None:
    server.answer = lambda action, _: reply(action, "Message: Added interface to queue")
    assert (await client.act(Action="QueueAdd"))["Message"] == "Added interface to queue"


async def test_a_list_of_many_rows_comes_whole(server: FakeAmi, client: Client) -> None:
    def rows(action: dict[str, str], _: FakeAmi) -> bytes:
        ours = f"ActionID: {action['ActionID']}"
        row = b"".join(event("Event: Status", ours, f"Uniqueid: {n}") for n in range(20_000))
        return reply(action, "EventList: start") + row + event("Event: StatusComplete", ours, "EventList: Complete")

    server.answer = rows
    answer: object = await client.act(is_list=True, Action="Status")
    assert isinstance(answer, list)
    assert [row["Uniqueid"] for row in answer] == [str(n) for n in range(20_000)]
    assert client.heard == []


async def test_characters_split_between_segments_are_not_lost(server: FakeAmi, client: Client) -> None:
    data = event("Event: Newstate", "CallerIDName: Zoë 电话")
    for byte in data:
        server.send(bytes([byte]))
        await asyncio.sleep(0)
    assert (await client.until_heard("Newstate"))["CallerIDName"] == "Zoë 电话"


async def test_bytes_that_are_no_utf8_do_not_end_the_link(server: FakeAmi, client: Client) -> None:
    server.send(b"Event: Newstate\r\nCallerIDName: \xff\xfe\r\n\r\n")
    await client.until_heard("Newstate")
    assert (await client.act(Action="Ping"))["Response"] == "Success"


async def test_an_exception_in_the_listener_costs_one_event_and_tells_no_content(
    server: FakeAmi, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    server.send(event("Event: Bad", "CallerIDNum: +14155550199") + event("Event: Good"))
    await client.until_heard("Good")
    assert (await client.act(Action="Ping"))["Response"] == "Success"
    assert "could not be handled" in caplog.text
    assert "4155550199" not in caplog.text


async def test_no_message_is_logged(server: FakeAmi, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await client.act(**ORIGINATE, Secret="hush")
        server.hang_up()
        await client.protocol.lost
    assert "4155550101" not in caplog.text
    assert "hush" not in caplog.text


async def test_events_come_in_order(server: FakeAmi, client: Client) -> None:
    server.send(b"".join(event("Event: Newstate", f"N: {n}") for n in range(5000)) + event("Event: End"))
    await client.until_heard("End")
    assert [message["N"] for message in client.heard[:-1]] == [str(n) for n in range(5000)]


async def test_an_overdue_action_fails_and_its_late_answer_is_ignored(server: FakeAmi, client: Client) -> None:
    server.answer = lambda *_: None
    future = client.act(within_s=0.0, Action="Getvar")
    await server.until(lambda: server.count("Getvar") == 1)
    client.protocol.expire(time.monotonic())
    with pytest.raises(Unreachable):
        await future
    server.send(reply(server.actions[-1]))
    server.answer = lambda action, _: reply(action)
    assert (await client.act(Action="Ping"))["Response"] == "Success"


async def test_a_message_without_end_drops_the_link(server: FakeAmi, client: Client) -> None:
    server.send(b"x" * (2 << 20))
    await asyncio.wait_for(client.protocol.lost, 30)


async def test_several_actions_go_out_in_order(server: FakeAmi, client: Client) -> None:
    actions = [PendingAction({"Action": f"A{n}"}, False, time.monotonic() + 30) for n in range(3)]
    client.manager.send_actions(actions)
    await asyncio.gather(*(action.future for action in actions))
    assert [action["Action"] for action in server.actions] == ["A0", "A1", "A2"]


async def test_the_librarys_own_reconnect_is_closed(client: Client) -> None:
    with pytest.raises(NotImplementedError):
        client.manager.connect()


def test_headers_that_come_once_per_variable_are_kept_apart() -> None:
    assert parse(
        b"Event: Status\r\nVariable: PB_LEG=a\r\nVariable: PB_STEP=b=c\r\nDestChanVariable: PB_LEG=d\r\nno header"
    ) == {
        "Event": "Status",
        "$PB_LEG": "a",
        "$PB_STEP": "b=c",
        "dest$PB_LEG": "d",
    }
