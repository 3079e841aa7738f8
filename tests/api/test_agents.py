"""/v1/agents and /v1/queues, and callbacks that want an agent; who rings whom is proved in tests/lab."""

from typing import Any

import pytest

from controller.api.routes.queues import WaitingOut
from tests.house import BUSY, CALLEE, CALLER, SILENT, Standing, body


async def agent(house: Standing, **fields: Any) -> dict[str, Any]:
    """A new agent, away unless said otherwise."""
    answer = await house.http.post("/v1/agents", json={"name": "Ann", "number": CALLER, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_an_agent_is_added_read_changed_and_removed(house: Standing) -> None:
    made = await agent(house)
    assert (made["name"], made["number"], made["state"], made["call_id"]) == ("Ann", CALLER, "away", None)
    path = f"/v1/agents/{made['id']}"
    assert (await house.http.get(path)).json() == made
    assert (await house.http.patch(path, json={"state": "on_duty"})).json()["state"] == "on_duty"
    assert (await house.http.get("/v1/agents")).json()["items"][0]["state"] == "on_duty"
    assert (await house.http.get("/v1/queues")).json()["items"] == [{"id": "default", "waiting": 0, "on_duty": 1}]
    assert (await house.http.delete(path)).status_code == 204
    assert (await house.http.get(path)).json()["code"] == "not_found"


@pytest.mark.parametrize("leg", ["caller", "callee"])
async def test_a_callback_waits_for_an_agent_who_goes_on_duty(house: Standing, leg: str) -> None:
    number = {"caller": CALLER, "callee": CALLEE}[leg]
    made = await agent(house, number=number)
    call = await house.callback(**{leg: {"queue": "default"}})
    assert (call["queue_position"], call["estimated_start"]) == (1, None)
    assert (await house.http.get("/v1/queues")).json()["items"] == [{"id": "default", "waiting": 1, "on_duty": 0}]
    await house.http.patch(f"/v1/agents/{made['id']}", json={"state": "on_duty"})
    bridged = await house.until(call["id"], status="bridged")
    assert [(item["name"], item["number"]) for item in bridged["legs"]] == [("caller", CALLER), ("callee", CALLEE)]
    shown = (await house.http.get(f"/v1/agents/{made['id']}")).json()
    assert (shown["state"], shown["call_id"]) == ("busy", call["id"])
    facts = await house.facts(call["id"])
    assigned = next(fact for fact in facts if fact["type"] == "agent.state")
    assert assigned["data"] == {"agent_id": made["id"], "name": "Ann", "state": "busy", "leg": leg}
    await house.http.delete(f"/v1/callbacks/{call['id']}")
    await house.until(call["id"], status="ended")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"caller": {"agent": "agt_1"}}, "caller"),
        ({"caller": {"agent": "x"}}, "caller"),
        ({"caller": {"queue": "vip"}}, "caller"),
        ({"caller": {"queue": "default", "agent": "agt_1"}}, "caller"),
        ({"caller": {"queue": "default"}, "callee": {"queue": "default"}}, "callee"),
    ],
)
async def test_whom_nobody_knows_is_refused(house: Standing, change: dict[str, Any], param: str) -> None:
    answer = await house.http.post("/v1/callbacks", json=body(**change))
    assert (answer.status_code, answer.json()["code"], answer.json()["param"]) == (422, "invalid_request", param)


async def test_a_callback_that_waits_for_an_agent_can_be_canceled(house: Standing) -> None:
    call = await house.callback(caller={"queue": "default"})
    reply = (await house.http.delete(f"/v1/callbacks/{call['id']}")).json()
    assert reply == {"canceled": True, "dropped": [], "kept_because": None}
    assert (await house.http.get("/v1/queues")).json()["items"][0]["waiting"] == 0


async def test_when_an_agent_is_removed_whoever_waits_for_that_one_is_told(house: Standing) -> None:
    made = (await house.http.post("/v1/agents", json={"name": "Ann", "number": CALLER})).json()
    call = await house.callback(caller={"agent": made["id"]})
    assert (await house.http.delete(f"/v1/agents/{made['id']}")).status_code == 204
    over = await house.until(call["id"], status="ended")
    assert (over["disposition"], over["hangup_by"], over["legs"]) == ("failed", "platform", [])


async def test_the_queue_says_who_waits_in_which_place_and_agents_are_narrowed_by_state(house: Standing) -> None:
    wanted = await agent(house, name="Bea", number=SILENT)
    away = await agent(house, name="Cy", number=BUSY)
    calls = [(await house.callback(caller={"queue": "default"}, reference=f"r{n}"))["id"] for n in range(2)]
    named = (await house.callback(callee={"agent": wanted["id"]}))["id"]
    whole = (await house.http.get("/v1/queues/default/calls")).json()["items"]
    for item in whole:
        WaitingOut.model_validate(item)
    assert [(item["id"], item["position"], item["agent_id"], item["reference"]) for item in whole] == [
        (calls[0], 1, None, "r0"), (calls[1], 2, None, "r1"), (named, 1, wanted["id"], None),
    ]  # fmt: skip
    paged, after = [], None
    while True:
        page = (
            await house.http.get("/v1/queues/default/calls", params={"limit": 1} | ({"after": after} if after else {}))
        ).json()
        paged, after = paged + page["items"], page["next"]
        if after is None:
            break
    assert paged == whole
    other = await house.key_for("other")
    assert (await house.http.get("/v1/queues/default/calls", headers=other)).json()["items"] == []
    assert (await house.http.get("/v1/queues/default", headers=other)).json() == {"id": "default", "waiting": 0, "on_duty": 0}
    assert (await house.http.get("/v1/queues/default")).json() == {"id": "default", "waiting": 3, "on_duty": 0}
    for path in ("/v1/queues/vip", "/v1/queues/vip/calls"):
        assert (await house.http.get(path)).json()["code"] == "not_found"
    await house.http.patch(f"/v1/agents/{wanted['id']}", json={"state": "on_duty"})
    await house.until_fact(calls[0], "agent.state")
    idle = await agent(house, name="Di", number="+14155550190", state="busy")
    for state, found in (("busy", [idle["id"], wanted["id"]]), ("on_duty", []), ("away", [away["id"]])):
        listed = (await house.http.get("/v1/agents", params={"state": state})).json()["items"]
        assert [(item["id"], item["state"]) for item in listed] == [(one, state) for one in found]


@pytest.mark.asyncio(loop_scope="session")
async def test_lists_that_are_in_memory_are_paged_too(shared: Standing) -> None:
    whole = [item["name"] for item in (await shared.http.get("/v1/flows")).json()["items"]]
    assert whole == sorted(whole)
    first = (await shared.http.get("/v1/flows", params={"limit": 2})).json()
    rest = (await shared.http.get("/v1/flows", params={"after": first["next"]})).json()
    assert [item["name"] for item in first["items"] + rest["items"]] == whole
    assert (len(first["items"]), rest["next"]) == (2, None)
    assert (await shared.http.get("/v1/queues", params={"limit": 1})).json()["next"] is None
    assert (await shared.http.get("/v1/queues", params={"after": "default"})).json()["items"] == []
    for path in ("/v1/flows", "/v1/queues"):
        for wrong in ({"limit": 0}, {"limit": 201}, {"after": "No"}, {"unknown": 1}):
            assert (await shared.http.get(path, params=wrong)).status_code == 422
