"""Far end, CB8: who was called by a callback dials the number that the phone showed, and reaches the original caller."""

import time
from typing import Any

from controller.lab.phones.client import Call
from tests.lab.far_end import A, B, C, heard
from tests.lab.masked import check_masked
from tests.lab.stage import Stage
from tests.lab.test_callback_later import Asked

WITHIN_S = 40.0
METADATA = {"order": [42, None]}


class Remembered(Asked):
    """A callback that is over, and what is remembered of it."""

    def __init__(self, stage: Stage, caller: str = A, callee: str = "", ttl_s: int = 3600) -> None:
        super().__init__(
            stage, caller, callee or stage.lab.number("hangup_early"), memory_ttl_s=ttl_s, reference="memory", metadata=METADATA
        )
        self.ended()

    @property
    def display(self) -> str:
        """What the callee's phone showed."""
        return self.displays["callee"]

    def memory(self) -> dict[str, Any]:
        """The one memory."""
        found = self.stage.get(f"/v1/memories?number={self.display.replace('+', '%2B')}")["items"]
        assert len(found) == 1, found
        memory: dict[str, Any] = found[0]
        return memory

    def change(self, **what: Any) -> dict[str, Any]:
        """PATCH the memory."""
        status, answer = self.stage.ask("PATCH", f"/v1/memories/{self.memory()['id']}", what)
        assert status == 200, answer
        changed: dict[str, Any] = answer
        return changed

    def dial_back(self, phone: str = "") -> Call:
        """The callee's phone dials what it was shown; what it saw, as soon as there is an answer of any kind."""
        phone, since = phone or self.numbers["callee"], time.time()
        self.stage.lab.phones.place(phone, self.display)
        calls = self.stage.lab.phones.wait_for(lambda calls: any(_told(call) for call in calls), phone, since, WITHIN_S)
        return next(call for call in calls if _told(call))

    def reached(self, phone: str, call: Call) -> Call:
        """The call at the phone that rang for it, shown the display number, while the two hear each other."""
        found = self.stage.lab.phones.wait_for(
            lambda calls: any(c["answered_at"] and c["at"] >= call["at"] for c in calls), phone, 0.0, WITHIN_S, self.display
        )
        there = next(c for c in found if c["at"] >= call["at"])
        tone = self.stage.lab.tone(phone)
        here = self.stage.lab.phones.wait_for(
            lambda calls: any(c["call_id"] == call["call_id"] and heard(c, tone) > 0.2 for c in calls),
            self.numbers["callee"], call["at"], WITHIN_S,
        )  # fmt: skip
        assert here
        check_masked(there, phone, self.display, self.stage.numbers())
        return there

    def over(self, call: Call) -> dict[str, Any]:
        """The record of the inbound call, once the phone that dialled has let go."""
        self.stage.lab.phones.hang_up(call["call_id"])
        return self.record()

    def record(self) -> dict[str, Any]:
        """The record of the last inbound call from the callee to the display number."""
        number = self.numbers["callee"].replace("+", "%2B")
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            calls = self.stage.get(f"/v1/calls?number={number}&kind=inbound&limit=1")["items"]
            if calls and calls[0]["ended_at"] and calls[0]["legs"][0]["display"] == self.display:
                found: dict[str, Any] = calls[0]
                return found
            time.sleep(0.1)  # the pause of a client that asks again
        raise AssertionError("no record of the inbound call")


def _told(call: Call) -> bool:
    """The phone has dialled, and was told something."""
    return call["direction"] == "out" and bool(statuses(call))


def statuses(call: Call) -> list[str]:
    """The SIP statuses that a phone was sent for its INVITE."""
    found = [message["start"].split(" ")[1] for message in call["received"] if message["start"].startswith("SIP/2.0")]
    return [status for status in found if status != "100"]


def hears_that_there_is_none(asked: Remembered, phone: str = "") -> None:
    """The announcement, before any answer, and the end."""
    phone, since = phone or asked.numbers["callee"], time.time()
    asked.stage.lab.phones.place(phone, asked.display)
    calls = asked.stage.lab.phones.wait_for(
        lambda calls: any("404" in statuses(call) for call in calls if call["direction"] == "out"), phone, since, WITHIN_S
    )
    call = next(call for call in calls if "404" in statuses(call))
    assert statuses(call)[0] == "183"
    assert call["answered_at"] is None
    assert heard(call, asked.stage.lab.prompt("no-memory")) > 0.3


