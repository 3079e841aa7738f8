"""The hook lets in whom it should, holds up nobody, and never loses a leg."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from controller.drivers.asterisk import hook as hook_module
from controller.drivers.asterisk.hook import Hook, Session
from controller.ports import Unreachable, VerbRefused
from tests.drivers.asterisk import tape

CALL = "01JD3Y8Q4ZK5T0M6W9RB2XHCVE"
LEG, OTHER, VERB = f"{CALL}01", f"{CALL}02", f"{CALL}0001"
TOKEN = "a-token-of-sixteen"


class Door:
    """A hook with a list of who was let in."""

    def __init__(self) -> None:
        self.in_: list[Session] = []
        self.news = asyncio.Event()
        self.hook = Hook((TOKEN, "the-configured-token"), ("127.0.0.1",), self.knocked)
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Somebody at the door."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        """Everybody goes home."""
        await self.hook.close()
        for writer in self._writers:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    def knocked(self, session: Session) -> None:
        self.in_.append(session)
        self.news.set()

    async def knock(self, leg: str = LEG, token: str = TOKEN, *said: str) -> "Leg":
        """A leg that knocks as Asterisk does."""
        reader, writer = await self.connect()
        args = dict(enumerate((token, leg, *said), start=1))
        lines = ["agi_network: yes", "agi_network_script: leg", *(f"agi_arg_{n}: {arg}" for n, arg in args.items())]
        writer.write("\n".join([*lines, "", ""]).encode())
        return Leg(reader, writer)

    async def until_in(self, count: int = 1) -> Session:
        async with asyncio.timeout(30):
            while len(self.in_) < count:
                self.news.clear()
                await self.news.wait()
        return self.in_[-1]


class Leg:
    """Asterisk's end of a session."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def say(self, *lines: str) -> None:
        self._writer.write("".join(f"{line}\n" for line in lines).encode())

    async def hear(self) -> str:
        """The next command; empty when the session was ended."""
        try:
            return (await asyncio.wait_for(self._reader.readline(), 30)).decode().strip()
        except ConnectionResetError:
            return ""

    def leave(self) -> None:
        self._writer.transport.abort()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    door.port = await door.hook.start("127.0.0.1", 0)
    yield door
    await door.close()


async def test_a_leg_with_the_token_is_let_in_and_says_what_it_did(door: Door) -> None:
    await door.knock(LEG, TOKEN, VERB, "digits:42")
    session = await door.until_in()
    assert (session.leg, session.step, session.result, session.data) == (LEG, VERB, "digits", "42")
    assert session.idle.is_set()


async def test_the_configured_token_opens_too(door: Door) -> None:
    await door.knock(LEG, "the-configured-token")
    await door.until_in()


async def test_a_real_greeting_is_understood(door: Door) -> None:
    """As a real Asterisk sent it."""
    greeting = "".join(list(tape.read("callback", "agi"))[:3]).split("\n\n")[0].replace("SECRET", TOKEN)
    _, writer = await door.connect()
    writer.write(greeting.encode() + b"\n\n")
    session = await door.until_in()
    assert session.leg.endswith("01")
    assert session.step == ""


@pytest.mark.parametrize(
    ("leg", "token"), [(LEG, "wrong"), (LEG, ""), (LEG, TOKEN[:-1]), ("no-leg", TOKEN), ("", TOKEN), (LEG + "1", TOKEN)]
)
async def test_anybody_else_is_sent_away_at_once(door: Door, leg: str, token: str) -> None:
    stranger = await door.knock(leg, token)
    assert await stranger.hear() == ""
    assert door.in_ == []


async def test_a_stranger_does_not_get_into_the_place_of_a_leg(door: Door) -> None:
    await door.knock()
    mine = await door.until_in()
    stranger = await door.knock(LEG, "wrong")
    assert await stranger.hear() == ""
    assert door.hook.sessions[LEG] is mine
    assert mine.open


async def test_an_address_that_may_not_knock_is_cut_off() -> None:
    door = Door()
    door.hook = Hook((TOKEN,), ("192.0.2.1",), door.knocked)
    door.port = await door.hook.start("127.0.0.1", 0)
    stranger = await door.knock()
    assert await stranger.hear() == ""
    assert door.in_ == []
    await door.close()


async def test_who_connects_and_closes_or_says_nothing_holds_nobody_up(door: Door) -> None:
    """A connect-and-close freezes panoramisk's own FastAGI server for ever."""
    for _ in range(20):
        await door.connect()
    for _ in range(20):
        _, writer = await door.connect()
        writer.transport.abort()
    await door.knock()
    await door.until_in()


async def test_who_does_not_say_who_he_is_is_sent_away(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_module, "GREET_WITHIN_S", 0.1)
    reader, writer = await door.connect()
    writer.write(b"agi_network: yes\n")
    assert await asyncio.wait_for(reader.read(), 30) == b""


@pytest.mark.parametrize("flood", [b"x" * 100_000, b"agi_arg_1: x\n" * 10_000])
async def test_a_greeting_without_end_is_cut_off(door: Door, flood: bytes) -> None:
    reader, writer = await door.connect()
    writer.write(flood)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        assert await asyncio.wait_for(reader.readexactly(1), 30)


