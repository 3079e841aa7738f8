"""Webhooks end to end: real databases, a real receiver, real signatures."""

import asyncio
import random
import time

import pytest
from standardwebhooks import Webhook

from controller.envelope import envelope
from controller.services.webhooks_lanes import Budget
from tests.services.business import all_arrived, business, last, mixed, stories
from tests.services.facts import secret
from tests.services.receiver import CLOSE, OK, Receiver, Reply, Request


async def test_every_fact_of_a_call_arrives_once_in_order_signed_and_in_its_envelope(database_url: str) -> None:
    async with business(database_url) as house, Receiver() as receiver:
        await house.endpoint(receiver)
        async with house.running():
            calls = stories(3)
            await house.happens(mixed(calls))
            await all_arrived(house, receiver, calls)
        assert len(receiver.requests) == sum(last(units) for units in calls)
        facts = {"evt_" + f.id: (f, unit.call) for units in calls for unit in units for f in unit.facts}
        for request in receiver.requests:
            Webhook(secret(1)).verify(request.body, request.headers)
            fact, call = facts[request.headers["webhook-id"]]
            assert request.event["id"] == request.headers["webhook-id"]
            assert request.event["type"] == envelope(fact, call.reference, call.metadata)["type"]
            assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 60
        assert await house.database.webhooks.pending() == 0


async def test_a_late_recording_is_told_after_its_call_has_ended_and_been_forgotten(database_url: str) -> None:
    async with business(database_url) as house, Receiver() as receiver:
        await house.endpoint(receiver)
        [units] = stories(1)
        async with house.running():
            await house.happens(units[:-1])
            await house.store.until_saved(units[:-1])
        house.fresh()
        async with house.running():
            await house.happens(units[-1:])
            await all_arrived(house, receiver, [units])


@pytest.mark.parametrize("trouble", [Reply(500), Reply(302), Reply(404), CLOSE, Reply(raw=b"what?\r\n\r\n", close=True)])
async def test_a_receiver_in_trouble_gets_everything_in_order_once_it_is_back(database_url: str, trouble: Reply) -> None:
    async with business(database_url) as house:
        ill = True
        receiver = Receiver(lambda _request: trouble if ill else OK)
        async with receiver:
            await house.endpoint(receiver)
            async with house.running():
                calls = stories(3)
                await house.happens(mixed(calls))
                await receiver.got(6)
                ill = False
                already = len(receiver.requests)
                healthy = receiver.requests[already:]
                for units in calls:
                    await receiver.until(
                        lambda r, units=units, already=already: any(
                            q.event["call_id"] == "call_" + units[0].call.id and q.event["sequence"] == last(units)
                            for q in r.requests[already:]
                        )
                    )
                healthy = receiver.requests[already:]
                for units in calls:
                    mine = [q.event["sequence"] for q in healthy if q.event["call_id"] == "call_" + units[0].call.id]
                    assert mine == list(range(1, last(units) + 1))


async def test_a_receiver_that_was_down_gets_everything_in_order(database_url: str) -> None:
    async with business(database_url) as house:
        receiver = Receiver()
        await receiver.start()
        await house.endpoint(receiver)
        await receiver.stop()
        async with house.running():
            calls = stories(4)
            await house.happens(mixed(calls))
            await house.store.until(lambda s: any(c.attempt >= 2 for c in s.cursors.values()))
            assert "refused" in next(c.last_error for c in house.store.cursors.values() if c.attempt)
            await receiver.start()
            await all_arrived(house, receiver, calls)
        await receiver.stop()


async def test_a_slow_receiver_holds_up_only_the_call_it_is_slow_with(database_url: str) -> None:
    async with business(database_url) as house:
        calls = stories(3)
        slow_call, go = "call_" + calls[0][0].call.id, asyncio.Event()
        receiver = Receiver(lambda request: Reply(after=go) if request.event["call_id"] == slow_call else OK)
        async with receiver:
            await house.endpoint(receiver)
            async with house.running():
                await house.happens(mixed(calls))
                await all_arrived(house, receiver, calls[1:])
                assert receiver.sequences(calls[0][0].call.id) == [1]
                go.set()
                await all_arrived(house, receiver, calls)


async def test_no_more_requests_are_under_way_to_an_endpoint_than_allowed(database_url: str) -> None:
    async with business(database_url, concurrent=3) as house:
        go = asyncio.Event()
        async with Receiver(lambda _request: Reply(after=go)) as receiver:
            await house.endpoint(receiver)
            async with house.running():
                calls = stories(8)
                await house.happens(mixed(calls))
                await receiver.got(3)
                assert len(receiver.requests) == 3
                go.set()
                await all_arrived(house, receiver, calls)
                assert receiver.connections == 3


