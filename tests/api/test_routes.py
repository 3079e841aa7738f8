"""Routes of X numbers over HTTP: what may be said, what is refused, and how it is shown."""

from pathlib import Path
from typing import Any

import pytest

from controller.api.routes.numbers import NumberOut
from tests.api.masking import X, bound, pool, wanted
from tests.house import CALLEE, Standing, standing

URL = "https://127.0.0.1:1/route"


async def number(house: Standing, **fields: Any) -> Any:
    """The answer to a new X."""
    return await house.http.post("/v1/numbers", json={"number": X[0], "kind": "x", **fields})


async def test_a_route_is_made_shown_changed_and_taken_away(tmp_path: Path, database_url: str) -> None:
    async with standing(tmp_path, database={"url": database_url}) as house:
        made = (await number(house, route={"url": URL})).json()
        NumberOut.model_validate(made, strict=False)
        assert made["route"] == {
            "url": URL, "timeout_ms": 700, "window_s": 86_400, "answer": {"action": "reject", "with": "unreachable"},
            "extension": None,
        }  # fmt: skip
        signing = (await house.http.get("/v1/webhooks/status/secret")).json()
        assert (signing["exists"], signing["secret"]) == (True, None)
        path = f"/v1/numbers/{made['id']}"
        connect = {"action": "connect", "to": CALLEE, "ring_timeout_s": 20}
        changed = (await house.http.patch(path, json={"route": {"answer": connect, "window_s": 60}})).json()
        NumberOut.model_validate(changed, strict=False)
        assert (changed["route"]["url"], changed["route"]["answer"], changed["route"]["window_s"]) == (None, connect, 60)
        assert (await house.http.patch(path, json={"area": "a"})).json()["route"] == changed["route"]
        assert (await house.http.get("/v1/numbers", params={"kind": "x"})).json()["items"][0]["route"] == changed["route"]
        assert (await house.http.patch(path, json={"route": None})).json()["route"] is None


async def test_an_extension_is_asked_for_as_the_route_says(tmp_path: Path, database_url: str) -> None:
    async with standing(tmp_path, database={"url": database_url}) as house:
        made = (await number(house, route={"url": URL, "extension": {"most": 6}})).json()
        NumberOut.model_validate(made, strict=False)
        assert made["route"]["extension"] == {"prompt": "extension", "least": 1, "most": 6, "repeats": 2}
        path, wanted = f"/v1/numbers/{made['id']}", {"prompt": "pin", "least": 4, "most": 4, "repeats": 0}
        changed = (await house.http.patch(path, json={"route": {"url": URL, "extension": wanted}})).json()
        assert changed["route"]["extension"] == wanted
        assert (await house.http.get("/v1/numbers", params={"kind": "x"})).json()["items"][0]["route"] == changed["route"]
        assert (await house.http.patch(path, json={"route": {"url": URL}})).json()["route"]["extension"] is None


