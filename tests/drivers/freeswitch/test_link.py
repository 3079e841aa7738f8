"""The link: logs in, says that it is alive, comes back after every loss, hands events on in order, and ends when told to."""

import asyncio

import pytest
from pydantic import SecretStr

from controller.drivers.freeswitch import link as link_module
from controller.drivers.freeswitch import thread
from controller.drivers.freeswitch.link import Link
from controller.ports import Unreachable
from tests.drivers.freeswitch.fake_esl import FakeEsl, event, frame, not_yet
from tests.drivers.freeswitch.holder import ASKED, Driver, driving, threads

pytestmark = pytest.mark.usefixtures("quick")


# --- sessions


async def test_a_session_logs_in_subscribes_to_few_events_and_then_says_its_part(server: FakeEsl) -> None:
    async with driving(server) as driver:
        await driver.is_up()
        assert server.commands[0].startswith("auth ")
        assert server.commands[1].startswith("event json CHANNEL_CREATE ")
        assert "ALL" not in server.commands[1]


async def test_a_beat_says_each_second_that_we_are_alive(server: FakeEsl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "BEAT_EVERY_S", 0.05)
    async with driving(server):
        await server.until(lambda: server.count("api expand global_setvar PB_UNTIL=") == 3)


async def test_a_lost_link_is_told_and_comes_back(server: FakeEsl) -> None:
    async with driving(server) as driver:
        await driver.is_up()
        server.hang_up()
        await driver.until(lambda: driver.told.count("up") == 2)
        assert driver.told[0] == "up"
        assert driver.told[1].startswith("down: ")


async def test_a_pbx_that_is_away_is_tried_again_until_it_is_there() -> None:
    with not_yet() as server:
        async with driving(server) as driver:
            await asyncio.sleep(0.2)  # a few attempts in vain
            assert driver.told == []
            async with server:
                await driver.is_up()


async def test_a_goodbye_is_a_loss(server: FakeEsl) -> None:
    async with driving(server) as driver:
        await driver.is_up()
        server.send(frame("text/disconnect-notice", b"Disconnected, goodbye.\n"))
        await driver.until(lambda: driver.told.count("up") == 2)
        assert driver.told[1] == "down: FreeSWITCH said good-bye"


async def test_a_wrong_password_is_final(server: FakeEsl) -> None:
    driver = Driver(server)
    driver.link = Link(
        server.settings.model_copy(update={"password": SecretStr("wrong")}), driver._up, driver._heard, driver._down
    )
    async with asyncio.timeout(30):
        await driver.link.run()
    assert driver.told == ["down: login refused"]
    assert server.connections == 1
    assert not threads()


async def test_an_address_that_is_not_let_in_is_final(server: FakeEsl) -> None:
    server.greeting = frame("text/rude-rejection", b"Access Denied, go away.\n")
    driver = Driver(server)
    async with asyncio.timeout(30):
        await driver.link.run()
    assert driver.told == ["down: login refused"]
    assert server.connections == 1


async def test_a_password_with_a_line_break_is_never_sent(server: FakeEsl) -> None:
    settings = server.settings.model_copy(update={"password": SecretStr("x\n\napi shutdown")})
    driver = Driver(server)
    with pytest.raises(ValueError, match="line break"):
        await Link(settings, driver._up, driver._heard, driver._down).run()
    assert server.commands == []
    assert not threads()


# --- events


async def test_events_come_in_order_and_all_of_them(server: FakeEsl) -> None:
    async with driving(server) as driver:
        await driver.is_up()
        for number in range(2000):
            server.send(event("DTMF", DTMF_Digit=str(number)))
        await driver.until(lambda: len(driver.heard) == 2000)
        assert [int(heard.digit) for heard in driver.heard] == list(range(2000))


async def test_events_that_nobody_takes_yet_are_bounded(server: FakeEsl, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread stops reading, TCP stops the server, and memory stays as it is; then everything arrives."""
    monkeypatch.setattr(thread, "HIGH", 100)
    monkeypatch.setattr(thread, "LOW", 10)
    async with driving(server) as driver:
        await driver.is_up()
        host = driver.link._host
        assert host is not None
        seen: list[int] = []
        hear = driver.link._heard

        def noting(body: bytes) -> None:
            seen.append(len(host._events))
            hear(body)

        monkeypatch.setattr(driver.link, "_heard", noting)
        for number in range(5000):
            server.send(event("DTMF", DTMF_Digit=str(number)))
        await driver.until(lambda: len(driver.heard) == 5000)
        assert max(seen) <= 100


async def test_replies_overtake_a_flood_of_events(server: FakeEsl) -> None:
    async with driving(server) as driver:
        await driver.is_up()
        server.send(b"".join(event("DTMF", DTMF_Digit=str(number), filler="x" * 3000) for number in range(3000)))
        async with asyncio.timeout(30):
            assert await driver.link.act(ASKED) == "+OK\n"


async def test_nothing_of_an_old_session_is_heard_in_the_next(server: FakeEsl) -> None:
    async with driving(server) as driver:
        await driver.is_up()
        server.send(event("DTMF", DTMF_Digit="1") * 500)
        server.hang_up()
        await driver.until(lambda: driver.told.count("up") == 2)
        before = len(driver.heard)
        server.send(event("DTMF", DTMF_Digit="2"))
        await driver.until(lambda: bool(driver.heard) and driver.heard[-1].digit == "2")
        assert all(heard.digit == "2" for heard in driver.heard[before:])


# --- the end


async def test_a_closed_link_fails_at_once_and_leaves_no_thread(server: FakeEsl) -> None:
    async with driving(server) as driver:
        await driver.is_up()
    with pytest.raises(Unreachable):
        await driver.link.act(ASKED)
    assert not driver.link.is_up


async def test_it_can_be_closed_at_any_moment(server: FakeEsl) -> None:
    for wait_s in (0, 0, 0, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02):
        async with driving(server):
            await asyncio.sleep(wait_s)  # the moment itself
