"""Keys that are kept, and looked up: into a variable, secret or not, and what a book's answer makes of the call."""

from typing import Any

import pytest

from controller.core import events as ev
from controller.core.call import CallStatus
from controller.core.flow import FlowInvalid, parse
from controller.core.verbs import LookUp
from controller.store import codec
from tests.core.story import CALL, A, B, Story, flow

PIN = "80261"
KEYED = flow(
    """
    needs: [caller, caller_display]
    defaults: {callee: null, callee_display: null}
    start: caller
    nodes:
      caller: {dial: caller, show: $caller_display, answered: pin, else: end}
      pin: {ask: caller, say: pin, most: 15, into: pin, secret: true, repeats: 1, digits: look, timeout: end}
      look: {look_up: bindings, for: caller, keys: $pin, within: 3s, tries: 3,
             found: callee, again: wrong, locked: over, else: end}
      wrong: {play: caller, say: wrong-key, done: pin}
      over: {play: caller, say: locked, done: end}
      callee: {connect: callee, from: caller, show: $callee_display, parted: end, else: end}
    """
)
FOUND: dict[str, Any] = {
    "vars": {"callee": "+14155550177", "callee_display": "+14155550199"},
    "routes": {"callee": "carrier"},
    "binding": "bind_1",
    "reference": "ride-7",
    "metadata": {"ride": 7},
}


def asked(walks: Any = KEYED) -> Story:
    story = Story(walks).start().sent().held().sent()
    assert story.asked[-1] == "Ask"
    return story


def keyed(story: Story, keys: str = PIN) -> Story:
    return story.done("digits", keys)


def answered(story: Story, outcome: str, **more: Any) -> Story:
    return story.hear(ev.Found, A, story.verb("LookUp").id, outcome, **more)


def everything(story: Story) -> str:
    """All that is kept and told of a call, and all that could be logged."""
    return (
        codec.encode(story.call)
        + repr(story.call)
        + repr(story.verbs)
        + repr(story.facts)
        + repr([fact.data for fact in story.facts])
    )


def test_what_was_keyed_in_is_looked_up() -> None:
    story = keyed(asked())
    look = story.verb("LookUp")
    assert look == LookUp(CALL + "0003", A, "bindings", PIN, 3.0)
    assert PIN not in repr(look)
    assert story.call.due_at == story.now + 13_000


def test_what_is_found_is_the_calls_and_is_dialled() -> None:
    story = answered(keyed(asked()), "found", **FOUND)
    connect = story.verb("Connect")
    assert (connect.number, connect.display, connect.trunk) == ("+14155550177", "+14155550199", "carrier")
    assert (story.call.binding, story.call.reference, story.call.metadata) == ("bind_1", "ride-7", {"ride": 7})
    told = next(fact.data for fact in story.facts if fact.type == "flow.node")
    assert told == {"node": "look", "outcome": "found"}


def test_nothing_that_is_kept_or_told_bears_a_secret_once_it_was_used() -> None:
    story = keyed(asked())
    story.hear(ev.Digit, A, "8")  # a late key, or one too many
    answered(story, "found", **FOUND)
    assert PIN not in everything(story)
    assert story.call.keys == ()
    story.sent().hear(ev.LegsJoined, A, B).hear(ev.Digit, A, "5").ended(B).done("parted").over()
    assert story.call.keys == ("5",)
    assert PIN not in everything(story)
    assert story.cdr["keys_pressed"] == "5"


def test_keys_pressed_before_the_prompt_is_over_are_secret_too() -> None:
    assert asked().hear(ev.Digit, A, "8").call.keys == ()


def test_a_call_that_ends_before_its_secret_was_used_forgets_it() -> None:
    slow = flow(
        """
        start: caller
        nodes:
          caller: {dial: caller, show: $caller_display, answered: pin, else: end}
          pin: {ask: caller, say: pin, most: 15, into: pin, secret: true, digits: thanks, timeout: end}
          thanks: {play: caller, say: thanks, done: look}
          look: {look_up: bindings, for: caller, keys: $pin, else: end}
        """
    )
    story = keyed(asked(slow))
    assert story.call.vars["pin"] == PIN
    assert PIN not in everything(story.ended(A))
    assert "LookUp" not in keyed(asked(slow)).ended(A).asked


