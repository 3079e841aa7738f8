"""Far end, MK4: nobody is bound to X; the business is asked on each call, and its answer is what happens."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from controller.lab.phones.client import Call
from tests.lab.business import Business
from tests.lab.far_end import A, B, C, heard
from tests.lab.masked import check_masked, leaks
from tests.lab.stage import Stage, numbers_in_logs
from tests.lab.test_memory import statuses

WITHIN_S = 40.0


@pytest.fixture(scope="module")
def business(stage: Stage) -> Iterator[Business]:
    """A business with the tenant's secret."""
    with Business() as found:
        status, answer = stage.ask("POST", "/v1/webhooks/status/secret")
        assert status == 200, answer
        found.secret = answer["secret"]
        yield found
        assert found.forged == 0


class Routed:
    """An X of its own, with a route."""

    def __init__(self, stage: Stage, **route: Any) -> None:
        self.stage, self.phones = stage, stage.lab.phones
        self.x = stage.display()
        found = next(one for one in stage.get("/v1/numbers?limit=200")["items"] if one["number"] == self.x)
        route = {"timeout_ms": 4000, **route}  # time is no matter here, unless a test says so
        status, answer = stage.ask("PATCH", f"/v1/numbers/{found['id']}", {"kind": "x", "route": route})
        assert status == 200, answer
        assert answer["carries"] == ["voice"]

    def dial(self, phone: str) -> Call:
        """A phone dials X; what it saw, as soon as there is an answer of any kind."""
        since = time.time()
        self.phones.place(phone, self.x)
        calls = self.phones.wait_for(
            lambda calls: any(call["direction"] == "out" and statuses(call) for call in calls), phone, since, WITHIN_S
        )
        return next(call for call in calls if call["direction"] == "out" and statuses(call))

    def until(self, phone: str, here: Call, so: Any) -> Call:
        """The call at the phone that placed it, once it is so."""
        calls = self.phones.wait_for(
            lambda calls: any(one["call_id"] == here["call_id"] and so(one) for one in calls), phone, here["at"], WITHIN_S
        )
        return next(one for one in calls if one["call_id"] == here["call_id"])

    def refused(self, phone: str, status: str) -> Call:
        """A call that is refused with this status, unanswered."""
        here = self.dial(phone)
        call = self.until(phone, here, lambda one: status in statuses(one))
        assert call["answered_at"] is None
        return call

    def there(self, phone: str, since: float) -> Call:
        """The call at the phone that X's caller has reached."""
        found = self.phones.wait_for(
            lambda calls: any(one["answered_at"] and one["at"] >= since for one in calls), phone, 0.0, WITHIN_S, self.x
        )
        return next(one for one in found if one["at"] >= since)

    def talk(self, caller: str, callee: str) -> dict[str, Any]:
        """A call that reaches ``callee``, shown X; its record.  No phone was sent the other's number."""
        here = self.dial(caller)
        assert statuses(here)[0] == "180"
        there = self.there(callee, here["at"])
        hz = self.stage.lab.tone(callee)
        self.until(caller, here, lambda one: heard(one, hz) > 0.2)
        self.phones.hang_up(here["call_id"])
        record = self.record()
        check_masked(self.seen(callee, there), callee, self.x, self.stage.numbers())
        assert leaks(self.seen(caller, here), {caller, self.x}, self.stage.numbers()) == []
        return record

    def seen(self, phone: str, call: Call) -> Call:
        """The same call as its phone has seen it by now."""
        return next(one for one in self.phones.calls(phone) if one["call_id"] == call["call_id"])

    def record(self, count: int = 1) -> dict[str, Any]:
        """The record of the last of ``count`` calls to X, once they are over."""
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            calls = [
                call for call in self.stage.get("/v1/calls?kind=masked&limit=50")["items"]
                if call["legs"][0]["display"] == self.x
            ]  # fmt: skip
            if len(calls) >= count and all(call["ended_at"] for call in calls):
                found: dict[str, Any] = calls[0]
                return found
            time.sleep(0.1)  # the pause of a client that asks again
        raise AssertionError("no record of the call")

    def why(self, record: dict[str, Any]) -> dict[str, Any]:
        """The data of the call's ``call.routed``."""
        found = next(event["data"] for event in self.stage.events(record["id"]) if event["type"] == "call.routed")
        return dict(found)


