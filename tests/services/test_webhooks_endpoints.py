"""Endpoints in the course of their lives: woken, parked, gone, rotated, replayed; real databases, a real receiver."""

import asyncio
import time

import pytest
from standardwebhooks import Webhook

from controller.ports import NotSaved
from tests.services.business import all_arrived, business, last, mixed, stories
from tests.services.facts import secret
from tests.services.receiver import OK, Receiver, Reply, Request
from tests.store.calls import story


async def test_gone_disables_the_endpoint(database_url: str) -> None:
    async with business(database_url) as house, Receiver(lambda _request: Reply(410)) as receiver:
        await house.endpoint(receiver)
        async with house.running():
            await house.happens(mixed(stories(1)))
            await house.store.until(lambda s: "e1" in s.states)
            assert house.store.states["e1"] == ("disabled", "the receiver answered 410 Gone")
            count = len(receiver.requests)
            await house.happens(mixed(stories(1, first=2)))
        assert len(receiver.requests) == count == 1
        shown = await house.database.endpoints.get("acme", "e1")
        assert shown is not None
        assert (shown.state, shown.reason) == ("disabled", "the receiver answered 410 Gone")


async def test_a_dead_endpoint_is_parked_after_the_schedule_and_gets_everything_when_it_is_woken(database_url: str) -> None:
    async with business(database_url, retry_s=(0, 0.01, 0.01)) as house:
        receiver = Receiver(lambda _request: Reply(500))
        async with receiver:
            await house.endpoint(receiver)
            async with house.running() as webhooks:
                calls = stories(1)
                await house.happens(mixed(calls))
                await house.store.until(lambda s: "e1" in s.states)
                assert house.store.states["e1"] == ("parked", "3 tries in a row failed, the last one: HTTP 500")
                assert receiver.sequences(calls[0][0].call.id) == [1, 1, 1]
                await house.store.until(lambda s: any(c.state == "parked" for c in s.cursors.values()))
                calls += stories(1, first=2)
                await house.happens(calls[1])
                assert len(receiver.requests) == 3
                receiver.answer = lambda _request: OK
                await house.database.endpoints.change("acme", "e1", state="active", reason=None)
                await webhooks.reload()
                await all_arrived(house, receiver, calls)


async def test_one_poisoned_call_is_parked_alone(database_url: str) -> None:
    async with business(database_url, retry_s=(0, 0.01, 0.01)) as house:
        calls, meanwhile, later = stories(3), stories(1, first=9), stories(1, first=10)
        poisoned = calls[0][0].call.id
        others_got_through = asyncio.Event()

        def answer(request: Request) -> Reply:
            if request.event["call_id"] != "call_" + poisoned or request.event["sequence"] != 2:
                return OK
            return Reply(400, after=others_got_through if receiver.sequences(poisoned).count(2) == 3 else None)

        async with Receiver(answer) as receiver:
            await house.endpoint(receiver)
            async with house.running():
                await house.happens(mixed(calls))
                await receiver.until(lambda r: r.sequences(poisoned).count(2) == 3)
                await house.happens(mixed(meanwhile))
                await all_arrived(house, receiver, calls[1:] + meanwhile)
                others_got_through.set()
                await house.store.until(lambda s: any(c.state == "parked" for c in s.cursors.values()))
                await house.happens(mixed(later))
                await all_arrived(house, receiver, later)
            assert receiver.sequences(poisoned) == [1, 2, 2, 2]
            assert house.store.states == {}
            cursor = house.store.cursors["e1", poisoned]
            assert (cursor.next_sequence, cursor.attempt, cursor.last_status, cursor.last_error) == (2, 3, 400, "HTTP 400")


async def test_only_the_types_asked_for_are_sent(database_url: str) -> None:
    async with business(database_url) as house, Receiver() as receiver:
        await house.endpoint(receiver, types=("call.ended", "recording.stored"))
        async with house.running():
            [units] = stories(1)
            await house.happens(units)
            await house.store.until_saved(units)
            assert [r.event["type"] for r in receiver.requests] == ["call.ended", "recording.stored"]


async def test_replay_of_one_call_sends_the_same_ids_again(database_url: str) -> None:
    async with business(database_url) as house, Receiver() as receiver:
        await house.endpoint(receiver)
        async with house.running() as webhooks:
            calls = stories(2)
            await house.happens(mixed(calls))
            await all_arrived(house, receiver, calls)
            once = [r.event["id"] for r in receiver.requests if r.event["call_id"] == "call_" + calls[0][0].call.id]
            already = len(receiver.requests)
            assert await webhooks.replay("e1", call=calls[0][0].call.id) == 1
            await receiver.got(already + len(once))
            assert [r.event["id"] for r in receiver.requests[already:]] == once


async def test_replay_of_a_time_range_begins_at_its_first_fact(database_url: str) -> None:
    async with business(database_url) as house, Receiver() as receiver:
        await house.endpoint(receiver)
        async with house.running() as webhooks:
            [units] = stories(1)
            await house.happens(units)
            await all_arrived(house, receiver, [units])
            already = len(receiver.requests)
            ended = next(f for unit in units for f in unit.facts if f.type == "call.ended")
            assert await webhooks.replay("e1", since=ended.at) == 1
            first = min(f.sequence for unit in units for f in unit.facts if f.at >= ended.at)
            await receiver.got(already + last(units) - first + 1)
            assert receiver.requests[already].event["sequence"] == first
            assert await webhooks.replay("e1", until=1) == 0


