"""Nothing that is heard twice, late, in another order or never does harm."""

import pytest

from controller.core import events as ev
from controller.core.call import LegState
from tests.core.story import CALL, A, B, Story

# --- twice and late


def test_held_before_ringing() -> None:
    story = Story().start().sent().held().hear(ev.LegAnswered, A).hear(ev.LegRinging, A)
    assert story.leg(A).state is LegState.answered
    assert story.told.count("call.leg.answered") == 1
    assert "call.leg.ringing" not in story.told
    assert story.asked == ["Dial", "Play"]


def test_an_event_for_a_leg_that_is_not_ours_changes_nothing() -> None:
    story = Story().bridged()
    before = story.call
    stranger = CALL + "77"
    for kind, args in (
        (ev.LegRinging, (stranger,)),
        (ev.LegAnswered, (stranger,)),
        (ev.LegHeld, (stranger,)),
        (ev.LegEnded, (stranger, 16, None, "remote")),
        (ev.LegsJoined, (A, stranger)),
        (ev.LegsJoined, (A, A)),
        (ev.LegsParted, (A, B)),
        (ev.Digit, (stranger, "1")),
        (ev.VerbDone, (A, CALL + "0077", "done")),
        (ev.Sending, (CALL + "0077",)),
        (ev.Sent, (CALL + "0077",)),
        (ev.Refused, (CALL + "0077", "no")),
    ):
        assert story.hear(kind, *args).call == before


def test_joined_is_told_once_and_whichever_leg_is_named_first() -> None:
    story = Story().ringing().hear(ev.LegsJoined, B, A).hear(ev.LegsJoined, A, B)
    assert story.told.count("call.bridged") == 1
    assert story.leg(B).state is LegState.answered


def test_joined_after_the_end_of_a_leg_still_counts_if_it_was_before() -> None:
    story = Story().ringing()
    now = story.now
    story.ended(A, at=now + 50).hear(ev.LegsJoined, A, B, at=now + 20).ended(B, "platform", at=now + 60)
    assert story.call.bridged_at == now + 20
    assert story.outcome == ("completed", "caller")


def test_joined_after_the_far_legs_end_still_counts_if_it_was_before() -> None:
    story = Story(record=True).ringing()
    now = story.now
    story.ended(B, at=now + 50).hear(ev.LegsJoined, A, B, at=now + 20).done("parted").over()
    assert story.leg(B).answered_at == now + 20
    assert story.outcome == ("completed", "callee")
    assert story.call.recordings[0].state == "stopped"


def test_joined_after_the_far_legs_end_is_nonsense_if_it_was_later() -> None:
    story = Story().ringing()
    now = story.now
    story.ended(B, "remote", 486, 17, at=now + 50).hear(ev.LegsJoined, A, B, at=now + 70)
    assert story.call.bridged_at is None


@pytest.mark.parametrize("result_first", [True, False])
def test_the_end_of_the_far_leg_and_the_result_come_in_any_order(result_first: bool) -> None:
    story = Story().ringing()
    if result_first:
        story.done("unanswered")
        assert story.asked[-1] == "Connect"
        story.ended(B, "remote", 486, 17)
    else:
        story.ended(B, "remote", 486, 17)
        assert story.asked[-1] == "Connect"
        story.done("unanswered")
    assert story.verb("Play").prompts == ("not-available",)


def test_the_result_may_come_by_the_leg_being_held_again() -> None:
    story = Story().bridged()
    connect = story.verb("Connect").id
    story.held(A, connect, "parted").held(A, connect, "parted")
    assert story.call.due_at is not None
    story.ended(B)
    assert story.asked[-1] == "Hangup"


def test_results_and_ends_that_are_told_again_change_nothing() -> None:
    story = Story().sorry()
    connect = story.verb("Connect").id
    before = story.call
    story.hear(ev.VerbDone, A, connect, "unanswered").ended(B, "remote", 603, 21).hear(ev.LegAnswered, B)
    assert story.call == before


def test_a_result_is_kept_as_it_was_first_told() -> None:
    story = Story().bridged().done("parted")
    due = story.call.due_at
    assert story.done("unanswered").call.due_at == due


def test_what_does_not_last_is_not_ended_by_a_result() -> None:
    story = Story().bridged().hear(ev.Act, "mute")
    mute = story.verb("Mute").id
    assert story.hear(ev.VerbDone, A, mute, "done").call.step(mute) is not None


def test_a_far_leg_that_ended_before_it_was_sent_for_ends_once() -> None:
    story = Story().caller_up().done().ended(B, "lost").ended(A)
    assert story.told.count("call.leg.ended") == 2
    assert story.call.ended


# --- a leg that is held again


def test_a_prompt_whose_leg_is_held_again_is_played_again_under_its_id() -> None:
    story = Story().caller_up().held()
    assert [verb.id for verb in story.verbs[-2:]] == [CALL + "0002", CALL + "0002"]
    assert story.call.steps_taken == 2


def test_a_prompt_that_ended_while_nobody_listened_is_told_by_its_leg() -> None:
    story = Story().caller_up()
    assert story.held(A, story.verb("Play").id, "done").asked[-1] == "Connect"


