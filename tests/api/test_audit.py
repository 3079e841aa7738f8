"""OP4: every request that changes something is in the audit log before it is answered, and so is who was refused."""

import asyncio
import sqlite3
from typing import Any

import pytest

from controller.api.noting import action_of, target_of
from controller.api.routes.audit import AuditOut
from controller.ports import NotSaved
from tests.house import CALLEE, CALLER, SHOWN, SILENT, Standing, body

ACTION = "{} /v1/callbacks/{{callback_id}}"


async def entries(house: Standing, **query: Any) -> list[dict[str, Any]]:
    """The log, the newest first, with what waited to be written."""
    await house.patchbay.house.journal.flush()
    answer = await house.http.get("/v1/audit", params=query)
    assert answer.status_code == 200, answer.text
    for entry in answer.json()["items"]:
        AuditOut.model_validate(entry)
    return list(answer.json()["items"])


async def last(house: Standing, **query: Any) -> dict[str, Any]:
    return (await entries(house, **query))[0]


async def test_an_accepted_callback_is_in_the_log_in_its_own_transaction(house: Standing) -> None:
    me = (await house.http.get("/v1/keys")).json()["items"][0]["id"]
    answer = await house.http.post("/v1/callbacks", json=body(callee=SILENT))
    call = answer.json()["id"]
    with sqlite3.connect(f"file:{house.folder}/patchbay.db?mode=ro", uri=True) as database:
        rows = database.execute("SELECT actor, action FROM audit WHERE target = ?", (call,)).fetchall()
    assert rows == [(me, "POST /v1/callbacks")]
    seen = await last(house, target=call)
    assert (seen["tenant"], seen["actor"], seen["action"]) == ("main", me, "POST /v1/callbacks")
    assert (seen["result"], seen["status"], seen["count"]) == ("done", None, 1)
    assert seen["request_id"] == answer.headers["x-request-id"]


async def test_a_wish_about_a_live_call_is_noted_with_the_call_once(house: Standing) -> None:
    call = (await house.callback())["id"]
    await house.until(call, status="bridged")
    for action, status in (("mute", 202), ("resume_recording", 409)):
        answer = await house.http.post(f"/v1/calls/{call}/actions", json={"action": action})
        assert answer.status_code == status
    assert (await house.http.delete(f"/v1/callbacks/{call}?unless=answered")).json()["canceled"] is False
    assert (await house.http.delete(f"/v1/callbacks/{call}")).json()["canceled"] is True
    seen = [(entry["action"], entry["result"], entry["status"], entry["code"]) for entry in await entries(house, target=call)]
    assert sorted(seen[:4], key=str) == sorted(
        [
            (ACTION.format("DELETE"), "done", None, None),
            (ACTION.format("DELETE"), "done", None, None),
            ("POST /v1/calls/{call_id}/actions", "refused", 409, "not_possible_now"),
            ("POST /v1/calls/{call_id}/actions", "done", None, None),
        ],
        key=str,
    )
    assert seen[4:] == [("POST /v1/callbacks", "done", None, None)]


