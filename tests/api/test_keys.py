"""OP5: a key ends when it should, tells when it was used, costs no look-up each time, and is the same on both databases."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from controller.store.keys import ApiKeys
from controller.times import rfc3339
from tests.house import WITHIN_S, Standing, standing


async def made(house: Standing, **more: Any) -> dict[str, Any]:
    answer = await house.http.post("/v1/keys", json={"name": "n", "scopes": ["*"], **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def status(house: Standing, key: dict[str, Any]) -> int:
    return (await house.http.get("/v1/calls", headers={"Authorization": "Bearer " + key["key"]})).status_code


async def test_a_key_ends_at_its_time_and_not_a_cache_later(house: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = type(house.patchbay.house.clock)
    now, ticks = clock.now, clock.monotonic
    key = await made(house, expires_at=rfc3339(house.patchbay.house.clock.now() + 60_000))
    assert (await house.http.get(f"/v1/keys/{key['id']}")).json()["expires_at"] == key["expires_at"]

    def later(seconds: float) -> None:
        monkeypatch.setattr(clock, "now", lambda self: now(self) + round(seconds * 1000))
        monkeypatch.setattr(clock, "monotonic", lambda self: ticks(self) + seconds)

    for seconds, expected in ((0, 200), (58, 200), (60.5, 401), (61, 401)):
        later(seconds)
        assert await status(house, key) == expected, seconds


async def test_a_key_tells_when_it_was_used(house: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    key = await made(house)
    assert key["last_used_at"] is None
    assert await status(house, key) == 200

    async def last_used() -> str:
        async with asyncio.timeout(WITHIN_S):
            while True:
                found = (await house.http.get(f"/v1/keys/{key['id']}")).json()["last_used_at"]
                if found is not None:
                    return str(found)
                await asyncio.sleep(0.01)

    first = await last_used()
    house_clock = type(house.patchbay.house.clock)
    now, ticks = house_clock.now, house_clock.monotonic
    monkeypatch.setattr(house_clock, "now", lambda self: now(self) + 120_000)
    monkeypatch.setattr(house_clock, "monotonic", lambda self: ticks(self) + 120)
    assert await status(house, key) == 200
    async with asyncio.timeout(WITHIN_S):
        while await last_used() == first:  # noqa: ASYNC110 - it is written beside the request
            await asyncio.sleep(0.01)


async def test_a_key_in_use_is_not_looked_up_each_time(house: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    by_hash = ApiKeys.by_hash

    async def counted(self: ApiKeys, sha256: str) -> Any:
        asked.append(sha256)
        return await by_hash(self, sha256)

    key = await made(house)
    monkeypatch.setattr(ApiKeys, "by_hash", counted)
    monkeypatch.setattr("controller.api.auth.REMEMBER_S", 60)
    for _ in range(20):
        assert await status(house, key) == 200
    assert len(asked) <= 2  # the new key's, and perhaps that of the house itself


async def test_a_revoked_key_is_not_remembered_by_a_look_up_under_way(house: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    key, by_hash = await made(house), ApiKeys.by_hash
    looking, go = asyncio.Event(), asyncio.Event()

    async def slow(self: ApiKeys, sha256: str) -> Any:
        found = await by_hash(self, sha256)
        if found is not None and "key_" + found.id == key["id"]:
            looking.set()
            await go.wait()
        return found

    monkeypatch.setattr(ApiKeys, "by_hash", slow)
    asking = asyncio.create_task(status(house, key))
    await looking.wait()
    assert (await house.http.delete(f"/v1/keys/{key['id']}")).status_code == 204
    go.set()
    assert await asking == 200  # it was good when it was asked about
    assert await status(house, key) == 401


async def test_a_tenant_is_made_once_however_often_it_is_asked_for(house: Standing) -> None:
    new, once = {"id": "acme", "name": "Acme"}, {"Idempotency-Key": "tenant-acme"}
    answers = [await house.http.post("/v1/tenants", json=new, headers=once) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content
    other = await house.http.post("/v1/tenants", json={**new, "name": "Other"}, headers=once)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")


async def test_access_is_alike_on_both_databases(tmp_path: Path, database_url: str) -> None:
    async with standing(tmp_path, database={"url": database_url}, access={"failures": 3}) as house:
        key = await made(house, expires_at="2999-01-01T00:00:00Z")
        form = {"client_id": key["id"], "client_secret": key["key"]}
        async with httpx2.AsyncClient(base_url=house.base) as http:

            async def ask(**more: str) -> httpx2.Response:
                return await http.post("/v1/oauth/token", data={**form, **more})

            tokens = (await ask(grant_type="client_credentials", scope="calls:read")).json()
            bearer = {"Authorization": "Bearer " + tokens["access_token"]}
            assert (await http.get("/v1/calls", headers=bearer)).status_code == 200
            again = [await ask(grant_type="refresh_token", refresh_token=tokens["refresh_token"]) for _ in range(2)]
            assert [answer.status_code for answer in again] == [200, 400]
            assert (await http.get("/v1/calls", headers=bearer)).status_code == 401
            wrong = {"Authorization": "Bearer pb_" + "w" * 43}
            assert [(await http.get("/v1/calls", headers=wrong)).status_code for _ in range(4)] == [401, 401, 401, 429]
        assert await house.patchbay.house.database.lockouts.all(0)
        assert (await house.http.patch("/v1/tenants/main", json={"requests_per_second": 7})).json()["requests_per_second"] == 7
        secret = (await house.http.post("/v1/webhooks/status/secret")).json()["secret"]
        assert secret.startswith("whsec_")
        assert (await house.http.get("/v1/webhooks/status/secret")).json()["exists"] is True


async def test_a_key_that_is_revoked_elsewhere_ends_within_seconds(house: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = type(house.patchbay.house.clock)
    key = await made(house, expires_at="2999-01-01T00:00:00Z")
    assert await status(house, key) == 200
    await house.patchbay.house.database.keys.revoke("main", key["id"][4:], 1)
    ticks = clock.monotonic
    monkeypatch.setattr(clock, "monotonic", lambda self: ticks(self) + 5.1)
    assert await status(house, key) == 401
