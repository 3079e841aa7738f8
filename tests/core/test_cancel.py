"""CB5: cancel in every state; ``unless`` keeps a call that has got so far, and the answer says what was dropped."""

import pytest

from controller.core import events as ev
from controller.core.acts import CancelReply, cancel_reply
from tests.core.story import A, B, Story

STATES = {
    "queued": (lambda: Story(), ()),
    "dialing the caller": (lambda: Story().start(), ("caller",)),
    "the caller rings": (lambda: Story().start().sent().hear(ev.LegRinging, A), ("caller",)),
    "greeting": (lambda: Story().caller_up(), ("caller",)),
    "dialing the callee": (lambda: Story().calling(), ("caller", "callee")),
    "the callee rings": (lambda: Story().ringing(), ("caller", "callee")),
    "the callee has answered": (lambda: Story().ringing().hear(ev.LegAnswered, B), ("caller", "callee")),
    "talking": (lambda: Story().bridged(), ("caller", "callee")),
    "sorry": (lambda: Story().sorry(), ("caller",)),
}
KEPT = {
    "ringing": {"the callee rings": "ringing", "the callee has answered": "answered", "talking": "answered"},
    "answered": {"the callee has answered": "answered", "talking": "answered"},
    "": {},
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("unless", KEPT)
def test_cancel_in_every_state(state: str, unless: str) -> None:
    make, dropped = STATES[state]
    story = make()
    before = story.call
    reply = cancel_reply(before, unless)
    story.hear(ev.Cancel, unless)
    if kept := KEPT[unless].get(state):
        assert reply == CancelReply(False, (), kept)
        assert story.call == before
        return
    assert reply == CancelReply(True, dropped)
    assert story.call.ending
    assert story.over().outcome == ("canceled", "platform")
    assert story.told[-2:] == ["call.ended", "cdr.created"]
    assert story.told.count("call.ended") == 1


def test_a_dial_that_was_decided_but_not_sent_is_dropped_without_asking_the_pbx() -> None:
    story = Story().start().hear(ev.Cancel)
    assert story.outcome == ("canceled", "platform")
    assert story.asked == ["Dial"]
    assert story.told[-3:] == ["call.leg.ended", "call.ended", "cdr.created"]


def test_a_connect_that_was_decided_but_not_sent_is_dropped_too() -> None:
    story = Story().caller_up().done().hear(ev.Cancel)
    assert [(verb.kind, verb.leg) for verb in story.verbs[-1:]] == [("Hangup", A)]
    assert story.ended(A, "platform").outcome == ("canceled", "platform")


def test_a_dial_that_is_on_its_way_is_hung_up() -> None:
    story = Story().start()
    story.hear(ev.Sending, story.verb("Dial").id).hear(ev.Cancel)
    assert story.asked == ["Dial", "Hangup"]
    assert not story.call.ended


def test_a_leg_that_shows_life_after_the_cancel_is_hung_up_again_and_its_times_are_kept() -> None:
    story = Story().ringing().hear(ev.Cancel).sent()
    for kind, args in ((ev.LegAnswered, (B,)), (ev.LegsJoined, (A, B)), (ev.LegHeld, (B,)), (ev.LegRinging, (B,))):
        story.hear(kind, *args)
    hangups = [verb for verb in story.verbs if verb.kind == "Hangup"]
    assert {verb.leg for verb in hangups} == {A, B}
    assert len({verb.id for verb in hangups}) == 2
    assert story.over().leg(B).answered_at is not None
    assert story.call.bridged_at is not None
    assert story.outcome == ("canceled", "platform")


def test_a_call_that_is_over_or_ending_is_not_canceled_again() -> None:
    story = Story().bridged().hear(ev.Cancel)
    assert cancel_reply(story.call, "") == CancelReply(False, (), "ending")
    assert cancel_reply(story.over().call, "") == CancelReply(False, (), "ended")


def test_policy_may_take_a_waiting_call_away_and_say_so() -> None:
    story = Story().hear(ev.Cancel, "", "policy", "blocked")
    assert story.outcome == ("blocked", "platform")
    assert story.call.canceled_by == "policy"
