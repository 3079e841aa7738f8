"""Far end, MK10: who calls X back with nobody available gets a robot: the driver again, the contact centre, or a callback."""

import time
from typing import Any

from controller.lab.phones.client import Call
from tests.lab.far_end import A, B, C, heard
from tests.lab.masked import check_masked, leaks
from tests.lab.stage import Stage, numbers_in_logs
from tests.lab.test_agents import agents, say
from tests.lab.test_masking import Masked
from tests.lab.test_routed import Routed

WITHIN_S = 40.0
FLOW = "nobody-available"


def robot(**variables: Any) -> dict[str, Any]:
    """A direction whose calls the robot has."""
    return {"ring_timeout_s": 20, "otherwise": {"action": "menu", "flow": FLOW, "variables": variables}}


class Told:
    """A caller at the robot."""

    def __init__(self, stage: Stage, masked: Masked | Routed, phone: str) -> None:
        self.stage, self.masked, self.phone = stage, masked, phone
        self.here = masked.dial(phone)

    def hears(self, prompt: str, least: float = 0.3) -> Call:
        """The call once the caller has heard this prompt."""
        return self._until(lambda one: heard(one, self.stage.lab.prompt(prompt)) > least)

    def talks_to(self, phone: str) -> Call:
        """The call of ``phone``, shown X, once the caller hears it."""
        hz = self.stage.lab.tone(phone)
        self._until(lambda one: heard(one, hz) > 0.2)
        return self.masked.phones.calls(phone, shown=self.masked.x)[-1]

    def press(self, keys: str) -> None:
        """Keys."""
        self.masked.phones.press(self.here["call_id"], keys)

    def over(self) -> Call:
        """The call once it has ended, by whomever."""
        return self._until(lambda one: one["ended_at"])

    def _until(self, so: Any) -> Call:
        calls = self.masked.phones.wait_for(
            lambda calls: any(one["call_id"] == self.here["call_id"] and so(one) for one in calls),
            self.phone, self.here["at"], WITHIN_S,
        )  # fmt: skip
        return next(one for one in calls if one["call_id"] == self.here["call_id"])


def ended(stage: Stage, path: str) -> dict[str, Any]:
    """The one call of a list, once it is over."""
    deadline = time.monotonic() + WITHIN_S
    while not (found := stage.get(path)["items"]) or not found[0]["ended_at"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)  # the pause of a client that asks again
    (call,) = found
    return dict(call)


def test_a_driver_off_duty_is_not_rung_and_calls_back_once_on_duty(stage: Stage) -> None:
    with agents(stage, C) as (driver,):
        masked = Masked(stage, b=C, a_to_b=robot())
        told = Told(stage, masked, A)
        for prompt in (FLOW, "press-1-again", "press-3-callback"):
            told.hears(prompt)
        assert heard(told.hears(FLOW), stage.lab.prompt("press-2-centre")) == 0
        assert masked.phones.calls(C, shown=masked.x) == []
        told.press("3")
        told.hears("callback-noted")
        told.over()
        record = ended(stage, f"/v1/calls?binding_id={masked.binding['id']}&kind=masked")
        assert (record["flow"], record["disposition"], record["kind"]) == (FLOW, "completed", "masked")
        (wish,) = stage.get(f"/v1/calls?binding_id={masked.binding['id']}&kind=callback")["items"]
        assert (wish["status"], wish["reference"], wish["queue_position"]) == ("queued", "masked", 1)
        since = time.time()
        say(stage, driver, "on_duty")
        for phone in (C, A):
            masked.phones.wait_for(lambda calls: any(one["answered_at"] for one in calls), phone, since, WITHIN_S, masked.x)
        stage.receiver.wait_for(wish["id"], lambda facts: any(fact["type"] == "call.bridged" for fact in facts), WITHIN_S)
        stage.ask("DELETE", f"/v1/callbacks/{wish['id']}")
        stage.receiver.wait_for(wish["id"], lambda facts: any(fact["type"] == "cdr.created" for fact in facts), WITHIN_S)
        for phone in (C, A):
            (call,) = masked.phones.calls(phone, since, masked.x)
            check_masked(call, phone, masked.x, stage.numbers())
        assert numbers_in_logs(stage.lab.folder, {A, C, masked.x}) == []


def test_who_is_not_reached_can_be_tried_again_or_the_contact_centre(stage: Stage) -> None:
    driver = stage.lab.number("busy")
    masked = Masked(stage, b=driver, a_to_b=robot(centre=B))
    told = Told(stage, masked, A)
    told.hears("press-2-centre")
    assert len(masked.phones.calls(driver, shown=masked.x)) == 1
    told.press("1")
    masked.phones.wait_for(lambda calls: len(calls) == 2, driver, 0.0, WITHIN_S, masked.x)
    told.hears("press-2-centre", 0.8)
    told.press("2")
    there = told.talks_to(B)
    masked.phones.hang_up(told.here["call_id"])
    record = masked.record()
    assert (record["disposition"], record["hangup_by"]) == ("completed", "caller")
    assert [leg["name"] for leg in record["legs"]] == ["caller", "callee", "callee", "centre"]
    (there,) = (one for one in masked.phones.calls(B) if one["call_id"] == there["call_id"])
    check_masked(there, B, masked.x, stage.numbers())
    assert leaks(told.over(), {A, masked.x}, stage.numbers()) == []


def test_a_driver_who_answers_is_connected_and_no_robot_is_heard(stage: Stage) -> None:
    masked = Masked(stage, a_to_b=robot(centre=C))
    with masked.talk(A, B):
        pass
    record = masked.record()
    assert (record["flow"], record["disposition"], len(record["legs"])) == (FLOW, "completed", 2)


def test_a_late_caller_whose_binding_is_over_gets_the_robot_of_the_number(stage: Stage) -> None:
    routed = Routed(stage, answer={"action": "menu", "flow": FLOW, "variables": {"centre": B}})
    told = Told(stage, routed, A)
    told.hears("press-2-centre")
    told.press("2")
    told.talks_to(B)
    call = told.hears(FLOW)
    assert [heard(call, stage.lab.prompt(name)) for name in ("press-1-again", "press-3-callback")] == [0, 0]
    routed.phones.hang_up(told.here["call_id"])
    assert routed.record()["disposition"] == "completed"


def test_a_wish_outlives_the_controller_and_is_one(stage: Stage) -> None:
    with agents(stage, C):
        masked = Masked(stage, b=C, a_to_b=robot())
        told = Told(stage, masked, A)
        told.hears("press-3-callback")
        stage.lab.kill("controller")
        told.press("3")
        stage.lab.restart("controller")
        told.hears("callback-noted")
        told.over()
        stage.lab.kill("controller")
        stage.lab.restart("controller")
        (wish,) = stage.get(f"/v1/calls?binding_id={masked.binding['id']}&kind=callback")["items"]
        assert wish["status"] == "queued"
        assert stage.ask("DELETE", f"/v1/callbacks/{wish['id']}")[0] == 200


def test_who_keys_in_nothing_is_let_go_after_three_times(stage: Stage) -> None:
    masked = Masked(stage, b=stage.lab.number("busy"), a_to_b=robot(centre=B))
    told = Told(stage, masked, A)
    call = told.over()
    assert heard(call, stage.lab.prompt("goodbye")) > 0.3
    assert heard(call, stage.lab.prompt(FLOW)) > 1.2
    assert (masked.record()["disposition"], call["ended_by"]) == ("no_answer", "pbx")
