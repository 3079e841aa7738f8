"""Far end, MK4: the caller of an X is answered and asked for an extension, and the business is asked with what was keyed in."""

import time
from typing import Any

import pytest

from controller.lab.phones.client import Call
from tests.lab.business import Business
from tests.lab.far_end import A, B, C, heard
from tests.lab.masked import check_masked, leaks
from tests.lab.stage import Stage
from tests.lab.test_masked_keys import kept
from tests.lab.test_memory import statuses
from tests.lab.test_routed import Routed, business  # noqa: F401

EXTENSION = {"least": 5, "most": 11}


class Keyed(Routed):
    """An X whose route wants an extension."""

    def __init__(self, stage: Stage, extension: dict[str, Any] = EXTENSION, **route: Any) -> None:
        super().__init__(stage, extension=extension, **route)

    def asked(self, phone: str, here: Call, since: float = 0.0) -> float:
        """The phone is answered, and hears the prompt that begins at ``since`` or later; when that was."""
        hz = self.stage.lab.prompt("extension")

        def prompts(call: Call) -> list[float]:
            return [one["begin"] for one in call["heard"] if one["hz"] == hz and one["begin"] >= since]

        call = self.until(phone, here, prompts)
        assert call["answered_at"]
        return prompts(call)[0]

    def key_in(self, phone: str, keys: str) -> Call:
        """A phone dials X and keys that in when it is asked for."""
        here = self.dial(phone)
        assert statuses(here)[0] == "200"
        self.asked(phone, here)
        self.phones.press(here["call_id"], keys)
        return here

    def talks(self, caller: str, here: Call, callee: str) -> dict[str, Any]:
        """The caller hears the callee, who was shown X and nothing else; the record, once they have hung up."""
        there = self.there(callee, here["at"])
        self.until(caller, here, lambda one: heard(one, self.stage.lab.tone(callee)) > 0.2)
        self.phones.hang_up(here["call_id"])
        record = self.record()
        check_masked(self.seen(callee, there), callee, self.x, self.stage.numbers())
        assert leaks(self.seen(caller, here), {caller, self.x}, self.stage.numbers()) == []
        return record


def test_the_business_gets_exactly_what_was_keyed_in_and_that_phone_rings_seeing_x_only(
    stage: Stage,
    business: Business,  # noqa: F811
) -> None:
    keyed = Keyed(stage, url=business.url)
    desks = {f"70913{time.time_ns() % 10**6:06d}": B, f"80246{time.time_ns() % 10**6:06d}": C}
    business.answer = lambda question: {
        "action": "connect", "to": desks[question["data"]["extension"]], "reference": "desk",
    }  # fmt: skip
    for calls, (extension, callee) in enumerate(desks.items(), 1):
        record = keyed.talks(A, keyed.key_in(A, extension), callee)
        question = business.questions(keyed.x)[-1]
        assert (question["type"], question["call_id"]) == ("call.route", record["id"])
        assert question["data"]["extension"] == extension
        assert (question["data"]["caller"], question["data"]["call_number"]) == (A, calls)
        assert (record["flow"], record["disposition"], record["reference"]) == ("masked", "completed", "desk")
        assert keyed.why(record) == {"by": "business", "action": "connect", "reason": None}
    assert len(business.questions(keyed.x)) == 2
    assert len(keyed.phones.calls(B, shown=keyed.x)) == len(keyed.phones.calls(C, shown=keyed.x)) == 1
    assert not [extension for extension in desks if extension in kept(stage.lab, stage)]


def test_fewer_digits_end_with_the_key_for_it_and_too_few_are_asked_for_again(
    stage: Stage,
    business: Business,  # noqa: F811
) -> None:
    keyed = Keyed(stage, url=business.url)
    business.answer = lambda _question: {"action": "connect", "to": B}
    here = keyed.key_in(A, "123#")
    keyed.asked(A, here, keyed.asked(A, here) + 1.0)
    keyed.phones.press(here["call_id"], "12345#")
    keyed.talks(A, here, B)
    assert [one["data"]["extension"] for one in business.questions(keyed.x)] == ["12345"]


def test_who_keys_in_nothing_has_the_routes_own_answer_and_the_business_is_not_asked(
    stage: Stage,
    business: Business,  # noqa: F811
) -> None:
    keyed = Keyed(stage, {"repeats": 0}, url=business.url, answer={"action": "connect", "to": C})
    business.answer = lambda _question: {"action": "connect", "to": B}
    here = keyed.dial(A)
    keyed.asked(A, here)
    record = keyed.talks(A, here, C)
    assert keyed.why(record) == {"by": "number", "action": "connect", "reason": "no_extension"}
    assert business.questions(keyed.x) == []


def test_announce_reject_and_menu_are_carried_out_in_the_answered_call(
    stage: Stage,
    business: Business,  # noqa: F811
) -> None:
    keyed = Keyed(stage, {"least": 1, "most": 1}, url=business.url)
    answers: dict[str, Any] = {
        "1": {"action": "reject", "with": "busy"},
        "2": {"action": "announce", "prompt": "not-available"},
        "3": {"action": "menu", "flow": "memory", "variables": {"callee": C, "callee_display": keyed.x}},
    }
    business.answer = lambda question: answers[question["data"]["extension"]]
    found = []
    for calls, key in enumerate(answers, 1):
        here = keyed.key_in(A, key)
        if key == "3":
            keyed.until(A, here, lambda one: heard(one, stage.lab.tone(C)) > 0.2)
            keyed.phones.hang_up(here["call_id"])
        call = keyed.until(A, here, lambda one: one["ended_at"])
        assert key != "2" or heard(call, stage.lab.prompt("not-available")) > 0.3
        record = keyed.record(calls)
        found.append((record["flow"], record["disposition"]))
    assert found == [("refused", "busy"), ("masked-told", "rejected"), ("memory", "completed")]


def test_without_an_answer_in_time_the_caller_who_keyed_in_has_the_routes_own(
    stage: Stage,
    business: Business,  # noqa: F811
) -> None:
    keyed = Keyed(stage, {"most": 4, "least": 4}, url=business.url, timeout_ms=1000, answer={"action": "connect", "to": C})
    business.go.clear()
    try:
        here = keyed.key_in(A, "1234")
        record = keyed.talks(A, here, C)
    finally:
        business.go.set()
    assert keyed.why(record) == {"by": "number", "action": "connect", "reason": "timeout"}


@pytest.mark.parametrize("when", ["while it is keyed in", "while the business thinks"])
def test_a_controller_that_dies_leaves_the_caller_where_they_were(
    stage: Stage,
    business: Business,  # noqa: F811
    when: str,
) -> None:
    keyed = Keyed(stage, {"least": 4, "most": 4}, url=business.url)
    business.answer = lambda _question: {"action": "connect", "to": B}
    if when == "while the business thinks":
        business.go.clear()
    try:
        here = keyed.dial(A)
        keyed.asked(A, here)
        if when == "while the business thinks":
            keyed.phones.press(here["call_id"], "4711")
            business.asked(keyed.x, 1)
        stage.lab.kill("controller")
    finally:
        business.go.set()
    if when == "while it is keyed in":
        keyed.phones.press(here["call_id"], "4711")  # the PBX collects them alone
    stage.lab.restart("controller")
    keyed.talks(A, here, B)
    questions = business.questions(keyed.x)
    assert {(one["id"], one["data"]["extension"]) for one in questions} == {(questions[0]["id"], "4711")}
    assert len(keyed.phones.calls(B, shown=keyed.x)) == 1
