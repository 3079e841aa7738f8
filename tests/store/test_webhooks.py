"""CB7: cursors, one per endpoint and call (`ports.WebhookStore`)."""

import asyncio
from dataclasses import replace

import pytest

from controller.core import ids
from controller.ports import Backlog, Cursor
from controller.store.database import Database
from controller.store.rows import Endpoint
from tests.store.calls import OTHER, TENANT, call_id, queued, story

NOW = 1_750_000_100_000
CALL = call_id(1)


@pytest.fixture
async def told(db: Database) -> Database:
    """An endpoint and one whole call."""
    await db.endpoints.add(Endpoint("e1", TENANT, "https://example.com", "secret", ("*",), 1))
    await tell(db, 1)
    return db


async def tell(db: Database, number: int) -> None:
    """Write a whole call."""
    for unit in story(number):
        await db.calls.commit(unit)


async def only(db: Database, now: int = NOW) -> Backlog:
    """The one cursor that is due."""
    [found] = await db.webhooks.backlog("e1", now, 10)
    return found


async def test_a_new_cursor_is_due_with_all_facts_of_its_call(told: Database) -> None:
    found = await only(told)
    assert found.cursor == Cursor("e1", CALL)
    assert found.of == await told.calls.get(CALL)
    assert list(found.facts) == await told.calls.facts(TENANT, CALL)


async def test_a_saved_cursor_is_where_it_was_said_to_be(told: Database) -> None:
    cursor = Cursor("e1", CALL, 4, 2, NOW + 5000, 503, "too busy")
    await told.webhooks.save_cursors([cursor])
    assert await told.webhooks.backlog("e1", NOW, 10) == []
    found = await only(told, NOW + 5000)
    assert found.cursor == cursor
    assert [fact.sequence for fact in found.facts] == list(range(4, found.of.sequence + 1))


async def test_a_cursor_that_has_told_all_is_not_due(told: Database) -> None:
    last = (await only(told)).of.sequence
    await told.webhooks.save_cursors([Cursor("e1", CALL, last + 1)])
    assert await told.webhooks.backlog("e1", NOW, 10) == []
    assert await told.webhooks.pending() == 0


async def test_a_done_cursor_is_opened_by_a_later_fact(db: Database) -> None:
    await db.endpoints.add(Endpoint("e1", TENANT, "https://example.com", "secret", ("*",), 1))
    *units, stored = story(1)
    for unit in units:
        await db.calls.commit(unit)
    told = units[-1].call.sequence
    await db.webhooks.save_cursors([Cursor("e1", CALL, told + 1, state="done")])
    await db.calls.commit(stored)
    found = await only(db)
    assert (found.cursor.next_sequence, found.cursor.state) == (told + 1, "open")
    assert [fact.type for fact in found.facts] == ["recording.stored"]


async def test_a_parked_cursor_stays_so_whatever_else_is_told(db: Database) -> None:
    await db.endpoints.add(Endpoint("e1", TENANT, "https://example.com", "secret", ("*",), 1))
    *units, stored = story(1)
    for unit in units:
        await db.calls.commit(unit)
    await db.webhooks.set_endpoint("e1", "parked", "it is dead", NOW)
    await db.webhooks.save_cursors([Cursor("e1", CALL, 3, 9, NOW, 500, "", "parked")])
    await db.calls.commit(stored)
    assert await db.webhooks.backlog("e1", NOW, 10) == []
    parked = await db.webhooks.deliveries(TENANT, "e1", "parked")
    assert "recording.stored" in [info.type for info in parked.items]


async def test_done_is_not_believed_when_there_is_another_fact(told: Database) -> None:
    last = (await only(told)).of.sequence
    await told.webhooks.save_cursors([Cursor("e1", CALL, last, state="done")])
    assert (await only(told)).cursor.state == "open"


async def test_whichever_of_the_last_fact_and_done_comes_first_the_fact_is_told(db: Database) -> None:
    await db.endpoints.add(Endpoint("e1", TENANT, "https://example.com", "secret", ("*",), 1))
    stories = [list(story(number)) for number in range(60)]
    for units in stories:
        for unit in units[:-1]:
            await db.calls.commit(unit)
    done = [Cursor("e1", units[-2].call.id, units[-2].call.sequence + 1, state="done") for units in stories]
    saving = [db.webhooks.save_cursors(done[start : start + 5]) for start in range(0, 60, 5)]
    await asyncio.gather(*(work for units in stories for work in (db.calls.commit(units[-1]),)), *saving)
    assert await db.webhooks.pending() == 60


async def test_a_cursor_that_is_gone_is_passed_over(told: Database) -> None:
    await told.webhooks.save_cursors([Cursor("gone", CALL, 3), Cursor("e1", CALL, 3), Cursor("e1", call_id(9), 3)])
    assert (await only(told)).cursor.next_sequence == 3


async def test_the_longest_due_comes_first_and_no_more_than_asked_for(told: Database) -> None:
    for number in (2, 3):
        await tell(told, number)
    due = {1: 300, 2: 100, 3: 200}
    await told.webhooks.save_cursors([Cursor("e1", call_id(number), due_at=at) for number, at in due.items()])
    found = await told.webhooks.backlog("e1", NOW, 2)
    assert [item.cursor.call for item in found] == [call_id(2), call_id(3)]


async def test_a_parked_endpoint_is_woken_with_its_cursors(told: Database) -> None:
    await told.webhooks.set_endpoint("e1", "parked", "it is dead", NOW)
    await told.webhooks.save_cursors([Cursor("e1", CALL, 3, 9, NOW + 10**9, 500, "", "parked")])
    assert await told.webhooks.backlog("e1", NOW, 10) == []
    [endpoint] = await told.webhooks.endpoints()
    assert endpoint.state == "parked"
    await told.webhooks.set_endpoint("e1", "on", "", NOW + 1)
    found = await only(told, NOW + 1)
    assert (found.cursor.state, found.cursor.next_sequence, found.cursor.due_at) == ("open", 3, NOW + 1)