@pytest.mark.parametrize(
    ("route", "param"),
    [
        ({"url": "ftp://x"}, "route.url"),
        ({"url": "http://user@127.0.0.1/"}, "route.url"),
        ({"url": "http://10.0.0.1/"}, "route.url"),
        ({"timeout_ms": 5000}, "route.timeout_ms"),
        ({"answer": {"action": "menu", "flow": "nothing"}}, "route.answer.flow"),
        ({"answer": {"action": "connect", "to": "1"}}, "route.answer"),
        ({"answer": {"action": "dance"}}, "route.answer"),
        ({"answer": {"action": "menu", "flow": "memory", "variables": {"v": ["x" * 999] * 9}}}, "route.answer"),
        ({"more": 1}, "route.more"),
        ({"extension": {}}, "route.extension"),
        ({"url": URL, "extension": {"least": 5, "most": 4}}, "route.extension.most"),
        ({"url": URL, "extension": {"most": 16}}, "route.extension.most"),
        ({"url": URL, "extension": {"least": 0}}, "route.extension.least"),
        ({"url": URL, "extension": {"most": "4"}}, "route.extension.most"),
        ({"url": URL, "extension": {"repeats": 6}}, "route.extension.repeats"),
        ({"url": URL, "extension": {"prompt": "../etc/passwd"}}, "route.extension.prompt"),
        ({"url": URL, "extension": {"digits": 4}}, "route.extension.digits"),
        ({"url": URL, "answer": {"action": "menu", "flow": "routed-keys"}}, "route.answer.flow"),
        ({"answer": {"action": "menu", "flow": "callback"}}, "route.answer.flow"),
        ({"answer": {"action": "menu", "flow": "memory"}}, "route.answer.variables"),
        ({"answer": {"action": "menu", "flow": "nobody-available", "variables": {"centre": "1"}}}, "route.answer.variables"),
        (
            {"answer": {"action": "menu", "flow": "nobody-available", "variables": {"memory_ttl_s": 1}}},
            "route.answer.variables",
        ),
    ],
)
async def test_what_cannot_be_is_refused_by_its_name(house: Standing, route: dict[str, Any], param: str) -> None:
    answer = await number(house, route=route)
    assert answer.status_code == 422, answer.text
    assert answer.json()["param"].startswith(param), answer.text


async def test_a_route_is_for_an_x(house: Standing) -> None:
    answer = await house.http.post("/v1/numbers", json={"number": X[0], "route": {}})
    assert (answer.status_code, answer.json()["param"]) == (422, "route")
    made = (await house.http.post("/v1/numbers", json={"number": X[0]})).json()
    answer = await house.http.patch(f"/v1/numbers/{made['id']}", json={"route": {}})
    assert (answer.status_code, answer.json()["param"]) == (422, "route")
    both = await house.http.patch(f"/v1/numbers/{made['id']}", json={"kind": "x", "route": {}})
    assert both.json()["route"]["answer"] == {"action": "reject", "with": "unreachable"}


async def test_another_tenant_neither_sees_nor_changes_it(house: Standing) -> None:
    made = (await number(house, route={"url": URL})).json()
    other = await house.key_for("other")
    assert (await house.http.get("/v1/numbers", headers=other)).json()["items"] == []
    answer = await house.http.patch(f"/v1/numbers/{made['id']}", json={"route": None}, headers=other)
    assert answer.status_code == 404
    assert (await house.http.get("/v1/numbers", params={"kind": "x"})).json()["items"][0]["route"]["url"] == URL


async def test_a_direction_may_say_what_happens_otherwise(tmp_path: Path, database_url: str) -> None:
    async with standing(tmp_path, database={"url": database_url}) as house:
        await pool(house, X[1])
        menu = {"action": "menu", "flow": "nobody-available", "variables": {"centre": CALLEE}}
        made = await bound(house, b_to_a={"otherwise": menu})
        assert (made["b_to_a"]["otherwise"], made["a_to_b"]["otherwise"]) == (menu, None)
        path = f"/v1/bindings/{made['id']}"
        changed = (await house.http.patch(path, json={"a_to_b": {"otherwise": menu}, "b_to_a": {}})).json()
        assert (changed["a_to_b"]["otherwise"]["flow"], changed["b_to_a"]["otherwise"]) == ("nobody-available", None)
        for wrong, param in (
            ({**menu, "flow": "nothing"}, "b_to_a.otherwise.flow"),
            ({**menu, "flow": "callback"}, "b_to_a.otherwise.flow"),
            ({**menu, "variables": {"caller": CALLEE}}, "b_to_a.otherwise.variables"),
        ):
            for answer in (
                await house.http.patch(path, json={"b_to_a": {"otherwise": wrong}}),
                await house.http.post("/v1/bindings", json=wanted(b_to_a={"otherwise": wrong})),
            ):
                assert (answer.status_code, answer.json()["param"]) == (422, param)
