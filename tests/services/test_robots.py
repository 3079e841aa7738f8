"""The robot's books: what is offered to whom, and a callback that is one however often it is wished for."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from controller.core import ids
from controller.core.agent import Agent
from controller.core.call import Call, Leg, LegState
from controller.core.policy import Refusal
from controller.core.verbs import LookUp
from controller.ports import NotSaved, Unit
from controller.services.calls import Calls
from controller.services.claims import Claims
from controller.services.flows import FlowBook
from controller.services.last_agents import LastAgents
from controller.services.policy import Forbidden
from controller.services.robots import AGAIN, CALLBACK, CENTRE, LONGEST_S, Robots, wished
from controller.services.room import QueueFull
from controller.services.scheduler import NoRoute
from controller.store.database import Database
from tests.core.story import CALL, A
from tests.databases import cluster, database_url  # noqa: F401
from tests.services.test_masked import Still
from tests.store.calls import OTHER, TENANT
from tests.store.masking import NOW, X1, X2, B, C

VERB = LookUp(ids.verb_id(CALL, 7), A, "callback", "", 2.0)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:  # noqa: F811
    """An open database with two tenants."""
    database = await Database.open(database_url, migrate=False)
    for tenant in (TENANT, OTHER):
        await database.tenants.add(tenant, tenant, 1)
    yield database
    await database.close()


def at_robot(**variables: Any) -> Call:
    """A call that came in and is at the robot; ``callee``: the driver, None for none."""
    given = {"caller": B, "called": X1, "callee": C, **variables}
    known = {name: value for name, value in given.items() if value is not None}
    return Call(CALL, TENANT, "masked", "nobody-available", "v", NOW, vars=known, reference="ride-7", binding="bind_1")


class Room:
    """The books over a real database; the desk writes the call down, or refuses."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.refuses: Exception | None = None
        self.opened: list[Call] = []
        self.claims = Claims(db.agents, db.calls, Calls(db.calls, FlowBook()), Still(), lambda: None)
        self.last = LastAgents(db.agents, db.routes, db.last_agents, Still())
        self.robots = Robots(
            db.agents, db.calls, self.last, self.claims.claim, FlowBook(), self, self._check, Still(),  # type: ignore[arg-type]
        )  # fmt: skip

    async def open(self, call: Call) -> Call:
        """The desk."""
        if self.refuses is not None and not isinstance(self.refuses, Forbidden):
            raise self.refuses
        self.opened.append(call)
        await self.db.calls.commit(Unit(replace(call, flow_version="v"), created=True))
        return call

    def _check(self, _call: Call) -> None:
        if isinstance(self.refuses, Forbidden):
            raise self.refuses

    async def driver(self, state: Any = "on_duty", tenant: str = TENANT) -> None:
        """An agent with the callee's phone."""
        await self.db.agents.add(Agent("AG1", tenant, "Dan", C, state, None, 1), 1)


async def test_only_what_there_is_is_offered(db: Database) -> None:
    room = Room(db)

    async def offered(**variables: Any) -> dict[str, Any]:
        answer = await room.robots.offers(at_robot(**variables), VERB)
        assert answer.outcome == "found"
        return dict(answer.vars)

    assert await offered() == {"offer_again": AGAIN, "callee_away": False}
    assert await offered(callee=None, centre=B) == {"offer_centre": CENTRE, "callee_away": False}
    assert await offered(callee=None, callback_by="anybody") == {"offer_callback": CALLBACK, "callee_away": False}
    assert await offered(callee=None, caller="", callback_by="anybody") == {"callee_away": False}
    await room.driver("away")
    assert await offered() == {"offer_again": AGAIN, "offer_callback": CALLBACK, "callee_away": True}
    await db.agents.change(TENANT, "AG1", 5, {"state": "on_duty"})
    assert not (await offered())["callee_away"]


async def test_another_tenants_agent_is_nobody_here(db: Database) -> None:
    room = Room(db)
    await room.driver("away", OTHER)
    assert (await room.robots.offers(at_robot(), VERB)).vars == {"offer_again": AGAIN, "callee_away": False}
    assert (await room.robots.callback(at_robot(), VERB)).outcome == "refused"


async def test_a_wish_is_one_callback_to_the_caller_by_the_driver(db: Database) -> None:
    room = Room(db)
    await room.driver("away")
    for _ in range(2):
        assert (await room.robots.callback(at_robot(callback_within_s=60), VERB)).outcome == "found"
    (call,) = room.opened
    assert (call.id, call.kind, call.flow, call.reference) == (wished(VERB.id), "callback", "callback", "ride-7")
    assert (call.binding, call.not_after) == ("bind_1", NOW + 60_000)
    assert call.vars == {
        "callee": B, "caller_display": X1, "callee_display": X1, "agent_wanted": {"leg": "caller", "agent": "AG1"},
    }  # fmt: skip
    again = replace(VERB, id=ids.verb_id(CALL, 8))
    assert (await room.robots.callback(at_robot(), again)).outcome == "found"
    assert len(room.opened) == 2  # another wish in the same call