def test_the_business_says_whom_to_connect_and_each_sees_x_only(stage: Stage, business: Business) -> None:
    routed = Routed(stage, url=business.url)
    business.answer = lambda _question: {"action": "connect", "to": B, "reference": "order-7"}
    record = routed.talk(A, B)
    assert (record["kind"], record["flow"], record["disposition"], record["reference"]) == (
        "masked", "masked", "completed", "order-7",
    )  # fmt: skip
    assert routed.why(record) == {"by": "business", "action": "connect", "reason": None}
    (question,) = business.questions(routed.x)
    assert (question["type"], question["call_id"]) == ("call.route", record["id"])
    assert question["data"] == {"caller": A, "called": routed.x, "extension": None, "call_number": 1, "history": []}
    business.answer = lambda question: {"action": "connect", "to": A if question["data"]["caller"] == B else B}
    routed.talk(B, A)
    routed.talk(A, B)
    asked = business.questions(routed.x)[-1]["data"]
    assert (asked["call_number"], len(asked["history"])) == (2, 1)
    assert (asked["history"][0]["call_id"], asked["history"][0]["disposition"]) == (record["id"], "completed")
    assert asked["history"][0]["talked_s"] > 0
    assert numbers_in_logs(stage.lab.folder, {A, B, routed.x}) == []


def test_announce_menu_and_reject_are_carried_out_unanswered(stage: Stage, business: Business) -> None:
    routed = Routed(stage, url=business.url)
    business.answer = lambda _question: {"action": "reject", "with": "busy"}
    assert statuses(routed.refused(A, "486"))[0] == "180"
    business.answer = lambda _question: {"action": "announce", "prompt": "not-available"}
    call = routed.refused(A, "403")
    assert "183" in statuses(call)
    assert heard(routed.seen(A, call), stage.lab.prompt("not-available")) > 0.3
    business.answer = lambda _question: {
        "action": "menu", "flow": "memory", "variables": {"callee": C, "callee_display": routed.x},
    }  # fmt: skip
    here = routed.dial(A)
    routed.until(A, here, lambda one: heard(one, stage.lab.tone(C)) > 0.2)
    routed.phones.hang_up(here["call_id"])
    record = routed.record(3)
    assert (record["flow"], record["disposition"]) == ("memory", "completed")
    assert routed.phones.calls(B, shown=routed.x) == []


def test_who_does_not_answer_in_time_is_not_waited_for_and_the_caller_hears_ringing_meanwhile(
    stage: Stage, business: Business
) -> None:
    routed = Routed(stage, url=business.url, timeout_ms=1500, answer={"action": "connect", "to": C})
    business.go.clear()
    try:
        here = routed.dial(A)
        assert statuses(here) == ["180"]
        business.asked(routed.x, 1)
        assert routed.phones.calls(C, shown=routed.x) == []  # nobody rings before there is an answer, or none
        routed.there(C, here["at"])
    finally:
        business.go.set()
    routed.phones.hang_up(here["call_id"])
    assert routed.why(routed.record()) == {"by": "number", "action": "connect", "reason": "timeout"}


def test_a_display_that_is_not_ours_rings_nobody(stage: Stage, business: Business) -> None:
    routed = Routed(stage, url=business.url)
    business.answer = lambda _question: {"action": "connect", "to": B, "display": "+14155559998"}
    routed.refused(A, "403")
    record = routed.record()
    assert (record["disposition"], record["legs"][1]["cause"]) == ("blocked", "caller_id_not_owned")
    assert routed.phones.calls(B, shown="+14155559998") == []


