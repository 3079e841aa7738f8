"""/v1/calls: the timeline, and what may be done to a call while it lives."""

from pathlib import Path
from typing import Any

import pytest

from controller.api.shapes import CallOut, EventOut
from tests.house import BUSY, CALLER, PHONES, SHOWN, SILENT, Standing, standing


async def act(house: Standing, call_id: str, **action: Any) -> tuple[int, dict[str, Any]]:
    answer = await house.http.post(f"/v1/calls/{call_id}/actions", json=action)
    return answer.status_code, answer.json()


async def test_the_timeline_is_gapless_in_order_and_paged(house: Standing) -> None:
    made = await house.callback(callee=BUSY)
    await house.until(made["id"], status="ended")
    whole = await house.facts(made["id"])
    for fact in whole:
        EventOut.model_validate(fact)
    assert [fact["type"] for fact in whole][:2] == ["call.queued", "call.started"]
    assert [fact["type"] for fact in whole][-2:] == ["call.ended", "cdr.created"]
    paged: list[dict[str, Any]] = []
    after = None
    while True:
        page = (
            await house.http.get(f"/v1/calls/{made['id']}/events", params={"limit": 3} | ({"after": after} if after else {}))
        ).json()
        paged += page["items"]
        after = page["next"]
        if after is None:
            break
    assert paged == whole
    assert (await house.http.get(f"/v1/calls/{made['id']}/events")).json() == {"items": whole, "next": None}
    record = whole[-1]["data"]
    assert record["ended_at"].endswith("Z")
    assert all(leg["dialed_at"].endswith("Z") for leg in record["legs"])
    other = await house.callback()
    wrong = await house.http.get(f"/v1/calls/{other['id']}/events", params={"after": whole[2]["id"]})
    assert wrong.json()["param"] == "after"


async def test_actions_need_a_call_that_is_far_enough(house: Standing) -> None:
    made = await house.callback(callee=SILENT)
    await house.until(made["id"], status="answered")
    for action in ("mute", "record", "pause_recording", "transfer", "play"):
        more = {"play": {"prompts": ["please-hold"]}, "transfer": {"to": BUSY, "display": SHOWN}}.get(action, {})
        status, problem = await act(house, made["id"], action=action, **more)
        assert (status, problem["code"]) == (409, "not_possible_now"), action
        assert problem["detail"]
    status, call = await act(house, made["id"], action="hangup")
    assert status == 202
    CallOut.model_validate(call)
    ended = await house.until(made["id"], status="ended")
    assert ended["disposition"] == "canceled"
    assert (await act(house, made["id"], action="hangup"))[1]["detail"] == "the call is over"


async def test_recording_is_started_paused_resumed_and_stopped(house: Standing) -> None:
    made = await house.callback()
    await house.until(made["id"], status="bridged")
    for action, state in (
        ("record", "recording"),
        ("pause_recording", "paused"),
        ("resume_recording", "recording"),
        ("stop_recording", "stopped"),
    ):
        status, call = await act(house, made["id"], action=action)
        assert status == 202, call
        if action == "record":
            assert call["recordings"] == [], "the notice comes first"
            await house.until_fact(made["id"], "recording.started")
        seen = await house.until(made["id"], status="bridged")
        assert [recording["status"] for recording in seen["recordings"]] == [state]
    assert (await act(house, made["id"], action="pause_recording"))[0] == 409


async def test_prompts_and_mutes_reach_a_bridged_call(house: Standing) -> None:
    made = await house.callback()
    await house.until(made["id"], status="bridged")
    for action in (
        {"action": "mute"},
        {"action": "unmute", "leg": "callee"},
        {"action": "play", "leg": "callee", "prompts": ["please-hold"]},
    ):
        assert (await act(house, made["id"], **action))[0] == 202, action


async def test_whom_a_transfer_brought_is_named_like_any_leg(tmp_path: Path) -> None:
    third = "+14155550105"
    async with standing(tmp_path, {**PHONES, third: PHONES[CALLER]}) as house:
        made = await house.callback()
        await house.until(made["id"], status="bridged")
        play = {"action": "play", "leg": "transfer", "prompts": ["please-hold"]}
        assert (await act(house, made["id"], **play))[1]["detail"] == "there is no such leg"
        assert (await act(house, made["id"], action="transfer", to=third, display=SHOWN))[0] == 202
        joined = (await house.until_fact(made["id"], "call.leg.answered", leg="transfer"))["data"]["leg_id"]
        await house.until_fact(made["id"], "call.bridged", legs=[made["id"].replace("call_", "leg_") + "01", joined])
        for action in ({"action": "mute", "leg": "transfer"}, {"action": "unmute", "leg": "transfer"}, play):
            assert (await act(house, made["id"], **action))[0] == 202, action
        status, problem = await act(house, made["id"], action="mute", leg="callee")
        assert (status, problem["detail"]) == (409, "there is no such leg")


@pytest.mark.parametrize(
    ("action", "code", "param"),
    [
        ({"action": "explode"}, "invalid_request", "body"),
        ({}, "invalid_request", "body"),
        ({"action": "record", "recording_notice": "everybody"}, "invalid_request", "record.recording_notice"),
        ({"action": "hangup", "leg": "caller"}, "invalid_request", "hangup.leg"),
        ({"action": "play", "prompts": []}, "invalid_request", "play.prompts"),
        ({"action": "play", "prompts": ["../../etc/passwd"]}, "invalid_request", "play.prompts.0"),
        ({"action": "play", "prompts": ["a&b"]}, "invalid_request", "play.prompts.0"),
        ({"action": "mute", "leg": "judge"}, "invalid_request", "leg"),
        ({"action": "mute", "leg": "Judge"}, "invalid_request", "mute.leg"),
        ({"action": "transfer", "to": "911", "display": SHOWN}, "emergency_blocked", "transfer.to"),
        ({"action": "transfer", "to": BUSY, "display": "+14155550155"}, "caller_id_not_owned", "display"),
        ({"action": "transfer", "to": CALLER, "display": SHOWN}, "self_call", "to"),
        ({"action": "transfer", "to": "+442079460000", "display": SHOWN}, "destination_blocked", "to"),
    ],
)
@pytest.mark.asyncio(loop_scope="session")
async def test_an_action_that_makes_no_sense_is_refused(
    shared: Standing, action: dict[str, Any], code: str, param: str
) -> None:
    made = await shared.callback()
    await shared.until(made["id"], status="bridged")
    status, problem = await act(shared, made["id"], **action)
    assert (status, problem["code"], problem["param"]) == (422, code, param)


async def test_calls_are_narrowed_by_status_kind_and_time(house: Standing) -> None:
    made = await house.callback(callee=BUSY)
    await house.until(made["id"], status="ended")
    live = await house.callback()
    await house.until(live["id"], status="bridged")

    async def ids(**where: str) -> list[str]:
        return [item["id"] for item in (await house.http.get("/v1/calls", params=where)).json()["items"]]

    assert await ids(status="live") == [live["id"]]
    assert await ids(status="ended") == [made["id"]]
    assert await ids(disposition="busy", kind="callback") == [made["id"]]
    assert await ids(kind="robot") == []
    assert await ids(to=live["requested_at"]) == [made["id"]]
    assert await ids(**{"from": live["requested_at"]}) == [live["id"]]
    assert await ids(number=BUSY) == [made["id"]]
