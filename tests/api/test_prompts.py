"""A prompt that no node has is refused when it is asked for, by the name of its field, and nothing comes of the request."""

from typing import Any

import pytest

from tests.api.masking import X, bound, pool, wanted
from tests.house import Standing, body

NONE = "no-such-prompt"
BEEP = "beep"


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("announce.caller", {"announce": {"caller": NONE}}),
        ("announce.callee", {"announce": {"caller": BEEP, "callee": NONE}}),
        ("confirm.prompt", {"confirm": {"prompt": NONE}}),
    ],
)
async def test_a_callback_is_not_made(house: Standing, field: str, asked: dict[str, Any]) -> None:
    answer = await house.http.post("/v1/callbacks", json=body(**asked))
    assert (answer.status_code, answer.json()["code"], answer.json()["param"]) == (422, "invalid_request", field)
    assert BEEP in answer.json()["detail"]
    assert (await house.http.get("/v1/callbacks")).json()["items"] == []
    there = {"announce": {"caller": BEEP, "callee": None}, "confirm": {"prompt": "press-1"}}
    assert (await house.http.post("/v1/callbacks", json=body(**there))).status_code == 202


async def test_a_binding_is_neither_made_nor_changed(house: Standing) -> None:
    await pool(house, X[0])
    refused = await house.http.post("/v1/bindings", json=wanted(a_to_b={"announce": NONE}))
    assert (refused.status_code, refused.json()["param"]) == (422, "a_to_b.announce")
    made = await bound(house, b_to_a={"announce": BEEP})
    refused = await house.http.patch(f"/v1/bindings/{made['id']}", json={"b_to_a": {"announce": NONE}})
    assert (refused.status_code, refused.json()["param"]) == (422, "b_to_a.announce")
    assert (await house.http.get(f"/v1/bindings/{made['id']}")).json() == made


@pytest.mark.parametrize(
    ("field", "route"),
    [
        ("route.answer.announce", {"answer": {"action": "connect", "to": "+14155550177", "announce": NONE}}),
        ("route.answer.prompt", {"answer": {"action": "announce", "prompt": NONE}}),
        ("route.extension.prompt", {"url": "https://example.com", "extension": {"prompt": NONE}}),
    ],
)
async def test_a_route_is_not_set(house: Standing, field: str, route: dict[str, Any]) -> None:
    new = {"number": X[0], "kind": "x", "route": route}
    refused = await house.http.post("/v1/numbers", json=new)
    assert (refused.status_code, refused.json()["param"]) == (422, field)
    added = (await house.http.post("/v1/numbers", json={**new, "route": None})).json()
    refused = await house.http.patch(f"/v1/numbers/{added['id']}", json={"route": route})
    assert (refused.status_code, refused.json()["param"]) == (422, field)


async def test_a_pool_says_nothing_that_is_not_there(house: Standing) -> None:
    refused = await house.http.post("/v1/pools", json={"name": "p", "unknown": "prompt", "prompt": NONE})
    assert (refused.status_code, refused.json()["param"]) == (422, "prompt")
    made = (await house.http.post("/v1/pools", json={"name": "p", "unknown": "prompt", "prompt": BEEP})).json()
    refused = await house.http.patch(f"/v1/pools/{made['id']}", json={"prompt": NONE})
    assert (refused.status_code, refused.json()["param"]) == (422, "prompt")
