"""The policy directly before a phone rings, transfers, kill switches and the alarm, over real HTTP."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from controller.api.routes.policy import PolicyOut
from controller.core.policy_state import Stop
from controller.drivers.simulator.phones import Phone
from tests.api.policing import OPEN, put, refused
from tests.api.test_status_url import receiving
from tests.house import CALLEE, CALLER, PHONES, SHOWN, SHOWN_TOO, SILENT, WITHIN_S, Standing, body, standing


async def waiting(house: Standing) -> str:
    """A callback that waits, because its node takes no new calls."""
    await house.http.patch("/v1/nodes/pbx1", json={"state": "draining"})
    return str((await house.callback())["id"])


async def runs_into(house: Standing, call_id: str) -> dict[str, Any]:
    """The node takes calls again: how the waiting call ends."""
    await house.http.patch("/v1/nodes/pbx1", json={"state": "up"})
    return await house.until(call_id, status="ended")


@pytest.mark.parametrize(
    ("rule", "leg"),
    [("do_not_call", "caller"), ("destination_blocked", "caller"), ("suspended", "caller"), ("caller_id_not_owned", "caller")],
)
async def test_what_was_forbidden_while_a_call_waited_rings_no_phone_and_is_told(house: Standing, rule: str, leg: str) -> None:
    call = await waiting(house)
    if rule == "do_not_call":
        await put(house, "dnc", CALLER)
    elif rule == "destination_blocked":
        await put(house, "block", "+1")
    elif rule == "suspended":
        await house.http.post("/v1/policy/stop", json={})
    else:
        number = next(item for item in (await house.http.get("/v1/numbers")).json()["items"] if item["number"] == SHOWN)
        await house.http.delete(f"/v1/numbers/{number['id']}")
    ended = await runs_into(house, call)
    assert (ended["disposition"], ended["hangup_by"]) == ("blocked", "platform")
    assert [(each["name"], each["cause"], each["ringing_at"]) for each in ended["legs"]] == [(leg, rule, None)]
    record = next(fact for fact in await house.facts(call) if fact["type"] == "cdr.created")["data"]
    assert (record["disposition"], record["legs"][0]["cause"]) == ("blocked", rule)
    journal = house.patchbay.house.journal
    await journal.flush()
    rows = (await house.patchbay.house.database.audit.list("main")).items
    told = next(row for row in rows if row.action == "policy.refused")
    assert told.target == call
    assert rule in told.data
    assert CALLER not in told.data
    assert f'patchbay_policy_refusals_total{{code="{rule}"}} 1' in (await house.http.get("/metrics")).text


async def test_a_callee_who_is_forbidden_while_the_caller_rings_is_not_rung(tmp_path: Path) -> None:
    slow = {**PHONES, CALLER: Phone(ring_after_ms=5, answer_after_ms=600)}
    async with standing(tmp_path, slow) as house:
        call = await house.callback(announce={"caller": None})
        await house.until_fact(call["id"], "call.leg.ringing", leg="caller")
        await put(house, "dnc", CALLEE)
        ended = await house.until(call["id"], status="ended")
        assert ended["disposition"] == "blocked"
        assert [(leg["name"], leg["cause"]) for leg in ended["legs"]][1] == ("callee", "do_not_call")
        assert ended["legs"][1]["ringing_at"] is None


async def test_while_the_policy_cannot_be_read_nothing_rings_and_nothing_is_taken_in(
    house: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = await waiting(house)
    book = house.patchbay.house.policy.book

    async def away() -> None:
        raise OSError("the database is away")

    monkeypatch.setattr(book, "refresh", away)
    monkeypatch.setattr(book, "_read_at", -1000.0)
    answer = await house.http.post("/v1/callbacks", json=body())
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    await house.http.patch("/v1/nodes/pbx1", json={"state": "up"})
    await house.until(call, status="dialing")
    assert [fact["type"] for fact in await house.facts(call)] == ["call.queued", "call.started", "call.leg.dialing"]
    monkeypatch.undo()
    await house.until(call, status="bridged")


# --- kill switches


async def test_the_kill_switch_stops_new_calls_at_once_and_lets_live_ones_talk(house: Standing) -> None:
    live = await house.callback()
    await house.until(live["id"], status="bridged")
    stopped = (await house.http.post("/v1/policy/stop", json={"reason": "fraud"})).json()
    PolicyOut.model_validate(stopped)
    assert (stopped["stopped"]["everyone"], stopped["stopped"]["reason"]) == (False, "fraud")
    assert await refused(house) == (403, "suspended", None, "suspended")
    assert (await house.http.get(f"/v1/calls/{live['id']}")).json()["status"] == "bridged"
    assert (await house.http.post("/v1/policy/go", json={})).json()["stopped"] is None
    await house.callback()


async def test_the_kill_switch_can_end_live_calls(house: Standing) -> None:
    talking, ringing = await house.callback(), await house.callback(caller=SILENT)
    await house.until(talking["id"], status="bridged")
    await house.until(ringing["id"], status="ringing")
    await house.http.post("/v1/policy/stop", json={"end_calls": True})
    ended = [await house.until(call["id"], status="ended") for call in (talking, ringing)]
    assert [(call["disposition"], call["hangup_by"]) for call in ended] == [("completed", "platform"), ("blocked", "platform")]


async def test_one_tenants_stop_is_its_own_and_everyones_is_for_operators(house: Standing) -> None:
    other = await house.key_for("other", "*")
    answer = await house.http.post("/v1/policy/stop", json={"everyone": True}, headers=other)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await house.http.post("/v1/policy/stop", json={}, headers=other)).status_code == 200
    await house.callback()
    assert (await house.http.get("/v1/policy", params={"tenant": "main"}, headers=other)).status_code == 404
    assert (await house.http.post("/v1/policy/stop", json={"everyone": True})).json()["stopped"]["everyone"] is True
    assert (await refused(house))[1] == "suspended"
    await house.http.post("/v1/policy/go", json={})
    assert (await refused(house))[1] == "suspended", "the tenant's own go does not take back everyone's stop"
    assert (await house.http.get("/v1/policy", params={"tenant": "other"})).json()["stopped"]["everyone"] is True
    await house.http.post("/v1/policy/go", json={"everyone": True})
    await house.callback()
    assert (await house.http.get("/v1/policy", headers=other)).json()["stopped"]["everyone"] is False


async def test_a_stop_outlives_a_restart(tmp_path: Path) -> None:
    async with standing(tmp_path) as house:
        await house.http.post("/v1/policy/stop", json={"everyone": True})
    async with standing(tmp_path, seed=False) as house:
        assert (await refused(house))[1] == "suspended"


async def test_another_controllers_stop_counts_within_a_second_or_two(house: Standing) -> None:
    await house.patchbay.house.database.policies.stop("main", Stop(1))  # as another process would write it
    async with asyncio.timeout(WITHIN_S):
        while (await house.http.get("/v1/policy")).json()["stopped"] is None:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)
    assert (await refused(house))[1] == "suspended"


async def test_transfers_are_asked_for_too(tmp_path: Path) -> None:
    async with standing(tmp_path, policy=OPEN, trunks=[{"name": "carrier", "prefixes": ["+"]}]) as wide:
        await _transfers(wide)


async def _transfers(wide: Standing) -> None:
    made = await wide.callback()
    await wide.until(made["id"], status="bridged")
    await put(wide, "dnc", SILENT)
    for to, display, code, param in (
        ("+19005551234", SHOWN, "destination_blocked", "to"),
        (SILENT, SHOWN, "do_not_call", "to"),
        (CALLER, SHOWN, "self_call", "to"),
        (SHOWN, SHOWN_TOO, "destination_blocked", "to"),
        (CALLEE, "+14155550155", "caller_id_not_owned", "display"),
    ):
        answer = await wide.http.post(
            f"/v1/calls/{made['id']}/actions", json={"action": "transfer", "to": to, "display": display}
        )
        assert (answer.json()["code"], answer.json()["param"]) == (code, param)
    assert (await wide.http.get(f"/v1/calls/{made['id']}")).json()["status"] == "bridged"


async def test_a_burst_of_short_calls_raises_an_alarm(tmp_path: Path) -> None:
    policy = {**OPEN, "short_calls": {"shorter_than_s": 60, "count": 3, "within_s": 60}}
    async with standing(tmp_path, policy=policy) as house, receiving() as paths:
        made = await house.http.post("/v1/webhooks", json={"url": paths.base + "/alarm", "events": ["policy.short_calls"]})
        assert made.status_code == 201, made.text
        for number in range(3):
            call = await house.callback(reference=f"order-{number}")
            await house.until(call["id"], status="bridged")
            await house.http.delete(f"/v1/callbacks/{call['id']}")
            await house.until(call["id"], status="ended")
        (_, letter), *more = await paths.until("/alarm", 1)
        told = json.loads(letter)
        assert (told["type"], told["data"], told["reference"]) == (
            "policy.short_calls",
            {"calls": 3, "within_s": 60},
            "order-2",
        )
        assert (told["call_id"], more) == (call["id"], [])
        facts = await house.facts(call["id"])
        assert [fact["sequence"] for fact in facts] == list(range(1, len(facts) + 1))
        assert [fact["type"] for fact in facts].count("policy.short_calls") == 1
        await house.patchbay.house.journal.flush()
        rows = (await house.patchbay.house.database.audit.list("main")).items
        assert [row.action for row in rows].count("policy.short_calls") == 1
        assert "patchbay_short_call_alarms_total 1" in (await house.http.get("/metrics")).text