async def test_replay_waits_for_a_request_under_way_and_goes_on_from_the_start(database_url: str) -> None:
    async with business(database_url) as house:
        go = asyncio.Event()
        async with Receiver(lambda request: Reply(after=go) if request.event["sequence"] == 3 else OK) as receiver:
            await house.endpoint(receiver)
            async with house.running() as webhooks:
                [units] = stories(1)
                await house.happens(units)
                await receiver.got(3)
                replaying = asyncio.create_task(webhooks.replay("e1"))
                go.set()
                assert await replaying == 1
                await receiver.until(lambda r: r.sequences(units[0].call.id).count(last(units)) == 1)
                assert receiver.sequences(units[0].call.id) == [1, 2, 3, *range(1, last(units) + 1)]


async def test_replays_at_once_take_turns_and_none_waits_for_ever(database_url: str) -> None:
    async with business(database_url) as house, Receiver() as receiver:
        await house.endpoint(receiver)
        async with house.running() as webhooks:
            calls = stories(4)
            await house.happens(mixed(calls))
            await all_arrived(house, receiver, calls)
            going = [asyncio.create_task(webhooks.replay("e1")) for _ in range(5)]
            [more] = stories(1, first=5)
            await house.happens(more)
            async with asyncio.timeout(20):
                assert all(count >= 4 for count in await asyncio.gather(*going))
            await receiver.until(lambda r: r.sequences(more[0].call.id)[-1:] == [last(more)])


async def test_a_replay_says_so_when_a_request_under_way_does_not_end(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.services.webhooks.REPLAY_WITHIN_S", 0.2)
    go = asyncio.Event()
    async with business(database_url) as house, Receiver(lambda _request: Reply(after=go)) as receiver:
        await house.endpoint(receiver)
        async with house.running() as webhooks:
            [units] = stories(1)
            await house.happens(units)
            await receiver.got(1)
            with pytest.raises(NotSaved):
                await webhooks.replay("e1")
            go.set()
            await receiver.until(lambda r: r.sequences(units[0].call.id)[-1:] == [last(units)])


async def test_a_secret_is_rotated_without_a_gap(database_url: str) -> None:
    async with business(database_url) as house, Receiver() as receiver:
        await house.endpoint(receiver)
        async with house.running() as webhooks:
            later = time.time_ns() // 1_000_000 + 60_000
            await house.database.endpoints.change("acme", "e1", secret=secret(2), old_secret=secret(1), old_secret_until=later)
            await webhooks.reload()
            calls = stories(1)
            await house.happens(mixed(calls))
            await all_arrived(house, receiver, calls)
            for request in receiver.requests:
                Webhook(secret(1)).verify(request.body, request.headers)
                Webhook(secret(2)).verify(request.body, request.headers)


async def test_an_endpoint_that_was_removed_or_disabled_gets_nothing_more(database_url: str) -> None:
    async with business(database_url) as house, Receiver() as receiver, Receiver() as other:
        await house.endpoint(receiver, "e0")
        await house.endpoint(other, "e1")
        async with house.running() as webhooks:
            calls = stories(1)
            await house.happens(calls[0][:3])
            await receiver.got(calls[0][2].call.sequence)
            await house.database.endpoints.delete("acme", "e0")
            await webhooks.reload()
            await house.happens(calls[0][3:])
            await all_arrived(house, other, calls)
            assert len(receiver.requests) == calls[0][2].call.sequence
            await house.database.endpoints.change("acme", "e1", state="disabled")
            await webhooks.reload()
            already = len(other.requests)
            await house.happens(mixed(stories(1, first=2)))
        assert len(other.requests) == already


async def test_another_tenants_calls_are_not_told(database_url: str) -> None:
    async with business(database_url) as house, Receiver() as receiver:
        await house.database.tenants.add("other", "Other", 1)
        await house.endpoint(receiver)
        async with house.running():
            now = time.time_ns() // 1_000_000
            await house.happens(story(1, tenant="other", at=now))
            calls = stories(1, first=2)
            await house.happens(mixed(calls))
            await all_arrived(house, receiver, calls)
            assert {r.event["call_id"] for r in receiver.requests} == {"call_" + calls[0][0].call.id}


async def test_cursors_of_old_calls_are_forgotten(database_url: str) -> None:
    async with business(database_url, keep_days=7) as house, Receiver() as receiver:
        await house.endpoint(receiver)
        now = time.time_ns() // 1_000_000
        old, fresh = list(story(1, at=now - 8 * 86_400_000)), list(story(2, at=now))
        await house.happens([*old, *fresh])
        async with house.running():
            await house.store.until(lambda s: s.forgotten > 0)
            assert (await house.database.webhooks.replay("e1", now, None, None, None)) == 1


async def test_a_url_is_checked_before_a_tenant_may_have_it(database_url: str) -> None:
    async with business(database_url) as house:
        await house.webhooks.check_url("http://127.0.0.1:1/")
        await house.webhooks.check_url("https://nobody.invalid/")
        with pytest.raises(ValueError, match="not public"):
            await house.webhooks.check_url("https://10.0.0.1/")
        with pytest.raises(ValueError, match="https"):
            await house.webhooks.check_url("ftp://example.com/")
