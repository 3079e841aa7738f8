"""A node that is let go of while units of its calls wait for the database: whoever owns it next decides alone."""

import asyncio

import pytest

from controller.core import events as ev
from controller.core import ids
from controller.core.call import Call
from controller.ports import NotSaved, Unit
from controller.services import calls as module
from controller.services.calls import Calls
from controller.services.flows import FlowBook
from controller.services.inbox import LiveCall
from tests.core.story import CALLBACK
from tests.store.calls import NODE, queued, started

WITHIN_S = 10.0


class Store:
    """Keeps units while it is not full; a unit under way waits for ``through``."""

    def __init__(self) -> None:
        self.full = False
        self.units: list[Unit] = []
        self.tries = asyncio.Semaphore(0)
        self.through = asyncio.Event()
        self.through.set()

    async def commit(self, unit: Unit) -> None:
        self.tries.release()
        await self.through.wait()
        if self.full:
            raise NotSaved("the disk is full")
        self.units.append(unit)

    async def get(self, _call: str) -> Call | None:
        return None

    async def tried(self) -> None:
        """Wait for one more try."""
        async with asyncio.timeout(WITHIN_S):
            await self.tries.acquire()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(module, "RETRY_S", (0.01,))
    return Store()


def standing(store: Store) -> tuple[Calls, Call, list[LiveCall]]:
    """A call whose caller's phone is being rung, in memory; and the calls for which the PBX was asked something."""
    calls, asked = Calls(store, FlowBook({(CALLBACK.name, CALLBACK.version): CALLBACK})), list[LiveCall]()  # type: ignore[arg-type]
    calls.act = asked.append
    call = started(queued()).call
    calls.adopt(call)
    return calls, call, asked


def answered(call: Call) -> ev.Event:
    return ev.LegHeld(call.requested_at + 100, ids.leg_id(call.id, 1))


async def owned_anew(store: Store) -> tuple[Calls, Call]:
    """The database is full when the PBX says something; the node is let go of and owned again, then there is room."""
    calls, call, _ = standing(store)
    store.full = True
    calls.tell(call.id, answered(call))
    for _ in range(2):
        await store.tried()
    calls.forget_node(NODE)
    calls.adopt(call)
    store.full = False
    await calls.drain()
    return calls, call


async def test_what_waited_is_not_written_once_the_node_has_an_owner_again(store: Store) -> None:
    calls, call = await owned_anew(store)
    assert store.units == []
    assert calls.get(call.id) is call
    assert [found.id for found in calls.of_node(NODE)] == [call.id]


async def test_the_new_owner_decides_the_same_once(store: Store) -> None:
    calls, call = await owned_anew(store)
    calls.tell(call.id, answered(call))
    await calls.drain()
    assert [unit.call.id for unit in store.units] == [call.id]
    assert calls.get(call.id) is store.units[0].call


async def test_a_wish_that_waited_is_refused(store: Store) -> None:
    calls, call, _ = standing(store)
    store.through.clear()
    calls.tell(call.id, answered(call))
    await store.tried()
    wish = asyncio.create_task(calls.ask(call.id, ev.Cancel(call.requested_at + 200)))
    await asyncio.sleep(0)  # it lies in the inbox, behind a unit under way
    calls.forget_node(NODE)
    store.through.set()
    with pytest.raises(NotSaved):
        async with asyncio.timeout(WITHIN_S):
            await wish
    assert len(store.units) == 1, "the one that was under way"


async def test_a_unit_under_way_is_told_and_asks_nothing_more_of_the_pbx(store: Store) -> None:
    calls, call, asked = standing(store)
    told: list[Call] = []
    calls.watch(lambda _before, after, _facts: told.append(after))
    store.through.clear()
    calls.tell(call.id, answered(call))
    await store.tried()
    calls.forget_node(NODE)
    store.through.set()
    await calls.drain()
    assert [unit.call for unit in store.units] == told
    assert len(told) == 1
    assert asked == []
    assert calls.of_node(NODE) == []
