"""Events of bindings, agents and nodes, end to end: as for calls, in order per stream, at least once, signed."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from standardwebhooks import Webhook

from controller.core.agent import Agent
from controller.core.masking import Choice
from controller.ports import Live
from controller.services.bindings import Bindings
from controller.services.clock import SystemClock
from controller.store.binding_rows import binding_values, stream_of
from controller.store.database import Database
from controller.store.tables_masking import BINDING
from tests.services.business import Business, business
from tests.services.facts import secret
from tests.services.receiver import CLOSE, OK, Receiver, Reply, Request
from tests.store.calls import TENANT
from tests.store.masking import X1, binding, pool


class Site:
    """A business whose bindings and agents are told of."""

    def __init__(self, house: Business) -> None:
        self.house, self.db = house, house.database
        self.bindings = Bindings(self.db.bindings, SystemClock(), self.publish)
        self.db.agents.publish = self.publish

    def publish(self, live: Live) -> None:
        self.house.webhooks.told(live)

    async def agent(self, name: str = "g1") -> None:
        await self.db.agents.add(Agent(name, TENANT, "Ann", "+14155550120", "away", None, 1), now())

    async def turns(self, count: int, name: str = "g1") -> None:
        """The agent goes on duty and away again, so many times in all."""
        for number in range(count):
            await self.db.agents.change(TENANT, name, now(), {"state": ("on_duty", "away")[number % 2]})


def now() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def site(url: str, **changes: Any) -> AsyncIterator[Site]:
    async with business(url, **changes) as house:
        yield Site(house)


def told(receiver: Receiver, stream: str) -> list[int]:
    """The sequences of a stream as they came in."""
    return [int(r.event["id"].rpartition("_")[2]) for r in receiver.requests if r.event["id"].startswith(f"evt_{stream}_")]


async def arrived(receiver: Receiver, stream: str, last: int, first: int = 1) -> None:
    """All came, each for the first time only after the one before it."""
    await receiver.until(lambda r: max(told(r, stream), default=0) >= last)
    assert list(dict.fromkeys(told(receiver, stream))) == list(range(first, last + 1))


async def test_a_binding_is_told_of_signed_and_in_its_envelope(database_url: str) -> None:
    async with site(database_url) as here, Receiver() as receiver:
        await here.house.endpoint(receiver)
        await pool(here.db, X1)
        async with here.house.running():
            at = now()
            made = await here.bindings.bind(
                binding(created_at=at, reference="ride-7", metadata={"k": 1}, ttl_ms=1, expires_at=at + 1)
            )
            await asyncio.sleep(0.002)  # its time is over
            await here.bindings.look()
            await arrived(receiver, stream_of(made.id), 2)
            await here.house.store.until(lambda s: s.cursors["e1", stream_of(made.id)].state == "done")
        for request in receiver.requests:
            Webhook(secret(1)).verify(request.body, request.headers)
        assert [(r.event["type"], r.event["sequence"], r.event["call_id"]) for r in receiver.requests] == [
            ("binding.created", 1, None), ("binding.expired", 2, None),
        ]  # fmt: skip
        assert {(r.event["reference"], str(r.event["metadata"])) for r in receiver.requests} == {("ride-7", "{'k': 1}")}
        assert {r.event["data"]["binding_id"] for r in receiver.requests} == {"bind_" + made.id}
        assert not any(number.encode() in r.body for r in receiver.requests for number in (made.a, made.b))


@pytest.mark.parametrize("trouble", [Reply(500), CLOSE])
async def test_a_receiver_in_trouble_gets_a_streams_events_in_order_once_it_is_back(database_url: str, trouble: Reply) -> None:
    ill = True
    async with site(database_url) as here, Receiver(lambda _request: trouble if ill else OK) as receiver:
        await here.house.endpoint(receiver)
        async with here.house.running():
            for name in ("g1", "g2"):
                await here.agent(name)
                await here.turns(4, name)
            await receiver.got(4)
            assert {r.event["sequence"] for r in receiver.requests} == {1}
            ill = False
            for name in ("g1", "g2"):
                await arrived(receiver, "agt_" + name, 5)


async def test_what_happens_while_nobody_delivers_is_told_after_a_restart_and_goes_on(database_url: str) -> None:
    async with site(database_url) as here, Receiver() as receiver:
        await here.house.endpoint(receiver)
        async with here.house.running():
            await here.agent()
            await here.turns(2)
            await arrived(receiver, "agt_g1", 3)
        here.house.fresh()
        await here.turns(2)
        async with here.house.running():
            await here.turns(2)
            await arrived(receiver, "agt_g1", 7)
        assert await here.db.webhooks.pending() == 0


async def test_one_poisoned_agent_is_parked_alone_and_replayed(database_url: str) -> None:
    poisoned = True

    def answer(request: Request) -> Reply:
        return Reply(400) if poisoned and request.event["id"] == "evt_agt_g1_00002" else OK

    async with site(database_url, retry_s=(0, 0.1, 3)) as here, Receiver(answer) as receiver:
        await here.house.endpoint(receiver)
        async with here.house.running() as webhooks:
            await here.agent("g1")
            await here.agent("g2")
            await here.turns(2, "g1")
            await receiver.until(lambda r: told(r, "agt_g1") == [1, 2, 2])
            await here.turns(2, "g2")
            await arrived(receiver, "agt_g2", 3)
            await here.house.store.until(lambda s: any(c.state == "parked" for c in s.cursors.values()))
            await here.turns(2, "g1")
            await here.turns(2, "g2")
            await arrived(receiver, "agt_g2", 5)
            assert here.house.store.states == {}
            assert told(receiver, "agt_g1") == [1, 2, 2, 2]
            page = await here.db.webhooks.deliveries(TENANT, "e1", "parked")
            assert [(info.call, info.sequence) for info in page.items] == [("agt_g1", n) for n in (5, 4, 3, 2)]
            poisoned = False
            assert await webhooks.replay("e1", "agt_g1") == 1
            await receiver.until(lambda r: 5 in told(r, "agt_g1"))
            assert told(receiver, "agt_g1") == [1, 2, 2, 2, 1, 2, 3, 4, 5]


async def test_a_replay_sends_the_same_ids_again_and_nothing_older_than_is_kept(database_url: str) -> None:
    async with site(database_url, keep_days=7) as here, Receiver() as receiver:
        await here.house.endpoint(receiver)
        await here.db.agents.add(Agent("g1", TENANT, "Ann", "+14155550120", "away", None, 1), now() - 8 * 86_400_000)
        async with here.house.running() as webhooks:
            await here.turns(3)
            await receiver.until(lambda r: 4 in told(r, "agt_g1"))
            already = len(receiver.requests)
            assert await webhooks.replay("e1") == 1
            await receiver.got(already + 3)
            assert told(receiver, "agt_g1")[-3:] == [2, 3, 4]
            assert len({r.headers["webhook-id"] for r in receiver.requests}) <= 4


async def test_thousands_that_end_at_once_all_arrive(database_url: str) -> None:
    async with site(database_url) as here, Receiver() as receiver:
        await here.house.endpoint(receiver)
        at = now() - 1000
        many = [binding(x=X1, created_at=at, expires_at=at) for _ in range(1000)]
        await here.db.backend.write(lambda db: db.execute(BINDING.insert(), [binding_values(one) for one in many]))
        async with here.house.running():
            await here.bindings.look()
            await receiver.got(1000)
        assert {r.event["data"]["binding_id"] for r in receiver.requests} == {"bind_" + one.id for one in many}


async def test_only_an_operators_endpoint_is_told_of_nodes(database_url: str) -> None:
    async with site(database_url) as here, Receiver() as receiver, Receiver() as other:
        await here.house.endpoint(receiver, "e1")
        await here.house.endpoint(other, "e2")
        await here.db.endpoints.change(TENANT, "e1", operator_at=1)
        async with here.house.running():
            for kind in ("node.up", "node.down", "node.up"):
                here.publish(await here.db.streams.tell("node_pbx1", kind, now(), {"node": "pbx1"}))
            await arrived(receiver, "node_pbx1", 3)
            await here.agent()
            await arrived(other, "agt_g1", 1)
        assert told(other, "node_pbx1") == []


async def test_a_type_that_nobody_wants_makes_no_work(database_url: str) -> None:
    async with site(database_url) as here, Receiver() as receiver:
        await here.house.endpoint(receiver, types=("agent.state", "call.ended"))
        await pool(here.db, X1)
        async with here.house.running():
            await here.db.bindings.bind(binding(), Choice(now()))
            await here.agent()
            await arrived(receiver, "agt_g1", 1)
        assert len(receiver.requests) == 1
        assert {call for _, call in here.house.store.cursors} == {"agt_g1"}


async def test_two_controllers_that_change_one_agent_tell_it_in_one_order(cluster: Any) -> None:
    """The second has told nobody; its facts are found by their cursors."""
    url = await cluster.emptied()
    async with site(url) as here, Receiver() as receiver:
        second = await Database.open(url, migrate=False)
        await here.house.endpoint(receiver)
        async with here.house.running():
            await here.agent()
            for number in range(6):
                store = (here.db, second)[number % 2]
                await store.agents.change(TENANT, "g1", now(), {"state": ("on_duty", "away")[number % 2]})
            await here.db.agents.change(TENANT, "g1", now(), {"state": "on_duty"})
            await arrived(receiver, "agt_g1", 8)
        await second.close()
