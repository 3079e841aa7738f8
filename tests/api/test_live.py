"""/v1/live: events as they happen, for who may hear them and keeps up."""

import asyncio
import json

import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect

from tests.house import BUSY, WITHIN_S, Standing


def address(house: Standing, **query: str) -> str:
    return "ws" + house.base.removeprefix("http") + "/v1/live?" + "&".join(f"{name}={value}" for name, value in query.items())


def headers(house: Standing) -> dict[str, str]:
    return {"Authorization": f"Bearer {house.key}"}


async def until_closed(socket: ClientConnection) -> tuple[int | None, str | None]:
    """Close code and reason, once it is closed."""
    async with asyncio.timeout(WITHIN_S):
        await socket.wait_closed()
    return socket.close_code, socket.close_reason


async def test_events_come_as_they_happen_and_are_those_of_the_timeline(house: Standing) -> None:
    async with connect(address(house), additional_headers=headers(house)) as socket:
        call = await house.callback(callee=BUSY, reference="r", metadata={"m": 1})
        await socket.send("anything")
        await house.until(call["id"], status="ended")
        facts = await house.facts(call["id"])
        assert [json.loads(await asyncio.wait_for(socket.recv(), WITHIN_S)) for _ in facts] == facts


async def test_what_is_heard_can_be_narrowed(house: Standing) -> None:
    first = await house.callback(callee=BUSY)
    async with connect(address(house, call_id=first["id"], types="call.ended"), additional_headers=headers(house)) as socket:
        second = await house.callback(callee=BUSY)
        for call in (first, second):
            await house.until(call["id"], status="ended")
        event = json.loads(await asyncio.wait_for(socket.recv(), WITHIN_S))
        assert (event["type"], event["call_id"]) == ("call.ended", first["id"])


async def test_a_ticket_opens_one_socket(house: Standing) -> None:
    ticket = (await house.http.post("/v1/live/tickets")).json()["ticket"]
    async with connect(address(house, ticket=ticket)):
        pass
    with pytest.raises(websockets.InvalidStatus) as refused:
        await connect(address(house, ticket=ticket))
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body)["code"] == "unauthorized"


async def test_who_may_not_hear_is_refused_before_the_socket_opens(house: Standing) -> None:
    scoped = await house.key_for("main", "calls:read")
    for sent, status in (({}, 401), ({"Authorization": "Bearer pb_x"}, 401), (scoped, 403)):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await connect(address(house), additional_headers=sent)
        assert refused.value.response.status_code == status


async def test_another_tenants_events_are_not_heard(house: Standing) -> None:
    stranger = await house.key_for("stranger", "live:read")
    async with connect(address(house), additional_headers=stranger) as socket:
        call = await house.callback(callee=BUSY)
        await house.until(call["id"], status="ended")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.1)


async def test_a_revoked_key_is_noticed(house: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.api.routes.live.RECHECK_S", 0.02)
    made = (await house.http.post("/v1/keys", json={"name": "n", "scopes": ["live:read"]})).json()
    async with connect(address(house), additional_headers={"Authorization": f"Bearer {made['key']}"}) as socket:
        await house.http.delete(f"/v1/keys/{made['id']}")
        assert await until_closed(socket) == (1008, "the key was revoked")


async def test_who_does_not_keep_up_is_cut_off(house: Standing) -> None:
    async with connect(address(house), additional_headers=headers(house)) as socket:
        feed = house.patchbay.house.feed
        call = house.patchbay.house.desk.live_call((await house.callback())["id"][5:])
        assert call is not None
        from controller.core.facts import Fact

        feed.committed(call, call, [Fact(call.id, number, "flow.node", 0, {}) for number in range(1100)])
        assert await until_closed(socket) == (1013, "too slow: read on from the timeline")


async def test_a_controller_that_stops_says_so(house: Standing) -> None:
    async with connect(address(house), additional_headers=headers(house)) as socket:
        house.patchbay.house.feed.close()
        assert await until_closed(socket) == (1001, "the controller is stopping")
