"""A unit with a follower: the end of a call and the next attempt are written together or not at all."""

import asyncio
from dataclasses import replace

import pytest

from controller.core.call import Retry
from controller.ports import NotSaved, Unit
from controller.store.database import Database
from controller.store.errors import Overtaken
from controller.store.rows import Endpoint
from tests.store.calls import TENANT, call_id, canceled, queued, started


def pair(number: int) -> tuple[Unit, Unit]:
    """The unit that makes a call, and the one that ends it with a follower."""
    first = queued(number, retry=Retry((call_id(100 + number),), 1000, ("congestion",)))
    end = canceled(first)
    following = queued(100 + number, retry_of=first.call.id, plan=first.call.id, attempt=2, not_before=5)
    return first, replace(end, follower=following)


async def test_both_are_written(db: Database) -> None:
    first, end = pair(1)
    await db.calls.commit(first)
    await db.calls.commit(end)
    assert end.follower is not None
    assert await db.calls.get(first.call.id) == end.call
    assert await db.calls.queued(10) == [end.follower.call]
    assert await db.calls.facts(TENANT, end.follower.call.id) == list(end.follower.facts)


async def test_an_end_that_does_not_fit_leaves_no_follower_behind(db: Database) -> None:
    first, end = pair(1)
    await db.calls.commit(first)
    await db.calls.commit(started(first))
    with pytest.raises(Overtaken):
        await db.calls.commit(end)
    assert await db.calls.queued(10) == []
    assert await db.calls.get(call_id(101)) is None


async def test_a_follower_that_does_not_fit_keeps_the_end_from_being_written(db: Database) -> None:
    first, end = pair(1)
    await db.calls.commit(first)
    await db.calls.commit(queued(101))
    with pytest.raises(NotSaved):
        await db.calls.commit(end)
    assert await db.calls.get(first.call.id) == first.call


async def test_many_at_once_each_have_their_own(db: Database) -> None:
    pairs = [pair(number) for number in range(1, 21)]
    await asyncio.gather(*(db.calls.commit(first) for first, _ in pairs))
    bad = replace(pairs[3][1], call=replace(pairs[3][1].call, sequence=9))
    ends = [end if number != 3 else replace(bad, follower=end.follower) for number, (_, end) in enumerate(pairs)]
    others = [db.calls.commit(queued(number)) for number in range(50, 60)]
    came = await asyncio.gather(*(db.calls.commit(end) for end in ends), *others, return_exceptions=True)
    assert [number for number, result in enumerate(came) if result is not None] == [3]
    waiting = {call.id for call in await db.calls.queued(100)}
    assert waiting == {call_id(100 + n) for n in range(1, 21) if n != 4} | {call_id(n) for n in range(50, 60)} | {call_id(4)}


async def test_the_follower_is_told_to_the_endpoints_too(db: Database) -> None:
    await db.endpoints.add(Endpoint("e1", TENANT, "https://example.org", "s", ("*",), 1))
    first, end = pair(1)
    await db.calls.commit(first)
    await db.calls.commit(end)
    backlog = await db.webhooks.backlog("e1", 10**15, 10)
    assert {item.cursor.call for item in backlog} == {call_id(1), call_id(101)}