async def test_a_greeting_in_pieces_is_put_together(door: Door) -> None:
    _, writer = await door.connect()
    for byte in f"agi_arg_1: {TOKEN}\nagi_arg_2: {LEG}\n\n".encode():
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    await door.until_in()


async def test_a_command_begins_and_ends(door: Door) -> None:
    leg = await door.knock()
    session = await door.until_in()
    beginning = asyncio.create_task(session.begin(VERB, "GOSUB x s 1"))
    assert await leg.hear() == "GOSUB x s 1"
    leg.say("100 result=0 Trying...")
    answer = await beginning
    assert session.verb == VERB
    assert not session.idle.is_set()
    leg.say("200 result=0 Gosub complete")
    assert await answer == "200 result=0 Gosub complete"
    asking = asyncio.create_task(session.ask("GET FULL VARIABLE ${X}"))
    assert await leg.hear() == "GET FULL VARIABLE ${X}"
    leg.say("200 result=1 (a|b|c)")
    assert await asking == "200 result=1 (a|b|c)"
    session.done()
    assert session.idle.is_set()


async def test_a_subroutine_that_is_not_there_is_a_refusal(door: Door) -> None:
    leg = await door.knock()
    session = await door.until_in()
    beginning = asyncio.create_task(session.begin(VERB, "GOSUB nowhere s 1"))
    await leg.hear()
    leg.say("200 result=-1 Gosub label not found")
    with pytest.raises(VerbRefused):
        await beginning
    assert session.idle.is_set()


async def test_a_leg_that_does_not_take_the_command_is_unreachable(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_module, "ANSWER_WITHIN_S", 0.1)
    await door.knock()
    session = await door.until_in()
    with pytest.raises(Unreachable):
        await session.begin(VERB, "GOSUB x s 1")
    assert not session.open
    assert LEG not in door.hook.sessions


async def test_a_leg_that_does_not_answer_a_question_is_unreachable(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_module, "ANSWER_WITHIN_S", 0.1)
    await door.knock()
    session = await door.until_in()
    with pytest.raises(Unreachable):
        await session.ask("GET FULL VARIABLE ${X}")


@pytest.mark.parametrize("how", ["HANGUP", "close"])
async def test_a_leg_that_hangs_up_ends_its_session_and_what_waits_in_it(door: Door, how: str) -> None:
    leg = await door.knock()
    session = await door.until_in()
    beginning = asyncio.create_task(session.begin(VERB, "GOSUB x s 1"))
    await leg.hear()
    leg.say("100 result=0 Trying...")
    answer = await beginning
    if how == "HANGUP":
        leg.say("HANGUP")
    else:
        leg.leave()
    with pytest.raises(Unreachable):
        await answer
    assert LEG not in door.hook.sessions


async def test_a_leg_that_knocks_again_takes_the_place_of_its_old_session(door: Door) -> None:
    old_leg = await door.knock()
    old = await door.until_in()
    beginning = asyncio.create_task(old.begin(VERB, "GOSUB x s 1"))
    await old_leg.hear()
    old_leg.say("100 result=0 Trying...")
    answer = await beginning
    await door.knock(LEG, TOKEN, VERB, "")
    new = await door.until_in(2)
    with pytest.raises(Unreachable):
        await answer
    assert door.hook.sessions[LEG] is new
    assert not old.open
    assert await old_leg.hear() == ""


async def test_a_leg_between_two_knocks_is_waited_for(door: Door) -> None:
    waiting = asyncio.create_task(door.hook.session(LEG, 60))
    await asyncio.sleep(0)
    await door.knock()
    assert (await waiting).leg == LEG


async def test_a_leg_that_does_not_knock_is_not_held(door: Door) -> None:
    with pytest.raises(VerbRefused, match="not held"):
        await door.hook.session(LEG, 0.05)


async def test_a_leg_that_is_gone_is_not_waited_for(door: Door) -> None:
    waiting = asyncio.create_task(door.hook.session(LEG, 60))
    await asyncio.sleep(0)
    door.hook.forget(LEG)
    with pytest.raises(VerbRefused, match="gone"):
        await asyncio.wait_for(waiting, 30)


async def test_a_leg_that_is_busy_takes_one_verb_after_the_other(door: Door) -> None:
    await door.knock()
    session = await door.until_in()
    session.verb = VERB
    session.idle.clear()
    with pytest.raises(VerbRefused, match="busy"):
        await door.hook.session(LEG, 0.05)
    waiting = [asyncio.create_task(door.hook.session(LEG, 60)) for _ in range(2)]
    await asyncio.sleep(0)
    session.done()
    assert {await one for one in waiting} == {session}


async def test_a_hook_that_closes_leaves_every_leg_to_itself(door: Door) -> None:
    legs = [await door.knock(LEG), await door.knock(OTHER)]
    await door.until_in(2)
    await door.hook.close()
    assert [await leg.hear() for leg in legs] == ["", ""]
    assert door.hook.sessions == {}


async def test_a_port_that_is_taken_is_an_error(door: Door) -> None:
    with pytest.raises(OSError):
        await Hook((TOKEN,), (), door.knocked).start("127.0.0.1", door.port)
