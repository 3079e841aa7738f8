"""What a client may do to a live call: hang up, mute, play, record, pause, transfer."""

from typing import Any

import pytest

from controller.core import events as ev
from controller.core.acts import ACTS, MOST_STEPS, describe, refusal
from controller.core.call import changed
from controller.core.verbs import Mute, Part, Whisper
from tests.core.story import CALL, A, B, C, Story

TO = {"to": "+14155550103", "display": "+14155550120", "trunk": "other"}


def act(action: str, leg: str = "", **args: Any) -> ev.Act:
    return ev.Act(0, action, leg, args)


@pytest.mark.parametrize("action", sorted(ACTS.keys() - {"hangup"}))
@pytest.mark.parametrize("state", ["queued", "ringing", "sorry", "parted"])
def test_nothing_but_hanging_up_is_possible_unless_the_parties_talk(action: str, state: str) -> None:
    story = {
        "queued": Story(),
        "ringing": Story().ringing(),
        "sorry": Story().sorry(),
        "parted": Story().bridged().ended(B),
    }[state]
    assert refusal(story.call, act(action)) == "the parties are not talking"
    assert refusal(story.call, act("hangup")) is None
    before = story.call
    assert story.hear(ev.Act, action).call == before


def test_refusals_say_why() -> None:
    talk = Story().bridged().call
    assert refusal(talk, act("dance")) == "there is no action dance"
    assert refusal(talk, act("mute", "nobody")) == "there is no such leg"
    assert refusal(talk, act("pause_recording")) == "nothing is being recorded"
    assert refusal(talk, act("stop_recording")) == "nothing is being recorded"
    assert refusal(talk, act("resume_recording")) == "no recording is paused"
    assert refusal(talk, act("transfer")) == "it is not said where to, or which number to show"
    recorded = Story(record=True).bridged()
    assert refusal(recorded.call, act("record")) == "the call is being recorded already"
    assert refusal(recorded.call, act("resume_recording")) == "no recording is paused"
    assert refusal(changed(talk, steps_taken=MOST_STEPS), act("mute")) == "too much has been done in this call"
    assert refusal(recorded.hear(ev.Cancel).call, act("hangup")) == "the call is over"
    assert refusal(recorded.over().call, act("hangup")) == "the call is over"


def test_a_refused_wish_changes_nothing() -> None:
    story = Story().bridged()
    before = story.call
    assert story.hear(ev.Act, "pause_recording").call == before


def test_hanging_up_before_the_bridge_is_canceling() -> None:
    assert Story().hear(ev.Act, "hangup").outcome == ("canceled", "platform")
    assert Story().ringing().hear(ev.Act, "hangup").over().outcome == ("canceled", "platform")


def test_mute_and_unmute() -> None:
    story = Story().bridged().hear(ev.Act, "mute").hear(ev.Act, "unmute", "callee")
    assert story.verbs[-2:] == [Mute(CALL + "0004", A, True), Mute(CALL + "0005", B, False)]
    assert [step.kind for step in story.sent().call.steps] == ["Connect"]


def test_play_is_heard_by_one_side() -> None:
    story = Story().bridged().hear(ev.Act, "play", "callee", {"prompts": ["one-moment"]})
    assert story.verbs[-1] == Whisper(CALL + "0004", B, ("one-moment",))


# --- transfer


def parted(story: Story) -> Story:
    """The PBX has taken the caller out of the bridge."""
    return story.ended(B, "platform").held(A, story.verb("Connect").id)


def test_a_transfer_keeps_the_caller_and_connects_it_to_another_number() -> None:
    story = Story(record=True).bridged().hear(ev.Act, "transfer", "", TO)
    assert story.verbs[-1] == Part(CALL + "0004", A)
    parted(story.sent())
    assert story.asked[-2:] == ["StopRecord", "Connect"]
    connect = story.verb("Connect")
    assert (connect.leg, connect.far, connect.number, connect.display, connect.trunk) == (
        A, C, "+14155550103", "+14155550120", "other",
    )  # fmt: skip
    assert (connect.ring_s, connect.limit_s, connect.record) == (45, 3600, CALL + "0006")
    story.sent().hear(ev.LegRinging, C).hear(ev.LegAnswered, C).hear(ev.LegsJoined, A, C)
    assert story.told.count("call.bridged") == 2
    assert story.leg(C).name == "transfer"
    story.ended(C).done("parted").over()
    assert story.outcome == ("completed", "callee")
    assert [r.state for r in story.call.recordings] == ["stopped", "stopped"]
    assert not [key for key in story.call.vars if key.startswith("_")]


def test_stopping_a_recording_that_had_stopped_by_itself_may_be_refused() -> None:
    story = parted(Story(record=True).bridged().hear(ev.Act, "transfer", "", TO).sent())
    story.hear(ev.Refused, story.verb("StopRecord").id, "nothing is being recorded")
    assert story.call.recordings[0].state == "stopped"