def test_the_callee_dials_the_display_number_and_reaches_the_original_caller(stage: Stage) -> None:
    asked = Remembered(stage)
    memory = asked.memory()
    assert (memory["party"], memory["caller"], memory["callback_id"]) == (asked.numbers["callee"], A, asked.id)
    call = asked.dial_back()
    assert statuses(call)[0] == "180"
    asked.reached(A, call)
    record = asked.over(call)
    assert (record["kind"], record["flow"], record["disposition"], record["hangup_by"]) == (
        "inbound", "memory", "completed", "caller",
    )  # fmt: skip
    assert [(leg["name"], leg["number"], leg["display"]) for leg in record["legs"]] == [
        ("caller", asked.numbers["callee"], asked.display),
        ("callee", A, asked.display),
    ]
    used = next(event for event in stage.events(record["id"]) if event["type"] == "memory.used")
    assert used["data"] == {"memory_id": memory["id"], "callback_id": asked.id}
    assert asked.memory()["uses"] == 1
    told = stage.receiver.wait_for(record["id"], lambda facts: any(f["type"] == "cdr.created" for f in facts), WITHIN_S)
    assert "memory.used" in [fact["type"] for fact in told]
    assert [(fact["reference"], fact["metadata"]) for fact in told] == [("memory", METADATA)] * len(told)
    assert record["metadata"] == METADATA


def test_after_a_change_the_new_caller_is_reached_and_after_forgetting_nobody(stage: Stage) -> None:
    asked = Remembered(stage)
    assert asked.change(caller=C)["caller"] == C
    call = asked.dial_back()
    asked.reached(C, call)
    asked.over(call)
    assert asked.change(forward_to=B)["forward_to"] == B
    call = asked.dial_back()
    asked.reached(B, call)
    asked.over(call)
    status, _ = stage.ask("DELETE", f"/v1/memories/{asked.memory()['id']}")
    assert status == 204
    hears_that_there_is_none(asked)


def test_after_its_time_the_callee_hears_that_there_is_nothing(stage: Stage) -> None:
    asked = Remembered(stage, ttl_s=2)
    deadline = time.monotonic() + WITHIN_S
    while stage.get(f"/v1/memories?number={asked.display.replace('+', '%2B')}")["items"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)  # the time itself is what is waited for
    hears_that_there_is_none(asked)


def test_a_stranger_who_dials_the_display_number_reaches_nobody(stage: Stage) -> None:
    asked = Remembered(stage)
    hears_that_there_is_none(asked, C)


def test_a_number_that_nobody_shows_is_refused_without_a_word(stage: Stage) -> None:
    since = time.time()
    stage.lab.phones.place(C, "+14155559999")
    calls = stage.lab.phones.wait_for(lambda calls: any(statuses(call) for call in calls), C, since, WITHIN_S)
    assert statuses(calls[0]) == ["404"]


def test_a_busy_original_caller_is_told_as_busy_and_nobody_is_charged(stage: Stage) -> None:
    asked = Remembered(stage)
    asked.change(caller=stage.lab.number("busy"))
    since = time.time()
    stage.lab.phones.place(asked.numbers["callee"], asked.display)
    calls = stage.lab.phones.wait_for(
        lambda calls: any("486" in statuses(call) for call in calls), asked.numbers["callee"], since, WITHIN_S
    )
    assert all(call["answered_at"] is None for call in calls if call["direction"] == "out")
    assert asked.record()["disposition"] == "busy"


def test_a_memory_outlives_the_controller(stage: Stage) -> None:
    asked = Remembered(stage)
    stage.lab.kill("controller")
    stage.lab.restart("controller")
    call = asked.dial_back()
    asked.reached(A, call)
    asked.over(call)


def test_a_talk_by_memory_outlives_the_controller(stage: Stage) -> None:
    asked = Remembered(stage)
    call = asked.dial_back()
    asked.reached(A, call)
    stage.lab.kill("controller")
    stage.lab.restart("controller")
    record = asked.over(call)
    assert (record["disposition"], record["hangup_by"]) == ("completed", "caller")
