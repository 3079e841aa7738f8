"""What each kind of node does: ask, if, play, dial again, and flows that go astray."""

from typing import Any

import pytest

from controller.core import events as ev
from controller.core.call import changed
from controller.core.notation import seconds
from controller.core.verbs import Ask
from tests.core.story import CALL, A, B, Story, flow

GATE = flow(
    """
    start: caller
    nodes:
      caller: {dial: caller, show: $caller_display, answered: gate, else: end}
      gate: {ask: caller, say: press-one, least: 1, most: 2, first: 4s, next: 1500ms, stop: "*", barge: false,
             1: callee, "9#": end, digits: gate, timeout: gate, invalid: end}
      callee: {connect: callee, from: caller, show: $callee_display, parted: end, else: end}
    """
)


def at_gate(walks: Any = GATE, **variables: Any) -> Story:
    return Story(walks, **variables).start().sent().held().sent()


def test_an_ask_says_how_it_is_asked() -> None:
    assert at_gate().verbs[-1] == Ask(CALL + "0002", A, ("press-one",), 1, 2, 4.0, 1.5, "*", False)


@pytest.mark.parametrize(("keys", "then"), [("1", "callee"), ("9#", ""), ("12", "gate"), ("", "gate")])
def test_a_key_with_an_edge_is_an_outcome_and_others_are_digits(keys: str, then: str) -> None:
    story = at_gate().done("digits", keys)
    assert story.call.at == (then or "gate")
    assert story.call.ending == (then == "")
    assert story.call.keys == tuple(keys)


def test_keys_without_an_edge_are_invalid_where_digits_has_none() -> None:
    choice = flow(
        """
        start: caller
        nodes:
          caller: {dial: caller, show: $caller_display, answered: menu, else: end}
          menu: {ask: caller, say: menu, 1: end, invalid: wrong, timeout: end}
          wrong: {play: caller, say: wrong, done: menu}
        """
    )
    story = at_gate(choice).done("digits", "7")
    assert story.verb("Play").prompts == ("wrong",)
    assert story.sent().done().asked[-1] == "Ask"


def test_nobody_keys_anything() -> None:
    assert at_gate().done("timeout").asked == ["Dial", "Ask", "Ask"]


def test_an_ask_of_which_nothing_is_heard_has_timed_out() -> None:
    story = at_gate()
    due = story.call.due_at
    assert due is not None
    assert story.hear(ev.Deadline, at=due).asked == ["Dial", "Ask", "Ask"]


def test_keys_of_which_the_pbx_kept_only_that_there_were_some_are_asked_for_again() -> None:
    story = at_gate()
    assert story.held(A, story.verb("Ask").id, "digits").asked == ["Dial", "Ask", "Ask"]
    assert story.held(A, story.verb("Ask").id, "timeout").call.steps_taken == 3


def test_an_ask_that_the_pbx_cannot_do_ends_the_call() -> None:
    assert at_gate().done("failed").asked[-1] == "Hangup"


def test_a_result_for_a_node_that_the_flow_no_longer_has_ends_the_call() -> None:
    story = at_gate()
    story.call = changed(story.call, steps=tuple(changed(step, node="gone") for step in story.call.steps))
    assert story.done("digits", "1").asked[-1] == "Hangup"


def test_the_keys_of_a_call_are_in_its_record_and_in_no_repr() -> None:
    story = at_gate().done("digits", "42").hear(ev.Digit, A, "7")
    assert story.call.keys == ("4", "2", "7")
    heard = [ev.Digit(0, A, "7"), ev.VerbDone(0, A, "v", "digits", "427"), ev.Act(0, "play", "", {"to": "427"})]
    for thing in (story.call, *story.facts, *story.verbs, *heard):
        assert "'4'" not in repr(thing)
        assert "'7'" not in repr(thing)
        assert "427" not in repr(thing)
        assert "4155550" not in repr(thing)
    assert story.over().cdr["keys_pressed"] == "427"
    assert "427" not in repr(story.facts)


def test_only_so_many_keys_are_kept() -> None:
    story = at_gate()
    for _ in range(120):
        story.hear(ev.Digit, A, "5")
    assert len(story.call.keys) == 100


def test_an_ask_whose_variables_hold_nonsense_asks_with_the_defaults() -> None:
    odd = flow(
        """
        start: caller
        nodes:
          caller: {dial: caller, show: $caller_display, answered: menu, else: end}
          menu: {ask: caller, say: $x, least: $x, most: $x, first: $x, next: $x, else: end}
        """
    )
    asked = at_gate(odd, x="many").verbs[-1]
    assert asked == Ask(CALL + "0002", A, ("many",), 1, 1, 5.0, 3.0, "#", True)
    assert at_gate(odd, x=0).verbs[-1] == Ask(CALL + "0002", A, (), 0, 1, 5.0, 3.0, "#", True)
    assert at_gate(odd, x=["3", "4"]).verbs[-1] == Ask(CALL + "0002", A, ("3", "4"), 1, 1, 5.0, 3.0, "#", True)


