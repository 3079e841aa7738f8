"""To whom a customer spoke last by an X: read from the calls, and forgotten by a mark."""

from typing import Any

import pytest

from controller.core.agent import Agent
from controller.services.flows import FlowBook
from controller.services.last_agents import LONGEST_S, STICKY_S, LastAgents, sticky, sticky_of
from controller.store.database import Database
from tests.core.story import shipped
from tests.databases import cluster, database_url  # noqa: F401
from tests.services.test_masked import Still
from tests.services.test_robots import _spoke, db  # noqa: F401
from tests.store.calls import OTHER, TENANT
from tests.store.masking import NOW, X1, X2, B, C

WEEK = 7 * 86_400


class Room:
    """Over a real database, with one agent."""

    def __init__(self, db: Database) -> None:  # noqa: F811
        self.db, self.clock = db, Still()
        self.last = LastAgents(db.agents, db.routes, db.last_agents, self.clock)

    async def call(self, x: str = X1, customer: str = B, tenant: str = TENANT) -> str | None:
        """The call in which they spoke."""
        found = await self.last.of(tenant, customer, x, WEEK)
        assert found is None or found.agent.id == "AG1"
        return found and found.call


@pytest.fixture
async def room(db: Database) -> Room:  # noqa: F811
    """An agent, to whom B spoke once by X1."""
    await db.agents.add(Agent("AG1", TENANT, "Ann", C, "away", "busy in another call", 1), 1)
    await _spoke(db, 1, B, X1, C, NOW - 9000)
    return Room(db)


async def test_it_is_the_last_call_however_busy_the_agent_is_now(room: Room) -> None:
    await _spoke(room.db, 2, B, X1, C, NOW - 5000)
    found = await room.last.of(TENANT, B, X1, WEEK)
    assert found is not None
    assert (found.agent.id, found.call, found.at, found.until) == ("AG1", f"{2:026d}", NOW - 5000, NOW - 5000 + WEEK * 1000)
    assert B not in repr(found)
    assert C not in repr(found)


async def test_who_is_forgotten_is_so_until_they_speak_again(room: Room) -> None:
    await _spoke(room.db, 2, B, X1, C, NOW)  # in the same millisecond, too
    await room.last.forget(TENANT, B, X1)
    await room.last.forget(TENANT, B, X1)
    assert await room.call() is None
    room.clock.ms += 10
    await _spoke(room.db, 3, B, X1, C, NOW + 5)
    assert await room.call() == f"{3:026d}"


async def test_nobody_else_is_forgotten(room: Room) -> None:
    await _spoke(room.db, 2, B, X2, C, NOW - 5000)
    await _spoke(room.db, 3, "+14155550109", X1, C, NOW - 5000)
    for tenant, customer, x in ((TENANT, B, X2), (TENANT, "+14155550109", X1), (OTHER, B, X1)):
        await room.db.last_agents.forget(tenant, x, customer, NOW - 100_000)
    assert await room.call() == f"{1:026d}"
    await room.last.forget(OTHER, B, X1)
    await room.last.forget(TENANT, B, X2)
    assert await room.call() == f"{1:026d}"
    assert await room.call(X2) is None
    assert await room.call(customer="+14155550109") == f"{3:026d}"
    assert await room.call(tenant=OTHER) is None


async def test_an_x_is_the_same_however_its_trunk_writes_it(room: Room) -> None:
    assert await room.call(X1.replace("+", "00")) == f"{1:026d}"
    await room.last.forget(TENANT, B, X1.replace("+", "00"))
    assert await room.call() is None


@pytest.mark.parametrize(
    ("said", "means"),
    [(None, STICKY_S), (60, 60), ("60", 60), ("soon", STICKY_S), (10**8, LONGEST_S), ("1h", 3600), (True, STICKY_S)],
)
def test_how_long_somebody_is_remembered_is_bounded(said: Any, means: int) -> None:
    assert sticky(said) == means


@pytest.mark.parametrize(
    ("answer", "means"),
    [
        (None, WEEK),
        ({"action": "reject", "with": "busy"}, WEEK),
        ({"action": "menu", "flow": "last-agent", "variables": {"sticky_s": 60}}, 60),
        ({"action": "menu", "flow": "last-agent", "variables": {}}, WEEK),
        ({"action": "menu", "flow": "mine"}, 3600),
        ({"action": "menu", "flow": "gone"}, STICKY_S),
    ],
)
def test_an_x_remembers_as_long_as_its_route_says(answer: Any, means: int) -> None:
    book, own = FlowBook(), shipped("last-agent")
    book._latest[own.name] = own
    nodes = {"over": {"refuse": "caller"}}
    book.add({"flow": "mine", "arrives": "caller", "defaults": {"sticky_s": 3600}, "start": "over", "nodes": nodes})
    assert sticky_of(answer, book) == means
