"""CB9: who has answered the caller's phone, and what the flow makes of it."""

from typing import Any

import pytest

from controller.core import events as ev
from controller.core.call import Retry, changed
from controller.core.decide import decide
from controller.core.flow import FlowInvalid
from controller.core.verbs import Detect
from tests.core.story import A, Story, flow

FOLLOWER = "01JD3Y8Q4ZK5T0M6W9RB2XHCV1"
GATE = {"prompt": "press-1", "key": "1", "repeats": 0, "timeout_s": 5, "replay_key": None, "hang_up_key": None}
KEEP_PERSONS = {"machine": False, "unknown": True}


def listening(**wanted: bool) -> Story:
    """The caller's phone was picked up, and we listen to it."""
    return Story(machine_detection={**KEEP_PERSONS, **wanted}).start().sent().hear(ev.LegAnswered, A).held().sent()


def told(story: Story) -> list[dict[str, Any]]:
    """What was told of who answered."""
    return [dict(fact.data) for fact in story.facts if fact.type == "call.leg.detected"]


def test_nobody_listens_unless_asked_to() -> None:
    story = Story().caller_up()
    assert "Detect" not in story.asked
    assert story.leg(A).answered_by is None


def test_nothing_is_played_and_nobody_else_dialled_while_we_listen() -> None:
    story = listening()
    detect = story.verb("Detect")
    assert isinstance(detect, Detect)
    assert (detect.leg, detect.within_s, story.asked) == (A, 5.0, ["Dial", "Detect"])


def test_a_person_is_connected() -> None:
    story = listening().done("person").sent()
    assert story.asked[-1] == "Play"
    assert story.done().asked[-1] == "Connect"
    assert [(data["leg"], data["leg_id"], data["answered_by"], data["supported"]) for data in told(story)] == [
        ("caller", "leg_" + A, "person", True)
    ]


def test_a_machine_is_hung_up_on_before_the_callee_is_dialled() -> None:
    story = listening().done("machine").over()
    assert story.asked == ["Dial", "Detect", "Hangup"]
    assert story.outcome == ("no_answer", "platform")
    assert [leg["answered_by"] for leg in story.cdr["legs"]] == ["machine"]
    order = [kind for kind in story.told if kind in ("call.leg.answered", "call.leg.detected", "call.leg.ended", "call.ended")]
    assert order == ["call.leg.answered", "call.leg.detected", "call.leg.ended", "call.ended"]


@pytest.mark.parametrize(
    ("found", "keep", "goes_on"),
    [
        ("machine", {"machine": True}, True),
        ("machine", {}, False),
        ("unknown", {}, True),
        ("unknown", {"unknown": False}, False),
        ("person", {"machine": False, "unknown": False}, True),
    ],
)
def test_what_comes_of_it_is_as_asked(found: str, keep: dict[str, bool], goes_on: bool) -> None:
    story = listening(**keep).done(found)
    assert (story.asked[-1] == "Play", story.call.ending) == (goes_on, not goes_on)
    assert story.leg(A).answered_by == found


@pytest.mark.parametrize(
    ("found", "on", "follows"),
    [
        ("machine", ("no_answer",), True),
        ("unknown", ("no_answer",), True),
        ("machine", ("congestion",), False),
        ("person", ("no_answer",), False),
    ],
)
def test_a_retry_plan_follows_a_machine_and_no_person_who_did_not_press_the_key(
    found: str, on: tuple[Any, ...], follows: bool
) -> None:
    story = Story(machine_detection={"machine": False, "unknown": False}, confirm=GATE)
    story.call = changed(story.call, retry=Retry((FOLLOWER,), 60_000, on))
    story.start().sent().hear(ev.LegAnswered, A).held().sent().done(found).sent()
    if found == "person":
        story.done("timeout").sent()
    assert story.call.ending
    end = decide(story.flow, story.call, ev.LegEnded(story.now + 5, A, 16, 200, "platform"))
    assert end.call.disposition == "no_answer"
    assert (end.follower.call.id if end.follower else None) == (FOLLOWER if follows else None)


@pytest.mark.parametrize("result", ["failed", "done", "MACHINE", ""])
def test_a_pbx_that_cannot_tell_is_never_taken_for_an_answer(result: str) -> None:
    story = listening().done(result)
    assert [(data["answered_by"], data["supported"]) for data in told(story)] == [("unknown", False)]
    assert not story.call.ending


def test_a_refusal_of_the_verb_is_unknown_too() -> None:
    story = listening()
    story.hear(ev.Refused, story.verb("Detect").id, "this PBX cannot do that")
    assert [(data["answered_by"], data["supported"]) for data in told(story)] == [("unknown", False)]
    assert story.asked[-1] == "Play"


def test_a_pbx_that_says_nothing_is_not_waited_for_for_ever() -> None:
    story = listening()
    due = story.call.due_at
    assert due is not None
    story.hear(ev.Deadline, at=due)
    assert [data["answered_by"] for data in told(story)] == ["unknown"]


def test_a_word_that_comes_twice_or_late_changes_nothing() -> None:
    story = listening()
    detect = story.verb("Detect")
    story.done("person").sent().hear(ev.VerbDone, A, detect.id, "machine")
    assert (len(told(story)), story.leg(A).answered_by) == (1, "person")


def test_a_leg_that_leaves_meanwhile_was_answered_by_nobody_known() -> None:
    story = listening().ended(A)
    assert told(story) == []
    assert story.cdr["legs"][0]["answered_by"] is None


def test_after_a_crash_the_same_verb_is_asked_again_or_its_result_taken() -> None:
    story = listening()
    detect = story.verb("Detect")
    assert story.held(A).verbs[-1] == detect, "it never began"
    assert story.held(A, detect.id, "machine").call.ending


def test_a_flow_of_ones_own_branches_on_it() -> None:
    mine = flow("""
start: caller
nodes:
  caller: {dial: caller, show: $caller_display, answered: who, else: end}
  who: {detect: caller, within: 8s, person: hello, else: message}
  hello: {play: caller, say: connecting, done: end}
  message: {play: caller, say: not-available, done: end}
""")
    story = Story(mine).caller_up()
    assert story.verb("Detect").within_s == 8.0
    assert story.done("machine").verb("Play").prompts == ("not-available",)


def test_a_flow_that_forgets_a_branch_is_told_so() -> None:
    with pytest.raises(FlowInvalid, match=r"node who: `unknown` leads nowhere"):
        flow("""
start: caller
nodes:
  caller: {dial: caller, show: $caller_display, answered: who, else: end}
  who: {detect: caller, person: end, machine: end}
""")
