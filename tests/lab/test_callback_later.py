"""Far end: callbacks that wait for their time, that are tried again, and what a restart of the controller makes of both."""

import time
from typing import Any

import pytest

from controller.times import parse, rfc3339
from tests.lab.far_end import A, B
from tests.lab.stage import Stage

WITHIN_S = 40.0


class Asked:
    """One callback with a display number for each leg, and every call that came of it."""

    def __init__(self, stage: Stage, caller: str, callee: str, **more: Any) -> None:
        self.stage, self.numbers = stage, {"caller": caller, "callee": callee}
        self.displays = {name: stage.display() for name in self.numbers}
        shown = {f"{name}_display": number for name, number in self.displays.items()}
        status, self.answer = stage.patiently("POST", "/v1/callbacks", {**self.numbers, **shown, **more})
        assert status == 202, self.answer
        self.id: str = self.answer["id"]

    def ended(self, call_id: str = "") -> dict[str, Any]:
        """A call once it is over."""
        call_id = call_id or self.id
        self.stage.receiver.wait_for(call_id, lambda facts: any(fact["type"] == "cdr.created" for fact in facts), WITHIN_S)
        found: dict[str, Any] = self.stage.get(f"/v1/callbacks/{call_id}")
        return found

    def next_of(self, call_id: str) -> str | None:
        """The attempt that follows a call."""
        calls = self.stage.get(f"/v1/callbacks?number={self.numbers['callee'].replace('+', '%2B')}&limit=200")["items"]
        return next((call["id"] for call in calls if call["retry_of"] == call_id), None)

    def rang(self, leg: str) -> int:
        """How often the phone of a leg was called."""
        return len(self.stage.lab.phones.calls(self.numbers[leg], shown=self.displays[leg]))

    def until_it_rings(self, leg: str, times: int) -> list[Any]:
        """The calls at the phone of a leg, once there are so many."""
        return self.stage.lab.phones.wait_for(
            lambda calls: len(calls) >= times, self.numbers[leg], shown=self.displays[leg], timeout_s=WITHIN_S
        )


def in_s(seconds: float) -> str:
    """A time so long from now."""
    return rfc3339(round(1000 * (time.time() + seconds)))


def at(text: str) -> float:
    """A time of the API in Unix seconds."""
    return parse(text) / 1000


def test_a_scheduled_callback_rings_at_its_time(stage: Stage) -> None:
    due = time.time() + 3
    asked = Asked(stage, A, stage.lab.number("hangup_early"), schedule_at=in_s(3))
    assert asked.answer["queue_position"] is None
    assert asked.answer["estimated_start"] == asked.answer["schedule_at"]
    assert asked.ended()["disposition"] == "completed"
    rung = asked.until_it_rings("caller", 1)[0]["at"]
    assert due <= rung < due + 2


def test_congestion_is_tried_again_after_the_backoff_and_no_more_often_than_asked(stage: Stage) -> None:
    asked = Asked(stage, A, stage.lab.number("congestion"), retry={"attempts": 1, "backoff_s": 2})
    first = asked.ended()
    assert (first["disposition"], first["attempt"], first["retries_left"]) == ("congestion", 1, 1)
    following = asked.next_of(asked.id)
    assert following is not None
    second = asked.ended(following)
    assert (second["attempt"], second["retry_of"], second["retries_left"]) == (2, asked.id, 0)
    assert (second["disposition"], second["reference"]) == ("congestion", first["reference"])
    assert at(second["legs"][0]["dialed_at"]) - at(first["ended_at"]) >= 2
    assert asked.next_of(following) is None
    assert (asked.rang("caller"), asked.rang("callee")) == (2, 2)
    for call in (asked.id, following):
        types = [event["type"] for event in stage.events(call)]
        assert (types[0], types.count("call.ended"), types.count("cdr.created")) == ("call.queued", 1, 1)


@pytest.mark.parametrize("behaviour", ["busy", "reject"])
def test_a_human_who_refuses_or_is_busy_is_not_called_again(stage: Stage, behaviour: str) -> None:
    asked = Asked(stage, A, stage.lab.number(behaviour), retry={"attempts": 3, "backoff_s": 1})
    asked.ended()
    assert asked.next_of(asked.id) is None
    asked.ended(Asked(stage, A, stage.lab.number("hangup_early"), schedule_at=in_s(2.5)).id)  # long after the backoff
    assert asked.rang("callee") == 1


def test_canceling_an_attempt_that_is_over_cancels_the_one_that_waits(stage: Stage) -> None:
    asked = Asked(stage, A, stage.lab.number("congestion"), retry={"attempts": 2, "backoff_s": 3600})
    asked.ended()
    following = asked.next_of(asked.id)
    assert following is not None
    assert stage.get(f"/v1/callbacks/{following}")["status"] == "queued"
    status, answer = stage.ask("DELETE", f"/v1/callbacks/{asked.id}")
    assert (status, answer["canceled"]) == (200, True)
    over = asked.ended(following)
    assert (over["disposition"], over["legs"]) == ("canceled", [])
    assert asked.next_of(following) is None


def test_killed_in_the_backoff_and_started_again_there_is_one_ring_more(stage: Stage) -> None:
    asked = Asked(stage, A, stage.lab.number("congestion"), retry={"attempts": 1, "backoff_s": 3})
    asked.ended()
    following = asked.next_of(asked.id)
    assert following is not None
    for _ in range(2):
        stage.lab.kill("controller")
        stage.lab.restart("controller")
    second = asked.ended(following)
    assert second["attempt"] == 2
    assert (asked.rang("caller"), asked.rang("callee")) == (2, 2)


def test_what_was_due_while_no_controller_ran_is_run_or_expired(stage: Stage) -> None:
    run = Asked(stage, A, stage.lab.number("hangup_early"), schedule_at=in_s(1.5), not_after=in_s(120))
    expired = Asked(stage, A, B, schedule_at=in_s(1.5), not_after=in_s(2.5))
    stage.lab.kill("controller")
    gone = time.time()
    while time.time() < gone + 3.5:
        time.sleep(0.1)  # nobody is there: the time itself is what is waited for
    stage.lab.restart("controller")
    assert run.ended()["disposition"] == "completed"
    over = expired.ended()
    assert (over["disposition"], over["hangup_by"], over["legs"]) == ("canceled", "platform", [])
    assert (expired.rang("caller"), expired.rang("callee")) == (0, 0)
