"""What the tests of the policy share."""

from typing import Any

from controller.api.problems import CODES
from controller.api.routes.lists import EntryOut
from controller.api.routes.policy import PolicyOut
from tests.house import CALLEE, CALLER, Standing, body

RATES = [{"prefix": "+1", "per_minute": 60, "currency": "EUR", "first_s": 1, "step_s": 1}]
OPEN = {"allow": ["+"], "hours": None, "calls_per_callee_24h": None}


async def refused(house: Standing, **changed: Any) -> tuple[int, str, str | None, str]:
    """Status, code, param and rule of a callback that is not taken in; nothing of it is left."""
    answer = await house.http.post("/v1/callbacks", json=body(reference="no", **changed))
    problem = answer.json()
    assert answer.status_code == CODES[problem["code"]][0], problem
    assert (await house.http.get("/v1/calls", params={"reference": "no"})).json()["items"] == []
    for number in (CALLER, CALLEE):
        assert number not in answer.text
    return answer.status_code, problem["code"], problem["param"], problem["rule"]


async def put(house: Standing, name: str, number: str) -> str:
    """Put a number on a list; the entry's id."""
    made = await house.http.post(f"/v1/lists/{name}", json={"number": number, "note": "a test"})
    assert made.status_code == 201, made.text
    EntryOut.model_validate(made.json())
    assert (await house.http.get(made.headers["location"])).json() == made.json()
    return str(made.json()["id"])


async def change(house: Standing, **settings: Any) -> dict[str, Any]:
    """Change the tenant's policy."""
    changed = await house.http.patch("/v1/policy", json=settings)
    assert changed.status_code == 200, changed.text
    PolicyOut.model_validate(changed.json())
    return dict(changed.json())
