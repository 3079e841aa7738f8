"""The same answers on SQLite and on PostgreSQL: one walk over everything that the API reads and writes."""

from pathlib import Path

from tests.api.test_recordings import recorded
from tests.house import BUSY, body, standing
from tests.store.calls import queued, started

KEY = {"Idempotency-Key": "walk"}


async def test_the_api_answers_alike(tmp_path: Path, database_url: str) -> None:
    async with standing(tmp_path, database={"url": database_url}) as house:
        http = house.http
        first = await http.post(
            "/v1/callbacks", json=body(callee=BUSY, reference="ü", metadata={"k": ["\U0001f4de"]}), headers=KEY
        )
        again = await http.post(
            "/v1/callbacks", json=body(callee=BUSY, reference="ü", metadata={"k": ["\U0001f4de"]}), headers=KEY
        )
        assert (first.status_code, again.content) == (202, first.content)
        ended = await house.until(first.json()["id"], status="ended")
        assert (ended["disposition"], ended["reference"], ended["metadata"]) == ("busy", "ü", {"k": ["\U0001f4de"]})
        facts = await house.facts(ended["id"])
        assert [fact["sequence"] for fact in facts] == list(range(1, len(facts) + 1))
        for path, where in (("calls", {"reference": "ü"}), ("callbacks", {"number": BUSY}), ("cdrs", {"disposition": "busy"})):
            items = (await http.get(f"/v1/{path}", params={**where, "from": "2020-01-01T00:00:00Z"})).json()["items"]
            assert [item["id"] for item in items] == [ended["id"]], path
        hook = (await http.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/"})).json()
        assert (await http.patch(f"/v1/webhooks/{hook['id']}", json={"rotate_secret": True})).status_code == 200
        assert (await http.get(f"/v1/webhooks/{hook['id']}/deliveries")).json()["items"] == []
        assert (await http.post(f"/v1/webhooks/{hook['id']}/replay", json={})).json() == {"calls": 0}
        name = await recorded(house)
        assert (await http.get(f"/v1/recordings/{name}/media", headers={"Range": "bytes=0-3"})).content == b"\x00\x01\x02\x03"
        assert (await http.get("/v1/recordings")).json()["items"][0]["id"] == name
        key = (await http.post("/v1/keys", json={"name": "n", "scopes": ["*"]}, headers={"Idempotency-Key": "k"})).json()
        assert (await http.delete(f"/v1/keys/{key['id']}")).status_code == 204
        assert (await http.post("/v1/tenants", json={"id": "acme", "name": "Acme"})).status_code == 201
        assert (await http.post("/v1/tenants", json={"id": "acme", "name": "Acme"})).json()["code"] == "conflict"
        assert (await http.post("/v1/numbers", json={"number": "+14155550100"})).json()["code"] == "number_conflict"
        assert (await http.get("/readyz")).status_code == 200


async def test_a_callback_that_this_controller_does_not_have_is_not_said_to_have_ended(
    tmp_path: Path, database_url: str
) -> None:
    async with standing(tmp_path, database={"url": database_url}) as house:
        database, now = house.patchbay.house.database, house.patchbay.house.clock.now()
        waits, lives = queued(1, "main", at=now), queued(2, "main", at=now)
        for unit in (waits, lives, started(lives, "elsewhere")):
            await database.calls.commit(unit)
        canceled = await house.http.delete(f"/v1/callbacks/call_{waits.call.id}")
        assert canceled.json() == {"canceled": True, "dropped": [], "kept_because": None}
        assert (await house.until(f"call_{waits.call.id}", status="ended"))["disposition"] == "canceled"
        assert (await house.http.delete(f"/v1/callbacks/call_{waits.call.id}")).json()["kept_because"] == "ended"
        kept = await house.http.delete(f"/v1/callbacks/call_{lives.call.id}")
        assert (kept.status_code, kept.json()["code"]) == (503, "pbx_unavailable")
        assert kept.headers["Retry-After"] == "1"
