"""OP5 at the far end: what the policy forbids rings no phone, whenever it was forbidden, and what it stops is over.

One after the other: each changes what the lab's tenant may do, and puts it back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from tests.lab.far_end import A, B, C
from tests.lab.stage import Stage, numbers_in_logs
from tests.lab.story import Story

D, E = "+14155550104", "+14155550105"
PREMIUM = "+19005551234"


@contextmanager
def listed(stage: Stage, name: str, number: str) -> Iterator[None]:
    """A number is on one of the tenant's lists."""
    status, entry = stage.ask("POST", f"/v1/lists/{name}", {"number": number})
    assert status == 201, entry
    try:
        yield
    finally:
        assert stage.ask("DELETE", f"/v1/lists/{name}/{entry['id']}")[0] == 204


def policy(stage: Stage, path: str, **body: Any) -> Any:
    """Change something of the policy."""
    status, answer = stage.ask("POST", f"/v1/policy/{path}", body)
    assert status == 200, answer
    return answer


def refused(story: Story, **asked: Any) -> tuple[int, str, str | None]:
    """Status, code and param of a callback that is not taken in."""
    story.numbers = {"caller": A, "callee": B, **asked}
    story.displays = {"caller": story.stage.display(), "callee": story.stage.display()}
    status, answer = story.stage.ask("POST", "/v1/callbacks", story.body())
    return status, answer["code"], answer["param"]


def nodes(stage: Stage, state: str) -> None:
    """Let the nodes take new calls, or not."""
    for node in stage.get("/v1/nodes")["items"]:
        assert stage.ask("PATCH", f"/v1/nodes/{node['name']}", {"state": state})[0] == 200


def test_the_labs_tenant_may_call_its_phones_at_all_hours_and_keeps_every_other_default(stage: Stage) -> None:
    found = stage.get("/v1/policy")
    assert [entry["number"] for entry in stage.get("/v1/lists/allow")["items"]] == ["+1415555"]
    assert (found["calls_per_callee_24h"], found["hours"]) == (None, None)
    assert sorted(found["own"]) == ["calls_per_callee_24h", "hours"]
    assert (found["allow_kinds"], found["minutes_per_day"], found["spend_per_day"]) == ([], None, None)


def test_a_number_that_is_refused_at_once_gets_no_invite(stage: Stage) -> None:
    with Story(stage, "refused at once") as story, listed(stage, "block", B):
        assert refused(story) == (422, "destination_blocked", "callee")
        assert refused(story, callee=PREMIUM) == (422, "destination_blocked", "callee")
        assert refused(story, callee="911") == (422, "emergency_blocked", "callee")
        assert refused(story, callee=A) == (422, "self_call", "callee")
        assert story.calls("caller") == story.calls("callee") == []


def test_a_callee_who_is_forbidden_while_the_caller_rings_gets_no_invite(stage: Stage) -> None:
    with Story(stage, "forbidden while the caller rings") as story:
        story.begin(caller=story.lab.number("answer_late"), callee=C)
        story.until("call.leg.ringing", "caller")
        with listed(stage, "dnc", C):
            end = story.ended()
        assert end.outcome == ("blocked", "platform")
        assert end.leg("callee") == (None, None, "do_not_call")
        assert story.calls("callee") == []
        assert end.ended_by("caller") == "pbx"


def test_the_kill_switch_in_mid_queue_keeps_every_phone_silent_and_lets_a_talk_go_on(stage: Stage) -> None:
    with Story(stage, "talks on") as talk, Story(stage, "waits") as first, Story(stage, "waits too") as second:
        talk.begin(caller=A, callee=B)
        talk.talk()
        nodes(stage, "draining")
        try:
            for story in (first, second):
                story.begin(caller=D, callee=E)
            assert policy(stage, "stop", reason="a test")["stopped"]["reason"] == "a test"
        finally:
            nodes(stage, "up")
        for story in (first, second):
            end = story.ended()
            assert end.outcome == ("blocked", "platform")
            assert end.leg("caller") == (None, None, "suspended")
            assert story.calls("caller") == story.calls("callee") == []
        with Story(stage, "stopped") as late:
            assert refused(late)[:2] == (403, "suspended")
        talk.hears("callee", talk.lab.tone(A), 0.5, after=talk.invited("callee")["heard"][-1]["end"])
        assert talk.status() == "bridged"
        policy(stage, "go")
        with Story(stage, "goes again") as again:
            again.begin(caller=D, callee=E)
            again.talk()
            policy(stage, "stop", end_calls=True)
            for story in (talk, again):
                end = story.ended()
                assert end.outcome == ("completed", "platform")
                assert (end.ended_by("caller"), end.ended_by("callee")) == ("pbx", "pbx")
        policy(stage, "go")


def test_a_transfer_to_a_premium_number_is_refused_and_the_talk_goes_on(stage: Stage) -> None:
    with Story(stage, "transfer to premium") as story:
        story.begin()
        story.talk()
        for to, code in ((PREMIUM, "destination_blocked"), ("+1911", "emergency_blocked"), (A, "self_call")):
            status, answer = story.act("transfer", to=to, display=story.displays["callee"])
            assert (status, answer["code"]) == (422, code)
        with listed(stage, "block", C):
            status, answer = story.act("transfer", to=C, display=story.displays["callee"])
            assert (status, answer["code"], answer["param"]) == (422, "destination_blocked", "to")
        assert story.phones.calls(C, shown=story.displays["callee"]) == []
        story.hears("callee", story.lab.tone(A), 0.5, after=story.invited("callee")["heard"][-1]["end"])
        story.hang_up("caller")
        assert story.ended().outcome == ("completed", "caller")


def test_what_was_counted_outlives_a_controller_that_is_killed_in_mid_call(stage: Stage) -> None:
    callee = stage.lab.number("keys_2")
    before = stage.get("/v1/policy")["today"]["minutes"]
    assert stage.ask("PATCH", "/v1/policy", {"calls_per_callee_24h": 1})[0] == 200
    try:
        with Story(stage, "killed in mid-call") as story, Story(stage, "once too often") as again:
            story.begin(callee=callee)
            story.talk()
            stage.lab.kill("controller")
            stage.lab.restart("controller")
            assert refused(again, callee=callee) == (429, "frequency_exceeded", "callee")
            story.hears("callee", story.lab.tone(A), 0.5, after=story.invited("callee")["heard"][-1]["end"])
            story.hang_up("caller")
            assert story.ended().outcome == ("completed", "caller")
            assert again.calls("callee") == []
            stage.lab.kill("controller")
            stage.lab.restart("controller")
            assert refused(again, callee=callee)[1] == "frequency_exceeded"
            talked = sum(seconds(leg) for leg in stage.get(f"/v1/callbacks/{story.id}")["legs"])
            assert abs(stage.get("/v1/policy")["today"]["minutes"] - before - talked / 60) < 0.02
    finally:
        assert stage.ask("PATCH", "/v1/policy", {"calls_per_callee_24h": None})[0] == 200


def seconds(leg: dict[str, Any]) -> float:
    """How long a leg was answered for."""
    return (datetime.fromisoformat(leg["ended_at"]) - datetime.fromisoformat(leg["answered_at"])).total_seconds()


def test_no_number_of_all_this_is_in_any_log(stage: Stage) -> None:
    assert numbers_in_logs(stage.lab.folder, {*stage.numbers(), PREMIUM}) == []
