"""POST, GET and DELETE /v1/callbacks over real HTTP, on the real store."""

from typing import Any

import pytest

from controller.api.shapes import CallOut, CancelOut
from tests.house import BUSY, CALLEE, CALLER, SHOWN, SHOWN_TOO, SILENT, Standing, body


async def test_a_callback_is_queued_rings_both_and_ends_with_one_record(house: Standing) -> None:
    made = await house.callback(reference="order-42", metadata={"a": [1, None, {"b": "ü"}]})
    CallOut.model_validate(made)
    assert made["id"].startswith("call_")
    assert (made["status"], made["queue_position"]) == ("queued", 1)
    bridged = await house.until(made["id"], status="bridged")
    assert [(leg["name"], leg["number"], leg["display"]) for leg in bridged["legs"]] == [
        ("caller", CALLER, SHOWN),
        ("callee", CALLEE, SHOWN_TOO),
    ]
    reply = (await house.http.delete(f"/v1/callbacks/{made['id']}")).json()
    CancelOut.model_validate(reply)
    assert reply == {"canceled": True, "dropped": ["caller", "callee"], "kept_because": None}
    ended = await house.until(made["id"], status="ended")
    CallOut.model_validate(ended)
    assert (ended["reference"], ended["metadata"]) == ("order-42", {"a": [1, None, {"b": "ü"}]})
    facts = await house.facts(made["id"])
    assert [fact["sequence"] for fact in facts] == list(range(1, len(facts) + 1))
    assert [fact["type"] for fact in facts].count("call.ended") == 1
    assert all(fact["reference"] == "order-42" and fact["metadata"] == made["metadata"] for fact in facts)


async def test_only_the_four_numbers_are_required_and_the_flow_keeps_its_defaults(house: Standing) -> None:
    await house.callback(announce=...)
    stored = (await house.patchbay.house.database.calls.queued(10)) or list(
        (await house.patchbay.house.database.calls.list("main")).items
    )
    assert dict(stored[0].vars) == {
        "caller": CALLER,
        "callee": CALLEE,
        "caller_display": SHOWN,
        "callee_display": SHOWN_TOO,
    }


async def test_what_is_given_becomes_the_flows_variables(house: Standing) -> None:
    given = {
        "record": True,
        "recording_notice": "caller",
        "max_duration_s": 60,
        "ring_timeout_s": {"callee": 9},
        "wait": "music",
        "announce": {"caller": None, "callee": "please-hold"},
        "warn_to": "both",
        "confirm": {"prompt": "please-hold", "key": "5", "repeats": 1, "timeout_s": 9, "replay_key": "*", "hang_up_key": None},
    }
    made = await house.callback(callee=SILENT, **given)
    call = house.patchbay.house.desk.live_call(made["id"][5:])
    assert call is not None
    for name, value in given.items():
        if name == "announce":
            value = {"caller": "", "callee": "please-hold"}
        assert call.vars[name] == value, name


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"caller": ...}, "invalid_request", "caller"),
        ({"caller": "0415555"}, "invalid_number", "caller"),
        ({"caller": "+1212555"}, "invalid_number", "caller"),
        ({"callee": "+999123456789"}, "invalid_number", "callee"),
        ({"callee": "+1415555010१"}, "invalid_number", "callee"),
        ({"callee": 14155550102}, "invalid_number", "callee"),
        ({"caller": {"agent": "agt_1"}}, "invalid_request", "caller"),
        ({"callee": CALLER}, "self_call", "callee"),
        ({"caller_display": "+14155550198"}, "caller_id_not_owned", "caller_display"),
        ({"callee_display": "+14155550198"}, "caller_id_not_owned", "callee_display"),
        ({"callee": "+442079460000"}, "destination_blocked", "callee"),
        ({"record": "yes"}, "invalid_request", "record"),
        ({"record": 1}, "invalid_request", "record"),
        ({"ring_timeout_s": {"caller": 0}}, "invalid_request", "ring_timeout_s.caller"),
        ({"ring_timeout_s": {"nobody": 3}}, "invalid_request", "ring_timeout_s.nobody"),
        ({"max_duration_s": 86_401}, "invalid_request", "max_duration_s"),
        ({"recording_notice": "everybody"}, "invalid_request", "recording_notice"),
        ({"announce": {"caller": "../secret"}}, "invalid_request", "announce.caller"),
        ({"flow": "nothing"}, "invalid_request", "flow"),
        ({"flow": "../x"}, "invalid_request", "flow"),
        ({"reference": "a\r\nb"}, "invalid_request", "reference"),
        ({"reference": "x" * 129}, "invalid_request", "reference"),
        ({"metadata": {"a": "\x00"}}, "invalid_request", "metadata"),
        ({"metadata": {"a": "x" * 9000}}, "invalid_request", "metadata"),
        ({"metadata": {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}}, "invalid_request", "metadata"),
        ({"confirm": {"key": "12"}}, "invalid_request", "confirm.key"),
        ({"confirm": {"key": "2"}}, "invalid_request", "confirm"),
        ({"confirm": {"hang_up_key": "1"}}, "invalid_request", "confirm"),
        ({"confirm": {"repeats": 11}}, "invalid_request", "confirm.repeats"),
        ({"confirm": {"prompt": "../press-1"}}, "invalid_request", "confirm.prompt"),
        ({"schedule_at": "9999-01-01T00:00:00Z"}, "invalid_request", "schedule_at"),
        ({"schedule_at": "tomorrow"}, "invalid_request", "schedule_at"),
        ({"not_after": "2020-01-01T00:00:00Z"}, "invalid_request", "not_after"),
        ({"retry": {"attempts": 0}}, "invalid_request", "retry.attempts"),
        ({"retry": {"attempts": 11}}, "invalid_request", "retry.attempts"),
        ({"retry": {"attempts": 1, "on": ["canceled"]}}, "invalid_request", "retry.on.0"),
        ({"retry": {"attempts": 1, "on": []}}, "invalid_request", "retry.on"),
        ({"memory_ttl_s": 0}, "invalid_request", "memory_ttl_s"),
        ({"status_url": "http://10.0.0.1/"}, "invalid_request", "status_url"),
        ({"caler": CALLER}, "invalid_request", "caler"),
    ],
)
@pytest.mark.asyncio(loop_scope="session")
async def test_a_bad_value_is_refused_by_name_and_nothing_is_queued(
    shared: Standing, change: dict[str, Any], code: str, param: str
) -> None:
    answer = await shared.http.post("/v1/callbacks", json=body(**{"reference": "refused", **change}))
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["code"], problem["param"]) == (422, code, param)
    assert problem["request_id"] == answer.headers["x-request-id"]
    for value in change.values():
        assert not isinstance(value, str) or len(value) < 4 or value not in answer.text
    assert (await shared.http.get("/v1/calls", params={"reference": "refused"})).json() == {"items": [], "next": None}


