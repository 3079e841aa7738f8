"""/v1/webhooks: endpoints, their secrets, deliveries and replay."""

import asyncio
from typing import Any

import pytest
from standardwebhooks import Webhook

from controller.api.routes.webhooks import DeliveryOut, WebhookOut
from tests.house import BUSY, Standing

Received = list[tuple[dict[str, str], bytes]]


class Receiver:
    """A small HTTP server that keeps what it gets."""

    def __init__(self) -> None:
        self.got: Received = []
        self.more = asyncio.Event()
        self.status = 200

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while line := await reader.readline():
                assert line.startswith(b"POST ")
                headers: dict[str, str] = {}
                while (line := await reader.readline()) not in (b"\r\n", b""):
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                self.got.append((headers, await reader.readexactly(int(headers["content-length"]))))
                self.more.set()
                writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\n\r\n".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def until(self, count: int) -> Received:
        """What came, once it is so many."""
        async with asyncio.timeout(10):
            while len(self.got) < count:
                self.more.clear()
                await self.more.wait()
        return self.got


async def test_events_arrive_signed_and_in_order_and_can_be_replayed(house: Standing) -> None:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        made = (await house.http.post("/v1/webhooks", json={"url": url})).json()
        WebhookOut.model_validate(made)
        call = await house.callback(callee=BUSY, reference="r")
        await house.until(call["id"], status="ended")
        facts = await house.facts(call["id"])
        got = await receiver.until(len(facts))
        checker = Webhook(made["secret"])
        assert [checker.verify(body, headers) for headers, body in got] == facts
        assert [headers["webhook-id"] for headers, _ in got] == [fact["id"] for fact in facts]
        replayed = await house.http.post(f"/v1/webhooks/{made['id']}/replay", json={"call_id": call["id"]})
        assert (replayed.status_code, replayed.json()) == (202, {"calls": 1})
        again = await receiver.until(2 * len(facts))
        assert [body for _, body in again[len(facts) :]] == [body for _, body in again[: len(facts)]]
        page = (await house.http.get(f"/v1/webhooks/{made['id']}/deliveries")).json()
        for item in page["items"]:
            DeliveryOut.model_validate(item)
        assert {item["id"] for item in page["items"]} == {fact["id"] for fact in facts}


async def test_a_secret_is_shown_once_and_can_be_changed(house: Standing) -> None:
    made = (await house.http.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/", "events": ["call.ended"]})).json()
    assert made["secret"].startswith("whsec_")
    path = f"/v1/webhooks/{made['id']}"
    shown = (await house.http.get(path)).json()
    assert (shown["secret"], shown["events"], shown["state"]) == (None, ["call.ended"], "active")
    assert (await house.http.get("/v1/webhooks")).json()["items"] == [shown]
    rotated = (await house.http.patch(path, json={"rotate_secret": True})).json()
    assert rotated["secret"] not in (None, made["secret"])
    assert rotated["old_secret_until"] is not None
    changed = (await house.http.patch(path, json={"state": "disabled", "events": ["*"], "url": "http://127.0.0.1:10/"})).json()
    assert (changed["state"], changed["events"], changed["url"], changed["secret"]) == (
        "disabled",
        ["*"],
        "http://127.0.0.1:10/",
        None,
    )
    assert (await house.http.patch(path, json={"state": "active"})).json()["state"] == "active"
    assert (await house.http.delete(path)).status_code == 204
    assert (await house.http.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("new", "param"),
    [
        ({"url": "ftp://example.org/"}, "url"),
        ({"url": "https://user:pw@example.org/"}, "url"),
        ({"url": "https://example.org/#x"}, "url"),
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": "http://169.254.169.254/latest"}, "url"),
        ({"url": "http://[::1]/"}, "url"),
        ({"url": "http://127.0.0.1:0/"}, "url"),
        ({"url": "https://exa mple.org/\r\nX: y"}, "url"),
        ({"url": "https://example.org/" + "x" * 2048}, "url"),
        ({"url": "http://127.0.0.1/", "events": ["call.exploded"]}, "events.0"),
        ({"url": "http://127.0.0.1/", "events": []}, "events"),
        ({"url": "http://127.0.0.1/", "secret": "mine"}, "secret"),
        ({}, "url"),
    ],
)
@pytest.mark.asyncio(loop_scope="session")
async def test_an_endpoint_that_must_not_be_called_is_refused(shared: Standing, new: dict[str, Any], param: str) -> None:
    answer = await shared.http.post("/v1/webhooks", json=new)
    assert (answer.status_code, answer.json()["param"]) == (422, param)


async def test_replay_names_what_there_is(house: Standing) -> None:
    made = (await house.http.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/"})).json()
    path = f"/v1/webhooks/{made['id']}/replay"
    unknown = await house.http.post(path, json={"call_id": "call_01JD3Y8Q4ZK5T0M6W9RB2XHCVE"})
    assert (unknown.status_code, unknown.json()["param"]) == (404, "call_id")
    assert (await house.http.post(path, json={"since": "yesterday"})).status_code == 422
    assert (
        await house.http.post(path, json={"since": "2020-01-01T00:00:00Z", "until": "2030-01-01T00:00:00+02:00"})
    ).json() == {"calls": 0}
    await house.http.patch(f"/v1/webhooks/{made['id']}", json={"state": "disabled"})
    disabled = await house.http.post(path, json={})
    assert (disabled.status_code, disabled.json()["code"]) == (409, "not_possible_now")
