"""Idempotency-Key: a repeat is safe, whatever happened to the first answer."""

import asyncio
from pathlib import Path

import pytest

from controller.ports import NotSaved, Unit
from tests.house import CALLER, Standing, body, standing

KEY = {"Idempotency-Key": "4fe0a9c2-order-42"}


async def test_a_repeat_gets_the_first_answer_and_makes_no_second_call(house: Standing) -> None:
    first = await house.http.post("/v1/callbacks", json=body(), headers=KEY)
    await house.until(first.json()["id"], status="bridged")
    again = await house.http.post("/v1/callbacks", json=dict(reversed(body().items())), headers=KEY)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert len((await house.http.get("/v1/calls")).json()["items"]) == 1


async def test_the_same_key_for_something_else_is_refused(house: Standing) -> None:
    assert (await house.http.post("/v1/callbacks", json=body(), headers=KEY)).status_code == 202
    for path, changed in (("/v1/callbacks", body(record=True)), ("/v1/numbers", {"number": CALLER})):
        answer = await house.http.post(path, json=changed, headers=KEY)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_conflict")
    assert len((await house.http.get("/v1/calls")).json()["items"]) == 1


async def test_of_many_at_once_one_makes_the_call(house: Standing) -> None:
    answers = await asyncio.gather(*(house.http.post("/v1/callbacks", json=body(), headers=KEY) for _ in range(8)))
    codes = sorted(answer.status_code for answer in answers)
    assert set(codes) <= {202, 409}
    assert 202 in codes
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "idempotency_in_flight"
            assert answer.headers["retry-after"] == "1"
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1
    assert len((await house.http.get("/v1/calls")).json()["items"]) == 1


async def test_a_repeat_is_answered_even_where_a_new_request_would_be_refused(house: Standing) -> None:
    first = await house.http.post("/v1/callbacks", json=body(), headers=KEY)
    for number in (await house.http.get("/v1/numbers")).json()["items"]:
        assert (await house.http.delete(f"/v1/numbers/{number['id']}")).status_code == 204
    assert (await house.http.post("/v1/callbacks", json=body())).json()["code"] == "caller_id_not_owned"
    assert (await house.http.post("/v1/callbacks", json=body(), headers=KEY)).content == first.content


async def test_a_request_that_failed_may_be_made_again_with_its_key(house: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = house.patchbay.house.database.calls
    whole = calls.commit

    async def full(_unit: Unit) -> None:
        raise NotSaved("the disk is full")

    monkeypatch.setattr(calls, "commit", full)
    answer = await house.http.post("/v1/callbacks", json=body(), headers=KEY)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "storage_unavailable", "1")
    monkeypatch.setattr(calls, "commit", whole)
    assert (await house.http.get("/v1/calls")).json()["items"] == []
    assert (await house.http.post("/v1/callbacks", json=body(), headers=KEY)).status_code == 202


async def test_the_answer_outlives_the_controller(tmp_path: Path) -> None:
    async with standing(tmp_path) as house:
        first = await house.http.post("/v1/callbacks", json=body(), headers=KEY)
        key = {"Authorization": f"Bearer {house.key}"}
    async with standing(tmp_path, seed=False) as house:
        again = await house.http.post("/v1/callbacks", json=body(), headers=KEY | key)
        assert again.content == first.content


async def test_a_secret_is_given_again_and_not_kept_readable(house: Standing) -> None:
    new = {"name": "n", "scopes": ["calls:read"]}
    first = await house.http.post("/v1/keys", json=new, headers=KEY)
    again = await house.http.post("/v1/keys", json=new, headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["key"] == first.json()["key"]
    kept = b"".join(path.read_bytes() for path in house.folder.glob("patchbay.db*"))
    assert first.json()["key"].encode() not in kept
    assert KEY["Idempotency-Key"].encode() not in kept


async def test_an_action_is_done_once_per_key(house: Standing) -> None:
    made = await house.callback()
    await house.until(made["id"], status="bridged")
    path, act = f"/v1/calls/{made['id']}/actions", {"action": "mute", "leg": "caller"}
    first = await house.http.post(path, json=act, headers=KEY)
    again = await house.http.post(path, json=act, headers=KEY)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
    refused = await house.http.post(path, json={"action": "resume_recording"}, headers={"Idempotency-Key": "other"})
    assert refused.json()["code"] == "not_possible_now"
    refused = await house.http.post(path, json={"action": "resume_recording"}, headers={"Idempotency-Key": "other"})
    assert refused.json()["code"] == "not_possible_now"  # the key was given back with the refusal


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "ä"])
async def test_a_key_that_is_no_key_is_refused(house: Standing, key: str) -> None:
    answer = await house.http.post("/v1/callbacks", json=body(), headers={"Idempotency-Key": key.encode("latin-1")})
    assert (answer.status_code, answer.json()["param"]) == (422, "Idempotency-Key")
