"""OP2: one owner per node, by the database's clock, and nobody else writes to its calls."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from controller.ports import LeaseLost, NotSaved
from controller.store import leases
from controller.store.database import Database
from controller.store.errors import Overtaken
from tests.databases import Cluster
from tests.store.calls import NODE, TENANT, call_id, queued, started, without_facts


@pytest.fixture
async def other(db: Database, database_url: str) -> AsyncIterator[Database]:
    """A second controller on the same database, which knows that the owner ``dead`` runs no more."""
    database = await Database.open(database_url, migrate=False, is_dead=lambda owner: owner == "dead")
    yield database
    await database.close()


async def test_a_free_node_is_taken_and_no_other_gets_it_while_the_lease_lives(db: Database, other: Database) -> None:
    assert await db.leases.take(NODE, "one") == 1
    assert await other.leases.take(NODE, "two") is None
    holder = await other.leases.holder(NODE)
    assert holder is not None
    assert (holder.owner, holder.epoch, holder.lives) == ("one", 1, True)


async def test_of_many_who_ask_at_once_one_gets_it(db: Database, other: Database) -> None:
    asked = [(db if number % 2 else other).leases.take(NODE, f"owner {number}") for number in range(20)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, int)] == [1]
    assert all(answer is None or isinstance(answer, NotSaved) for answer in answers if answer != 1)


async def test_a_lease_that_was_not_renewed_is_taken_with_a_new_epoch(
    db: Database, other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LIFE_MS", 0)
    assert await db.leases.take(NODE, "one") == 1
    monkeypatch.undo()
    assert await other.leases.take(NODE, "two") == 2
    assert not await db.leases.renew(NODE, "one", 1)
    assert await other.leases.renew(NODE, "two", 2)


async def test_to_renew_makes_a_lease_live_again(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LIFE_MS", 0)
    await db.leases.take(NODE, "one")
    before = await db.leases.holder(NODE)
    monkeypatch.undo()
    assert await db.leases.renew(NODE, "one", 1)
    after = await db.leases.holder(NODE)
    assert before is not None
    assert after is not None
    assert (before.lives, after.lives) == (False, True)


async def test_a_released_node_is_free_at_once(db: Database, other: Database) -> None:
    await db.leases.take(NODE, "one")
    await db.leases.release(NODE, "one", 1)
    assert await other.leases.take(NODE, "two") == 2


async def test_every_lease_that_lives_is_found_whatever_it_is_of(db: Database, other: Database) -> None:
    assert await other.leases.living() == []
    await db.leases.present("one")
    await db.leases.present("one")
    await db.leases.take("added later", "one")
    await db.leases.take(NODE, "one")
    await db.leases.release(NODE, "one", 1)
    found = await other.leases.living()
    assert [(lease.node, lease.owner, lease.lives) for lease in found] == [
        ("added later", "one", True), ("controller/one", "one", True),
    ]  # fmt: skip
    await db.leases.absent("one")
    await db.leases.release("added later", "one", 1)
    assert await other.leases.living() == []


async def test_controllers_that_were_killed_leave_no_rows_for_ever(
    db: Database, other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LIFE_MS", 0)
    for number in range(5):
        await db.leases.present(f"killed {number}")
    monkeypatch.undo()
    await other.leases.present("next")
    assert [lease.owner for lease in await db.leases.living()] == ["next"]
    assert await db.leases.holder("controller/killed 4") is None


async def test_another_owners_lease_is_not_released(db: Database, other: Database) -> None:
    await db.leases.take(NODE, "one")
    await other.leases.release(NODE, "two", 1)
    await other.leases.release(NODE, "one", 7)
    assert await db.leases.renew(NODE, "one", 1)


async def test_nobody_waits_for_an_owner_that_runs_no_more(db: Database, other: Database) -> None:
    await db.leases.take(NODE, "dead")
    assert await db.leases.take(NODE, "two") is None
    assert await other.leases.take(NODE, "two") == 2


async def test_who_lost_the_lease_can_write_to_the_nodes_calls_no_more(
    db: Database, other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LIFE_MS", 0)
    await db.leases.take(NODE, "one")
    first = queued()
    start = started(first)
    for unit in (first, start):
        await db.calls.commit(unit)
    await other.leases.take(NODE, "two")
    with pytest.raises(LeaseLost) as caught:
        await db.calls.commit(without_facts(start, at="late"))
    assert not isinstance(caught.value, Overtaken)
    assert await db.calls.get(call_id(1)) == start.call
    await other.calls.commit(without_facts(start, at="new"))


async def test_a_unit_waits_for_a_takeover_that_is_under_way_and_is_refused(cluster: Cluster) -> None:
    url = await cluster.new()
    db, second = await Database.open(url), await asyncpg.connect(url)
    await db.tenants.add(TENANT, "Tenant", 1)
    await db.leases.take(NODE, "one")
    first = queued()
    await db.calls.commit(first)
    async with second.transaction():
        await second.execute("UPDATE node_lease SET owner = 'two', epoch = epoch + 1")
        late = asyncio.create_task(db.calls.commit(started(first)))
        while not late.done() and not await second.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not late.cancelled()
    with pytest.raises(LeaseLost):
        await late
    await second.close()
    await db.close()


async def test_a_unit_whose_lease_is_lost_takes_no_other_along(db: Database, other: Database) -> None:
    await db.leases.take(NODE, "dead")
    first = queued()
    await db.calls.commit(first)
    await other.leases.take(NODE, "two")
    lost, mine = started(first), [queued(number) for number in range(2, 30)]
    outcomes = await asyncio.gather(*(db.calls.commit(unit) for unit in (*mine[:9], lost, *mine[9:])), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [LeaseLost]
    assert len(await db.calls.queued(100)) == 29


async def test_after_a_release_nothing_more_is_written(db: Database) -> None:
    await db.leases.take(NODE, "one")
    first = queued()
    await db.calls.commit(first)
    await db.leases.release(NODE, "one", 1)
    with pytest.raises(LeaseLost):
        await db.calls.commit(started(first))


async def test_two_controllers_that_start_one_queued_call_are_kept_apart(db: Database, other: Database) -> None:
    waiting = [queued(number) for number in range(40)]
    await asyncio.gather(*(db.calls.commit(unit) for unit in waiting))
    starts = [(who, started(unit, node)) for unit in waiting for who, node in ((db, "a"), (other, "b"))]
    outcomes = await asyncio.gather(*(who.calls.commit(unit) for who, unit in starts), return_exceptions=True)
    won = [unit.call for (_, unit), outcome in zip(starts, outcomes, strict=True) if outcome is None]
    lost = [outcome for outcome in outcomes if outcome is not None]
    assert len(won) == len(lost) == 40
    assert all(isinstance(outcome, Overtaken) for outcome in lost)
    assert sorted(call.id for call in won) == [unit.call.id for unit in waiting]
    for call in won:
        assert await db.calls.get(call.id) == call


async def test_two_controllers_write_at_once_and_nothing_is_lost(db: Database, other: Database) -> None:
    units = [queued(number) for number in range(400)]
    halves = zip(units[::2], units[1::2], strict=True)
    await asyncio.gather(*(who.calls.commit(unit) for pair in halves for who, unit in zip((db, other), pair, strict=True)))
    assert len(await db.calls.queued(1000)) == 400