async def test_without_a_driver_any_agent_may_be_asked_for(db: Database) -> None:
    room = Room(db)
    assert (await room.robots.callback(at_robot(), VERB)).outcome == "refused"
    for within in ("soon", 10**8, None):
        verb = replace(VERB, id=ids.verb_id(CALL, 100 + len(room.opened)))
        wish = at_robot(callee=None, callback_by="anybody", callback_within_s=within)
        assert (await room.robots.callback(wish, verb)).outcome == "found"
    assert room.opened[0].vars["agent_wanted"] == {"leg": "caller", "agent": None}
    assert [call.not_after for call in room.opened] == [NOW + 86_400_000, NOW + LONGEST_S * 1000, NOW + 86_400_000]


RULE = Refusal("block_list", "destination_blocked", "number", "no")


@pytest.mark.parametrize("refuses", [QueueFull("this tenant", 1), NoRoute("callee"), Forbidden(RULE, "callee")])
async def test_what_may_not_be_is_not_promised(db: Database, refuses: Exception) -> None:
    room = Room(db)
    await room.driver()
    room.refuses = refuses
    assert (await room.robots.callback(at_robot(), VERB)).outcome == "refused"
    assert (await room.robots.callback(at_robot(caller=""), VERB)).outcome == "refused"
    assert room.opened == []


async def test_a_disk_that_is_full_is_not_a_promise_and_another_controllers_answer_is(db: Database) -> None:
    room = Room(db)
    await room.driver()
    room.refuses = NotSaved("full")
    with pytest.raises(NotSaved):
        await room.robots.callback(at_robot(), VERB)
    other = Room(db)
    await other.robots.callback(at_robot(), VERB)
    assert (await room.robots.callback(at_robot(), VERB)).outcome == "found"


def test_the_id_of_a_wish_is_a_calls_and_follows_from_the_look_up() -> None:
    found = {wished(ids.verb_id(CALL, step)) for step in range(1, 200)}
    assert len(found) == 199
    assert all(ids.is_call_id(one) and one.startswith(CALL[:10]) and one != CALL for one in found)


async def _spoke(db: Database, number: int, customer: str, x: str, to: str | None, at: int) -> None:
    """A call of a customer to X, that was bridged with ``to``, or with nobody."""
    call = f"{number:026d}"
    near = Leg(ids.leg_id(call, 1), "caller", customer, x, state=LegState.ended, arrived=True)
    far = Leg(ids.leg_id(call, 2), "callee", to or C, x, peer=near.id, state=LegState.ended, joined_at=at if to else None)
    known = {"caller": customer, "called": x}
    made = Call(call, TENANT, "masked", "masked", "v", at, vars=known, legs=(near, far), node="pbx1", ended_at=at + 1)
    await db.calls.commit(Unit(made, created=True))


async def test_the_last_agent_is_whom_the_caller_spoke_to_by_this_x(db: Database) -> None:
    room = Room(db)
    await room.driver()
    await db.agents.add(Agent("AG2", TENANT, "Eve", "+14155550108", "on_duty", None, 1), 1)
    verb = replace(VERB, book="last_agent")

    async def last(**variables: Any) -> str | None:
        answer = await room.robots.last_agent(at_robot(**variables), verb)
        assert (answer.outcome == "found") == bool(answer.vars)
        await db.agents.release(CALL, NOW)
        found: str | None = answer.vars.get("last_agent")
        return found

    assert await last() is None
    await _spoke(db, 1, B, X1, "+14155550108", NOW - 9000)
    assert await last() == "+14155550108"
    await _spoke(db, 2, B, X1, C, NOW - 8000)
    await _spoke(db, 3, B, X1, None, NOW - 7000)
    await _spoke(db, 4, B, X2, "+14155550108", NOW - 6000)
    await _spoke(db, 5, B, X1, "+14155550107", NOW - 5000)  # no agent's
    await _spoke(db, 6, "+14155550106", X1, "+14155550108", NOW - 4000)
    assert await last() == C
    assert await last(sticky_s=5) is None
    assert await last(sticky_s="8") == C
    assert await last(caller="") is None
    await room.last.forget(TENANT, B, X1)
    assert await last() is None
    await _spoke(db, 7, B, X1, C, NOW + 1)
    assert await last() == C
    await db.agents.change(TENANT, "AG1", 5, {"state": "away"})
    assert await last() is None


async def test_the_last_agent_is_the_calls_own_from_then_on(db: Database) -> None:
    room = Room(db)
    await room.driver()
    await _spoke(db, 1, B, X1, C, NOW - 9000)
    verb = replace(VERB, book="last_agent")
    for _ in range(2):  # asked again it is the same claim
        answer = await room.robots.last_agent(at_robot(), verb)
        assert answer.vars == {"last_agent": C, "agent_id": "AG1", "agent_leg": "last_agent"}
        assert answer.told == (("agent.state", {"agent_id": "agt_AG1", "name": "Dan", "state": "busy", "leg": "last_agent"}),)
    other = replace(at_robot(), id="01JD3Y8Q4ZK5T0M6W9RB2XHCVF")
    assert (await room.robots.last_agent(other, verb)).outcome == "nobody"
    assert await db.agents.claim(TENANT, other.id, None, NOW) is None  # nor has the queue
    await db.agents.release(CALL, NOW)
    assert (await room.robots.last_agent(other, verb)).outcome == "found"