def test_a_prompt_that_left_no_result_is_played_again() -> None:
    story = Story().caller_up()
    assert story.held(A, story.verb("Play").id, "").asked[-1] == "Play"


def test_a_connect_that_may_not_have_arrived_is_repeated_when_its_leg_says_that_it_never_began() -> None:
    story = Story().caller_up().done()
    connect = story.verb("Connect")
    story.hear(ev.Sending, connect.id).held()
    assert story.verbs[-1] == connect
    assert story.call.steps[0].state == "sending"


def test_a_connect_that_was_never_sent_or_that_arrived_is_not_repeated() -> None:
    story = Story().caller_up().done().held()
    assert story.asked.count("Connect") == 1  # still to be sent
    story.sent().held()
    assert story.asked.count("Connect") == 1  # it arrived: the word is an old one


def test_a_connect_that_began_is_never_repeated_its_result_is_read() -> None:
    story = Story().caller_up().done()
    connect = story.verb("Connect").id
    story.hear(ev.Sending, connect).held(A, connect, "")
    assert story.asked.count("Connect") == 1
    due = story.call.due_at
    assert due is not None
    story.hear(ev.Deadline, at=due)
    assert (story.leg(B).why, story.verb("Play").prompts) == ("lost", ("not-available",))


def test_a_far_leg_that_is_held_is_left_alone() -> None:
    story = Story().bridged()
    story.held(B)
    assert story.asked[-1] == "Connect"


# --- sent, sending, refused


def test_a_step_moves_forward_only() -> None:
    story = Story().start()
    dial = story.verb("Dial").id
    story.hear(ev.Sent, dial).hear(ev.Sending, dial)
    assert story.call.steps[0].state == "sent"
    before = story.call
    assert story.hear(ev.Sent, dial).call is before


def test_a_refusal_of_what_rings_already_is_not_believed() -> None:
    story = Story().start().sent().hear(ev.LegRinging, A)
    before = story.call
    assert story.hear(ev.Refused, story.verb("Dial").id, "the leg id is in use").call == before


def test_a_refused_hang_up_is_asked_for_again_in_time() -> None:
    story = Story().bridged().hear(ev.Cancel)
    hangup = story.verb("Hangup")
    before = story.call
    assert story.hear(ev.Refused, hangup.id, "no").call == before


# --- after a gap


def test_a_talk_that_ended_while_nobody_listened_has_its_true_times() -> None:
    """A call bridged, the controller killed, hung up, the controller started: the PBX's lines tell."""
    story = Story(record=True).calling()
    t = story.now
    near = {"ringing_at": t - 9000, "answered_at": t - 8000, "bridged_at": t + 500}
    story.hear(ev.LegEnded, B, 16, None, "platform", t + 100, t + 400, t + 500, at=t + 7400)
    story.hear(ev.LegEnded, A, 16, None, "remote", *near.values(), at=t + 7500)
    assert story.outcome == ("completed", "caller")
    assert story.cdr["bill_s"] == 6.9
    assert story.cdr["ring_s"] == 0.3
    assert (story.call.bridged_at, story.call.ended_at) == (t + 500, t + 7500)
    assert story.told[-8:] == [
        "call.leg.ringing",
        "call.leg.answered",
        "call.bridged",
        "recording.started",
        "call.leg.ended",
        "call.leg.ended",
        "call.ended",
        "cdr.created",
    ]


def test_the_near_legs_line_alone_tells_that_they_talked() -> None:
    story = Story().calling()
    t = story.now
    story.hear(ev.LegEnded, A, 16, None, "remote", None, None, t + 500, at=t + 7500)
    assert story.leg(B).joined_at == t + 500
    assert story.ended(B, "lost").outcome == ("completed", "caller")


def test_the_near_legs_line_speaks_of_the_first_talk_not_of_a_transfer_in_vain() -> None:
    to = {"to": "+14155550103", "display": "+14155550120"}
    story = Story().bridged().hear(ev.Act, "transfer", "", to)
    talked_at = story.call.bridged_at
    story.held(A, story.verb("Connect").id).sent()
    story.hear(ev.LegEnded, A, 16, None, "remote", None, None, talked_at)
    assert story.call.legs[2].joined_at is None


def test_a_line_of_a_leg_that_never_had_another_tells_no_talk() -> None:
    story = Story().caller_up()
    story.hear(ev.LegEnded, A, 16, None, "remote", None, None, story.now, at=story.now)
    assert story.outcome == ("canceled", "caller")


def test_swept_leaves_a_call_alone_that_has_not_reached_the_pbx() -> None:
    story = Story().start().hear(ev.Swept)
    assert not story.call.ending
    assert story.sent().hear(ev.LegRinging, A).leg(A).state is LegState.ringing


def test_swept_ends_a_call_that_is_ending() -> None:
    story = Story().bridged().hear(ev.Cancel).hear(ev.Swept)
    assert story.outcome == ("canceled", "platform")


def test_a_lost_caller_takes_the_connect_along_that_was_not_sent() -> None:
    story = Story().caller_up().done().hear(ev.Swept)
    assert (story.leg(A).why, story.leg(B).why) == ("lost", "platform")
    assert story.outcome == ("lost", "platform")
