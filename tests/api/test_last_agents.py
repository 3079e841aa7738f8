"""Which agent an X remembers for a customer: read, forgotten, and nobody else's business."""

from pathlib import Path
from typing import Any

import pytest

from controller.api.routes.last_agents import LastAgentOut
from controller.times import parse
from tests.api.test_audit import entries
from tests.house import CALLEE, CALLER, SHOWN, Standing, standing

X = "+14155550960"
CUSTOMER = {"customer": CALLEE}


async def spoken(house: Standing, x: str = X, **route: Any) -> tuple[str, str, str]:
    """An X by which an agent has talked with the customer: the path, the agent, the call."""
    number = (await house.http.post("/v1/numbers", json={"number": x, "kind": "x", **route})).json()
    agent = (await house.http.post("/v1/agents", json={"name": "Ann", "number": CALLER})).json()
    call = await house.callback(caller_display=x, callee_display=x)
    await house.until(call["id"], status="bridged")
    return f"/v1/numbers/{number['id']}/last-agent", agent["id"], call["id"]


async def test_it_is_read_forgotten_and_learned_again(tmp_path: Path, database_url: str) -> None:
    async with standing(tmp_path, database={"url": database_url}) as house:
        menu = {"action": "menu", "flow": "last-agent", "variables": {"first_line": SHOWN, "sticky_s": 3600}}
        path, agent, call = await spoken(house, route={"answer": menu})
        found = (await house.http.get(path, params=CUSTOMER)).json()
        LastAgentOut.model_validate(found)
        assert (found["agent_id"], found["call_id"]) == (agent, call)
        requested = (await house.http.get(f"/v1/calls/{call}")).json()["requested_at"]
        assert found["at"] == requested
        assert parse(found["expires_at"]) - parse(requested) == 3_600_000
        for _ in range(2):
            assert (await house.http.delete(path, params=CUSTOMER)).status_code == 204
        gone = await house.http.get(path, params=CUSTOMER)
        assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
        assert (await house.http.get(f"/v1/calls/{call}")).status_code == 200
        again = await house.callback(caller_display=X, callee_display=X)
        await house.until(again["id"], status="bridged")
        assert (await house.http.get(path, params=CUSTOMER)).json()["call_id"] == again["id"]


async def test_another_tenant_neither_reads_nor_forgets_it(house: Standing) -> None:
    path, agent, _ = await spoken(house)
    other = await house.key_for("other")
    for method in ("GET", "DELETE"):
        answer = await house.http.request(method, path, params=CUSTOMER, headers=other)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await house.http.get(path, params=CUSTOMER)).json()["agent_id"] == agent


async def test_to_forget_needs_the_scope_and_is_in_the_audit_log_without_the_number(house: Standing) -> None:
    path, _, _ = await spoken(house)
    reader = await house.key_for("main", "numbers:read")
    assert (await house.http.get(path, params=CUSTOMER, headers=reader)).status_code == 200
    assert (await house.http.delete(path, params=CUSTOMER, headers=reader)).status_code == 403
    assert (await house.http.delete(path, params=CUSTOMER)).status_code == 204
    seen = [one for one in await entries(house) if one["action"] == "DELETE /v1/numbers/{number_id}/last-agent"]
    assert sorted(one["result"] for one in seen) == ["done", "refused"]
    assert {one["target"] for one in seen} == {path.split("/")[3]}
    assert CALLEE not in str(seen)


@pytest.mark.parametrize("customer", [None, "", "1", "x" * 999, "+999", "911"])
async def test_what_is_no_number_is_refused_by_its_name(house: Standing, customer: str | None) -> None:
    path, _, _ = await spoken(house)
    for method in ("GET", "DELETE"):
        answer = await house.http.request(method, path, params={} if customer is None else {"customer": customer})
        assert (answer.status_code, answer.json()["param"]) == (422, "customer")
    assert (await house.http.get(path, params={**CUSTOMER, "more": "1"})).status_code == 422


async def test_a_plus_that_is_not_escaped_is_one_all_the_same(house: Standing) -> None:
    path, agent, _ = await spoken(house)
    assert (await house.http.get(f"{path}?customer={CALLEE}")).json()["agent_id"] == agent


async def test_a_number_that_is_no_x_remembers_nobody(house: Standing) -> None:
    made = (await house.http.post("/v1/numbers", json={"number": X})).json()
    for number in (made["id"], "num_NOBODY", "x"):
        for method in ("GET", "DELETE"):
            answer = await house.http.request(method, f"/v1/numbers/{number}/last-agent", params=CUSTOMER)
            assert answer.status_code == 404
