"""Legs whose call is over are hung up, whatever gets lost on the way (the crash fuzzer's findings, each directed)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.core import ids
from controller.core.verbs import Dial
from controller.drivers.simulator.exchange import Exchange
from controller.drivers.simulator.link import Simulator
from controller.drivers.simulator.noise import Loss, Noise
from controller.drivers.simulator.phones import Phone
from controller.drivers.simulator.timers import LoopTimers
from controller.ports import Unit
from controller.services.calls import Calls
from controller.services.clock import SystemClock
from controller.services.conductor import RETRY_S, Conductor
from controller.services.flows import FlowBook
from controller.store.database import Database
from tests.core.story import CALLBACK
from tests.crash import mutants
from tests.store.calls import NODE, TENANT, call_id, story

PHONES = {"+14155550101": Phone("no_answer", ring_after_ms=50), "+14155550102": Phone("silent_drop")}
RINGS, SILENT = PHONES
WITHIN_S = 30.0
CALL = call_id(1)
LEG = ids.leg_id(CALL, 1)


class Losing(Noise):
    """Every verb is lost on its way; how many were."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def loss(self) -> Loss:
        self.times += 1
        return "before"


@dataclass(slots=True)
class Here:
    """A conductor and its PBX, with nothing else."""

    exchange: Exchange
    link: Simulator
    conductor: Conductor
    db: Database

    def channel(self, number: str) -> None:
        """A leg of ours that no call has."""
        other = Simulator(self.exchange, "before")
        other._up = True  # a controller that is dead by now
        assert other._carry_out(Dial(ids.verb_id(CALL, 1), LEG, number, "carrier", "+14155550199", 60)) is None

    async def until(self, so: Callable[[], bool]) -> None:
        """Wait until something is so, which nobody tells."""
        async with asyncio.timeout(WITHIN_S):
            while not so():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def until_up(self) -> None:
        """The conductor and the PBX agree."""
        await self.until(lambda: self.conductor.ready)

    async def until_none(self) -> None:
        """The PBX has no leg any more."""
        await self.until(lambda: not self.exchange.channels)

    async def gap(self) -> None:
        """The link breaks, a leg that no call has is made meanwhile, and the link is there again."""
        await self.until_up()
        self.link.cut(for_ms=50)
        self.channel(SILENT)
        await self.until(lambda: not self.conductor.ready)
        await self.until_up()


@asynccontextmanager
async def here(folder: Path, before: Sequence[Unit] = ()) -> AsyncIterator[Here]:
    """``before``: what an earlier controller wrote."""
    database = await Database.open(f"sqlite:///{folder}/calls.db")
    await database.tenants.add(TENANT, "Tenant", 1)
    for unit in before:
        await database.calls.commit(unit)
    exchange = Exchange(LoopTimers(SystemClock().now()), PHONES)
    link = Simulator(exchange, NODE)
    calls = Calls(database.calls, FlowBook({(CALLBACK.name, CALLBACK.version): CALLBACK}))
    conductor = Conductor(link, calls, SystemClock())
    calls.act, calls.ready = conductor.act, lambda _node: conductor.ready
    for call in await database.calls.live(NODE):
        calls.adopt(call)
    running = asyncio.create_task(conductor.run())
    try:
        yield Here(exchange, link, conductor, database)
    finally:
        await link.close()
        await running
        await calls.drain()
        await database.close()


async def test_a_leg_that_no_call_has_is_hung_up_after_a_gap(tmp_path: Path) -> None:
    async with here(tmp_path) as place:
        await place.gap()
        await place.until_none()


async def test_the_same_is_noticed_when_it_is_forgotten(tmp_path: Path) -> None:
    with mutants.orphans_are_left():
        async with here(tmp_path) as place:
            await place.gap()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(RETRY_S):
                    await place.until_none()


async def test_a_hang_up_that_was_lost_is_asked_for_again_until_it_is_heard(tmp_path: Path) -> None:
    lost = Losing()
    async with here(tmp_path) as place:
        await place.until_up()
        place.link._noise = lost
        await place.gap()
        await place.until(lambda: lost.times >= 3)
        assert set(place.exchange.channels) == {LEG}
        place.link._noise = Noise()
        await place.until_none()


async def test_a_leg_that_shows_a_sign_of_life_when_its_call_is_over_is_hung_up(tmp_path: Path) -> None:
    async with here(tmp_path) as place:
        await place.until_up()
        place.channel(RINGS)
        await place.until_none()


async def test_a_dial_that_arrives_after_its_leg_was_declared_lost_is_hung_up(tmp_path: Path) -> None:
    """The controller died when the dial was on its way; the next one asked the PBX before it came."""
    async with here(tmp_path, [unit for unit, _ in zip(story(), range(3), strict=False)]) as place:
        assert [call.id for call in await place.db.calls.live(NODE)] == [CALL]
        await place.until_up()
        await place.until(lambda: not place.conductor._calls.of_node(NODE))
        place.channel(SILENT)
        await place.until_none()
        stored = await place.db.calls.get(CALL)
        assert stored is not None
        assert (stored.disposition, place.exchange.rang[LEG]) == ("lost", 1)