@pytest.mark.parametrize(
    "answer", [{"action": "connect", "to": "B"}, {"action": "connect"}, {"action": "dance"}, [], "busy", None,
               {"action": "menu", "flow": "callback"}, {"action": "reject", "with": "busy", "also": 1}],
)  # fmt: skip
def test_an_answer_that_is_none_is_not_carried_out(stage: Stage, business: Business, answer: Any) -> None:
    routed = Routed(stage, url=business.url, answer={"action": "reject", "with": "no_answer"})
    business.answer = lambda _question: answer
    routed.refused(A, "480")
    assert routed.why(routed.record()) == {"by": "number", "action": "reject", "reason": "invalid"}


def test_a_caller_who_leaves_while_the_business_thinks_makes_no_phone_ring(stage: Stage, business: Business) -> None:
    routed = Routed(stage, url=business.url)
    business.answer = lambda _question: {"action": "connect", "to": B}
    business.go.clear()
    try:
        here = routed.dial(A)
        business.asked(routed.x, 1)
        routed.phones.hang_up(here["call_id"])
        routed.until(A, here, lambda one: one["ended_at"])
        assert stage.lab.legs_within(10.0) == 0
    finally:
        business.go.set()
    business.answer = lambda _question: {"action": "reject", "with": "busy"}
    routed.refused(A, "486")
    assert routed.phones.calls(B, shown=routed.x) == []


def test_a_controller_that_dies_while_it_asks_asks_again_and_one_phone_rings_once(stage: Stage, business: Business) -> None:
    routed = Routed(stage, url=business.url)
    business.answer = lambda _question: {"action": "connect", "to": B}
    business.go.clear()
    try:
        here = routed.dial(A)
        business.asked(routed.x, 1)
        stage.lab.kill("controller")
    finally:
        business.go.set()
    stage.lab.restart("controller")
    first, second = business.asked(routed.x, 2)[:2]
    assert (first["id"], first["call_id"]) == (second["id"], second["call_id"])
    routed.there(B, here["at"])
    routed.phones.hang_up(here["call_id"])
    assert routed.record()["id"] == first["call_id"]
    assert len(routed.phones.calls(B, shown=routed.x)) == 1


def test_a_binding_goes_first_and_takes_the_calls_of_its_parties_only(stage: Stage, business: Business) -> None:
    routed = Routed(stage, url=business.url)
    business.answer = lambda _question: {"action": "reject", "with": "busy"}
    status, made = stage.ask("POST", "/v1/bindings", {"mode": "axb", "a": A, "b": B, "x": routed.x})
    assert status == 201, made
    routed.talk(A, B)
    assert business.questions(routed.x) == []
    routed.refused(C, "486")
    assert stage.ask("PATCH", f"/v1/bindings/{made['id']}", {"block": [A]})[0] == 200
    routed.refused(A, "403")
    assert len(business.questions(routed.x)) == 1


def test_a_business_that_keeps_failing_is_left_alone_and_then_tried_again(stage: Stage, business: Business) -> None:
    with Business() as other:
        other.secret, other.status = business.secret, 500
        routed = Routed(stage, url=other.url, answer={"action": "reject", "with": "busy"})
        for _ in range(6):
            routed.refused(A, "486")
        reasons = {routed.why(routed.record(6))["reason"]}
        assert (reasons, len(other.questions(routed.x))) == ({"resting"}, 5)
        assert "\npatchbay_breakers_open 1.0\n" in stage.get("/metrics")
        other.status = 200
        other.answer = lambda _question: {"action": "reject", "with": "no_answer"}
        deadline = time.monotonic() + WITHIN_S
        while "480" not in statuses(routed.until(A, routed.dial(A), lambda one: one["ended_at"])):
            assert time.monotonic() < deadline
        assert "\npatchbay_breakers_open 0.0\n" in stage.get("/metrics")