SWITCH = flow(
    """
    start: which
    defaults: {night: {open: false}}
    nodes:
      which: {if: $night.open, then: caller, else: other}
      caller: {dial: caller, show: $caller_display, answered: end, else: other}
      other: {dial: callee, show: $callee_display, answered: hello, busy: end, else: caller}
      hello: {play: callee, say: hello, done: ask}
      ask: {ask: callee, say: hello, 1: end, else: end}
    """
)


def test_if_takes_its_edge_by_the_value() -> None:
    assert Story(SWITCH).start().verb("Dial").number == "+14155550102"
    assert Story(SWITCH, night={"open": True}).start().verb("Dial").number == "+14155550101"


def test_a_flow_may_dial_another_when_the_first_does_not_answer() -> None:
    story = Story(SWITCH, "robot", night={"open": True}).start().sent().ended(A, "timer", None, 19)
    story.sent().hear(ev.LegRinging, B).held(B).done().sent()
    assert story.asked == ["Dial", "Dial", "Play", "Ask"]
    assert story.call.near is story.leg(B)
    assert story.ended(B).outcome == ("completed", "callee")


def test_a_menu_that_hangs_up_is_completed() -> None:
    story = Story(SWITCH, "robot").start().sent().held(A).done().sent().done("digits", "1").over()
    assert story.outcome == ("completed", "platform")


def test_a_flow_that_never_stops_dialling_is_ended() -> None:
    story = Story(SWITCH, night={"open": True}).start()
    for _ in range(200):
        if story.call.ended:
            break
        story.ended(story.call.legs[-1].id, "remote", 480, 19)
    assert len(story.call.legs) == 98
    assert story.outcome == ("no_answer", "caller")


def test_a_flow_that_never_stops_asking_is_ended() -> None:
    story = at_gate()
    story.call = changed(story.call, steps_taken=8_999)
    assert story.done("timeout").asked[-1] == "Ask"
    assert story.done("timeout").asked[-1] == "Hangup"


@pytest.mark.parametrize(
    "nodes",
    [
        "{a: {if: $x, then: a, else: a}}",
        "{a: {dial: caller, show: $x, answered: end, else: a}}",
    ],
)
def test_a_flow_that_runs_in_circles_is_ended(nodes: str) -> None:
    story = Story(flow(f"start: a\nnodes: {nodes}"), x=None).start()
    assert story.outcome == ("failed", "platform")


@pytest.mark.parametrize("node", ["play: other, say: hello, done: end", "ask: other, say: hello, else: end"])
def test_nobody_is_played_to_who_is_not_there(node: str) -> None:
    absent = flow(
        f"""
        start: a
        defaults: {{other: "+1"}}
        nodes:
          a: {{dial: other, show: $x, answered: end, else: b}}
          b: {{{node}}}
        """
    )
    story = Story(absent, x="+1").start().sent().ended(A, "remote", 486, 17)
    assert story.outcome == ("busy", "caller")


def test_nobody_is_connected_to_who_is_not_there() -> None:
    absent = flow(
        """
        start: a
        nodes:
          a: {dial: caller, show: $x, answered: end, else: b}
          b: {connect: callee, from: caller, show: $x, else: end}
        """
    )
    assert Story(absent, x="+1").start().sent().ended(A, "remote", 486, 17).outcome == ("busy", "caller")


def test_a_leg_that_nobody_waits_for_leaves_the_call_as_it_is() -> None:
    two = flow(
        """
        start: a
        nodes:
          a: {dial: caller, show: $x, answered: b, else: end}
          b: {dial: callee, show: $x, answered: c, else: end}
          c: {play: callee, say: hello, done: end}
        """
    )
    story = Story(two, x="+1").start().sent().held(A).sent().held(B).sent()
    assert not story.ended(A).call.ending
    assert story.ended(B).call.ended
    back = flow(
        """
        start: a
        nodes:
          a: {dial: caller, show: $x, answered: b, else: end}
          b: {dial: callee, show: $x, answered: c, else: end}
          c: {play: caller, say: hello, done: end}
        """
    )
    assert Story(back, x="+1").start().sent().held(A).sent().held(B).sent().ended(A).call.ending
    joined = Story(two, x="+1").start().sent().held(A).sent().held(B).sent().hear(ev.LegsJoined, B, A)
    assert joined.leg(B).joined_at == joined.now


@pytest.mark.parametrize(
    ("text", "value"),
    [("30s", 30), ("5m", 300), ("1h", 3600), ("250ms", 0.25), (7, 7), (2.5, 2.5), (True, None), (-1, None), ("x", None)],
)
def test_durations(text: Any, value: float | None) -> None:
    assert seconds(text) == value
