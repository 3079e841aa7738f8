"""Numbers, keys, tenants, nodes, trunks and flows."""

import pytest

from controller.api.routes.flows import FlowOut
from controller.api.routes.keys import KeyOut
from controller.api.routes.nodes import NodeOut
from controller.api.routes.numbers import NumberOut
from controller.api.routes.tenants import TenantOut
from controller.api.routes.trunks import TrunkOut
from tests.house import SHOWN, Standing, body


async def test_a_number_belongs_to_one_tenant(house: Standing) -> None:
    other = await house.key_for("other")
    answer = await house.http.post("/v1/numbers", json={"number": SHOWN}, headers=other)
    assert (answer.status_code, answer.json()["code"]) == (409, "number_conflict")
    made = await house.http.post("/v1/numbers", json={"number": "+14155550150"}, headers=other)
    NumberOut.model_validate(made.json())
    assert (await house.http.get(made.headers["location"], headers=other)).json() == made.json()
    assert (await house.http.get(made.headers["location"])).status_code == 404
    assert (await house.http.get("/v1/numbers/num_nothing")).status_code == 404
    assert (await house.http.post("/v1/callbacks", json=body(caller_display="+14155550150"))).json()[
        "code"
    ] == "caller_id_not_owned"
    assert (await house.http.delete(f"/v1/numbers/{made.json()['id']}")).status_code == 404
    assert (await house.http.delete(f"/v1/numbers/{made.json()['id']}", headers=other)).status_code == 204
    assert (await house.http.post("/v1/numbers", json={"number": "+14155550150"})).status_code == 201


async def test_a_key_works_until_it_is_revoked_and_gives_no_more_than_its_maker_has(house: Standing) -> None:
    maker = await house.key_for("main", "keys:write", "calls:read")
    made = (await house.http.post("/v1/keys", json={"name": "n", "scopes": ["calls:read"]}, headers=maker)).json()
    KeyOut.model_validate(made)
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert (await house.http.get("/v1/calls", headers=headers)).status_code == 200
    for scopes in (["callbacks:write"], ["*"], ["operator"], ["calls:read", "calls:write"]):
        answer = await house.http.post("/v1/keys", json={"name": "n", "scopes": scopes}, headers=maker)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), scopes
    answer = await house.http.post("/v1/keys", json={"name": "n", "scopes": ["calls:read"], "tenant": "other"}, headers=maker)
    assert answer.status_code == 403
    listed = (await house.http.get("/v1/keys")).json()["items"]
    assert all(item["key"] is None for item in listed)
    assert (await house.http.delete(f"/v1/keys/{made['id']}")).status_code == 204
    assert (await house.http.get("/v1/calls", headers=headers)).status_code == 401


async def test_a_suspended_tenant_may_read_and_start_nothing(house: Standing) -> None:
    made = await house.http.post("/v1/tenants", json={"id": "acme", "name": "Acme"})
    TenantOut.model_validate(made.json())
    again = await house.http.post("/v1/tenants", json={"id": "acme", "name": "Acme"})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    key = (await house.http.post("/v1/keys", json={"name": "first", "scopes": ["*"], "tenant": "acme"})).json()["key"]
    headers = {"Authorization": f"Bearer {key}"}
    assert (await house.http.post("/v1/numbers", json={"number": "+14155550160"}, headers=headers)).status_code == 201
    for suspended, status in ((True, 403), (False, 202)):
        changed = (await house.http.patch("/v1/tenants/acme", json={"suspended": suspended})).json()
        assert (changed["suspended_at"] is not None) is suspended
        shown = body(caller_display="+14155550160", callee_display="+14155550160")
        answer = await house.http.post("/v1/callbacks", json=shown, headers=headers)
        assert answer.status_code == status
        assert (await house.http.get("/v1/calls", headers=headers)).status_code == 200
    assert (await house.http.patch("/v1/tenants/nobody", json={"name": "x"})).status_code == 404
    pages = [(await house.http.get("/v1/tenants", params={"limit": 1})).json()]
    pages.append((await house.http.get("/v1/tenants", params={"limit": 1, "after": pages[0]["next"]})).json())
    assert {item["id"] for page in pages for item in page["items"]} == {"acme", "main"}


async def test_a_drained_node_gets_no_new_calls(house: Standing) -> None:
    node = (await house.http.get("/v1/nodes/pbx1")).json()
    NodeOut.model_validate(node)
    assert (node["state"], node["kind"]) == ("up", "asterisk")
    assert (await house.http.patch("/v1/nodes/pbx1", json={"state": "draining"})).json()["state"] == "draining"
    made = await house.callback()
    assert (await house.http.get("/readyz")).json()["code"] == "pbx_unavailable"
    assert (await house.http.get(f"/v1/calls/{made['id']}")).json()["status"] == "queued"
    await house.http.patch("/v1/nodes/pbx1", json={"state": "up"})
    await house.until(made["id"], status="bridged")
    assert (await house.http.patch("/v1/nodes/nobody", json={"state": "up"})).status_code == 404
    trunks = (await house.http.get("/v1/trunks")).json()["items"]
    assert [TrunkOut.model_validate(trunk).name for trunk in trunks] == ["carrier"]


@pytest.mark.asyncio(loop_scope="session")
async def test_flows_are_shown_and_checked(shared: Standing) -> None:
    listed = (await shared.http.get("/v1/flows")).json()["items"]
    assert "callback" in [FlowOut.model_validate(flow).name for flow in listed]
    whole = (await shared.http.get("/v1/flows/callback")).json()
    assert whole["document"]["start"] == "caller"
    assert (await shared.http.get("/v1/flows/nothing")).status_code == 404

    async def check(text: str) -> dict[str, object]:
        answer = await shared.http.post("/v1/flows/callback/check", json={"yaml": text})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    import yaml

    assert await check(yaml.safe_dump(whole["document"], sort_keys=False)) == {"ok": True, "problems": []}
    broken = yaml.safe_dump(whole["document"] | {"start": "calller"}, sort_keys=False)
    assert (await check(broken))["problems"][0]["cure"] == "did you mean `caller`?"  # type: ignore[index]
    bomb = "a: &a [x,x]\n" + "".join(f"b{n}: &b{n} [*a,*a]\n" for n in range(9))
    for text in ("{", "[" * 3000, "a: b: c", "\t", "!!python/object/apply:os.system [ls]", bomb, "2001-99-99", "? [a]\n: b"):
        assert (await check(text))["ok"] is False, text
