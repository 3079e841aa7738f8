"""The live feed: every listener of a tenant hears what happens from when it came, and none holds up another."""

import asyncio

import pytest

from controller.ports import Live
from controller.services.feed import Feed, TooSlow
from tests.services.facts import call, told


async def test_a_listener_hears_its_tenants_facts_in_order_from_when_it_came() -> None:
    feed, waiting = Feed(), call(1)
    before, facts = told(waiting, 2)
    feed.committed(waiting, before, facts)
    async with feed.subscribe("acme") as lives:
        after, later = told(before, 3)
        feed.committed(before, after, later)
        other, theirs = told(call(2, tenant="other"), 1)
        feed.committed(other, other, theirs)
        feed.close()
        assert [live async for live in lives] == [Live("acme", fact, "order-1", None) for fact in later]


async def test_a_listener_that_waits_is_woken() -> None:
    feed = Feed()
    async with feed.subscribe("acme") as lives:
        heard = asyncio.ensure_future(anext(lives))
        await asyncio.sleep(0)
        after, facts = told(call(1))
        feed.committed(after, after, facts)
        assert (await heard).fact is facts[0]


async def test_who_does_not_keep_up_is_cut_off_and_the_others_are_not() -> None:
    feed = Feed(bound=3)
    async with feed.subscribe("acme") as slow, feed.subscribe("acme") as quick:
        _, facts = told(call(1), 5)
        heard = []
        for fact in facts:
            feed.publish(Live("acme", fact))
            heard.append((await anext(quick)).fact)
        assert heard == list(facts)
        with pytest.raises(TooSlow, match="more than 3 events"):
            await anext(slow)


async def test_nobody_is_remembered_who_has_left() -> None:
    feed = Feed()
    async with feed.subscribe("acme"), feed.subscribe("acme"):
        assert len(feed._listeners["acme"]) == 2
    assert feed._listeners == {}
    feed.committed(call(1), *told(call(1)))


async def test_closing_ends_those_who_wait() -> None:
    feed = Feed()
    async with feed.subscribe("acme") as lives:
        ended = asyncio.ensure_future(anext(lives, None))
        await asyncio.sleep(0)
        feed.close()
        assert await ended is None
