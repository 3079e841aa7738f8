"""A controller's link to the exchange: what is lost, late or doubled on the way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from controller.core import events as ev
from controller.core import verbs as v
from controller.core.call import LegState
from controller.drivers.simulator import link as module
from controller.drivers.simulator.exchange import Exchange
from controller.drivers.simulator.link import Simulator
from controller.drivers.simulator.noise import Noise, Rates
from controller.drivers.simulator.phones import Phone
from controller.drivers.simulator.timers import Agenda
from controller.ports import Unreachable, VerbRefused

A, B = "leg-a", "leg-b"
DIAL = v.Dial("dial", A, "1", "trunk", "+1", 30)


class Line:
    """A link over an exchange whose time is stepped by hand."""

    def __init__(self, rates: Rates | None = None, seed: int = 0) -> None:
        self.agenda = Agenda()
        self.exchange = Exchange(self.agenda, {"1": Phone()})
        self.link = Simulator(self.exchange, noise=None if rates is None else Noise(rates, seed))
        self.heard: list[ev.Event] = []

    async def listen(self) -> None:
        async for event in self.link.events():
            self.heard.append(event)

    async def wait(self, ms: int = 1_000) -> "Line":
        self.agenda.run(ms)
        await self.settle()
        return self

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    def kinds(self) -> list[str]:
        told = [type(event).__name__ for event in self.heard]
        self.heard.clear()
        return told


@asynccontextmanager
async def line(rates: Rates | None = None, seed: int = 0) -> AsyncIterator[Line]:
    made = Line(rates, seed)
    listening = asyncio.create_task(made.listen())
    await made.settle()
    yield made
    await made.link.close()
    await made.link.close()
    await asyncio.wait_for(listening, 30)


async def test_link_up_comes_first_and_names_the_boot() -> None:
    async with line() as at:
        assert at.heard == [ev.LinkUp(at.agenda.now(), "1")]
        await at.link.do(DIAL)
        await at.wait()
        assert at.kinds() == ["LinkUp", "LegRinging", "LegAnswered", "LegHeld"]
        assert (await at.link.alive())[A].state is LegState.answered


async def test_a_verb_that_rings_is_done_once() -> None:
    async with line() as at:
        await at.link.do(DIAL)
        await at.link.do(DIAL)
        assert at.exchange.rang["dial"] == 1


async def test_refusals_say_why() -> None:
    async with line() as at:
        with pytest.raises(VerbRefused, match="there is no such leg"):
            await at.link.do(v.Play("p", A, ("x",)))
        await at.link.do(DIAL)
        await at.wait()
        at.link.cut()
        with pytest.raises(Unreachable):
            await at.link.do(v.Hangup("h", A))
        await at.wait(600)
        with pytest.raises(Unreachable, match="not knocked"):
            await at.link.do(v.Play("p", A, ("x",)))


async def test_a_cut_link_comes_back_and_what_was_said_meanwhile_is_not_repeated() -> None:
    async with line() as at:
        await at.link.do(DIAL)
        at.link.cut("cable", 5_000)
        with pytest.raises(Unreachable):
            await at.link.alive()
        with pytest.raises(Unreachable):
            await at.link.gone([A])
        at.link.cut("cable", 7_000)
        await at.wait(20_000)
        assert at.kinds() == ["LinkUp", "LinkDown", "LinkUp", "LegHeld"]


async def test_a_restarted_pbx_has_another_boot_and_no_legs() -> None:
    async with line() as at:
        await at.link.do(DIAL)
        at.link.restart()
        await at.wait(60_000)
        assert [event.boot for event in at.heard if isinstance(event, ev.LinkUp)] == ["1", "2"]
        assert await at.link.alive() == {}
        assert await at.link.gone([A]) == {}


async def test_the_lines_of_ended_legs_are_read() -> None:
    async with line() as at:
        await at.link.do(DIAL)
        await at.link.do(v.Hangup("h", A))
        assert (await at.link.gone([A, B])).keys() == {A}


async def test_a_verb_lost_on_its_way_had_no_effect_and_its_leg_knocks_again() -> None:
    async with line() as quiet:
        await quiet.link.do(DIAL)
        await quiet.wait()
        quiet.link._noise = Noise(Rates(lost_before=1.0))
        quiet.kinds()
        with pytest.raises(Unreachable):
            await quiet.link.do(v.Play("p", A, ("x",)))
        with pytest.raises(Unreachable):
            await quiet.link.do(v.Hangup("h", B))
        await quiet.wait(5_000)
        assert quiet.kinds() == ["LegHeld"]


async def test_a_verb_whose_acknowledgement_is_lost_had_its_effect() -> None:
    async with line(Rates(lost_after=1.0)) as at:
        doing = asyncio.create_task(at.link.do(DIAL))
        await at.settle()
        await at.wait(100)
        with pytest.raises(Unreachable):
            await doing
        assert at.exchange.rang["dial"] == 1


async def test_a_verb_that_is_on_its_way_arrives_also_when_its_sender_is_gone() -> None:
    async with line(Rates(late=0.0001), seed=3) as at:
        doing = asyncio.create_task(at.link.do(DIAL))
        await at.settle()
        doing.cancel()
        await at.wait(100)
        assert at.exchange.rang["dial"] == 1


async def test_a_link_that_breaks_meanwhile_leaves_open_what_became_of_the_verb() -> None:
    async with line(Rates(late=0.0001), seed=3) as at:
        doing = asyncio.create_task(at.link.do(DIAL))
        await at.settle()
        at.link.cut()
        await at.wait(100)
        with pytest.raises(Unreachable):
            await doing
        assert at.exchange.rang["dial"] == 1


async def test_events_come_twice_late_or_never_and_the_same_for_a_seed() -> None:
    told = []
    for _ in range(2):
        async with line(Rates(twice=0.3, late=0.3, never=0.2), seed=7) as at:
            for number in range(30):
                verb = v.Dial(f"dial-{number}", f"leg-{number}", "1", "t", "+1", 30)
                doing = asyncio.create_task(at.link.do(verb))
                await at.settle()
                await at.wait(100)
                await doing
            await at.wait(5_000)
            told.append([(type(event).__name__, event.at) for event in at.heard])
    assert told[0] == told[1]
    kinds = [kind for kind, _ in told[0]]
    assert len(kinds) != 91
    assert told[0] != sorted(told[0], key=lambda pair: pair[1])
    assert len(set(told[0])) < len(told[0])


async def test_what_was_said_on_a_broken_connection_is_not_heard_on_the_next() -> None:
    async with line(Rates(late=1.0), seed=1) as at:
        doing = asyncio.create_task(at.link.do(DIAL))
        await at.settle()
        await at.wait(61 + 8)
        await doing
        at.link.cut(for_ms=1)
        await at.wait(2)
        await at.wait(100)
        assert "LegRinging" not in at.kinds()


async def test_a_reader_that_is_too_slow_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVENTS_BOUND", 2)
    async with line() as at:
        await at.link.do(DIAL)
        at.agenda.run(100_000)  # nobody reads meanwhile
        await at.settle()
        assert "LinkDown" in at.kinds()


async def test_answers_take_their_time_and_may_be_old(monkeypatch: pytest.MonkeyPatch) -> None:
    async with line() as at:
        at.link._noise = Noise(Rates(late=0.0001), seed=3)
        asking = asyncio.create_task(at.link.alive())
        await at.settle()
        at.link._noise = Noise()
        await at.link.do(DIAL)
        assert await asking == {}