async def test_a_slow_endpoint_does_not_hold_up_another(database_url: str) -> None:
    never = asyncio.Event()
    async with business(database_url) as house, Receiver(lambda _r: Reply(after=never)) as stuck, Receiver() as receiver:
        await house.endpoint(stuck, "e0")
        await house.endpoint(receiver, "e1")
        async with house.running():
            calls = stories(12)
            await house.happens(mixed(calls))
            await all_arrived(house, receiver, calls)
            assert len(stuck.requests) == house.settings.concurrent


async def test_time_outs_count_as_failures_and_are_tried_again(database_url: str) -> None:
    async with business(database_url, read_timeout_s=0.05) as house:
        replies = iter([Reply(after=asyncio.Event())])
        async with Receiver(lambda _request: next(replies, OK)) as receiver:
            await house.endpoint(receiver)
            async with house.running():
                calls = stories(1)
                await house.happens(mixed(calls))
                await all_arrived(house, receiver, calls)
                assert receiver.sequences(calls[0][0].call.id)[:3] == [1, 1, 2]


async def test_retry_after_holds_the_whole_endpoint_that_long(database_url: str) -> None:
    async with business(database_url) as house:
        arrivals: list[float] = []

        def answer(_request: Request) -> Reply:
            arrivals.append(time.monotonic())
            return Reply(429, {"retry-after": "1"}) if len(arrivals) == 1 else OK

        async with Receiver(answer) as receiver:
            await house.endpoint(receiver)
            async with house.running():
                calls = stories(2)
                await house.happens(mixed(calls[:1]))
                await receiver.got(1)
                await house.happens(mixed(calls[1:]))
                await all_arrived(house, receiver, calls)
        assert arrivals[1] - arrivals[0] >= 0.99


async def test_what_does_not_fit_into_memory_goes_by_way_of_the_database(database_url: str) -> None:
    async with business(database_url) as house, Receiver() as receiver:
        house.budget = Budget(lanes=4, bytes=6_000)
        house.fresh()
        await house.endpoint(receiver)
        async with house.running():
            calls = stories(10)
            await house.happens(mixed(calls))
            await all_arrived(house, receiver, calls)
        for units in calls:
            assert receiver.sequences(units[0].call.id) == list(range(1, last(units) + 1))


async def test_cursors_that_could_not_be_saved_are_saved_later(database_url: str) -> None:
    async with business(database_url) as house, Receiver() as receiver:
        await house.endpoint(receiver)
        house.store.broken = True
        async with house.running():
            calls = stories(2)
            await house.happens(mixed(calls))
            await house.store.until(lambda s: s.refused > 0)
            house.store.broken = False
            await all_arrived(house, receiver, calls)
        assert len(receiver.requests) == sum(last(units) for units in calls)


async def test_a_failing_endpoint_is_called_by_one_worker_only(database_url: str) -> None:
    async with business(database_url) as house:
        under_way = most = 0
        go = asyncio.Event()

        def answer(_request: Request) -> Reply:
            nonlocal under_way, most
            if len(receiver.requests) <= 8:
                return Reply(503)
            under_way += 1
            most = max(most, under_way)
            return Reply(after=go)

        async with Receiver(answer) as receiver:
            await house.endpoint(receiver)
            async with house.running():
                calls = stories(20)
                await house.happens(mixed(calls))
                await receiver.got(9)
                assert most == 1
                go.set()
                await all_arrived(house, receiver, calls)


async def test_a_receiver_that_fails_by_chance_gets_everything_in_order(database_url: str) -> None:
    """Workers come and go with the endpoint's luck, and no lane is left waiting for one."""
    chance = random.Random(7)
    async with business(database_url, concurrent=4, retry_s=(0.0, *[0.01] * 99)) as house:
        troubles = [Reply(500), CLOSE, Reply(503, {"retry-after": "0"}), OK, OK, OK, OK]
        async with Receiver(lambda _request: chance.choice(troubles)) as receiver:
            await house.endpoint(receiver)
            async with house.running():
                calls = stories(8)
                await house.happens(mixed(calls))
                receiver.answer = lambda _request: chance.choice([*troubles, OK, OK, OK, OK, OK, OK, OK])
                for units in calls:
                    await house.store.until_saved(units)
        for units in calls:
            high = 0
            for sequence in receiver.sequences(units[0].call.id):
                assert sequence <= high + 1
                high = max(high, sequence)
            assert high == last(units)