def test_what_is_no_secret_is_kept_and_noted() -> None:
    plain = flow(
        """
        start: caller
        nodes:
          caller: {dial: caller, show: $caller_display, answered: order, else: end}
          order: {ask: caller, say: order, most: 8, into: order, digits: look, timeout: end}
          look: {look_up: bindings, for: caller, keys: $order, else: caller_2}
          caller_2: {play: caller, say: $order, done: end}
        """
    )
    story = keyed(asked(plain), "4711")
    assert story.call.vars["order"] == "4711"
    assert story.call.keys == tuple("4711")
    assert answered(story, "refused").verb("Play").prompts == ("4711",)


def test_a_wrong_key_may_be_tried_again_so_often_and_no_more() -> None:
    story = asked()
    for _ in range(2):
        answered(keyed(story), "wrong")
        assert story.verb("Play").prompts == ("wrong-key",)
        story.sent().done().sent()
        assert story.asked[-1] == "Ask"
    answered(keyed(story), "wrong")
    assert story.call.ending
    outcomes = [fact.data["outcome"] for fact in story.facts if fact.type == "flow.node"]
    assert outcomes == ["again", "again", "wrong"]


def test_who_is_locked_out_is_told() -> None:
    assert answered(keyed(asked()), "locked").verb("Play").prompts == ("locked",)


def test_a_book_that_does_not_answer_has_failed() -> None:
    story = keyed(asked())
    story.hear(ev.Deadline, at=story.now + 13_000)
    assert [fact.data["outcome"] for fact in story.facts if fact.type == "flow.node"] == ["failed"]
    assert story.call.ending


def test_an_answer_counts_once_and_only_for_its_question() -> None:
    story = answered(keyed(asked()), "found", **FOUND)
    before = story.call
    story.hear(ev.Found, A, CALL + "0003", "found", {"callee": "+14155550166"})
    story.hear(ev.Found, A, story.verb("Connect").id, "found", {"callee": "+14155550166"})
    assert story.call == before


def test_an_answer_after_the_caller_has_gone_connects_nobody() -> None:
    story = keyed(asked())
    look = story.verb("LookUp").id
    story.ended(A).hear(ev.Found, A, look, "found", **FOUND)
    assert story.asked[-1] == "LookUp"
    assert story.call.status is CallStatus.ended
    assert story.call.binding is None


def test_whoever_has_the_call_after_us_asks_again() -> None:
    story = keyed(asked())
    step = story.call.steps[-1]
    assert (step.kind, step.state) == ("LookUp", "todo")
    assert codec.decode(codec.encode(story.call)) == story.call
    story.held(A, CALL + "0002", "digits")
    assert [verb.id for verb in story.verbs if verb.kind == "LookUp"] == [CALL + "0003"] * 2


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"look_up": "phonebook"}, "there is no book `phonebook`"),
        ({"for": "callee"}, "no node dials the leg `callee`"),
        ({"keys": "$nothing"}, "uses $nothing, which nobody gives"),
        ({"tries": "3"}, "`tries: 3` is no count"),
        ({"within": "soon"}, "`within: soon` is no duration"),
        ({"else": None}, "`else` leads to `None`"),
        ({"parted": "end"}, "`look_up` has no argument or outcome `parted`"),
    ],
)
def test_what_is_wrong_with_a_look_up_is_named(change: dict[str, Any], fault: str) -> None:
    look = {"look_up": "bindings", "for": "caller", "keys": "$pin", "found": "end", "else": "end", **change}
    with pytest.raises(FlowInvalid) as caught:
        parse(_document(look))
    assert fault in str(caught.value)


def test_every_way_that_a_look_up_may_end_leads_somewhere() -> None:
    look = {"look_up": "bindings", "for": "caller", "keys": "$pin", "found": "end", "wrong": "end"}
    with pytest.raises(FlowInvalid, match="`again`, `failed`, `locked`, `refused` leads nowhere"):
        parse(_document(look))


@pytest.mark.parametrize("name", ["$pin", "Pin", "my-pin", 7, None])
def test_keys_go_into_a_variable(name: Any) -> None:
    document = _document({"look_up": "bindings", "for": "caller", "else": "end"})
    document["nodes"]["pin"]["into"] = name
    with pytest.raises(FlowInvalid, match="is no variable's name"):
        parse(document)


def _document(look: dict[str, Any]) -> dict[str, Any]:
    nodes = {
        "pin": {"ask": "caller", "say": "x", "into": "pin", "secret": True, "digits": "look", "timeout": "end"},
        "look": look,
    }
    return {"flow": "keyed", "arrives": "caller", "start": "pin", "nodes": nodes}
