"""What is told of bindings, agents and nodes: in the transaction that does it, in order, to whoever may hear it."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, event

from controller.core.agent import Agent
from controller.core.facts import Fact
from controller.core.masking import Binding
from controller.ports import Cursor, Live, NotSaved, Stream
from controller.store.binding_rows import binding_values, stream_of
from controller.store.database import Database
from controller.store.errors import KeyTaken, NumberConflict
from controller.store.rows import Endpoint
from controller.store.tables_masking import BINDING
from tests.store.calls import OTHER, TENANT, call_id, story
from tests.store.masking import NOW, X1, A, B, bind, binding, pool

LATER = 10**15
AGENT = Agent("g1", TENANT, "Ann", "+14155550120", "away", None, 1)
CREATED, EXPIRED = "binding.created", "binding.expired"


async def endpoint(db: Database, name: str = "e1", *events: str, **fields: Any) -> None:
    """Somebody wants these events, or all."""
    made = {"tenant": TENANT, "created_at": 1, **fields}
    await db.endpoints.add(Endpoint(name, url="https://example.com", secret="s", events=events or ("*",), **made))


async def waiting(db: Database, name: str = "e1") -> dict[str, list[tuple[int, str]]]:
    """What an endpoint is to get, by stream."""
    found = await db.webhooks.backlog(name, LATER, 1000)
    return {item.cursor.call: [(fact.sequence, fact.type) for fact in item.facts] for item in found}


async def deliver(db: Database, name: str = "e1") -> dict[str, list[tuple[int, str]]]:
    """The same, and it is delivered."""
    found = await waiting(db, name)
    await db.webhooks.save_cursors([Cursor(name, stream, facts[-1][0] + 1, state="done") for stream, facts in found.items()])
    return found


def states(db: Database) -> list[tuple[int, Any, Any]]:
    """Sequence, state and call of what is published of agents from now on."""
    seen: list[tuple[int, Any, Any]] = []
    db.agents.publish = lambda live: seen.append((live.fact.sequence, live.fact.data["state"], live.fact.data["call_id"]))
    return seen


async def mortal(db: Database, count: int, at: int = NOW) -> list[Binding]:
    """Many bindings that end, without numbers to look them up by."""
    many = [binding(x=X1, state="active", created_at=at, expires_at=at + 1 + n) for n in range(count)]
    await db.backend.write(lambda job: job.execute(BINDING.insert(), [binding_values(one) for one in many]))
    return many


async def test_a_bindings_life_is_told_to_the_end_in_order(db: Database) -> None:
    await endpoint(db)
    await pool(db, X1)
    made = await bind(db, binding(reference="ride-7", metadata={"k": 1}, ttl_ms=5000, expires_at=NOW + 5000))
    [found] = await db.webhooks.backlog("e1", NOW, 10)
    assert found.of == Stream("ride-7", {"k": 1}, 1)
    assert found.cursor == Cursor("e1", stream_of(made.id), due_at=NOW)
    await db.bindings.change(TENANT, made.id, NOW + 1, lambda one: replace(one, reference="ride-8"))
    assert await db.bindings.expire(NOW + 4999) == []
    assert len(await db.bindings.expire(NOW + 5001)) == 1
    told = [(1, CREATED), (2, "binding.changed"), (3, EXPIRED)]
    assert await deliver(db) == {stream_of(made.id): told}
    assert await waiting(db) == {}
    facts = await db.bindings.facts(TENANT, made.id)
    assert [(fact.sequence, fact.type, fact.at) for fact in facts] == [
        (1, CREATED, NOW), (2, "binding.changed", NOW + 1), (3, EXPIRED, NOW + 5000),
    ]  # fmt: skip
    assert facts[0].id == f"bind_{made.id}_00001"
    assert A not in repr([fact.data for fact in facts])
    assert B not in repr([fact.data for fact in facts])


async def test_a_release_is_told_once(db: Database) -> None:
    await endpoint(db)
    await pool(db, X1)
    made = await bind(db, binding())
    for _ in range(2):
        await db.bindings.release(TENANT, made.id, NOW + 1)
    assert await waiting(db) == {stream_of(made.id): [(1, CREATED), (2, "binding.released")]}


async def test_what_did_not_happen_is_not_told(db: Database) -> None:
    await endpoint(db)
    await pool(db, X1)
    await bind(db, binding(), now=NOW)
    told = await deliver(db)
    taken = (TENANT, "key", "print", b"")
    await db.idempotency.begin(TENANT, "key", "print", 1)
    await db.idempotency.finish(TENANT, "key", "print", 201, b"x", 1)
    with pytest.raises(NumberConflict):
        await bind(db, binding(x=X1))
    with pytest.raises(KeyTaken):
        await db.agents.add(AGENT, 1, taken)
    assert await db.agents.change(TENANT, "nobody", 5, {"state": "on_duty"}) is None
    assert not await db.agents.remove(TENANT, "nobody", 5)
    assert not await db.agents.release("nobody", 5)
    assert len(told) == 1
    assert await waiting(db) == {}


async def test_what_cannot_be_told_does_not_happen(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await pool(db, X1)
    made = await bind(db, binding(expires_at=NOW + 9))
    await db.agents.add(AGENT, 1)
    before = (await db.agents.find(TENANT, "g1"), await db.bindings.get(TENANT, made.id))
    seen = states(db)

    def fails(*_: Any) -> list[Fact]:
        raise NotSaved("the disk is full")

    with monkeypatch.context() as patch:
        for module in ("agents", "binding_rows"):
            patch.setattr(f"controller.store.{module}.tell", fails)
        for wish in (
            db.agents.add(replace(AGENT, id="g2"), 2),
            db.agents.change(TENANT, "g1", 2, {"state": "on_duty"}),
            db.agents.remove(TENANT, "g1", 2),
            bind(db, binding("+14155550103", "+14155550104")),
            db.bindings.change(TENANT, made.id, NOW, lambda one: replace(one, reference="r")),
            db.bindings.release(TENANT, made.id, NOW),
            db.bindings.expire(NOW + 9),
        ):
            with pytest.raises(NotSaved):
                await wish
    assert (await db.agents.find(TENANT, "g1"), await db.bindings.get(TENANT, made.id)) == before
    assert [len((await room.list(TENANT)).items) for room in (db.agents, db.bindings)] == [1, 1]
    await db.agents.change(TENANT, "g1", 2, {"state": "on_duty"})
    with monkeypatch.context() as patch:
        patch.setattr("controller.store.agents.tell", fails)
        with pytest.raises(NotSaved):
            await db.agents.claim(TENANT, call_id(1), None, 3)
    assert await db.agents.assigned() == []
    assert await db.agents.claim(TENANT, call_id(1), None, 3) is not None
    with monkeypatch.context() as patch:
        patch.setattr("controller.store.agents.tell", fails)
        with pytest.raises(NotSaved):
            await db.agents.release(call_id(1), 4)
    assert await db.agents.assigned() == [call_id(1)]
    assert [state for _, state, _ in seen] == ["on_duty", "busy"]


async def test_an_agents_states_are_told_as_others_see_them(db: Database) -> None:
    await endpoint(db)
    seen, call = states(db), call_id(1)
    await db.agents.add(AGENT, 1)
    await db.agents.change(TENANT, "g1", 2, {"state": "away", "name": "Ann B."})
    await db.agents.change(TENANT, "g1", 3, {"state": "on_duty"})
    assert await db.agents.claim(TENANT, call, None, 4) is not None
    assert await db.agents.claim(TENANT, call, None, 5) is not None
    await db.agents.change(TENANT, "g1", 6, {"state": "away"})
    assert await db.agents.release(call, 7)
    assert not await db.agents.release(call, 8)
    assert await db.agents.remove(TENANT, "g1", 9)
    assert seen == [
        (1, "away", None), (2, "on_duty", None), (3, "busy", "call_" + call), (4, "away", None), (5, "removed", None),
    ]  # fmt: skip
    assert await waiting(db) == {"agt_g1": [(number, "agent.state") for number in range(1, 6)]}
    [found] = await db.webhooks.backlog("e1", LATER, 1)
    assert {frozenset(fact.data) for fact in found.facts} == {frozenset({"agent_id", "name", "state", "leg", "call_id"})}
    assert AGENT.number not in repr([fact.data for fact in found.facts])


async def test_many_who_change_one_agent_at_once_leave_no_gap(db: Database) -> None:
    await endpoint(db)
    await db.agents.add(AGENT, 1)
    wanted = ["on_duty", "away", "busy"] * 10
    await asyncio.gather(*(db.agents.change(TENANT, "g1", n, {"state": state}) for n, state in enumerate(wanted)))
    told = (await waiting(db))["agt_g1"]
    assert [sequence for sequence, _ in told] == list(range(1, len(told) + 1))
    assert len(told) > 1


async def test_only_operators_hear_of_nodes(db: Database) -> None:
    await db.tenants.add(OTHER, "Other", 1)
    await endpoint(db, "tenant")
    await endpoint(db, "operator", operator_at=1)
    await endpoint(db, "another", operator_at=1, tenant=OTHER)
    await endpoint(db, "narrow", "call.ended", operator_at=1)
    lives = [await db.streams.tell("node_pbx1", kind, at, {"node": "pbx1"}) for at, kind in ((5, "node.up"), (6, "node.down"))]
    await db.streams.tell("node_pbx2", "node.up", 7, {"node": "pbx2"})
    assert lives[1] == Live("", Fact("node_pbx1", 2, "node.down", 6, {"node": "pbx1"}))
    told = {"node_pbx1": [(1, "node.up"), (2, "node.down")], "node_pbx2": [(1, "node.up")]}
    assert [await waiting(db, name) for name in ("tenant", "operator", "another", "narrow")] == [{}, told, told, {}]
    assert [one.operator for one in sorted(await db.webhooks.endpoints(), key=lambda one: one.id)] == [True, True, True, False]


async def test_an_endpoint_is_told_of_what_it_wants_from_when_it_is_there(db: Database) -> None:
    await pool(db, X1)
    made = await bind(db, binding(expires_at=NOW + 10))
    await endpoint(db, "all")
    await endpoint(db, "ends", EXPIRED)
    await endpoint(db, "calls", "call.ended", "binding.released")
    await db.tenants.add(OTHER, "Other", 1)
    await endpoint(db, "other", tenant=OTHER)
    await db.bindings.change(TENANT, made.id, NOW + 1, lambda one: one)
    await db.bindings.expire(NOW + 10)
    stream = stream_of(made.id)
    assert await waiting(db, "all") == {stream: [(2, "binding.changed"), (3, EXPIRED)]}
    assert await waiting(db, "ends") == {stream: [(3, EXPIRED)]}
    assert await waiting(db, "calls") == await waiting(db, "other") == {}


async def test_nothing_is_kept_for_an_endpoint_while_it_is_disabled_and_all_while_it_is_parked(db: Database) -> None:
    await endpoint(db, "off")
    await endpoint(db, "parked")
    await db.agents.add(AGENT, 1)
    await deliver(db, "off")
    await deliver(db, "parked")
    await db.endpoints.change(TENANT, "off", state="disabled")
    await db.webhooks.set_endpoint("parked", "parked", "dead", 1)
    for at, state in ((2, "on_duty"), (3, "away")):
        await db.agents.change(TENANT, "g1", at, {"state": state})
    await db.endpoints.change(TENANT, "off", state="active")
    await db.agents.change(TENANT, "g1", 4, {"state": "on_duty"})
    assert [sequence for sequence, _ in (await waiting(db, "off"))["agt_g1"]] == [4]
    assert [sequence for sequence, _ in (await waiting(db, "parked"))["agt_g1"]] == [2, 3, 4]


async def test_whichever_of_done_and_the_next_fact_comes_first_the_fact_is_told(db: Database) -> None:
    await endpoint(db)
    names = [f"g{number:02d}" for number in range(60)]
    for name in names:
        await db.agents.add(replace(AGENT, id=name), 1)
    done = [Cursor("e1", "agt_" + name, 2, state="done") for name in names]
    saving = [db.webhooks.save_cursors(done[start : start + 5]) for start in range(0, 60, 5)]
    await asyncio.gather(*(db.agents.change(TENANT, name, 2, {"state": "on_duty"}) for name in names), *saving)
    assert await db.webhooks.pending() == 60


@pytest.fixture
def statements() -> Iterator[list[bool]]:
    """What is sent to the database: of each statement, whether it is for many rows at once."""
    seen: list[bool] = []

    def note(_connection: Any, _cursor: Any, _statement: str, _values: Any, _context: Any, many: bool) -> None:
        seen.append(many)

    event.listen(Engine, "before_cursor_execute", note)
    yield seen
    event.remove(Engine, "before_cursor_execute", note)


async def test_thousands_that_end_at_once_are_told_in_bounded_transactions(db: Database, statements: list[bool]) -> None:
    await endpoint(db)
    many = await mortal(db, 1500)
    rounds = []
    while True:
        statements.clear()
        ended = await db.bindings.expire(NOW + 2000)
        if not ended:
            break
        rounds.append((len(ended), len(statements)))
    assert [count for count, _ in rounds] == [200] * 7 + [100]
    each = {round((spent - 2 * count) / 10) for count, spent in rounds}  # of each binding its end and its claims, as before
    assert each == {0}, rounds
    assert await db.webhooks.pending() == len(many)
    assert [facts for facts in (await waiting(db)).values() if facts != [(2, EXPIRED)]] == []


async def test_many_that_end_at_once_do_not_go_before_a_call_that_waits_for_another_try(db: Database) -> None:
    await endpoint(db)
    for unit in story(1):
        await db.calls.commit(unit)
    await db.webhooks.save_cursors([Cursor("e1", call_id(1), 1, 1, NOW + 1000)])
    await mortal(db, 100)
    await db.bindings.expire(NOW + 2000)
    assert [item.cursor.call for item in await db.webhooks.backlog("e1", LATER, 1)] == [call_id(1)]


async def test_two_controllers_that_end_bindings_at_once_tell_each_once(db: Database) -> None:
    await endpoint(db)
    many = await mortal(db, 400)
    ended = await asyncio.gather(*(db.bindings.expire(NOW + 2000, 100) for _ in range(8)), return_exceptions=True)
    found = [one.id for some in ended if isinstance(some, list) for one in some]
    assert sorted(found) == sorted({*found})
    assert all(isinstance(some, list | NotSaved) for some in ended)
    while some := await db.bindings.expire(NOW + 2000):
        found += [one.id for one in some]
    assert sorted(found) == sorted(one.id for one in many)
    assert await db.webhooks.pending() == 400
