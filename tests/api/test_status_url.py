"""CB7: `status_url`: the events of one call go where that call says, signed with the tenant's secret."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from controller.api.routes.webhooks import SecretOut, WebhookOut
from controller.core.status import origin_of, status_endpoint
from tests.api.test_webhooks import Received
from tests.house import BUSY, WITHIN_S, Standing, body, standing


class Paths:
    """A small HTTP server that keeps what it gets, by path."""

    def __init__(self) -> None:
        self.got: dict[str, Received] = {}
        self.status: dict[str, int] = {}
        self.more = asyncio.Event()
        self.at_once = self.most = 0
        self.go: asyncio.Event | None = None
        self.base = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                path = line.split()[1].decode()
                headers: dict[str, str] = {}
                while (line := await reader.readline()) not in (b"\r\n", b""):
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                self.got.setdefault(path, []).append((headers, await reader.readexactly(int(headers["content-length"]))))
                self.at_once += 1
                self.most = max(self.most, self.at_once)
                self.more.set()
                if self.go is not None:
                    await self.go.wait()
                self.at_once -= 1
                writer.write(f"HTTP/1.1 {self.status.get(path, 200)} X\r\nContent-Length: 0\r\n\r\n".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def until(self, path: str, count: int) -> Received:
        async with asyncio.timeout(30):
            while len(self.got.get(path, ())) < count:
                self.more.clear()
                await self.more.wait()
        return self.got[path]


@asynccontextmanager
async def receiving() -> AsyncIterator[Paths]:
    paths = Paths()
    server = await asyncio.start_server(paths.serve, "127.0.0.1", 0)
    async with server:
        paths.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield paths


async def secret_of(house: Standing) -> str:
    made = (await house.http.post("/v1/webhooks/status/secret")).json()
    return str(SecretOut.model_validate(made).secret)


async def test_each_call_is_told_of_at_its_own_url_and_nowhere_else(tmp_path: Path, database_url: str) -> None:
    async with standing(tmp_path, database={"url": database_url}) as house, receiving() as paths:
        signer = Webhook(await secret_of(house))
        calls = {}
        for number in range(3):
            path = f"/cb?order={number}"
            calls[path] = (await house.callback(callee=BUSY, status_url=paths.base + path))["id"]
        await house.callback(callee=BUSY)
        for path, call_id in calls.items():
            await house.until(call_id, status="ended")
            facts = await house.facts(call_id)
            got = await paths.until(path, len(facts))
            assert [signer.verify(sent, headers) for headers, sent in got] == facts
        assert set(paths.got) == set(calls)
        [shown] = (await house.http.get("/v1/webhooks")).json()["items"]
        endpoint = WebhookOut.model_validate(shown)
        assert (endpoint.kind, endpoint.url, endpoint.events, endpoint.secret) == ("status", paths.base, ["*"], None)
        listed = (await house.http.get(f"/v1/webhooks/{endpoint.id}/deliveries")).json()["items"]
        assert {item["call_id"] for item in listed} == set(calls.values())


async def test_each_host_hears_of_its_own_calls(tmp_path: Path, database_url: str) -> None:
    async with standing(tmp_path, database={"url": database_url}) as house, receiving() as one, receiving() as two:
        told = {}
        for paths in (one, two):
            told[paths.base] = (await house.callback(callee=BUSY, status_url=paths.base + "/x"))["id"]
        for call_id in told.values():
            await house.until(call_id, status="ended")
        for paths in (one, two):
            await paths.until("/x", len(await house.facts(told[paths.base])))
        for endpoint in (await house.http.get("/v1/webhooks")).json()["items"]:
            listed = (await house.http.get(f"/v1/webhooks/{endpoint['id']}/deliveries")).json()["items"]
            assert {item["call_id"] for item in listed} == {told[endpoint["url"]]}


async def test_a_restart_goes_on_at_the_calls_own_url(tmp_path: Path) -> None:
    quick = {"allow_private": ["127.0.0.0/8"], "retry_s": [0] + [0.05] * 80}
    async with receiving() as paths:
        paths.status["/later"] = 503
        async with standing(tmp_path, webhooks=quick) as house:
            signer = Webhook(await secret_of(house))
            call_id = (await house.callback(callee=BUSY, status_url=paths.base + "/later"))["id"]
            await house.until(call_id, status="ended")
            facts = await house.facts(call_id)
            await paths.until("/later", 1)
        failed = len(paths.got["/later"])
        paths.status.clear()
        async with standing(tmp_path, webhooks=quick, seed=False):
            got = await paths.until("/later", failed + len(facts))
        assert [signer.verify(sent, headers) for headers, sent in got[-len(facts) :]] == facts


async def test_the_secret_is_changed_without_a_gap(house: Standing) -> None:
    async with receiving() as paths:
        assert (await house.http.get("/v1/webhooks/status/secret")).json() == {
            "exists": False,
            "secret": None,
            "old_secret_until": None,
        }
        first = await secret_of(house)
        second = (await house.http.post("/v1/webhooks/status/secret")).json()
        assert second["secret"] not in (None, first)
        assert second["old_secret_until"] is not None
        assert (await house.http.get("/v1/webhooks/status/secret")).json()["secret"] is None
        await house.callback(callee=BUSY, status_url=paths.base + "/x")
        [(headers, sent), *_] = await paths.until("/x", 1)
        for secret in (first, second["secret"]):
            Webhook(secret).verify(sent, headers)
        secrets = [first, second["secret"], *[await secret_of(house) for _ in range(4)]]
        await house.callback(callee=BUSY, status_url=paths.base + "/y")
        [(headers, sent), *_] = await paths.until("/y", 1)
        for secret in secrets[-5:]:
            Webhook(secret).verify(sent, headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(first).verify(sent, headers)


async def test_rotations_at_once_and_answers_that_get_lost_leave_nobody_without_a_secret(
    tmp_path: Path, database_url: str
) -> None:
    async with standing(tmp_path, database={"url": database_url}) as house, receiving() as paths:
        made = (await house.http.post("/v1/webhooks", json={"url": paths.base + "/x"})).json()
        path = f"/v1/webhooks/{made['id']}"
        rotated = await asyncio.gather(*(house.http.patch(path, json={"rotate_secret": True}) for _ in range(4)))
        await house.callback(callee=BUSY)
        [(headers, sent), *_] = await paths.until("/x", 1)
        for secret in {made["secret"], *(answer.json()["secret"] for answer in rotated)}:
            Webhook(secret).verify(sent, headers)


async def test_a_tenant_that_never_asked_for_a_secret_is_told_signed_all_the_same(house: Standing) -> None:
    async with receiving() as paths:
        await house.callback(callee=BUSY, status_url=paths.base + "/x")
        [(headers, _), *_] = await paths.until("/x", 1)
        assert headers["webhook-signature"].startswith("v1,")
        assert (await house.http.get("/v1/webhooks/status/secret")).json()["exists"] is True


async def test_a_url_that_is_gone_parks_its_own_call_only(house: Standing) -> None:
    async with receiving() as paths:
        paths.status["/gone"] = 410
        gone = (await house.callback(callee=BUSY, status_url=paths.base + "/gone"))["id"]
        await house.until(gone, status="ended")
        await paths.until("/gone", 1)
        well = (await house.callback(callee=BUSY, status_url=paths.base + "/well"))["id"]
        await house.until(well, status="ended")
        await paths.until("/well", len(await house.facts(well)))
        assert len(paths.got["/gone"]) == 1
        [endpoint] = (await house.http.get("/v1/webhooks")).json()["items"]
        assert endpoint["state"] == "active"
        path = f"/v1/webhooks/{endpoint['id']}"
        await _saved(house, path, "parked")
        parked = (await house.http.get(path + "/deliveries", params={"state": "parked"})).json()["items"]
        assert {item["call_id"] for item in parked} == {gone}
        assert (parked[-1]["last_status"], parked[-1]["last_error"], parked[-1]["next_at"]) == (410, "HTTP 410", None)
        pending = (await house.http.get(path + "/deliveries", params={"state": "pending"})).json()["items"]
        assert gone not in {item["call_id"] for item in pending}
        paths.status.clear()
        assert (await house.http.post(path + "/replay", json={"call_id": gone})).json() == {"calls": 1}
        await paths.until("/gone", 1 + len(await house.facts(gone)))


async def _saved(house: Standing, path: str, state: str) -> None:
    """Cursors are saved twice a second."""
    async with asyncio.timeout(WITHIN_S):
        while not (await house.http.get(path + "/deliveries", params={"state": state})).json()["items"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_status_endpoint_can_be_silenced_but_not_turned_elsewhere(house: Standing) -> None:
    async with receiving() as paths:
        await house.callback(callee=BUSY, status_url=paths.base + "/x")
        await paths.until("/x", 1)
        [endpoint] = (await house.http.get("/v1/webhooks")).json()["items"]
        path = f"/v1/webhooks/{endpoint['id']}"
        for change in ({"url": "http://127.0.0.1:9/"}, {"events": ["call.ended"]}, {"rotate_secret": True}):
            answer = await house.http.patch(path, json=change)
            assert (answer.status_code, answer.json()["code"]) == (409, "not_possible_now"), change
        assert (await house.http.delete(path)).json()["code"] == "not_possible_now"
        assert (await house.http.patch(path, json={"state": "disabled"})).json()["state"] == "disabled"
        silent = (await house.callback(callee=BUSY, status_url=paths.base + "/silent"))["id"]
        await house.until(silent, status="ended")
        assert (await house.http.patch(path, json={"state": "active"})).json()["state"] == "active"
        told = (await house.callback(callee=BUSY, status_url=paths.base + "/told"))["id"]
        await house.until(told, status="ended")
        await paths.until("/told", len(await house.facts(told)))
        assert "/silent" not in paths.got


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/", "http://169.254.169.254/latest", "http://[::1]/", "https://user:pw@example.org/", "ftp://example.org/",
        "https://example.org/#x", "http://127.0.0.1:0/", "https://exa mple.org/", "https://example.org/" + "x" * 2048, "", 5,
    ],
)  # fmt: skip
@pytest.mark.asyncio(loop_scope="session")
async def test_a_url_that_must_not_be_called_makes_no_call(shared: Standing, url: Any) -> None:
    answer = await shared.http.post("/v1/callbacks", json=body(status_url=url, reference="status-refused"))
    assert (answer.status_code, answer.json()["param"]) == (422, "status_url")
    assert (await shared.http.get("/v1/calls", params={"reference": "status-refused"})).json()["items"] == []


async def test_a_tenant_has_so_many_hosts(house: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.store.endpoints.STATUS_HOSTS", 2)
    for port, status in ((9, 202), (10, 202), (11, 422), (9, 202)):
        answer = await house.http.post("/v1/callbacks", json=body(status_url=f"http://127.0.0.1:{port}/x?n={port}"))
        assert answer.status_code == status, answer.text


async def test_an_endpoint_is_asked_no_more_at_once_than_it_said(house: Standing) -> None:
    async with receiving() as paths:
        paths.go = asyncio.Event()
        new = {"url": paths.base + "/narrow", "events": ["call.queued"], "concurrent": 2}
        made = (await house.http.post("/v1/webhooks", json=new)).json()
        assert made["concurrent"] == 2
        calls = [await house.callback(callee=BUSY) for _ in range(6)]
        for call in calls:
            await house.until(call["id"], status="ended")
        assert (len(paths.got["/narrow"]), paths.most) == (2, 2)
        assert (await house.http.patch(f"/v1/webhooks/{made['id']}", json={"concurrent": None})).json()["concurrent"] is None
        paths.go.set()
        await paths.until("/narrow", 6)
        assert (await house.http.patch(f"/v1/webhooks/{made['id']}", json={"concurrent": 0})).status_code == 422


async def test_deliveries_are_those_subscribed_to(house: Standing) -> None:
    async with receiving() as paths:
        new = {"url": paths.base + "/some", "events": ["call.ended", "cdr.created"]}
        made = (await house.http.post("/v1/webhooks", json=new)).json()
        call = await house.callback(callee=BUSY)
        await paths.until("/some", 2)
        await house.until(call["id"], status="ended")
        path = f"/v1/webhooks/{made['id']}"
        await _saved(house, path, "delivered")
        listed = (await house.http.get(path + "/deliveries")).json()["items"]
        assert [item["type"] for item in listed] == ["cdr.created", "call.ended"]


PARTS = st.tuples(st.sampled_from(["http", "https"]), st.sampled_from(["a.example", "A.Example", "b.example", "[2001:db8::1]"]),
                  st.sampled_from(["", ":80", ":443", ":8443"]), st.sampled_from(["", "/", "/x?y=1", "?z"]))  # fmt: skip


@given(PARTS, PARTS, st.sampled_from(["acme", "other"]), st.sampled_from(["acme", "other"]))
def test_calls_share_an_endpoint_when_tenant_scheme_host_and_port_are_the_same(
    one: tuple[str, str, str, str], two: tuple[str, str, str, str], first: str, second: str
) -> None:
    def place(scheme: str, host: str, port: str, _path: str) -> tuple[str, str, str]:
        return scheme, host.lower(), port or {"http": ":80", "https": ":443"}[scheme]

    def url(scheme: str, host: str, port: str, path: str) -> str:
        return f"{scheme}://{host}{port}{path}"

    same = first == second and place(*one) == place(*two)
    assert (status_endpoint(first, url(*one)) == status_endpoint(second, url(*two))) is same
    assert (origin_of(url(*one)) == origin_of(url(*two))) is (place(*one) == place(*two))
    found = status_endpoint(first, url(*one))
    assert len(found) == 26
    assert found.startswith("0")
    assert found.isalnum()
