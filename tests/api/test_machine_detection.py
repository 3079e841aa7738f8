"""CB9 over HTTP: who has answered is in the timeline and the record, and decides what becomes of the call."""

from pathlib import Path
from typing import Any

import pytest

from controller.api.shapes import CallOut, CdrOut
from controller.drivers.simulator.phones import Phone
from tests.house import CALLEE, CALLER, PHONES, Standing, body, standing

MACHINE, PERSON, SILENT_ONE = Phone(says=1600), Phone(says=300), Phone(says=0)


async def ended(house: Standing, **asked: Any) -> dict[str, Any]:
    """A callback with detection, over."""
    call = await house.callback(**asked)
    over = await house.until(call["id"], status="ended")
    CallOut.model_validate(over)
    return over


async def test_a_machine_ends_the_call_before_the_callees_phone_rings(tmp_path: Path) -> None:
    async with standing(tmp_path, {**PHONES, CALLER: MACHINE}) as house:
        over = await ended(house, machine_detection={})
        assert (over["disposition"], over["hangup_by"]) == ("no_answer", "platform")
        assert [(leg["name"], leg["answered_by"]) for leg in over["legs"]] == [("caller", "machine")]
        fact = await house.until_fact(over["id"], "call.leg.detected")
        assert fact["data"]["answered_by"] == "machine"
        assert CALLER not in str(fact["data"])
        record = (await house.http.get("/v1/cdrs")).json()["items"][0]
        assert CdrOut.model_validate(record).legs[0].answered_by == "machine"
        sheet = (await house.http.get("/v1/cdrs", params={"format": "csv"})).text.splitlines()
        row = dict(zip(sheet[0].split(","), sheet[1].split(","), strict=False))
        assert {name: row[name] for name in row if name.endswith("answered_by")}["first_leg_answered_by"] == "machine"


async def test_a_person_is_connected_and_a_retry_plan_follows_a_machine(tmp_path: Path) -> None:
    phones = {**PHONES, CALLER: PERSON, CALLEE: MACHINE}
    async with standing(tmp_path, phones) as house:
        call = await house.callback(machine_detection={"on_unknown": "hang_up"})
        bridged = await house.until(call["id"], status="bridged")
        assert [leg["answered_by"] for leg in bridged["legs"]] == ["person", None]
        plan = {"attempts": 1, "backoff_s": 60, "on": ["no_answer"]}
        answer = await house.http.post(
            "/v1/callbacks", json=body(caller=CALLEE, callee=CALLER, machine_detection={}, retry=plan)
        )
        over = await house.until(answer.json()["id"], status="ended")
        assert (over["disposition"], over["legs"][0]["answered_by"], over["retries_left"]) == ("no_answer", "machine", 1)
        queued = (await house.http.get("/v1/callbacks", params={"status": "queued"})).json()["items"]
        assert [item["retry_of"] for item in queued] == [over["id"]]


@pytest.mark.parametrize(("wanted", "goes_on"), [({}, True), ({"on_unknown": "hang_up"}, False)])
async def test_silence_is_unknown_and_what_follows_is_as_asked(tmp_path: Path, wanted: Any, goes_on: bool) -> None:
    async with standing(tmp_path, {**PHONES, CALLER: SILENT_ONE}) as house:
        call = await house.callback(machine_detection=wanted)
        seen = await house.until(call["id"], status="bridged" if goes_on else "ended")
        assert seen["legs"][0]["answered_by"] == "unknown"


@pytest.mark.parametrize("wrong", [{"on_machine": "shout"}, {"leg": "caller"}, True, {"on_unknown": None}])
async def test_what_cannot_be_asked_for_is_refused(house: Standing, wrong: Any) -> None:
    answer = await house.http.post("/v1/callbacks", json=body(machine_detection=wrong))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["param"].startswith("machine_detection")


async def test_a_flow_that_does_not_listen_says_so(tmp_path: Path) -> None:
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "deaf.yaml").write_text(
        "flow: deaf\nneeds: [caller, callee, caller_display, callee_display]\nstart: caller\n"
        "nodes:\n  caller: {dial: caller, show: $caller_display, answered: end, else: end}\n"
    )
    async with standing(tmp_path, flows=flows) as house:
        answer = await house.http.post("/v1/callbacks", json=body(flow="deaf", machine_detection={}))
        assert (answer.status_code, answer.json()["param"]) == (422, "machine_detection")
