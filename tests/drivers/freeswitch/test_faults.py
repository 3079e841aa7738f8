"""Every hazard of greenswitch and of a network that fails, each with its cure."""

import asyncio
import random
import threading
import time

import pytest

from controller.drivers.freeswitch import esl as esl_module
from controller.drivers.freeswitch import link as link_module
from controller.drivers.freeswitch.link import Link
from controller.ports import Unreachable
from tests.drivers.freeswitch.fake_esl import FakeEsl, api, frame, obey
from tests.drivers.freeswitch.holder import ASKED, driving

pytestmark = pytest.mark.usefixtures("quick")


async def test_a_server_that_greets_nobody_is_left_in_bounded_time(server: FakeEsl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "CONNECT_WITHIN_S", 0.1)
    server.greeting = b""
    async with driving(server) as driver:
        await server.until(lambda: server.connections >= 3)
        assert driver.told == []


async def test_a_server_that_never_answers_the_password_is_left_in_bounded_time(
    server: FakeEsl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "CONNECT_WITHIN_S", 0.1)
    monkeypatch.setattr(server, "_login", lambda _command: b"")
    async with driving(server):
        await server.until(lambda: server.connections >= 3)


async def test_a_command_that_is_not_answered_fails_and_the_session_ends_with_it(
    server: FakeEsl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next reply might be the missing one, and replies carry no name."""
    server.answer = lambda command, fake: None if command == ASKED and fake.connections == 1 else obey(command, fake)
    async with driving(server) as driver:
        await driver.is_up()
        with monkeypatch.context() as short:
            short.setattr(link_module, "ACT_WITHIN_S", 0.2)
            with pytest.raises(Unreachable):
                await driver.link.act(ASKED)
        await driver.until(lambda: driver.told.count("up") == 2)
        assert await driver.link.act(ASKED) == "+OK\n"


async def test_a_server_that_goes_silent_is_noticed_by_the_beat(server: FakeEsl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "BEAT_EVERY_S", 0.05)
    monkeypatch.setattr(link_module, "BEAT_WITHIN_S", 0.2)
    server.answer = lambda command, fake: None if "PB_UNTIL" in command and fake.connections == 1 else obey(command, fake)
    async with driving(server) as driver:
        await driver.until(lambda: "down: no answer to a beat" in driver.told)
        await driver.until(lambda: driver.told.count("up") == 2)


async def test_every_waiter_is_told_when_the_server_dies(server: FakeEsl) -> None:
    server.answer = lambda command, fake: None if command == ASKED else obey(command, fake)
    async with driving(server) as driver:
        await driver.is_up()
        waiting = [asyncio.create_task(driver.link.act(ASKED)) for _ in range(200)]
        await server.until(lambda: server.count(ASKED) == 200)
        begin = time.monotonic()
        server.hang_up()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(answer, Unreachable) for answer in answers)
        assert time.monotonic() - begin < link_module.ACT_WITHIN_S, "by the loss, not by the time-out"


async def test_the_end_of_the_stream_inside_a_body_is_a_loss_and_the_thread_goes_on(server: FakeEsl) -> None:
    """greenswitch spins for ever there, and everything in its thread stands still."""
    server.answer = lambda command, fake: (
        api("x" * 5000)[:1000] if command == ASKED and fake.connections == 1 else obey(command, fake)
    )
    async with driving(server) as driver:
        await driver.is_up()
        waiting = asyncio.create_task(driver.link.act(ASKED))
        await server.until(lambda: server.count(ASKED) == 1)
        server.hang_up()
        with pytest.raises(Unreachable):
            await waiting
        await driver.until(lambda: driver.told.count("up") == 2)
        assert await driver.link.act(ASKED) == "+OK\n"


async def test_a_reply_that_nobody_asked_for_ends_the_session(server: FakeEsl) -> None:
    async with driving(server) as driver:
        await driver.is_up()
        server.send(api("+OK\n"))
        await driver.until(lambda: driver.told.count("up") == 2)
        assert driver.told[1] == "down: a reply that nobody asked for"


@pytest.mark.parametrize(
    "nonsense",
    [
        b"Content-Length: -5\nContent-Type: text/event-json\n\n",
        b"Content-Length: 99999999999\nContent-Type: text/event-json\n\n",
        b"Content-Length: abc\nContent-Type: text/event-json\n\n",
        b"x" * 70_000,
    ],
)
async def test_a_stream_that_makes_no_sense_ends_the_session(server: FakeEsl, nonsense: bytes) -> None:
    async with driving(server) as driver:
        await driver.is_up()
        server.send(nonsense)
        await driver.until(lambda: driver.told.count("up") == 2)


async def test_bytes_that_are_no_utf_8_do_no_harm(server: FakeEsl) -> None:
    async with driving(server) as driver:
        await driver.is_up()
        server.answer = lambda _command, _fake: frame("api/response", b"caf\xe9")
        assert await driver.link.act(ASKED) == "caf\ufffd"
        server.send(frame("text/event-json", b'{"Event-Name": "DTMF", "variable_sip_from_display": "caf\xe9"}'))
        server.send(frame("text/event-json", b'{"Event-Name": "DTMF", "DTMF-Digit": "\xe9"}'))
        await driver.until(lambda: len(driver.heard) == 2)
        assert driver.heard[1].digit == "\ufffd"


async def test_replies_come_back_to_who_asked_in_any_crowd(server: FakeEsl) -> None:
    server.answer = lambda command, fake: api(command) if command.startswith("api echo") else obey(command, fake)
    async with driving(server) as driver:
        await driver.is_up()
        asked = [f"api echo {number}" for number in range(500)]
        assert await asyncio.gather(*map(driver.link.act, asked)) == asked
        assert [command for command in server.commands if "echo" in command] == asked, "and are sent in order"


async def test_a_command_larger_than_every_buffer_arrives_whole(server: FakeEsl) -> None:
    """greenswitch sends a part of it and says nothing."""
    server.answer = lambda command, fake: api(str(len(command))) if len(command) > 100_000 else obey(command, fake)
    async with driving(server) as driver:
        await driver.is_up()
        server.readers[-1]._limit = 1 << 24  # type: ignore[attr-defined]  # of the fake's own reader
        assert await driver.link.act("api " + "x" * 3_000_000) == "3000004"


async def test_a_server_that_reads_nothing_any_more_is_left(server: FakeEsl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(esl_module, "SEND_WITHIN_S", 0.2)
    async with driving(server) as driver:
        await driver.is_up()
        server.writers[-1].transport.pause_reading()  # type: ignore[attr-defined]
        with pytest.raises(Unreachable):
            await driver.link.act("api " + "x" * 20_000_000)
        await driver.until(lambda: driver.told.count("up") == 2)


async def test_no_more_than_a_bound_may_wait_for_answers(server: FakeEsl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(esl_module, "MOST_WAITING", 5)
    server.answer = lambda command, fake: None if command == ASKED else obey(command, fake)
    async with driving(server) as driver:
        await driver.is_up()
        waiting = [asyncio.create_task(driver.link.act(ASKED)) for _ in range(10)]
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert all(isinstance(task.exception(), Unreachable) for task in done)
        server.hang_up()
        await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("kills", [60, pytest.param(1000, marks=pytest.mark.soak)])
async def test_kills_and_restarts_at_random_bytes_lose_no_waiter_and_leak_no_thread(server: FakeEsl, kills: int) -> None:
    chance = random.Random(kills)
    server.budget = lambda: chance.choice([chance.randrange(60), chance.randrange(600), chance.randrange(20_000)])
    server.answer = lambda command, fake: (
        api(command + "x" * chance.randrange(3000)) if "echo" in command else obey(command, fake)
    )
    over = answered = unreachable = 0

    async def ask(link: Link) -> None:
        nonlocal over, answered, unreachable
        while True:
            command = f"api echo {over} "
            over += 1
            try:
                answer = await link.act(command)
            except Unreachable:
                unreachable += 1
                await asyncio.sleep(0.001)
            else:
                answered += 1
                assert answer.startswith(command), "an answer came to somebody else"

    async with driving(server) as driver:
        asking = [asyncio.create_task(ask(driver.link)) for _ in range(5)]
        try:
            await server.until(lambda: server.connections >= kills, within_s=30 + kills)
            assert len([thread for thread in threading.enumerate() if thread.name == "esl"]) == 1
            server.budget = lambda: None
            server.hang_up()
            await driver.until(lambda: driver.link.is_up)
            assert await driver.link.act(ASKED) == "+OK\n"
            assert not [task for task in asking if task.done()]
        finally:
            for task in asking:
                task.cancel()
            told = await asyncio.gather(*asking, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in told)
    assert answered
    assert unreachable