async def test_fields_of_later_parts_may_be_null(house: Standing) -> None:
    await house.callback(
        confirm=None, schedule_at=None, not_after=None, retry=None, memory_ttl_s=None, status_url=None, reference=None
    )


@pytest.mark.parametrize(("unless", "kept"), [("ringing", "ringing"), ("answered", None)])
async def test_unless_keeps_a_call_whose_callee_rings(house: Standing, unless: str, kept: str | None) -> None:
    made = await house.callback(callee=SILENT)
    await house.until(made["id"], status="answered")
    await house.until_fact(made["id"], "call.leg.ringing", leg="callee")
    reply = (await house.http.delete(f"/v1/callbacks/{made['id']}", params={"unless": unless})).json()
    assert (reply["canceled"], reply["kept_because"]) == (kept is None, kept)


async def test_canceling_what_has_ended_keeps_it_because_it_ended(house: Standing) -> None:
    made = await house.callback(callee=BUSY)
    ended = await house.until(made["id"], status="ended")
    assert (ended["disposition"], ended["hangup_by"]) == ("busy", "callee")
    reply = (await house.http.delete(f"/v1/callbacks/{made['id']}")).json()
    assert reply == {"canceled": False, "dropped": [], "kept_because": "ended"}


async def test_lists_are_paged_and_narrowed(house: Standing) -> None:
    made = [(await house.callback(reference=f"r{number}"))["id"] for number in range(5)]
    first = (await house.http.get("/v1/callbacks", params={"limit": 2})).json()
    second = (await house.http.get("/v1/callbacks", params={"limit": 2, "after": first["next"]})).json()
    third = (await house.http.get("/v1/callbacks", params={"limit": 2, "after": second["next"]})).json()
    seen = [item["id"] for page in (first, second, third) for item in page["items"]]
    assert sorted(seen) == sorted(made)
    assert third["next"] is None
    one = (await house.http.get("/v1/callbacks", params={"reference": "r3"})).json()["items"]
    assert [item["id"] for item in one] == [made[3]]
    assert len((await house.http.get(f"/v1/callbacks?number={CALLEE}")).json()["items"]) == 5  # a plus that became a space
    assert (await house.http.get("/v1/callbacks", params={"number": "+14155550177"})).json()["items"] == []
    for bad in ({"limit": "201"}, {"limit": "0"}, {"statsu": "ended"}, {"from": "yesterday"}, {"after": "x' OR 1=1"}):
        assert (await house.http.get("/v1/callbacks", params=bad)).status_code == 422, bad


async def test_a_full_queue_says_when_to_come_back(tmp_path: Any) -> None:
    from tests.house import standing

    async with standing(tmp_path, queue={"tenant_bound": 1, "tenant_concurrent": 1, "tenant_calls_per_second": 1}) as house:
        await house.callback(callee=SILENT)
        await house.callback()
        answer = await house.http.post("/v1/callbacks", json=body())
        assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
        assert int(answer.headers["retry-after"]) >= 1
        page = (await house.http.get("/v1/callbacks", params={"status": "queued"})).json()
        assert [item["queue_position"] for item in page["items"]] == [1]


async def test_a_number_that_another_process_has_just_added_may_be_shown_at_once(house: Standing) -> None:
    await house.callback()
    numbers = house.patchbay.house.database.numbers
    await numbers.add("01JD3Y8Q4ZK5T0M6W9RB2XHCVE", "main", "+14155550177", 1)
    await house.callback(caller_display="+14155550177")