async def test_a_tenant_wakes_its_parked_endpoint_too(told: Database) -> None:
    await told.webhooks.set_endpoint("e1", "parked", "it is dead", NOW)
    await told.webhooks.save_cursors([replace(Cursor("e1", CALL), state="parked")])
    changed = await told.endpoints.change(TENANT, "e1", state="active", reason=None)
    assert changed is not None
    assert changed.state == "active"
    assert (await only(told)).cursor.state == "open"


async def test_the_secrets_that_sign_are_those_valid_now(told: Database) -> None:
    await told.endpoints.change(TENANT, "e1", secret="new", old_secret="secret", old_secret_until=2**50)
    assert (await told.webhooks.endpoints())[0].secrets == ("new", "secret")
    await told.endpoints.change(TENANT, "e1", old_secret_until=1)
    assert (await told.webhooks.endpoints())[0].secrets == ("new",)


async def test_all_events_are_no_list_of_types(told: Database) -> None:
    assert (await told.webhooks.endpoints())[0].types == ()
    await told.endpoints.change(TENANT, "e1", events=("call.ended", "cdr.created"))
    assert (await told.webhooks.endpoints())[0].types == ("call.ended", "cdr.created")


async def test_a_replay_goes_back_to_the_first_fact_of_its_time_and_never_forward(told: Database) -> None:
    facts = (await only(told)).facts
    end = len(facts) + 1
    await told.webhooks.save_cursors([Cursor("e1", CALL, end, 3, NOW, 500, "no", "done")])
    assert await told.webhooks.replay("e1", NOW, None, facts[4].at, None) == 1
    found = await only(told)
    assert (found.cursor.next_sequence, found.cursor.attempt, found.cursor.state) == (5, 0, "open")
    assert await told.webhooks.replay("e1", NOW, CALL, facts[8].at, None) == 1
    assert (await only(told)).cursor.next_sequence == 5
    assert await told.webhooks.replay("e1", NOW, CALL, None, facts[0].at) == 0
    assert await told.webhooks.replay("e1", NOW, call_id(9), None, None) == 0
    assert await told.webhooks.replay("e1", NOW, CALL, None, None) == 1
    assert (await only(told)).cursor.next_sequence == 1


async def test_deliveries_say_how_each_fact_fares_the_newest_first(told: Database) -> None:
    await told.webhooks.save_cursors([Cursor("e1", CALL, 3, 2, NOW, 500, "no")])
    page = await told.webhooks.deliveries(TENANT, "e1", limit=200)
    assert [info.sequence for info in page.items] == list(range(len(page.items), 0, -1))
    assert [info.state for info in page.items[-3:]] == ["pending", "delivered", "delivered"]
    assert page.items[-3].id == ids.fact_id(CALL, 3)
    assert (page.items[-3].attempts, page.items[-3].next_at, page.items[-3].last_status) == (2, NOW, 500)
    assert {info.attempts for info in (*page.items[:-3], *page.items[-2:])} == {0}
    delivered = await told.webhooks.deliveries(TENANT, "e1", "delivered")
    assert [info.sequence for info in delivered.items] == [2, 1]
    pending = await told.webhooks.deliveries(TENANT, "e1", "pending")
    assert [info.sequence for info in pending.items] == [info.sequence for info in page.items[:-2]]


async def test_pages_of_deliveries_neither_skip_nor_repeat(told: Database) -> None:
    await tell(told, 2)
    whole = [info.id for info in (await told.webhooks.deliveries(TENANT, "e1", limit=200)).items]
    seen: list[str] = []
    after: str | None = None
    while True:
        page = await told.webhooks.deliveries(TENANT, "e1", limit=7, after=after)
        seen += [info.id for info in page.items]
        after = page.next
        if after is None:
            break
    assert seen == whole
    assert (await told.webhooks.deliveries(TENANT, "e1", after="nonsense")).items is not None


async def test_cursors_of_calls_long_over_are_forgotten_and_no_others(told: Database) -> None:
    await told.calls.commit(queued(2))
    call = await told.calls.get(CALL)
    assert call is not None
    ended = call.ended_at
    assert ended is not None
    assert await told.webhooks.forget_cursors(ended, 10) == 0
    assert await told.webhooks.forget_cursors(ended + 1, 10) == 1
    assert [item.cursor.call for item in await told.webhooks.backlog("e1", NOW, 10)] == [call_id(2)]


async def test_what_an_endpoint_was_to_get_goes_with_it(told: Database) -> None:
    assert await told.endpoints.delete(TENANT, "e1")
    assert await told.webhooks.pending() == 0
    assert await told.webhooks.endpoints() == []
    await told.calls.commit(queued(2))
    await told.tenants.add(OTHER, "Other", 1)


async def test_the_facts_of_calls_long_over_are_forgotten_and_their_records_stay(told: Database) -> None:
    for number in range(2, 6):
        await tell(told, number)
    waiting = queued(9)
    await told.calls.commit(waiting)
    call = await told.calls.get(CALL)
    assert call is not None
    assert call.ended_at is not None
    assert await told.retention.forget_facts(call.ended_at, 10) == 0
    assert [await told.retention.forget_facts(call.ended_at + 1, 2) for _ in range(4)] == [2, 2, 1, 0]
    assert await told.calls.facts(TENANT, CALL) == []
    assert await told.calls.facts(TENANT, waiting.call.id) == list(waiting.facts)
    assert await told.calls.find(TENANT, CALL) == call
    assert await told.webhooks.pending() == 1