async def test_whatever_is_made_changed_and_removed_is_noted_with_its_id(house: Standing) -> None:
    hook = (await house.http.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/"})).json()["id"]
    await house.http.patch(f"/v1/webhooks/{hook}", json={"state": "disabled"})
    await house.http.delete(f"/v1/webhooks/{hook}")
    key = (await house.http.post("/v1/keys", json={"name": "n", "scopes": ["calls:read"]})).json()["id"]
    await house.http.delete(f"/v1/keys/{key}")
    await house.http.post("/v1/tenants", json={"id": "acme", "name": "Acme"})
    await house.http.patch("/v1/tenants/acme", json={"suspended": True})
    seen = [(entry["action"].split(" ")[0], entry["target"]) for entry in await entries(house)]
    assert seen[:7][::-1] == [
        ("POST", hook), ("PATCH", hook), ("DELETE", hook), ("POST", key), ("DELETE", key), ("POST", "acme"), ("PATCH", "acme"),
    ]  # fmt: skip


async def test_a_repeated_request_is_noted_and_makes_nothing_twice(house: Standing) -> None:
    once = {"Idempotency-Key": "k"}
    first = await house.http.post("/v1/callbacks", json=body(callee=SILENT), headers=once)
    again = await house.http.post("/v1/callbacks", json=body(callee=SILENT), headers=once)
    assert first.json()["id"] == again.json()["id"]
    made = [entry["target"] for entry in await entries(house) if entry["action"] == "POST /v1/callbacks"]
    assert made == [None, first.json()["id"]]


async def test_refusals_are_noted_together_and_say_nothing_of_what_was_sent(house: Standing) -> None:
    reader = await house.key_for("main", "calls:read")
    for _ in range(3):
        assert (await house.http.post("/v1/callbacks", json=body(), headers=reader)).status_code == 403
    refused = await last(house)
    assert (refused["action"], refused["result"], refused["status"]) == ("POST /v1/callbacks", "refused", 403)
    assert (refused["code"], refused["count"], refused["tenant"]) == ("forbidden", 3, "main")
    wrong = {"Authorization": "Bearer pb_" + "x" * 40}
    for path in ("/v1/callbacks", "/v1/callbacks", f"/v1/calls/{CALLER}", "/v1/%2B14155550101"):
        assert (await house.http.get(path, headers=wrong)).status_code == 401
    unknown = [entry for entry in await entries(house, installation=True) if entry["actor"] != "patchbay"]
    actions = [(entry["action"], entry["count"]) for entry in unknown]
    assert actions == [("GET /v1/", 1), ("GET /v1/calls", 1), ("GET /v1/callbacks", 2)]
    assert {(entry["actor"], entry["tenant"], entry["status"], entry["address"]) for entry in unknown} == {
        (None, None, 401, "127.0.0.1")
    }


async def test_what_nobody_changed_and_what_was_read_is_not_noted(house: Standing) -> None:
    before = await entries(house)
    await house.http.get("/v1/calls")
    await house.http.get("/v1/calls/call_01JD3Y8Q4ZK5T0M6W9RB2XHCVE")
    await house.http.get("/nothing")
    assert await entries(house) == before


async def test_a_tenant_reads_its_own_log_and_only_an_operator_the_installations(house: Standing) -> None:
    other = await house.key_for("other", "*")
    await house.http.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/"}, headers=other)
    mine = await entries(house)
    theirs = (await house.http.get("/v1/audit", headers=other)).json()["items"]
    assert [entry["action"] for entry in theirs] == ["POST /v1/webhooks"]
    assert {entry["tenant"] for entry in mine} == {"main"}
    refused = await house.http.get("/v1/audit?installation=true", headers=other)
    assert (refused.status_code, refused.json()["param"]) == (403, "installation")
    assert (await house.http.get("/v1/audit", headers=await house.key_for("other", "calls:read"))).status_code == 403


async def test_the_log_is_read_page_by_page_and_by_who_and_when(house: Standing) -> None:
    for _ in range(5):
        await house.http.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/"})
    whole = await entries(house)
    found: list[Any] = []
    page: dict[str, Any] = {"next": None}
    while not found or page["next"]:
        query = {"limit": "2"} | ({"after": page["next"]} if page["next"] else {})
        page = (await house.http.get("/v1/audit", params=query)).json()
        found += page["items"]
    assert found == whole
    assert await entries(house, actor="key_unknown") == []
    assert await entries(house, actor=whole[0]["actor"]) == whole
    assert await entries(house, to=whole[-1]["at"]) == []
    assert await entries(house, **{"from": whole[-1]["at"]}) == whole


async def test_a_number_in_a_path_or_a_request_id_stays_out(house: Standing) -> None:
    odd = {"X-Request-Id": CALLER}
    for path in (f"/v1/calls/{CALLER}/actions", f"/v1/calls/a{CALLEE[1:]}/actions"):
        answer = await house.http.post(path, json={"action": "hangup"}, headers=odd)
        assert answer.status_code == 404
    await house.http.post("/v1/callbacks", json=body(caller="+1415"), headers=odd)
    await house.http.post("/v1/numbers", json={"number": "+14155550177"}, headers=odd)
    await entries(house)
    with sqlite3.connect(f"file:{house.folder}/patchbay.db?mode=ro", uri=True) as database:
        text = repr(database.execute("SELECT actor, action, data FROM audit").fetchall())
        targets = [
            target for (target,) in database.execute("SELECT target FROM audit WHERE target <> '' AND actor <> 'patchbay'")
        ]
    assert all(target[:4] in ("num_", "call", "key_") for target in targets)
    for number in (CALLER, CALLEE, SHOWN, "+14155550177"):
        assert number[-7:] not in text


async def test_a_request_whose_entry_cannot_be_written_is_answered_and_written_later(
    house: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, audit = house.patchbay.house.journal, house.patchbay.house.database.audit
    real = audit.append

    async def append(_rows: object) -> None:
        raise NotSaved("disk is full")

    monkeypatch.setattr(audit, "append", append)
    waiting = len(journal)
    ticket = await house.http.post("/v1/live/tickets")
    assert ticket.status_code == 201
    assert not await journal.flush()
    assert len(journal) == waiting + 1
    monkeypatch.setattr(audit, "append", real)
    assert (await last(house))["action"] == "POST /v1/live/tickets"
    assert len(journal) == 0


async def test_what_has_a_transaction_takes_its_entry_along(house: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    """No commit of its own: the journal is not asked."""

    async def now(row: object) -> None:
        raise AssertionError(row)

    monkeypatch.setattr(house.patchbay.house.journal, "now", now)
    call = (await house.callback())["id"]
    await house.until(call, status="bridged")
    assert (await house.http.post(f"/v1/calls/{call}/actions", json={"action": "mute"})).status_code == 202
    assert (await house.http.delete(f"/v1/callbacks/{call}")).status_code == 200
    hook = (await house.http.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/"})).json()["id"]
    assert (await house.http.patch(f"/v1/webhooks/{hook}", json={"state": "disabled"})).status_code == 200
    assert (await house.http.delete(f"/v1/webhooks/{hook}")).status_code == 204
    key = (await house.http.post("/v1/keys", json={"name": "n", "scopes": ["calls:read"]})).json()["id"]
    assert (await house.http.delete(f"/v1/keys/{key}")).status_code == 204
    assert (await house.http.post("/v1/tenants", json={"id": "acme", "name": "Acme"})).status_code == 201
    assert (await house.http.patch("/v1/nodes/pbx1", json={"state": "draining"})).status_code == 200
    assert len(await entries(house, target=call)) == 3


async def test_requests_that_come_together_each_leave_one_entry(house: Standing) -> None:
    answers = await asyncio.gather(*(house.http.post("/v1/callbacks", json=body(callee=SILENT)) for _ in range(20)))
    made = sorted(answer.json()["id"] for answer in answers)
    ends = await asyncio.gather(*(house.http.delete(f"/v1/callbacks/{call}") for call in made for _ in range(2)))
    assert {end.status_code for end in ends} == {200}
    seen = await entries(house, limit=200)
    assert sorted(e["target"] for e in seen if e["action"] == "POST /v1/callbacks") == made
    assert sorted(e["target"] for e in seen if e["action"] == ACTION.format("DELETE")) == sorted([*made, *made])


@pytest.mark.parametrize(
    ("path", "action"),
    [
        ("/v1/calls/+14155550101", "GET /v1/calls"),
        ("/v1/14155550101", "GET /v1/"),
        ("/v1/a1b", "GET /v1/"),
        ("/v1/x", "GET /v1/x"),
    ],
)
def test_of_a_path_that_is_not_looked_up_only_the_resource_is_kept(path: str, action: str) -> None:
    assert action_of({"method": "GET", "path": path}) == action


@pytest.mark.parametrize(
    ("value", "target"),
    [
        ("call_01JD3Y8Q4ZK5T0M6W9RB2XHCVE", "call_01JD3Y8Q4ZK5T0M6W9RB2XHCVE"),
        ("rec_01JD3Y8Q4ZK5T0M6W9RB2XHCVE0003", "rec_01JD3Y8Q4ZK5T0M6W9RB2XHCVE0003"),
        ("pbx1", "pbx1"),
        ("+14155550101", ""),
        ("a14155550101", ""),
        ("x-5550101", ""),
        ("call_1415555010114155550101415", ""),
        ("Ünicode", ""),
        ("a" * 41, ""),
    ],
)
def test_a_target_is_an_id_or_a_name_and_never_a_number(value: str, target: str) -> None:
    assert target_of({"path_params": {"id": value}}) == target
