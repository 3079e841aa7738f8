"""How long what is told of bindings, agents and nodes is kept, and how it is listed and sent again."""

from dataclasses import replace

from controller.store.binding_rows import stream_of
from controller.store.database import Database
from tests.store.calls import TENANT, call_id, story
from tests.store.masking import NOW, X1, bind, binding, pool
from tests.store.test_streams import AGENT, LATER, deliver, endpoint, waiting

DAY = 86_400_000


async def test_a_replay_goes_back_no_further_than_is_kept_and_not_behind_the_endpoint(db: Database) -> None:
    await endpoint(db, created_at=10)
    for at in range(8, 14):
        await db.streams.tell("node_pbx1", "node.up", at, {})
        await db.agents.change(TENANT, "g1", at, {}) if at > 8 else await db.agents.add(AGENT, at)
    await endpoint(db, "op", operator_at=1, created_at=10)
    for at in range(14, 17):
        await db.streams.tell("node_pbx1", "node.up", at, {})
    await deliver(db, "op")
    assert await db.webhooks.replay("op", LATER, "node_pbx1", None, None, 15) == 1
    assert [sequence for sequence, _ in (await waiting(db, "op"))["node_pbx1"]] == [8, 9]
    assert await db.webhooks.replay("op", LATER, "node_pbx1", None, None) == 1
    assert [sequence for sequence, _ in (await waiting(db, "op"))["node_pbx1"]] == list(range(3, 10))
    assert await db.webhooks.replay("op", LATER, "agt_g1", None, None) == 0
    assert await db.webhooks.replay("op", LATER, None, 17, None) == 0


async def test_deliveries_are_those_of_calls_and_then_the_others(db: Database) -> None:
    await endpoint(db)
    for number in (1, 2):
        for unit in story(number):
            await db.calls.commit(unit)
    await db.agents.add(AGENT, 5)
    await db.agents.change(TENANT, "g1", 6, {"state": "on_duty"})
    whole = (await db.webhooks.deliveries(TENANT, "e1", limit=200)).items
    assert [info.call for info in whole[-2:]] == ["agt_g1", "agt_g1"]
    assert [info.call for info in whole[:1]] == [call_id(2)]
    seen: list[str] = []
    after: str | None = None
    while True:
        page = await db.webhooks.deliveries(TENANT, "e1", limit=3, after=after)
        seen += [info.id for info in page.items]
        after = page.next
        if after is None:
            break
    assert seen == [info.id for info in whole]
    assert (await db.webhooks.deliveries(TENANT, "e1", after="agt_g1_nonsense")).items == []


async def test_cursors_go_when_nothing_was_told_for_long_and_come_with_the_next_fact(db: Database) -> None:
    await endpoint(db)
    await db.agents.add(AGENT, 100)
    await db.agents.add(replace(AGENT, id="g2"), 200)
    assert await db.webhooks.forget_cursors(100, 10) == 0
    assert await db.webhooks.forget_cursors(101, 10) == 1
    assert await db.webhooks.forget_cursors(101, 10) == 0
    assert set(await waiting(db)) == {"agt_g2"}
    await db.agents.change(TENANT, "g1", 300, {"state": "on_duty"})
    assert (await waiting(db))["agt_g1"] == [(2, "agent.state")]


async def test_facts_are_forgotten_of_what_lives_one_by_one_and_of_bindings_when_they_are_over(db: Database) -> None:
    await endpoint(db)
    await pool(db, X1)
    lives, ends = await bind(db, binding()), await bind(db, binding("+14155550103", "+14155550104"))
    await db.bindings.release(TENANT, ends.id, NOW + DAY)
    await db.agents.add(AGENT, NOW)
    for day in (1, 2):
        await db.agents.change(TENANT, "g1", NOW + day * DAY, {"state": ("on_duty", "away")[day - 1]})
    await db.agents.add(replace(AGENT, id="g2"), NOW)
    assert [await db.retention.forget_facts(NOW + DAY, 1) for _ in range(3)] == [1, 1, 0]
    assert (await waiting(db))["agt_g1"] == [(2, "agent.state"), (3, "agent.state")]
    assert "agt_g2" not in await waiting(db)
    assert len(await db.bindings.facts(TENANT, ends.id)) == 2
    assert [await db.retention.forget_facts(NOW + DAY + 1, 10) for _ in range(2)] == [2, 0]
    assert await db.bindings.facts(TENANT, ends.id) == []
    assert await db.bindings.get(TENANT, ends.id) is not None
    assert len(await db.bindings.facts(TENANT, lives.id)) == 1
    await db.agents.remove(TENANT, "g1", NOW + 3 * DAY)
    await db.agents.change(TENANT, "g2", NOW + 3 * DAY, {"state": "on_duty"})
    assert (await waiting(db))["agt_g2"] == [(2, "agent.state")]
    assert await db.retention.forget_facts(NOW + 2 * DAY, 10) == 0
    while await db.retention.forget_facts(NOW + 4 * DAY, 10):
        pass
    assert await db.webhooks.pending() == 1
    assert set(await waiting(db)) == {stream_of(lives.id)}
