"""Events of bindings, agents and nodes over the whole controller: signed, in order, through a restart, again on request."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from websockets.asyncio.client import connect

from controller.api.routes.webhooks import DeliveryOut, WebhookOut
from tests.api.masking import X, bound, pool
from tests.house import CALLEE, CALLER, WITHIN_S, Standing, standing
from tests.services.receiver import Receiver

AGENT = {"name": "Ann", "number": CALLER}
NODES = ["node.up", "node.down"]


async def hook(house: Standing, receiver: Receiver, *events: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """An endpoint that was made."""
    wanted = {"url": receiver.url, **({"events": list(events)} if events else {})}
    answer = await house.http.post("/v1/webhooks", json=wanted, headers=headers)
    assert answer.status_code == 201, answer.text
    WebhookOut.model_validate(answer.json())
    return dict(answer.json())


def of(receiver: Receiver, subject: str) -> list[dict[str, Any]]:
    """The events of one thing, as they came in."""
    return [r.event for r in receiver.requests if r.event["id"].startswith(f"evt_{subject}_")]


def told(receiver: Receiver, subject: str) -> list[tuple[int, str]]:
    """Sequence and type of these."""
    return [(event["sequence"], event["type"]) for event in of(receiver, subject)]


async def enough(receiver: Receiver, subject: str, count: int) -> None:
    await receiver.until(lambda r: len(of(r, subject)) >= count)


@pytest.mark.timeout(120)
async def test_a_bindings_and_an_agents_events_arrive_in_order_through_a_restart(tmp_path: Path, database_url: str) -> None:
    database = {"url": database_url}
    async with Receiver() as receiver:
        async with standing(tmp_path, database=database) as house:
            made = await hook(house, receiver)
            await pool(house, X[0])
            binding = await bound(house, ttl_s=1, reference="ride-7", metadata={"k": 1})
            agent = (await house.http.post("/v1/agents", json=AGENT)).json()
            await house.http.patch(f"/v1/agents/{agent['id']}", json={"state": "on_duty"})
            await enough(receiver, agent["id"], 2)
            await enough(receiver, binding["id"], 1)
        await asyncio.sleep(1)  # its time is over while nobody is there
        async with standing(tmp_path, database=database, seed=False) as house:
            await house.http.patch(f"/v1/agents/{agent['id']}", json={"state": "away"})
            assert (await house.http.delete(f"/v1/agents/{agent['id']}")).status_code == 204
            await enough(receiver, binding["id"], 2)
            await enough(receiver, agent["id"], 4)
            assert told(receiver, binding["id"]) == [(1, "binding.created"), (2, "binding.expired")]
            assert [event["sequence"] for event in of(receiver, agent["id"])] == [1, 2, 3, 4]
            states = [event["data"]["state"] for event in of(receiver, agent["id"])]
            assert states == ["away", "on_duty", "away", "removed"]
            assert of(receiver, binding["id"]) == (await house.http.get(f"/v1/bindings/{binding['id']}/events")).json()["items"]
            for request in receiver.requests:
                event = Webhook(made["secret"]).verify(request.body, request.headers)
                assert request.headers["webhook-id"] == event["id"]
                assert event["call_id"] is None
                assert not any(number in request.body.decode() for number in (CALLER, CALLEE))
            assert {(e["reference"], str(e["metadata"])) for e in of(receiver, binding["id"])} == {("ride-7", "{'k': 1}")}
            before = of(receiver, binding["id"])
            replayed = await house.http.post(f"/v1/webhooks/{made['id']}/replay", json={"subject": binding["id"]})
            assert (replayed.status_code, replayed.json()) == (202, {"calls": 1})
            await enough(receiver, binding["id"], 4)
            assert of(receiver, binding["id"]) == [*before, *before]
            page = (await house.http.get(f"/v1/webhooks/{made['id']}/deliveries")).json()["items"]
            for item in page:
                DeliveryOut.model_validate(item)
            subjects = {item["subject"] for item in page}
            assert {binding["id"], agent["id"], "node_pbx1"} == subjects
            assert {item["state"] for item in page} <= {"delivered", "pending"}


async def test_operators_endpoints_are_told_of_nodes_and_no_others(house: Standing) -> None:
    tenant = await house.key_for("main", "webhooks:write")
    async with Receiver() as operators, Receiver() as others:
        mine = await hook(house, operators, *NODES)
        theirs = await hook(house, others, headers=tenant)
        assert (mine["operator"], theirs["operator"]) == (True, False)
        house.link[0].cut("gone", 300)
        await enough(operators, "node_pbx1", 2)
        kinds = [event["type"] for event in of(operators, "node_pbx1")]
        numbers = [event["sequence"] for event in of(operators, "node_pbx1")]
        assert kinds == ["node.down", "node.up"]
        assert numbers == [2, 3]  # the first was told before the endpoint was there
        assert {event["data"]["node"] for event in of(operators, "node_pbx1")} == {"pbx1"}
        await house.http.post("/v1/agents", json=AGENT)
        await others.got(1)
        assert [r.event["type"] for r in others.requests] == ["agent.state"]


async def test_who_is_no_operator_can_neither_ask_for_nodes_nor_turn_such_an_endpoint_to_himself(house: Standing) -> None:
    tenant = await house.key_for("main", "webhooks:write")
    url = {"url": "http://127.0.0.1:9/"}
    refused = await house.http.post("/v1/webhooks", json={**url, "events": NODES}, headers=tenant)
    assert (refused.status_code, refused.json()["code"], refused.json()["param"]) == (403, "forbidden", "events")
    theirs = (await house.http.post("/v1/webhooks", json=url, headers=tenant)).json()
    mine = (await house.http.post("/v1/webhooks", json=url)).json()
    for change in ({"url": "http://127.0.0.1:10/"}, {"rotate_secret": True}, {"events": ["*"]}):
        answer = await house.http.patch(f"/v1/webhooks/{mine['id']}", json=change, headers=tenant)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), change
    answer = await house.http.patch(f"/v1/webhooks/{theirs['id']}", json={"events": NODES}, headers=tenant)
    assert answer.status_code == 403
    assert (await house.http.patch(f"/v1/webhooks/{theirs['id']}", json={"state": "active"})).json()["operator"] is False
    assert (await house.http.patch(f"/v1/webhooks/{theirs['id']}", json={"events": NODES})).json()["operator"] is True
    assert (await house.http.delete(f"/v1/webhooks/{mine['id']}", headers=tenant)).status_code == 204


async def test_the_live_socket_has_the_same_envelopes(house: Standing) -> None:
    await pool(house, X[0])
    address = "ws" + house.base.removeprefix("http") + "/v1/live?types=agent.state,node.down,binding.created"
    async with Receiver() as receiver, connect(address, additional_headers={"Authorization": f"Bearer {house.key}"}) as socket:
        await hook(house, receiver, "agent.state", "node.down", "binding.created")
        await house.http.post("/v1/agents", json=AGENT)
        await bound(house)
        house.link[0].cut("gone", 300)
        heard = [json.loads(await asyncio.wait_for(socket.recv(), WITHIN_S)) for _ in range(3)]
        await receiver.got(3)
        assert sorted(heard, key=lambda event: str(event["id"])) == sorted(
            (r.event for r in receiver.requests), key=lambda event: str(event["id"])
        )
        assert {event["call_id"] for event in heard} == {None}


async def test_a_callback_for_an_agent_is_told_in_both_streams(house: Standing) -> None:
    async with Receiver() as receiver:
        await hook(house, receiver, "agent.state")
        agent = (await house.http.post("/v1/agents", json={**AGENT, "state": "on_duty"})).json()
        call = await house.callback(caller={"queue": "default"})
        await house.until(call["id"], status="bridged")
        await house.http.delete(f"/v1/callbacks/{call['id']}")
        await enough(receiver, agent["id"], 3)
        states = [(event["data"]["state"], event["data"]["call_id"]) for event in of(receiver, agent["id"])]
        assert states == [("on_duty", None), ("busy", call["id"]), ("on_duty", None)]
        in_the_call = [r.event["data"]["leg"] for r in receiver.requests if r.event["call_id"] == call["id"]]
        assert in_the_call == ["caller"]
