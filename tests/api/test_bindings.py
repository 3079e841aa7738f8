"""Bindings, pools and X numbers over HTTP, on both databases where it matters."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from controller.api.binding_shapes import BindingEventOut, BindingOut
from controller.api.routes.numbers import NumberOut
from controller.api.routes.pools import PoolOut
from tests.api.masking import X, bound, pool, wanted
from tests.house import BUSY, CALLEE, CALLER, SILENT, Standing, body, standing

KEY = {"Idempotency-Key": "order-42"}
PIN = "471147114711471"  # too long to be in an id by chance


async def test_a_binding_lives_from_its_request_to_its_end(tmp_path: Path, database_url: str) -> None:
    async with standing(tmp_path, database={"url": database_url}) as house:
        await pool(house, X[0])
        answer = await house.http.post("/v1/bindings", json=wanted(ttl_s=3600, reference="r", metadata={"k": ["ü"]}))
        made = answer.json()
        BindingOut.model_validate(made, strict=False)
        assert answer.headers["location"] == f"/v1/bindings/{made['id']}"
        assert (made["x"], made["status"], made["reference"], made["metadata"]) == (X[0], "active", "r", {"k": ["ü"]})
        path = f"/v1/bindings/{made['id']}"
        assert (await house.http.get(path)).json() == made
        changed = (await house.http.patch(path, json={"ttl_s": 7200, "b_to_a": {"allowed": False}, "block": [BUSY]})).json()
        assert (changed["b_to_a"]["allowed"], changed["block"], changed["ttl_s"]) == (False, [BUSY], 7200)
        assert changed["expires_at"] > made["expires_at"]
        released = (await house.http.delete(path)).json()
        assert (released["status"], released["ended_at"] is None) == ("released", False)
        assert (await house.http.delete(path)).json() == released
        again = await house.http.patch(path, json={"ttl_s": 1})
        assert (again.status_code, again.json()["code"]) == (409, "binding_expired")
        told = (await house.http.get(path + "/events")).json()["items"]
        assert [one["type"] for one in told] == ["binding.created", "binding.changed", "binding.released"]
        assert [BindingEventOut.model_validate(one).sequence for one in told] == [1, 2, 3]
        assert (told[0]["reference"], told[0]["data"]["binding_id"]) == ("r", made["id"])
        pages = (await house.http.get(path + "/events", params={"limit": 2})).json()
        rest = (await house.http.get(path + "/events", params={"limit": 2, "after": pages["next"]})).json()
        assert pages["items"] + rest["items"] == told
        for where in ({"status": "released"}, {"number": CALLEE}, {"x": X[0]}, {"reference": "r"}):
            assert [item["id"] for item in (await house.http.get("/v1/bindings", params=where)).json()["items"]] == [made["id"]]
        assert (await house.http.get("/v1/bindings", params={"status": "active"})).json()["items"] == []


async def test_a_repeat_gets_the_first_answer_and_takes_no_second_number(tmp_path: Path, database_url: str) -> None:
    async with standing(tmp_path, database={"url": database_url}) as house:
        await pool(house, *X[:3])
        first = await house.http.post("/v1/bindings", json=wanted(a_pin=PIN), headers=KEY)
        again = await house.http.post("/v1/bindings", json=wanted(a_pin=PIN), headers=KEY)
        assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
        other = await house.http.post("/v1/bindings", json=wanted(a=BUSY), headers=KEY)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")
        assert len((await house.http.get("/v1/bindings")).json()["items"]) == 1
        assert first.json()["pins"] == ["a"]
        assert PIN not in first.text


async def test_a_repeat_is_answered_even_when_the_pool_is_empty_now(house: Standing) -> None:
    await pool(house, X[0])
    first = await house.http.post("/v1/bindings", json=wanted(), headers=KEY)
    assert (await house.http.post("/v1/bindings", json=wanted())).json()["code"] == "pool_exhausted"
    assert (await house.http.post("/v1/bindings", json=wanted(), headers=KEY)).content == first.content


async def test_the_shortest_times_are_those_of_a_callback(house: Standing) -> None:
    await pool(house, X[0])
    shortest = {"ring_timeout_s": 1, "max_duration_s": 1}
    made = await bound(house, a_to_b=shortest)
    assert made["a_to_b"].items() >= shortest.items()
    refused = await house.http.post("/v1/bindings", json=wanted(b_to_a={"ring_timeout_s": 0}))
    assert (refused.status_code, refused.json()["param"]) == (422, "b_to_a.ring_timeout_s")


async def test_what_is_taken_is_refused_by_its_name(house: Standing) -> None:
    await pool(house, X[0])
    await bound(house)
    for fields, code, param in (
        ({"x": X[0]}, "number_conflict", "x"),
        ({}, "pool_exhausted", "pool"),
        ({"mode": "axyb"}, "pool_exhausted", "pool"),
        ({"mode": "axyb", "x": X[0], "y": X[1]}, "number_conflict", "x"),
        ({"x": X[9]}, "caller_id_not_owned", "x"),
        ({"pool": "nothing"}, "invalid_request", "pool"),
    ):
        answer = await house.http.post("/v1/bindings", json=wanted(**fields))
        assert (answer.json()["code"], answer.json()["param"]) == (code, param), fields
        assert answer.status_code == (409 if code in ("number_conflict", "pool_exhausted") else 422)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"b": CALLER}, "self_call"),
    ({"x": CALLER}, "self_call"),
    ({"x": CALLEE}, "self_call"),
    ({"mode": "axyb", "x": X[0], "y": X[0]}, "self_call"),
    ({"b": None}, "invalid_request"),
    ({"mode": "abx"}, "invalid_request"),
    ({"y": X[1]}, "invalid_request"),
    ({"extension": "1"}, "invalid_request"),
    ({"mode": "axe", "extension": "12a"}, "invalid_request"),
    ({"mode": "ax", "a_pin": "4711"}, "invalid_request"),
    ({"a_pin": "123"}, "invalid_request"),
    ({"a_pin": "1234567890123456"}, "invalid_request"),
    ({"a_pin": "4711", "b_pin": "4711"}, "invalid_request"),
    ({"a": "4711"}, "invalid_number"),
    ({"block": ["4711"]}, "invalid_number"),
    ({"ttl_s": 0}, "invalid_request"),
    ({"ttl_s": "60"}, "invalid_request"),
    ({"a_to_b": {"allow": True}}, "invalid_request"),
    ({"unknown_field": 1}, "invalid_request"),
]


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(("fields", "code"), BAD)
async def test_what_makes_no_sense_is_refused(shared: Standing, fields: dict[str, Any], code: str) -> None:
    answer = await shared.http.post("/v1/bindings", json=wanted(**fields))
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert CALLEE not in answer.text


async def test_every_mode_is_made_and_shown(house: Standing) -> None:
    await pool(house, *X[:6])
    for mode, fields in (("axb", {}), ("axyb", {}), ("ax", {"b": None}), ("axn", {}), ("axe", {"b": None})):
        made = await bound(house, mode=mode, **fields)
        assert (made["mode"], made["y"] is not None, made["extension"] is not None) == (mode, mode == "axyb", mode == "axe")
    uses = [item["use"] for item in (await house.http.get("/v1/numbers", params={"kind": "x"})).json()["items"]]
    assert sorted(map(str, uses)) == ["extensions", "open", "open", "pairs", "pairs", "pairs"]


async def test_the_callee_of_an_open_number_is_changed_for_good_or_a_while(house: Standing) -> None:
    await pool(house, *X[:2])
    made = await bound(house, mode="ax", b=None)
    path = f"/v1/bindings/{made['id']}"
    changed = (await house.http.patch(path, json={"b": CALLEE, "temporary_callee": BUSY, "temporary_s": 60})).json()
    assert (changed["b"], changed["temporary_callee"]) == (CALLEE, BUSY)
    assert changed["temporary_until"] is not None
    back = (await house.http.patch(path, json={"b": None, "temporary_callee": None})).json()
    assert (back["b"], back["temporary_callee"], back["temporary_until"]) == (None, None, None)
    for number in (CALLER, made["x"]):
        assert (await house.http.patch(path, json={"b": number})).json()["code"] == "self_call"
    pair = await bound(house, a=SILENT)
    answer = await house.http.patch(f"/v1/bindings/{pair['id']}", json={"b": BUSY})
    assert (answer.status_code, answer.json()["param"]) == (422, "b")


async def test_bindings_end_by_themselves_and_say_so(house: Standing) -> None:
    await pool(house, X[0])
    async with asyncio.timeout(30), house.patchbay.house.feed.subscribe("main") as lives:
        made = await bound(house, ttl_s=1, reference="r")
        seen = []
        while not seen or seen[-1].fact.type != "binding.expired":
            seen.append(await anext(lives))
    assert [(live.fact.type, live.reference) for live in seen] == [("binding.created", "r"), ("binding.expired", "r")]
    assert seen[-1].fact.data["binding_id"] == made["id"]
    shown = (await house.http.get(f"/v1/bindings/{made['id']}")).json()
    assert (shown["status"], shown["ended_at"]) == ("expired", made["expires_at"])
    assert (await bound(house))["x"] == X[0]


async def test_numbers_of_kind_x_come_go_and_change(house: Standing) -> None:
    name = await pool(house, X[0], X[1], cool_off_s=60, area_match="strict", unknown="prompt", prompt="sorry")
    shown = (await house.http.get(f"/v1/pools/{name}")).json()
    PoolOut.model_validate(shown)
    assert (shown["numbers"], shown["cool_off_s"], shown["prompt"]) == (2, 60, "sorry")
    assert (await house.http.post("/v1/pools", json={"name": "taxi"})).json()["code"] == "conflict"
    changed = (await house.http.patch(f"/v1/pools/{name}", json={"unknown": "reject", "prompt": None})).json()
    assert (changed["unknown"], changed["prompt"], changed["cool_off_s"]) == ("reject", None, 60)
    items = (await house.http.get("/v1/numbers", params={"kind": "x", "pool": name})).json()["items"]
    assert [NumberOut.model_validate(item, strict=False).number for item in items] == [X[1], X[0]]
    assert all(item["kind"] == "display" for item in (await house.http.get("/v1/numbers?kind=display")).json()["items"])
    path = f"/v1/numbers/{items[1]['id']}"
    assert (await house.http.patch(path, json={"area": "415", "state": "locked"})).json()["state"] == "locked"
    assert (await house.http.post("/v1/bindings", json=wanted(area="415"))).json()["code"] == "pool_exhausted"
    await house.http.patch(path, json={"state": "active"})
    made = await bound(house, area="415", mode="ax")
    assert made["x"] == X[0]
    assert (await house.http.delete(path)).json()["code"] == "number_conflict"
    await house.http.delete(f"/v1/bindings/{made['id']}")
    listed = (await house.http.get("/v1/numbers", params={"pool": name})).json()["items"]
    assert {item["number"]: item["state"] for item in listed} == {X[0]: "cooling", X[1]: "active"}
    assert (await house.http.delete(path)).json()["code"] == "number_conflict"
    assert (await house.http.delete(f"/v1/pools/{name}")).json()["code"] == "not_possible_now"
    assert (await house.http.delete(f"/v1/numbers/{items[0]['id']}")).status_code == 204


async def test_a_display_number_may_become_an_x_and_an_x_may_be_shown(house: Standing) -> None:
    name = await pool(house)
    made = (await house.http.post("/v1/numbers", json={"number": X[5]})).json()
    path = f"/v1/numbers/{made['id']}"
    assert (made["kind"], made["state"], made["use"]) == ("display", None, None)
    assert (await house.http.patch(path, json={"state": "locked"})).json()["code"] == "invalid_request"
    assert (await house.http.patch(path, json={"kind": "x", "pool": name})).json()["pool"] == name
    assert (await bound(house))["x"] == X[5]
    shown = await house.http.post("/v1/callbacks", json=body(caller_display=X[5], callee_display=X[5]))
    assert shown.status_code == 202


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ({"number": "70012345678901234", "kind": "x"}, None),
        ({"number": "7001234567890123"}, "invalid_number"),
        ({"number": "12", "kind": "x"}, "invalid_number"),
        ({"number": X[7], "area": "415"}, "invalid_request"),
        ({"number": X[7], "kind": "x", "pool": "pool_NOBODYS"}, "invalid_request"),
    ],
)
async def test_an_x_is_what_the_trunk_delivers(house: Standing, number: dict[str, str], code: str | None) -> None:
    answer = await house.http.post("/v1/numbers", json=number)
    assert answer.json().get("code") == code, answer.text


async def test_a_tenant_has_its_own_pools_numbers_and_bindings(house: Standing) -> None:
    other = await house.key_for("other")
    name = await pool(house, X[0])
    made = await bound(house)
    for fields in ({}, {"pool": name}, {"pool": "taxi"}, {"x": X[0]}):
        answer = await house.http.post("/v1/bindings", json=wanted(a=BUSY, **fields), headers=other)
        assert answer.status_code == 422, fields
    for path in ("bindings", "pools", "numbers"):
        assert (await house.http.get(f"/v1/{path}", headers=other)).json()["items"] == []
    assert (await house.http.get(f"/v1/bindings/{made['id']}", headers=other)).json()["code"] == "binding_not_found"
    reader = await house.key_for("main", "bindings:read")
    assert (await house.http.get("/v1/bindings", headers=reader)).status_code == 200
    assert (await house.http.post("/v1/bindings", json=wanted(), headers=reader)).status_code == 403
    assert (await house.http.get("/v1/pools", headers=reader)).status_code == 403


async def test_of_many_clients_who_want_one_number_one_gets_it(tmp_path: Path, database_url: str) -> None:
    async with standing(tmp_path, database={"url": database_url}) as house:
        await pool(house, *X[:4])
        answers = await asyncio.gather(*(house.http.post("/v1/bindings", json=wanted()) for _ in range(12)))
        assert sorted(answer.status_code for answer in answers) == [201] * 4 + [409] * 8
        assert {answer.json()["x"] for answer in answers if answer.status_code == 201} == set(X[:4])


async def test_bindings_are_narrowed_by_time_and_by_numbers_as_people_type_them(tmp_path: Path, database_url: str) -> None:
    async with standing(tmp_path, database={"url": database_url}) as house:
        await pool(house, *X[:2])
        first = await bound(house)
        await asyncio.sleep(0.002)  # made in another millisecond
        second = await bound(house, a=BUSY)

        async def ids(query: str) -> list[str]:
            answer = await house.http.get(f"/v1/bindings?{query}")
            assert answer.status_code == 200, answer.text
            return [item["id"] for item in answer.json()["items"]]

        between = second["created_at"]
        assert await ids(f"from={between}") == [second["id"]]
        assert await ids(f"to={between}") == [first["id"]]
        assert await ids(f"from={first['created_at']}&to={between}") == [first["id"]]
        assert await ids(f"number={BUSY}") == [second["id"]], "the plus as it is"
        assert await ids(f"number={CALLEE.replace('+', '%2B')}") == [second["id"], first["id"]]
        assert await ids(f"x={first['x']}") == [first["id"]]
        assert (await house.http.get("/v1/bindings?from=yesterday")).json()["param"] == "from"