def test_the_kept_leg_may_be_held_before_the_end_of_the_other_is_told() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO)
    story.held(A, story.verb("Connect").id).ended(B, "platform")
    assert story.asked[-1] == "Connect"
    assert not story.call.ending


def test_talk_and_ring_seconds_of_a_transferred_call() -> None:
    story = parted(Story().bridged().hear(ev.Act, "transfer", "", TO).sent())
    story.sent().hear(ev.LegRinging, C).hear(ev.LegAnswered, C).hear(ev.LegsJoined, A, C).ended(C).done("parted").over()
    b, c = story.leg(B), story.leg(C)
    talked = [(leg.ended_at or 0) - (leg.joined_at or 0) for leg in (b, c)]
    assert story.cdr["bill_s"] == sum(talked) / 1000
    assert story.cdr["ring_s"] == 1.0


def test_a_transfer_that_nobody_answers_is_told_to_the_caller() -> None:
    story = parted(Story().bridged().hear(ev.Act, "transfer", "", TO).sent()).sent()
    story.ended(C, "remote", 486, 17).done("unanswered").sent()
    assert story.verb("Play").prompts == ("not-available",)
    assert story.done().over().outcome == ("completed", "platform")


def test_a_transfer_that_the_pbx_refuses_leaves_the_call_as_it_was() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO)
    story.hear(ev.Refused, story.verb("Part").id, "not possible")
    assert [step.kind for step in story.call.steps] == ["Connect"]
    assert refusal(story.call, act("mute")) is None
    assert story.ended(B).done("parted").over().outcome == ("completed", "callee")


@pytest.mark.parametrize("order", ["the end first", "the result first"])
def test_the_callee_hangs_up_in_the_midst_of_a_transfer_that_is_then_refused(order: str) -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO)
    story.ended(B).done("parted") if order == "the end first" else story.done("parted").ended(B)
    assert not story.call.ending
    story.hear(ev.Refused, story.verb("Part").id, "not bridged")
    assert story.over().outcome == ("completed", "callee")


def test_the_callee_hangs_up_in_the_midst_of_a_transfer_and_its_result_is_late() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO).ended(B)
    story.hear(ev.Refused, story.verb("Part").id, "not bridged")
    assert not story.call.ending
    assert story.done("parted").over().outcome == ("completed", "callee")


def test_a_transfer_that_the_pbx_forgets_is_given_up() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO).sent()
    due = story.call.due_at
    assert due is not None
    story.hear(ev.Deadline, at=due)
    assert [step.kind for step in story.call.steps] == ["Connect"]
    assert story.call.vars.keys() == Story().call.vars.keys()


def test_a_connect_that_is_overdue_waits_for_the_transfer() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO).ended(B)
    connect = story.call.connecting(B)
    assert connect is not None
    story.call = story.call.with_step(changed(connect, due_at=story.now))
    story.hear(ev.Deadline)
    assert not story.call.ending
    assert story.held(A, connect.id).asked[-1] == "Connect"


def test_an_old_word_of_the_leg_being_held_does_not_complete_a_transfer() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO).held(A)
    assert story.asked[-1] == "Part"


def test_a_pbx_that_took_the_parting_need_not_name_the_talk() -> None:
    assert Story().bridged().hear(ev.Act, "transfer", "", TO).sent().held(A).asked[-1] == "Connect"


def test_the_caller_leaves_in_the_midst_of_a_transfer() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO).ended(A).ended(B, "platform")
    assert story.outcome == ("completed", "caller")


def test_only_one_transfer_at_a_time() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO)
    assert refusal(story.call, act("transfer", **TO)) == "the call is being transferred"


def test_a_transfer_cannot_begin_what_the_flow_does_not_know_or_ids_do_not_reach() -> None:
    for fault in ("steps", "node"):
        story = Story().bridged().hear(ev.Act, "transfer", "", TO)
        if fault == "steps":
            story.call = changed(story.call, steps_taken=9_000)
        else:
            story.call = changed(story.call, steps=tuple(changed(step, node="gone") for step in story.call.steps))
        assert parted(story).over().outcome == ("completed", "platform")


def test_a_transfer_without_a_number_is_not_dialled() -> None:
    story = Story().bridged().hear(ev.Act, "transfer", "", TO)
    story.call = changed(story.call, vars={**story.call.vars, "_transfer": {"number": "", "display": "+1"}})
    assert parted(story).verb("Play").prompts == ("not-available",)


def test_the_audit_log_gets_names_only() -> None:
    assert describe(ev.Act(0, "transfer", "", TO)) == {"action": "transfer", "leg": None}
