"""/v1/memories over real HTTP, on the real store; what they do to a call is proved in tests/lab."""

import pytest

from tests.house import CALLEE, CALLER, SHOWN_TOO, Standing


async def memory_of(house: Standing) -> dict[str, object]:
    """The memory of a callback whose callee was dialled."""
    made = await house.callback(memory_ttl_s=3600, reference="order-1")
    await house.until(made["id"], status="bridged")
    items = (await house.http.get("/v1/memories")).json()["items"]
    assert len(items) == 1
    found: dict[str, object] = items[0]
    assert found["callback_id"] == made["id"]
    return found


async def test_it_is_read_changed_and_forgotten(house: Standing) -> None:
    memory = await memory_of(house)
    assert (memory["display"], memory["party"], memory["caller"]) == (SHOWN_TOO, CALLEE, CALLER)
    assert (memory["forward_to"], memory["reference"], memory["uses"]) == (None, "order-1", 0)
    path = f"/v1/memories/{memory['id']}"
    assert (await house.http.get(path)).json() == memory
    changed = (await house.http.patch(path, json={"caller": "+14155550177", "forward_to": "+14155550188"})).json()
    assert (changed["caller"], changed["forward_to"]) == ("+14155550177", "+14155550188")
    assert (await house.http.patch(path, json={"forward_to": None})).json()["forward_to"] is None
    assert (await house.http.patch(path, json={"ttl_s": 60})).json()["expires_at"] < memory["expires_at"]
    assert (await house.http.get("/v1/memories", params={"number": CALLEE})).json()["items"][0]["id"] == memory["id"]
    assert (await house.http.delete(path)).status_code == 204
    assert (await house.http.get(path)).json()["code"] == "not_found"
    assert (await house.http.delete(path)).status_code == 404


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"caller": "0415"}, "invalid_number", "caller"),
        ({"caller": CALLEE}, "self_call", "caller"),
        ({"forward_to": SHOWN_TOO}, "self_call", "forward_to"),
        ({"ttl_s": 0}, "invalid_request", "ttl_s"),
        ({"display": SHOWN_TOO}, "invalid_request", "display"),
    ],
)
async def test_a_bad_change_is_refused(house: Standing, change: dict[str, object], code: str, param: str) -> None:
    memory = await memory_of(house)
    answer = await house.http.patch(f"/v1/memories/{memory['id']}", json=change)
    assert (answer.status_code, answer.json()["code"], answer.json()["param"]) == (422, code, param)
    assert (await house.http.get(f"/v1/memories/{memory['id']}")).json() == memory


@pytest.mark.parametrize("memory_id", ["mem_01JD3Y8Q4ZK5T0M6W9RB2XHCVE01", "call_1", "mem_", "mem_' OR 1=1"])
async def test_what_is_not_there_is_not_found(house: Standing, memory_id: str) -> None:
    for method in ("GET", "DELETE"):
        assert (await house.http.request(method, f"/v1/memories/{memory_id}")).status_code == 404
    assert (await house.http.patch(f"/v1/memories/{memory_id}", json={"ttl_s": 60})).status_code == 404
