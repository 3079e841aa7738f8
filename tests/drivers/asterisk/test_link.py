"""The link: comes back after every loss, notices silence, takes a refusal for final, and ends when it is told to."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from controller.drivers.asterisk import link as link_module
from controller.drivers.asterisk.ami import Message
from controller.drivers.asterisk.link import Link
from controller.ports import Unreachable
from tests.drivers.asterisk.fake_ami import FakeAmi, event, fake_ami, not_yet, reply


class Driver:
    """Whoever holds a link: notes what it is told."""

    def __init__(self, server: FakeAmi) -> None:
        self.told: list[str] = []
        self.news = asyncio.Event()
        self.link = Link(server.settings, self.up, self.heard, self.down)

    async def up(self) -> None:
        self._note("up")

    def heard(self, message: Message) -> None:
        self._note(message["Event"])

    def down(self, reason: str) -> None:
        self._note(f"down: {reason}")

    def _note(self, what: str) -> None:
        self.told.append(what)
        self.news.set()

    async def until(self, there: Callable[[list[str]], bool], within_s: float = 30.0) -> None:
        async with asyncio.timeout(within_s):
            while not there(self.told):
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def driving(server: FakeAmi) -> AsyncIterator[Driver]:
    driver = Driver(server)
    running = asyncio.create_task(driver.link.run())
    try:
        yield driver
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@pytest.fixture
async def server() -> AsyncIterator[FakeAmi]:
    async with fake_ami() as running:
        yield running


async def test_a_session_logs_in_says_its_part_and_then_switches_the_events_on(server: FakeAmi) -> None:
    async with driving(server) as driver:
        await server.until(lambda: server.count("Events") == 1)
        assert driver.told == ["up"]
    names = [action["Action"] for action in server.actions]
    assert names == ["Login", "Events"]
    assert server.actions[0]["Events"] == "system"


async def test_a_pbx_that_has_not_booted_is_waited_for(server: FakeAmi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.drivers.asterisk.fake_ami.BOOTED", b"")
    async with driving(server) as driver:
        await server.until(lambda: server.count("Login") == 1)
        assert driver.told == []
        server.send(event("Event: FullyBooted"))
        await driver.until(lambda told: told == ["up"])


async def test_a_lost_link_is_told_and_comes_back(server: FakeAmi) -> None:
    async with driving(server) as driver:
        await server.until(lambda: server.count("Events") == 1)
        server.hang_up()
        await driver.until(lambda told: told.count("up") == 2)
        assert driver.told == ["up", "down: connection closed", "up"]


async def test_a_pbx_that_is_away_is_tried_again_until_it_is_there() -> None:
    with not_yet() as server:
        async with driving(server) as driver:
            await asyncio.sleep(0.3)  # a few attempts in vain
            assert driver.told == []
            assert not driver.link.is_up
            async with server:
                await driver.until(lambda told: told == ["up"])


async def test_a_refused_login_is_final() -> None:
    async with fake_ami(lambda action, _: reply(action, "Message: Authentication failed", response="Error")) as server:
        driver = Driver(server)
        await asyncio.wait_for(driver.link.run(), 5)
        assert driver.told == ["down: login refused"]
        assert server.connections == 1


async def test_silence_is_broken_by_a_ping_and_an_answer_keeps_the_link(
    server: FakeAmi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "PING_EVERY_S", 0.2)
    monkeypatch.setattr(link_module, "TICK_S", 0.05)
    async with driving(server) as driver:
        await server.until(lambda: server.count("Ping") == 3)
        assert driver.told == ["up"]


async def test_a_pbx_that_goes_silent_is_noticed_within_ten_seconds(server: FakeAmi) -> None:
    def mute(action: dict[str, str], _: FakeAmi) -> bytes | None:
        return None if action["Action"] in ("Ping", "Getvar") and server.connections == 1 else reply(action)

    server.answer = mute
    async with driving(server) as driver:
        await server.until(lambda: server.count("Events") == 1)
        silent_since = time.monotonic()
        waiting = asyncio.create_task(driver.link.act({"Action": "Getvar"}))
        await driver.until(lambda told: "down: no answer to a ping" in told)
        assert time.monotonic() - silent_since < 10
        with pytest.raises(Unreachable):
            await waiting
        await driver.until(lambda told: told.count("up") == 2)


async def test_an_action_that_is_not_answered_fails_in_bounded_time(server: FakeAmi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "TICK_S", 0.05)
    server.answer = lambda action, _: None if action["Action"] == "Getvar" else reply(action)
    async with driving(server) as driver:
        await driver.until(lambda told: told == ["up"])
        with monkeypatch.context() as short:
            short.setattr(link_module, "ACT_WITHIN_S", 0.2)
            with pytest.raises(Unreachable):
                await asyncio.wait_for(driver.link.act({"Action": "Getvar"}), 30)
        assert (await driver.link.act({"Action": "Ping"}))["Response"] == "Success"


async def test_a_link_that_is_closed_while_it_reconnects_stays_closed() -> None:
    with not_yet() as server:
        async with driving(server) as driver:
            await asyncio.sleep(0.15)  # it is between two attempts
        async with server:
            with pytest.raises(TimeoutError):
                await server.until(lambda: server.connections > 0, within_s=1.0)
    assert driver.told == []


async def test_a_link_that_is_closed_while_it_is_up_leaves_nothing_behind(server: FakeAmi) -> None:
    async with driving(server) as driver:
        await server.until(lambda: server.count("Events") == 1)
    with pytest.raises(Unreachable):
        await driver.link.act({"Action": "Ping"})
    with pytest.raises(TimeoutError):
        await server.until(lambda: server.connections > 1, within_s=0.5)
    assert len(asyncio.all_tasks()) <= 2, "the test's own and the server's"


async def test_a_driver_that_fails_in_its_part_is_asked_again(server: FakeAmi) -> None:
    async with driving(server) as driver:
        calls = 0

        async def up() -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise Unreachable("not yet")
            driver._note("up")

        driver.link._up = up
        await driver.until(lambda told: told == ["up"])


async def test_a_refused_list_is_unreachable(server: FakeAmi) -> None:
    server.answer = lambda action, _: reply(action, response="Error") if action["Action"] == "Status" else reply(action)
    async with driving(server) as driver:
        await server.until(lambda: server.count("Events") == 1)
        with pytest.raises(Unreachable):
            await driver.link.rows({"Action": "Status"})


async def test_a_link_that_is_cut_on_purpose_begins_anew(server: FakeAmi) -> None:
    async with driving(server) as driver:
        await server.until(lambda: server.count("Events") == 1)
        driver.link.cut()
        await driver.until(lambda told: told.count("up") == 2)
