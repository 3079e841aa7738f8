"""An agent who was claimed for a call under way is let go of, once, whatever dies between two writes."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from controller.core import events as ev
from controller.core import ids
from controller.core.agent import AGENT, WANTED, Agent
from controller.core.call import Call, CallStatus
from controller.core.claimed import claimed
from controller.core.decide import arrive
from controller.core.events import Cancel
from controller.ports import NotSaved, Unit
from controller.services import claims as module
from controller.services.agents import Agents
from controller.services.arrivals import Arrivals, Door, Taken
from controller.services.calls import Calls
from controller.services.claims import UNCLEAR_S, Claims
from controller.services.flows import FlowBook
from controller.store.database import Database
from tests.core.story import CALL, T0, shipped
from tests.services.test_arrivals import CAME, DOCUMENT, NUMBERS
from tests.services.test_scheduler import Ticking, db  # noqa: F401

PHONE = "+14155550177"
OF_ANN = {**NUMBERS, **claimed("callee", "ann", PHONE)}


class Room:
    """Claims over a real database, and calls that come in."""

    def __init__(self, db: Database) -> None:  # noqa: F811
        self.db, self.clock, self.freed = db, Ticking(), 0
        self.book = FlowBook({(flow.name, flow.version): flow for flow in (shipped("masked"), shipped("last-agent"))})
        self.book.add(DOCUMENT)
        self.calls = Calls(db.calls, self.book)
        self.claims = Claims(db.agents, db.calls, self.calls, self.clock, self._free)
        self.routes: Any = {"callee": "carrier"}
        self.arrivals = Arrivals(self.calls, self.book, lambda _call, _node: self.routes, lambda _call: None)
        self.arrivals.let_go = self.claims.let_go
        self.taken = Taken("x", "through", OF_ANN)
        self.arrivals.ask(self._resolve)

    def _free(self) -> None:
        self.freed += 1

    async def _resolve(self, arrival: Any) -> Taken:
        assert await self.claims.claim("x", ids.call_of(arrival.leg), "ann") is not None
        return self.taken

    async def agent(self, name: str = "ann", number: str = PHONE) -> None:
        await self.db.agents.add(Agent(name, "x", name, number, "on_duty", None, 1), 1)

    async def holder(self, name: str = "ann") -> str | None:
        """The call that has the agent."""
        await self.calls.drain()
        await self.claims._tasks.drain()
        found = await self.db.agents.find("x", name)
        assert found is not None
        return found.call

    async def later(self, seconds: float) -> None:
        self.clock.seconds += seconds
        await self.claims.look()


@pytest.fixture
async def room(db: Database) -> Room:  # noqa: F811
    """With one agent, on duty."""
    found = Room(db)
    await found.agent()
    return found


async def test_a_call_that_begins_has_the_agent_until_their_leg_is_over(room: Room) -> None:
    assert await room.arrivals.take("pbx1", CAME) is None
    await room.later(10 * UNCLEAR_S)
    assert await room.holder() == CALL
    room.calls.tell(CALL, ev.LegEnded(T0 + 9, CALL + "02", 16, None, "remote"))
    assert (await room.holder(), room.freed) == (None, 1)


async def test_a_call_that_does_not_begin_leaves_no_claim(room: Room) -> None:
    assert await room.arrivals.take("pbx1", CAME, Door(gone=lambda: True)) == 16
    assert (await room.holder(), room.freed) == (None, 1)
    room.routes = None
    assert await room.arrivals.take("pbx1", CAME) == 34
    assert await room.holder() is None


async def test_the_same_leg_that_knocks_elsewhere_takes_nobody_from_the_call_that_has_begun(room: Room) -> None:
    assert await room.arrivals.take("pbx1", CAME) is None
    other = Room(room.db)
    assert await other.arrivals.take("pbx1", CAME) == 34
    assert await other.holder() == CALL
    other.claims.let_go(CALL)
    assert await other.holder() == CALL


async def test_a_claim_that_no_call_followed_goes_after_a_while_and_not_at_once(room: Room) -> None:
    await room.claims.claim("x", CALL, "ann")  # and here the controller dies
    after = Room(room.db)
    await after.later(0)
    await after.later(UNCLEAR_S - 1)
    assert await after.holder() == CALL
    await after.later(2)
    assert (await after.holder(), after.freed) == (None, 1)


async def test_a_call_that_begins_after_all_keeps_its_agent(room: Room) -> None:
    await room.claims.claim("x", CALL, "ann")
    await room.later(0)
    await room.later(UNCLEAR_S - 1)
    assert await room.arrivals.take("pbx1", CAME) is None
    await room.later(2)
    assert await room.holder() == CALL


async def test_an_agent_whose_call_ended_while_nobody_looked_is_free_at_the_first_look(room: Room) -> None:
    over = replace(_call(room), ended_at=T0 + 5, status=CallStatus.ended)
    await room.db.calls.commit(Unit(over, created=True))
    await room.claims.claim("x", CALL, "ann")
    await Room(room.db).later(0)
    assert await room.holder() is None


async def test_a_call_elsewhere_that_knows_of_its_agent_keeps_them_and_one_that_does_not_loses_them(room: Room) -> None:
    for number, variables in enumerate(({**OF_ANN}, {WANTED: {"leg": "caller", "agent": None}}, {**NUMBERS})):
        call = replace(_call(room), id=f"{number:026d}", vars=variables)
        await room.db.calls.commit(Unit(call, created=True))
        await room.claims.claim("x", call.id, "ann")
        await room.later(0)
        await room.later(UNCLEAR_S + 1)
        assert (await room.holder() == call.id) == (number < 2)
        await room.db.agents.release(call.id, 1)


async def test_one_call_may_claim_another_agent_once_the_first_is_let_go(room: Room, monkeypatch: Any) -> None:
    """The release of the first must not free the second."""
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    await room.agent("bob", "+14155550178")
    await room.claims.claim("x", CALL, "ann")
    release, refused = room.db.agents.release, asyncio.Event()

    class Full:
        claim, assigned = room.db.agents.claim, room.db.agents.assigned

        async def release(self, call: str, now: int) -> bool:
            if not refused.is_set():
                refused.set()
                raise NotSaved("full")
            return await release(call, now)

    room.claims._store = Full()
    before = replace(_call(room), vars=OF_ANN)
    room.claims.committed(before, replace(before, vars=NUMBERS), ())
    found = await room.claims.claim("x", CALL, "bob")
    assert found is not None
    assert found.id == "bob"
    assert refused.is_set()
    assert (await room.holder("ann"), await room.holder("bob")) == (None, CALL)


async def test_while_the_database_cannot_be_read_nobody_is_let_go_and_then_all_goes_on(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    looked = asyncio.Event()

    async def away(times: list[int] = [0]) -> None:  # noqa: B006
        times[0] += 1
        if times[0] == 1:
            raise NotSaved("away")
        looked.set()

    monkeypatch.setattr(room.claims, "look", away)
    running = asyncio.create_task(room.claims.run())
    async with asyncio.timeout(30):
        await looked.wait()
    assert not running.done()
    running.cancel()


async def test_the_end_of_a_call_that_an_x_connected_frees_its_agent_as_any_end_does(room: Room) -> None:
    """Whose leg was never dialled is the call's own to the end."""
    queue: Any = type("Nothing", (), {"wait_first": None, "elsewhere": None})()
    agents = Agents(room.db.agents, room.db.calls, room.calls, queue, room.clock)
    assert await room.arrivals.take("pbx1", CAME) is None
    await room.calls.ask(CALL, Cancel(T0 + 1))
    room.calls.tell(CALL, ev.LegEnded(T0 + 9, CALL + "01", 16, None, "remote"))
    await room.calls.drain()
    await agents._tasks.drain()
    assert await room.holder() is None
    assert AGENT not in ((await room.db.calls.get(CALL)) or _call(room)).vars


def _call(room: Room) -> Call:
    flow = room.book.latest("through")
    call = Call(CALL, "x", "masked", flow.name, flow.version, T0, vars=NUMBERS)
    return arrive(flow, call, CAME, "pbx1", {"callee": "carrier"}).call
